//! What a search looks at, of each kind of thing that is listed: keys, and what people wrote for people.

use super::Search;
use crate::deleted::Deleted;
use crate::import::Import;
use crate::kills::KillSwitch;
use crate::people::{Invitation, IssuerRecord, PersonRecord};
use crate::record::{
    Definition, Environment, Group, KeyFacts, Member, Organization, Override, RoleRecord,
    SegmentRecord, Tenant,
};
use crate::schedule::Schedule;
use crate::special::Membership;
use crate::webhooks::Webhook;

/// A thing that is searched.
pub(crate) trait Searched {
    /// Whether one of its texts has what is searched for.
    fn has(&self, search: &Search) -> bool;
}

fn or_nothing(text: Option<&String>) -> &str {
    text.map_or("", String::as_str)
}

impl Searched for Organization {
    fn has(&self, search: &Search) -> bool {
        search.is_in(&[self.key.as_str(), &self.name])
    }
}

impl Searched for Environment {
    fn has(&self, search: &Search) -> bool {
        search.is_in(&[self.key.as_str(), &self.name])
    }
}

impl Searched for Tenant {
    fn has(&self, search: &Search) -> bool {
        search.is_in(&[self.key.as_str(), &self.name])
    }
}

impl Searched for Group {
    fn has(&self, search: &Search) -> bool {
        search.is_in(&[self.key.as_str(), &self.description])
    }
}

impl Searched for Member {
    fn has(&self, search: &Search) -> bool {
        search.is_in(&[self.tenant.as_str()])
    }
}

impl Searched for Membership {
    fn has(&self, search: &Search) -> bool {
        search.is_in(&[self.group.as_str()])
    }
}

impl Searched for Definition {
    fn has(&self, search: &Search) -> bool {
        let (owner, domain) = (or_nothing(self.owner.as_ref()), or_nothing(self.domain.as_ref()));
        search.is_in(&[self.key.as_str(), &self.description, owner, domain])
            || self.tags.iter().any(|tag| search.is_in(&[tag]))
    }
}

impl Searched for SegmentRecord {
    fn has(&self, search: &Search) -> bool {
        search.is_in(&[self.key.as_str(), &self.description])
    }
}

impl<T: Searched> Searched for Deleted<T> {
    fn has(&self, search: &Search) -> bool {
        self.what.has(search) || search.is_in(&[or_nothing(self.deleted.reason.as_ref())])
    }
}

impl Searched for Override {
    fn has(&self, search: &Search) -> bool {
        let reason = or_nothing(self.reason.as_ref());
        search.is_in(&[self.flag.as_str(), self.tenant.as_str(), self.variant.as_str(), reason])
    }
}

impl Searched for KillSwitch {
    fn has(&self, search: &Search) -> bool {
        let group = self.group.as_ref().map_or("", |group| group.as_str());
        search.is_in(&[&self.scope.to_string(), group, &self.reason])
    }
}

impl Searched for Schedule {
    fn has(&self, search: &Search) -> bool {
        search.is_in(&[self.flag.as_str(), or_nothing(self.reason.as_ref())])
    }
}

impl Searched for Import {
    fn has(&self, search: &Search) -> bool {
        search.is_in(&[&self.id])
    }
}

/// Never its secret, nor what that is held against: a search would tell it letter by letter.
impl Searched for KeyFacts {
    fn has(&self, search: &Search) -> bool {
        let tenant = self.tenant.as_ref().map_or("", |tenant| tenant.as_str());
        search.is_in(&[&self.id, &self.name, &self.role.to_string(), tenant])
    }
}

impl Searched for RoleRecord {
    fn has(&self, search: &Search) -> bool {
        search.is_in(&[self.key.as_str(), &self.description])
    }
}

impl Searched for IssuerRecord {
    fn has(&self, search: &Search) -> bool {
        search.is_in(&[self.key.as_str(), &self.issuer.url])
    }
}

impl Searched for PersonRecord {
    fn has(&self, search: &Search) -> bool {
        let (name, email) = (or_nothing(self.name.as_ref()), or_nothing(self.email.as_ref()));
        search.is_in(&[&self.id, &self.subject, name, email, &self.part.role.to_string()])
    }
}

impl Searched for Invitation {
    fn has(&self, search: &Search) -> bool {
        search.is_in(&[&self.id, &self.email, &self.part.role.to_string()])
    }
}

impl Searched for Webhook {
    fn has(&self, search: &Search) -> bool {
        search.is_in(&[&self.id, &self.asked.url, &self.asked.description])
    }
}
