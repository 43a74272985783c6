//! Who acts, and what they may. No function that touches an organization's data goes without a
//! [`Caller`], and only authentication (or a composition root, by name) makes one.

use std::sync::Arc;

use flagforge_flags::keys::{EnvKey, OrgKey};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::people::Person;
pub use crate::permission::{Permission, PermissionSet, Role, RoleName};
use crate::record::Organization;

/// Permissions, and where they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) permissions: PermissionSet,
    /// The environments it holds in; `None` is all of the organization, and what they share.
    pub(crate) envs: Option<Vec<EnvKey>>,
    /// The domains whose flags it holds for; `None` is all flags, and those of no domain.
    pub(crate) domains: Option<Vec<String>>,
}

impl Grant {
    pub(crate) fn everywhere(permissions: PermissionSet) -> Self {
        Self { permissions, envs: None, domains: None }
    }

    /// Whether it reaches a place: an environment or (`None`) what all share, and the flags of a domain.
    fn reaches(&self, env: Option<&EnvKey>, about: About<'_>) -> bool {
        let here = match (&self.envs, env) {
            (None, _) => true,
            (Some(envs), Some(env)) => envs.contains(env),
            (Some(_), None) => false,
        };
        let about = match (&self.domains, about) {
            (None, _) | (Some(_), About::AnyFlag) => true,
            (Some(domains), About::Domain(domain)) => domains.iter().any(|held| held == domain),
            (Some(_), About::EveryFlag) => false,
        };
        here && about
    }
}

/// Which flags somebody asks about.
#[derive(Debug, Clone, Copy)]
enum About<'d> {
    /// Those of one domain.
    Domain(&'d str),
    /// All of them, those of no domain included.
    EveryFlag,
    /// Whichever. Reading is not bounded by domains: those who own one see their neighbours.
    AnyFlag,
}

impl<'d> About<'d> {
    fn domain(domain: Option<&'d str>) -> Self {
        domain.map_or(Self::EveryFlag, Self::Domain)
    }

    fn whole(permission: Permission) -> Self {
        if permission == Permission::Read { Self::AnyFlag } else { Self::EveryFlag }
    }
}

/// Who is acting. Has no public constructor but [`Caller::system`].
#[derive(Debug, Clone)]
pub struct Caller {
    pub(crate) actor: Actor,
    /// The organization it belongs to; `None` for a pure platform operator, for system callers, and for a person who is
    /// nobody's.
    pub(crate) org: Option<OrgKey>,
    pub(crate) grants: Vec<Grant>,
    /// May create organizations and install trust documents.
    pub(crate) operator: bool,
    /// The organization's record as it stood when the caller came; system callers and the operator have none.
    pub(crate) home: Option<Arc<Organization>>,
    /// Requests that its key has left in this process.
    pub(crate) requests_left: u64,
    /// Who it is, if a person.
    pub(crate) person: Option<Arc<Person>>,
    /// Whether it is a service, by a key of the data plane: it may say how far it is, and nothing else.
    pub(crate) serves: bool,
    /// The keys above what it makes: its own ancestors, and itself if it is a key.
    pub(crate) family: Vec<String>,
}

/// How a log entry names who acted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "actor", rename_all = "camelCase")]
pub enum Actor {
    /// An access key, by its public id.
    Key { id: String },
    /// The platform's operator, by its key's id.
    Operator { id: String },
    /// A person, by an id that says nothing. Readers get who vouches for them and what they are called there, or
    /// `erased`; only what is older than that was written with both.
    Person {
        id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
    },
    /// A part of the platform itself, say `bootstrap`.
    System { name: String },
}

impl Actor {
    pub(crate) fn person(id: String) -> Self {
        Self::Person { id, issuer: None, subject: None }
    }

    /// The id of a key or person, or the name of a part of the platform.
    pub fn id(&self) -> &str {
        match self {
            Self::Key { id } | Self::Operator { id } | Self::Person { id, .. } => id,
            Self::System { name } => name,
        }
    }
}

impl Caller {
    /// A part of the platform acting for itself, in any organization. Made in composition roots only; the log names it.
    pub fn system(name: &'static str) -> Self {
        Self {
            actor: Actor::System { name: name.to_owned() },
            org: None,
            grants: vec![Grant::everywhere(PermissionSet::all())],
            operator: true,
            home: None,
            requests_left: u64::MAX,
            serves: false,
            family: Vec::new(),
            person: None,
        }
    }

    /// The platform's operator. It belongs to no organization, and so sees into none.
    pub(crate) fn operator(id: String) -> Self {
        let actor = Actor::Operator { id };
        Self {
            actor,
            org: None,
            grants: Vec::new(),
            operator: true,
            home: None,
            requests_left: u64::MAX,
            serves: false,
            family: Vec::new(),
            person: None,
        }
    }

    /// Lets pass who holds, somewhere in `org`, all that `needed` allows; otherwise says "not there" to a
    /// stranger and "not yours to do" to a member.
    pub fn may(&self, org: &OrgKey, needed: Role) -> Result<(), Error> {
        needed.permissions().iter().try_for_each(|permission| self.can(org, permission))
    }

