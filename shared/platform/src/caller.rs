//! Who acts, and what they may. No function that touches an organization's data goes without a
//! [`Caller`], and only authentication (or a composition root, by name) makes one.

use flagforge_flags::keys::{EnvKey, OrgKey};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// What a caller may do within its organization. Each includes those before it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads everything but key hashes.
    Reader,
    /// Changes flags, states, tenants and groups.
    Maintainer,
    /// Also environments and keys.
    Admin,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reader => "reader",
            Self::Maintainer => "maintainer",
            Self::Admin => "admin",
        })
    }
}

/// Who is acting. Has no public constructor but [`Caller::system`].
#[derive(Debug, Clone)]
pub struct Caller {
    pub(crate) actor: Actor,
    /// The organization it belongs to; `None` for a pure platform operator and for system callers.
    pub(crate) org: Option<OrgKey>,
    pub(crate) role: Role,
    /// The environments it may touch; `None` is all of its organization.
    pub(crate) envs: Option<Vec<EnvKey>>,
    /// May create organizations and install trust documents.
    pub(crate) operator: bool,
}

/// How a log entry names who acted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "actor", rename_all = "camelCase")]
pub enum Actor {
    /// An access key, by its public id.
    Key { id: String },
    /// The platform's operator, by its key's id.
    Operator { id: String },
    /// A part of the platform itself, say `bootstrap`.
    System { name: String },
}

impl Caller {
    /// A part of the platform acting for itself, in any organization. Made in composition roots only; the log names it.
    pub fn system(name: &'static str) -> Self {
        Self {
            actor: Actor::System { name: name.to_owned() },
            org: None,
            role: Role::Admin,
            envs: None,
            operator: true,
        }
    }

    /// Lets pass who may act in `org` with `needed`; otherwise says "not there" to a stranger and "not yours to do" to a member.
    pub fn may(&self, org: &OrgKey, needed: Role) -> Result<(), Error> {
        if !self.belongs_to(org) {
            return Err(Error::NotFound { what: "organization" });
        }
        if self.role < needed { Err(Error::Forbidden { needed }) } else { Ok(()) }
    }

    /// As [`Caller::may`], for one environment. One that the caller is not scoped to does not exist for it.
    pub fn may_in(&self, org: &OrgKey, env: &EnvKey, needed: Role) -> Result<(), Error> {
        if !self.belongs_to(org) {
            return Err(Error::NotFound { what: "organization" });
        }
        if self.envs.as_ref().is_some_and(|envs| !envs.contains(env)) {
            return Err(Error::NotFound { what: "environment" });
        }
        if self.role < needed { Err(Error::Forbidden { needed }) } else { Ok(()) }
    }

    /// As [`Caller::may`], for what concerns every environment: a key scoped to some may not.
    pub fn may_everywhere(&self, org: &OrgKey, needed: Role) -> Result<(), Error> {
        self.may(org, needed)?;
        match self.envs {
            Some(_) => Err(Error::Forbidden { needed: Role::Admin }),
            None => Ok(()),
        }
    }

    /// Lets pass the platform's operator only. To everyone else the operator's doors are not there.
    pub fn may_operate(&self) -> Result<(), Error> {
        if self.operator { Ok(()) } else { Err(Error::NotFound { what: "route" }) }
    }

    fn belongs_to(&self, org: &OrgKey) -> bool {
        matches!(self.actor, Actor::System { .. }) || self.org.as_ref() == Some(org)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(org: &str, role: Role, envs: Option<&[&str]>) -> Caller {
        Caller {
            actor: Actor::Key { id: "k".to_owned() },
            org: Some(OrgKey::new(org).unwrap()),
            role,
            envs: envs.map(|envs| envs.iter().map(|env| EnvKey::new(env).unwrap()).collect()),
            operator: false,
        }
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
}
