//! Where things are in the table. Every partition key begins with the organization (DESIGN §5), so
//! that credentials can be narrowed to one; `#` cannot occur in a key, so places never collide.

use flagforge_flags::keys::{
    EnvKey, FlagKey, GroupKey, IssuerKey, OrgKey, ReporterId, RoleKey, SegmentKey, TenantKey,
};
use flagforge_flags::time::Timestamp;

use crate::kills::KillScope;
use crate::personal::Identity;
use crate::ports::{ItemKey, Query};

/// Every log entry's sort key begins with it.
pub(crate) const LOG_PREFIX: &str = "LOG#";

/// The log a change belongs to: the organization's, or one environment's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogId {
    pub org: OrgKey,
    /// `None`: the organization's log.
    pub env: Option<EnvKey>,
}

impl LogId {
    pub(crate) fn head(&self) -> ItemKey {
        let pk = match &self.env {
            None => org_pk(&self.org),
            Some(env) => env_pk(&self.org, env),
        };
        ItemKey::new(pk, "HEAD")
    }

    pub(crate) fn partition(&self) -> String {
        match &self.env {
            None => format!("{}#log", self.org),
            Some(env) => format!("{}#env#{env}#log", self.org),
        }
    }

    pub(crate) fn entry(&self, number: u64) -> ItemKey {
        ItemKey::new(self.partition(), log_sk(number))
    }