    /// As [`Caller::may`], for one environment. One that the caller is not scoped to does not exist for it.
    pub fn may_in(&self, org: &OrgKey, env: &EnvKey, needed: Role) -> Result<(), Error> {
        needed.permissions().iter().try_for_each(|permission| self.can_in(org, env, permission))
    }

    /// As [`Caller::may`], for what concerns every environment: a key scoped to some may not.
    pub fn may_everywhere(&self, org: &OrgKey, needed: Role) -> Result<(), Error> {
        needed.permissions().iter().try_for_each(|permission| self.can_everywhere(org, permission))
    }

    /// Lets pass who holds the permission somewhere in `org`: for reading what all environments share.
    pub fn can(&self, org: &OrgKey, needed: Permission) -> Result<(), Error> {
        self.belongs(org)?;
        self.holds(needed, |_| true)
    }

    /// Lets pass who holds the permission in one environment, whatever the domain of a flag.
    pub fn can_in(&self, org: &OrgKey, env: &EnvKey, needed: Permission) -> Result<(), Error> {
        self.sees(org, env)?;
        self.holds(needed, |grant| grant.reaches(Some(env), About::whole(needed)))
    }

    /// Lets pass who holds the permission for all environments and domains at once.
    pub fn can_everywhere(&self, org: &OrgKey, needed: Permission) -> Result<(), Error> {
        self.belongs(org)?;
        self.holds(needed, |grant| grant.reaches(None, About::whole(needed)))
    }

    /// Lets pass who holds the permission for flags of one domain, in one environment or (`None`) in what all share.
    pub(crate) fn can_for_flag(
        &self,
        org: &OrgKey,
        env: Option<&EnvKey>,
        domain: Option<&str>,
        needed: Permission,
    ) -> Result<(), Error> {
        match env {
            Some(env) => self.sees(org, env)?,
            None => self.belongs(org)?,
        }
        self.holds(needed, |grant| grant.reaches(env, About::domain(domain)))
    }

    /// Lets pass the platform's operator only. To everyone else the operator's doors are not there.
    pub fn may_operate(&self) -> Result<(), Error> {
        if self.operator { Ok(()) } else { Err(Error::NotFound { what: "route" }) }
    }

    /// Lets pass what serves an environment's flags: to say how far it is. A system caller does, too.
    pub(crate) fn may_report(&self, org: &OrgKey, env: &EnvKey) -> Result<(), Error> {
        self.sees(org, env)?;
        let system = matches!(self.actor, Actor::System { .. });
        if self.serves || system { Ok(()) } else { Err(Error::NotAService) }
    }

    /// Whether some of its grants holds the permission for some domains only.
    pub(crate) fn is_scoped_by_domain(&self, permission: Permission) -> bool {
        let scoped = |grant: &Grant| grant.domains.is_some() && grant.permissions.has(permission);
        self.grants.iter().any(scoped)
    }

    /// Whether all that `grant` allows, wherever it does, this caller may do too: what is made of it is no stronger.
    pub(crate) fn covers(&self, grant: &Grant) -> Result<(), Error> {
        let envs = each(grant.envs.as_deref());
        let domains = each(grant.domains.as_deref());
        for permission in grant.permissions.iter() {
            for env in &envs {
                for domain in &domains {
                    let about = About::domain(domain.map(String::as_str));
                    self.holds(permission, |mine| mine.reaches(*env, about))?;
                }
            }
        }
        Ok(())
    }

    fn holds(&self, needed: Permission, here: impl Fn(&Grant) -> bool) -> Result<(), Error> {
        let held = self.grants.iter().any(|grant| grant.permissions.has(needed) && here(grant));
        if held { Ok(()) } else { Err(Error::Forbidden { needed }) }
    }

    fn sees(&self, org: &OrgKey, env: &EnvKey) -> Result<(), Error> {
        self.belongs(org)?;
        let here = |grant: &Grant| grant.envs.as_ref().is_none_or(|envs| envs.contains(env));
        if self.grants.iter().any(here) {
            Ok(())
        } else {
            Err(Error::NotFound { what: "environment" })
        }
    }

    pub(crate) fn belongs(&self, org: &OrgKey) -> Result<(), Error> {
        let member = matches!(self.actor, Actor::System { .. }) || self.org.as_ref() == Some(org);
        if member { Ok(()) } else { Err(Error::NotFound { what: "organization" }) }
    }
}