    /// The log whose entries live in a partition; `None` for every other partition.
    pub(crate) fn of_partition(pk: &str) -> Option<Self> {
        let parts: Vec<&str> = pk.split('#').collect();
        match parts.as_slice() {
            [org, "log"] => Some(Self { org: OrgKey::new(org).ok()?, env: None }),
            [org, "env", env, "log"] => {
                Some(Self { org: OrgKey::new(org).ok()?, env: Some(EnvKey::new(env).ok()?) })
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for LogId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.env {
            None => write!(f, "{}", self.org),
            Some(env) => write!(f, "{}/{env}", self.org),
        }
    }
}

/// Twenty digits hold any `u64`, so byte order is number order.
pub(crate) fn log_sk(number: u64) -> String {
    format!("{LOG_PREFIX}{number:020}")
}

pub(crate) fn org_pk(org: &OrgKey) -> String {
    format!("{org}#")
}

pub(crate) fn env_pk(org: &OrgKey, env: &EnvKey) -> String {
    format!("{org}#env#{env}")
}

pub(crate) fn organization(org: &OrgKey) -> ItemKey {
    ItemKey::new(org_pk(org), "ORG")
}

/// The operator's list of organizations: the installation's, and no organization's.
pub(crate) const DIRECTORY_PK: &str = "~#orgs";

pub(crate) fn directory_entry(org: &OrgKey) -> ItemKey {
    ItemKey::new(DIRECTORY_PK, format!("ORG#{org}"))
}

pub(crate) fn environment(org: &OrgKey, env: &EnvKey) -> ItemKey {
    ItemKey::new(org_pk(org), format!("ENV#{env}"))
}

pub(crate) fn flag(org: &OrgKey, flag: &FlagKey) -> ItemKey {
    ItemKey::new(org_pk(org), format!("FLAG#{flag}"))
}

/// Where a flag is kept that was deleted and can come back.
pub(crate) fn deleted_flag(org: &OrgKey, flag: &FlagKey) -> ItemKey {
    ItemKey::new(org_pk(org), format!("DELETED-FLAG#{flag}"))
}

pub(crate) fn tenant(org: &OrgKey, tenant: &TenantKey) -> ItemKey {
    ItemKey::new(org_pk(org), format!("TENANT#{tenant}"))
}

pub(crate) fn tenant_schema(org: &OrgKey) -> ItemKey {
    ItemKey::new(org_pk(org), "TENANT-SCHEMA")
}

pub(crate) fn tenant_source(org: &OrgKey) -> ItemKey {
    ItemKey::new(org_pk(org), "TENANT-SOURCE")
}

pub(crate) fn webhook(org: &OrgKey, id: &str) -> ItemKey {
    ItemKey::new(org_pk(org), format!("WEBHOOK#{id}"))
}

pub(crate) fn import(org: &OrgKey, id: &str) -> ItemKey {
    ItemKey::new(org_pk(org), format!("IMPORT#{id}"))
}

pub(crate) fn group(org: &OrgKey, group: &GroupKey) -> ItemKey {
    ItemKey::new(org_pk(org), format!("GROUP#{group}"))
}

pub(crate) fn member(org: &OrgKey, group: &GroupKey, tenant: &TenantKey) -> ItemKey {
    ItemKey::new(org_pk(org), format!("MEMBER#{group}#{tenant}"))
}

pub(crate) fn access_key(org: &OrgKey, id: &str) -> ItemKey {
    ItemKey::new(org_pk(org), format!("KEY#{id}"))
}

/// When keys were last used, apart from what the organization is: nothing there is in a log or a manifest.
pub(crate) fn use_pk(org: &OrgKey) -> String {
    format!("{org}#use")
}

pub(crate) fn key_use(org: &OrgKey, id: &str) -> ItemKey {
    ItemKey::new(use_pk(org), format!("KEY#{id}"))
}

/// How far the readers of an environment are, as they say themselves: nothing there is in a log or a manifest, and the
/// publisher does not read it.
pub(crate) fn heard_pk(org: &OrgKey, env: &EnvKey) -> String {
    format!("{org}#env#{env}#heard")
}

pub(crate) fn heard(org: &OrgKey, env: &EnvKey, reporter: &ReporterId) -> ItemKey {
    ItemKey::new(heard_pk(org, env), format!("REPORTER#{reporter}"))
}

/// The texts that name an actor, beside the log. Nothing there is in a log or a manifest.
pub(crate) fn texts(org: &OrgKey, actor: &str) -> ItemKey {
    ItemKey::new(format!("{org}#texts"), actor)
}

/// The reasons of a log's entry, beside the log.
pub(crate) fn reasons(log: &LogId, number: u64) -> ItemKey {
    let pk = match &log.env {
        None => format!("{}#reasons", log.org),
        Some(env) => format!("{}#env#{env}#reasons", log.org),
    };
    ItemKey::new(pk, format!("REASON#{number:020}"))
}

/// Whom the id of a person stands for, and the id of somebody; beside the log likewise.
pub(crate) fn identity(org: &OrgKey, id: &str) -> ItemKey {
    texts(org, &format!("PERSON#{id}"))
}

/// What a person's token said when they last scheduled something.
pub(crate) fn claims(org: &OrgKey, id: &str) -> ItemKey {
    texts(org, &format!("CLAIMS#{id}"))
}

pub(crate) fn id_of(org: &OrgKey, person: &Identity) -> ItemKey {
    texts(org, &format!("SUBJECT#{}", person.digest()))
}

pub(crate) fn role(org: &OrgKey, role: &RoleKey) -> ItemKey {
    ItemKey::new(org_pk(org), format!("ROLE#{role}"))
}

pub(crate) fn issuer(org: &OrgKey, issuer: &IssuerKey) -> ItemKey {
    ItemKey::new(org_pk(org), format!("ISSUER#{issuer}"))
}

pub(crate) fn person(org: &OrgKey, id: &str) -> ItemKey {
    ItemKey::new(org_pk(org), format!("PERSON#{id}"))
}

pub(crate) fn invitation(org: &OrgKey, id: &str) -> ItemKey {
    ItemKey::new(org_pk(org), format!("INVITE#{id}"))
}

pub(crate) fn state(org: &OrgKey, env: &EnvKey, flag: &FlagKey) -> ItemKey {
    ItemKey::new(env_pk(org, env), format!("STATE#{flag}"))
}

pub(crate) fn segment(org: &OrgKey, env: &EnvKey, segment: &SegmentKey) -> ItemKey {
    ItemKey::new(env_pk(org, env), format!("SEGMENT#{segment}"))
}

pub(crate) fn deleted_segment(org: &OrgKey, env: &EnvKey, segment: &SegmentKey) -> ItemKey {
    ItemKey::new(env_pk(org, env), format!("DELETED-SEGMENT#{segment}"))
}

/// A change that waits. Ids begin with their instants, so that what is due is a range.
pub(crate) fn schedule(org: &OrgKey, env: &EnvKey, id: &str) -> ItemKey {
    ItemKey::new(env_pk(org, env), format!("SCHEDULE#{id}"))
}

/// What every schedule after an instant begins with, or what follows.
pub(crate) fn schedules_after(now: Timestamp) -> String {
    format!("SCHEDULE#{:015}", now.as_millis() + 1)
}

pub(crate) fn ended_schedule(org: &OrgKey, env: &EnvKey, id: &str) -> ItemKey {
    ItemKey::new(env_pk(org, env), format!("SCHEDULE-ENDED#{id}"))
}

/// What was said of an environment's manifest itself.
pub(crate) fn manifest(org: &OrgKey, env: &EnvKey) -> ItemKey {
    ItemKey::new(env_pk(org, env), "MANIFEST")
}

/// No scope begins with `group:`, and no group's key has a `#`.
pub(crate) fn kill(
    org: &OrgKey,
    env: &EnvKey,
    group: Option<&GroupKey>,
    scope: &KillScope,
) -> ItemKey {
    let sk = match group {
        None => format!("KILL#{scope}"),
        Some(group) => format!("KILL#group:{group}#{scope}"),
    };
    ItemKey::new(env_pk(org, env), sk)
}

pub(crate) fn tenant_override(
    org: &OrgKey,
    env: &EnvKey,
    flag: &FlagKey,
    tenant: &TenantKey,
) -> ItemKey {
    ItemKey::new(env_pk(org, env), format!("OVERRIDE#{flag}#{tenant}"))
}

/// What is special about each tenant in an environment, tenant by tenant: a second order of its overrides. It has
/// a partition of its own, so that the publisher does not read it.
pub(crate) fn by_tenant_pk(org: &OrgKey, env: &EnvKey) -> String {
    format!("{org}#env#{env}#by-tenant")
}

/// All overrides of one tenant in an environment.
pub(crate) fn overrides_of(org: &OrgKey, env: &EnvKey, tenant: &str) -> Query {
    Query::prefix(by_tenant_pk(org, env), &format!("OVERRIDE#{tenant}#"))
}

pub(crate) fn override_of_tenant(
    org: &OrgKey,
    env: &EnvKey,
    tenant: &TenantKey,
    flag: &FlagKey,
) -> ItemKey {
    ItemKey::new(by_tenant_pk(org, env), format!("OVERRIDE#{tenant}#{flag}"))
}

/// The lists that each tenant is in, tenant by tenant: a second order of the groups' members.
pub(crate) fn memberships_pk(org: &OrgKey) -> String {
    format!("{org}#by-tenant")
}

pub(crate) fn membership_of_tenant(org: &OrgKey, tenant: &TenantKey, group: &GroupKey) -> ItemKey {
    ItemKey::new(memberships_pk(org), format!("MEMBER#{tenant}#{group}"))
}

pub(crate) fn idempotency(org: &OrgKey, digest: &str) -> ItemKey {
    ItemKey::new(format!("{org}#idem"), format!("IDEM#{digest}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Reach;

    #[test]
    fn a_log_is_found_again_from_its_partition_and_nothing_else_is_a_log() {
        let org = OrgKey::new("demo").unwrap();
        let of_org = LogId { org: org.clone(), env: None };
        let of_env = LogId { org: org.clone(), env: Some(EnvKey::new("log").unwrap()) };
        for log in [of_org, of_env] {
            assert_eq!(LogId::of_partition(&log.partition()), Some(log));
        }
        assert_eq!(LogId::of_partition(&org_pk(&org)), None);
        assert_eq!(LogId::of_partition(&env_pk(&org, &EnvKey::new("log").unwrap())), None);
        assert_eq!(LogId::of_partition(DIRECTORY_PK), None);
    }

    #[test]
    fn the_list_of_organizations_is_the_installations() {
        let org = OrgKey::new("demo").unwrap();
        let reaches = |reach: Reach| {
            reach.prefixes().iter().any(|prefix| DIRECTORY_PK.starts_with(prefix.as_str()))
        };
        assert!(reaches(Reach::Operated(org.clone())) && !reaches(Reach::Organization(org)));
        assert!(OrgKey::new("~").is_err());
    }

    #[test]
    fn number_order_is_byte_order() {
        assert!(log_sk(9) < log_sk(10));
        assert!(log_sk(u64::MAX).len() == log_sk(0).len());
    }
}