/// Each of a list, or the one place without bounds.
fn each<T>(bounds: Option<&[T]>) -> Vec<Option<&T>> {
    match bounds {
        None => vec![None],
        Some(all) => all.iter().map(Some).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(role: Role, envs: Option<&[&str]>, domains: Option<&[&str]>) -> Grant {
        Grant {
            permissions: role.permissions(),
            envs: envs.map(|envs| envs.iter().map(|env| EnvKey::new(env).unwrap()).collect()),
            domains: domains.map(|all| all.iter().map(|domain| (*domain).to_owned()).collect()),
        }
    }

    fn caller(org: &str, grants: Vec<Grant>) -> Caller {
        let actor = Actor::Key { id: "k".to_owned() };
        let org = Some(OrgKey::new(org).unwrap());
        let family = vec!["k".to_owned()];
        Caller {
            actor,
            org,
            grants,
            operator: false,
            home: None,
            requests_left: 1,
            serves: false,
            family,
            person: None,
        }
    }

    fn key(org: &str, role: Role, envs: Option<&[&str]>) -> Caller {
        caller(org, vec![grant(role, envs, None)])
    }

    #[test]
    fn a_stranger_is_told_nothing_and_a_member_what_it_lacks() {
        let (demo, prod) = (OrgKey::new("demo").unwrap(), EnvKey::new("prod").unwrap());
        let stranger = key("other", Role::Admin, None);
        assert!(matches!(stranger.may(&demo, Role::Reader), Err(Error::NotFound { .. })));
        assert!(matches!(stranger.may_in(&demo, &prod, Role::Reader), Err(Error::NotFound { .. })));
        let reader = key("demo", Role::Reader, None);
        assert!(reader.may(&demo, Role::Reader).is_ok());
        assert!(matches!(reader.may(&demo, Role::Maintainer), Err(Error::Forbidden { .. })));
        assert!(reader.may_operate().is_err());
    }

    #[test]
    fn a_key_of_one_environment_sees_no_other_and_changes_nothing_shared() {
        let demo = OrgKey::new("demo").unwrap();
        let dev = key("demo", Role::Admin, Some(&["dev"]));
        assert!(dev.may_in(&demo, &EnvKey::new("dev").unwrap(), Role::Admin).is_ok());
        let prod = EnvKey::new("prod").unwrap();
        assert!(matches!(dev.may_in(&demo, &prod, Role::Reader), Err(Error::NotFound { .. })));
        assert!(matches!(dev.may_everywhere(&demo, Role::Reader), Err(Error::Forbidden { .. })));
    }

    #[test]
    fn grants_do_not_lend_each_other_their_places() {
        let demo = OrgKey::new("demo").unwrap();
        let [dev, prod] = ["dev", "prod"].map(|env| EnvKey::new(env).unwrap());
        let grants = vec![
            grant(Role::Admin, Some(&["dev"]), None),
            grant(Role::Reader, Some(&["prod"]), None),
        ];
        let person = caller("demo", grants);
        assert!(person.can_in(&demo, &dev, Permission::Kill).is_ok());
        assert!(person.can_in(&demo, &prod, Permission::Read).is_ok());
        let refused = person.can_in(&demo, &prod, Permission::Kill);
        assert!(matches!(refused, Err(Error::Forbidden { needed: Permission::Kill })));
    }

    #[test]
    fn a_domain_bounds_what_is_written_and_not_what_is_read() {
        let (demo, prod) = (OrgKey::new("demo").unwrap(), EnvKey::new("prod").unwrap());
        let billing = caller("demo", vec![grant(Role::Maintainer, None, Some(&["billing"]))]);
        let write = |domain| {
            billing.can_for_flag(&demo, Some(&prod), domain, Permission::WriteStates).is_ok()
        };
        assert!(write(Some("billing")));
        assert!(!write(Some("search")) && !write(None));
        assert!(billing.can_in(&demo, &prod, Permission::Read).is_ok());
        assert!(billing.can_in(&demo, &prod, Permission::WriteStates).is_err());
        assert!(billing.can_everywhere(&demo, Permission::WriteDirectory).is_err());
        assert!(billing.can_everywhere(&demo, Permission::Read).is_ok());
    }

    #[test]
    fn weaker_is_a_partial_order_over_permissions_and_places() {
        let admin = key("demo", Role::Admin, None);
        for role in Role::ALL {
            assert!(admin.covers(&grant(role, None, None)).is_ok());
            assert!(admin.covers(&grant(role, Some(&["dev"]), Some(&["billing"]))).is_ok());
        }
        let maintainer = key("demo", Role::Maintainer, None);
        assert!(maintainer.covers(&grant(Role::Approver, None, None)).is_err());
        let approver = key("demo", Role::Approver, None);
        assert!(approver.covers(&grant(Role::Maintainer, None, None)).is_err());
        let of_dev = key("demo", Role::Admin, Some(&["dev"]));
        assert!(of_dev.covers(&grant(Role::Reader, Some(&["dev"]), None)).is_ok());
        assert!(of_dev.covers(&grant(Role::Reader, None, None)).is_err());
        assert!(of_dev.covers(&grant(Role::Reader, Some(&["dev", "prod"]), None)).is_err());
        let billing = caller("demo", vec![grant(Role::Admin, None, Some(&["billing"]))]);
        assert!(billing.covers(&grant(Role::Reader, None, None)).is_err());
    }
}
