//! How much an organization may have and ask: the default of each limit with its arithmetic, and what the
//! platform's operator set instead.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::deleted::{self, KEPT_DAYS, MAX_KEPT_DAYS};
use crate::error::Error;
use crate::input::bounded;
use crate::place::{self, LogId};
use crate::ports::{Condition, ItemKey, MAX_PAGE_ITEMS, Table, Write};

/// What is counted. Exactly: the count stands in the head of the log that every such change writes, in the same
/// transaction as the thing itself.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    Environments,
    Flags,
    Tenants,
    Groups,
    Keys,
    Roles,
    People,
    Invitations,
    /// In each environment.
    Segments,
    /// In each environment. Those of flags and tenants that are gone count until they are collected.
    Overrides,
    /// As overrides, of each tenant by itself.
    OverridesOfATenant,
}

impl Resource {
    /// Everything that is counted, for those who enumerate.
    pub const ALL: [Self; 11] = [
        Self::Environments,
        Self::Flags,
        Self::Tenants,
        Self::Groups,
        Self::Keys,
        Self::Roles,
        Self::People,
        Self::Invitations,
        Self::Segments,
        Self::Overrides,
        Self::OverridesOfATenant,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Environments => "environments",
            Self::Flags => "flags",
            Self::Tenants => "tenants",
            Self::Groups => "groups",
            Self::Keys => "keys",
            Self::Roles => "roles",
            Self::People => "people",
            Self::Invitations => "invitations",
            Self::Segments => "segments",
            Self::Overrides => "overrides",
            Self::OverridesOfATenant => "overrides-of-a-tenant",
        }
    }

    /// How many there may be where nobody said otherwise: DESIGN §11's design load.
    pub const fn default_limit(self) -> u64 {
        match self {
            Self::Environments => crate::plan::MAX_ENVIRONMENTS as u64,
            Self::Flags => 10_000,
            Self::Tenants => 100_000,
            // A group is an attribute of each of its tenants: a hundred tenants a group on average.
            Self::Groups => 1_000,
            Self::Keys => crate::plan::MAX_KEYS as u64,
            Self::Roles => crate::plan::MAX_ROLES as u64,
            // A large company's developers; each is an item of 300 bytes.
            Self::People => 5_000,
            Self::Invitations => 1_000,
            Self::Segments => 1_000,
            Self::Overrides => 1_000_000,
            // A hundred times the design load's ten of each: who needs more has a plan, which is a group.
            Self::OverridesOfATenant => MAX_PAGE_ITEMS as u64,
        }
    }

    /// The most that an operator can allow. What one chunk or one transaction bounds cannot be raised; of the
    /// rest ten times the design load was never measured, and more is refused.
    pub const fn ceiling(self) -> u64 {
        match self {
            Self::Environments | Self::Keys | Self::Roles | Self::People | Self::Invitations => {
                self.default_limit()
            }
            Self::Flags
            | Self::Tenants
            | Self::Groups
            | Self::Segments
            | Self::Overrides
            | Self::OverridesOfATenant => 10 * self.default_limit(),
        }
    }

    /// What an item is, by the beginning of its sort key.
    fn of(sk: &str) -> Option<Self> {
        match sk.split_once('#')?.0 {
            "ENV" => Some(Self::Environments),
            // What can come back still takes its room.
            "FLAG" | "DELETED-FLAG" => Some(Self::Flags),
            "TENANT" => Some(Self::Tenants),
            "GROUP" => Some(Self::Groups),
            "KEY" => Some(Self::Keys),
            "ROLE" => Some(Self::Roles),
            "PERSON" => Some(Self::People),
            "INVITE" => Some(Self::Invitations),
            "SEGMENT" | "DELETED-SEGMENT" => Some(Self::Segments),
            "OVERRIDE" => Some(Self::Overrides),
            _ => None,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many of each there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(as = ResourceCounts, value_type = Object)]
pub struct Counts(BTreeMap<Resource, u64>);

impl Counts {
    pub fn of(&self, resource: Resource) -> u64 {
        self.0.get(&resource).copied().unwrap_or(0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (resource, count) in &other.0 {
            *self.0.entry(*resource).or_default() += count;
        }
    }

    /// The counts after these writes to a log's own partition. What comes into being is written on condition
    /// that it is absent, and what goes on condition that it stands: so each is counted once.
    pub(crate) fn after(&self, log: &LogId, writes: &[Write]) -> Self {
        let mut counts = self.clone();
        let pk = log.head().pk;
        let counted = |key: &ItemKey| (key.pk == pk).then(|| Resource::of(&key.sk)).flatten();
        for write in writes {
            match write {
                Write::Put { item, condition: Condition::Absent } => {
                    if let Some(resource) = counted(&item.key) {
                        *counts.0.entry(resource).or_default() += 1;
                    }
                }
                Write::Delete { key, .. } => {
                    if let Some(count) = counted(key).and_then(|kind| counts.0.get_mut(&kind)) {
                        *count = count.saturating_sub(1);
                    }
                }
                Write::Put { .. } | Write::Check { .. } => {}
            }
        }
        counts
    }
}

/// What an operator set for one organization. What is not said is as for everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// How many of each there may be; `segments`, `overrides` and `overrides-of-a-tenant` in each environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object, example = json!({"flags": 500}))]
    pub resources: BTreeMap<Resource, u64>,
    /// Commits a second to one log, sustained; ten seconds' worth may come at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes_per_second: Option<u32>,
    /// Requests a second to one process of the management API, sustained; five seconds' worth may come at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// Days that a deleted flag or segment can be restored before it may be purged; 30 when not said, and 0 for not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_days: Option<u32>,
}

/// Commits a second to one log where nobody said otherwise: ten times the "tens" of DESIGN §11.
pub const WRITES_PER_SECOND: u32 = 500;
/// Seconds of writes that may come at once: an import of 100,000 tenants is 2,000 commits, and passes.
pub const WRITE_BURST_SECONDS: u32 = 10;
/// Requests a second of one organization to one process, where nobody said otherwise.
pub const REQUESTS_PER_SECOND: u32 = 5_000;
/// Requests a second of one key to one process: one runaway script leaves its organization most of its share.
pub const KEY_REQUESTS_PER_SECOND: u32 = 2_000;
/// Seconds of requests that may come at once: a page that asks for all it shows, many times over.
pub const REQUEST_BURST_SECONDS: u32 = 5;
/// No limit of a rate can be set above it: a process does not answer as many.
pub const MAX_RATE: u32 = 100_000;

impl Limits {
    pub fn resource(&self, resource: Resource) -> u64 {
        self.resources.get(&resource).copied().unwrap_or_else(|| resource.default_limit())
    }

    pub(crate) fn writes_per_second(&self) -> u32 {
        self.writes_per_second.unwrap_or(WRITES_PER_SECOND)
    }

    pub(crate) fn requests_per_second(&self) -> u32 {
        self.requests_per_second.unwrap_or(REQUESTS_PER_SECOND)
    }

    /// How long what was deleted can be restored.
    pub(crate) fn kept_for(&self) -> Duration {
        deleted::days(self.kept_days.unwrap_or(KEPT_DAYS))
    }

    /// Refuses what an operator cannot set.
    pub(crate) fn check(&self) -> Result<(), Error> {
        bounded("keptDays", "days", MAX_KEPT_DAYS as usize, self.kept_days.unwrap_or(0) as usize)?;
        for (resource, limit) in &self.resources {
            let (field, unit) = (format!("resources.{resource}"), resource.as_str());
            if *limit > resource.ceiling() {
                let (limit, actual) = (resource.ceiling(), *limit);
                return Err(Error::OverLimit { field, unit, limit, actual });
            }
        }
        let rates = [
            ("writesPerSecond", self.writes_per_second),
            ("requestsPerSecond", self.requests_per_second),
        ];
        for (field, rate) in rates {
            match rate {
                Some(0) => {
                    return Err(Error::invalid(
                        field,
                        "must be 1 or more; to stop an organization, suspend it",
                    ));
                }
                Some(rate) if rate > MAX_RATE => {
                    let (limit, actual) = (u64::from(MAX_RATE), u64::from(rate));
                    let field = field.to_owned();
                    return Err(Error::OverLimit { field, unit: "a second", limit, actual });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Refuses a new override of a tenant that has as many as it may. Each is counted anew, in the second order of
    /// overrides: exactly, since whoever sets another meanwhile writes the same log's head.
    pub(crate) async fn allow_tenants(
        &self,
        table: &dyn Table,
        log: &LogId,
        writes: &[Write],
    ) -> Result<(), Error> {
        let resource = Resource::OverridesOfATenant;
        let limit = self.resource(resource);
        for tenant in writes.iter().filter_map(newly_special) {
            let Some(env) = &log.env else { continue };
            let mut query = place::overrides_of(&log.org, env, tenant);
            let mut standing = 0;
            loop {
                let page = table.query(&query).await?;
                standing += page.items.len() as u64;
                query.page = page.next;
                if standing >= limit {
                    return Err(Error::QuotaExceeded { resource: resource.as_str(), limit });
                }
                if query.page.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Refuses a change after which there would be more of something than may be. What is above a limit that
    /// was lowered stays, and can shrink.
    pub(crate) fn allow(&self, before: &Counts, after: &Counts) -> Result<(), Error> {
        for (resource, count) in &after.0 {
            let limit = self.resource(*resource);
            if *count > limit && *count > before.of(*resource) {
                return Err(Error::QuotaExceeded { resource: resource.as_str(), limit });
            }
        }
        Ok(())
    }
}

/// The tenant, where a write is an override that was not there.
fn newly_special(write: &Write) -> Option<&str> {
    let Write::Put { item, condition: Condition::Absent } = write else { return None };
    let (_, tenant) = item.key.sk.strip_prefix("OVERRIDE#")?.split_once('#')?;
    Some(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flagforge_flags::keys::{EnvKey, OrgKey};

    fn put(pk: &str, sk: &str, condition: Condition) -> Write {
        let key = ItemKey::new(pk, sk);
        let item =
            crate::ports::Item { key, version: 1, body: String::new(), expires_at_seconds: None };
        Write::Put { item, condition }
    }

    #[test]
    fn what_comes_and_goes_is_counted_and_what_changes_is_not() {
        let org = OrgKey::new("demo").unwrap();
        let log = LogId { org: org.clone(), env: None };
        let writes = [
            put("demo#", "FLAG#a", Condition::Absent),
            put("demo#", "FLAG#b", Condition::Version(3)),
            put("demo#", "ORG", Condition::Absent),
            put("~#orgs", "ORG#demo", Condition::Absent),
            put("demo#env#prod", "OVERRIDE#a#b", Condition::Absent),
            Write::Delete { key: ItemKey::new("demo#", "KEY#x"), condition: Condition::Present },
        ];
        let mut before = Counts::default();
        before.0.insert(Resource::Keys, 4);
        let after = before.after(&log, &writes);
        assert_eq!((after.of(Resource::Flags), after.of(Resource::Keys)), (1, 3));
        assert_eq!(after.of(Resource::Overrides), 0, "counted in its own environment");
        let log = LogId { org, env: Some(EnvKey::new("prod").unwrap()) };
        assert_eq!(Counts::default().after(&log, &writes).of(Resource::Overrides), 1);
    }

    #[test]
    fn a_limit_holds_at_and_one_past_it_and_what_is_above_can_shrink() {
        let mut limits = Limits::default();
        limits.resources.insert(Resource::Flags, 2);
        let count = |count| Counts(BTreeMap::from([(Resource::Flags, count)]));
        assert!(limits.allow(&count(1), &count(2)).is_ok());
        assert!(limits.allow(&count(2), &count(3)).is_err());
        assert!(limits.allow(&count(9), &count(8)).is_ok());
        assert!(limits.allow(&count(9), &count(9)).is_ok());
    }

    #[test]
    fn an_operator_is_held_to_ceilings() {
        for resource in Resource::ALL {
            let at = |limit| {
                let resources = BTreeMap::from([(resource, limit)]);
                Limits { resources, ..Limits::default() }.check().is_ok()
            };
            assert!(at(0) && at(resource.ceiling()) && !at(resource.ceiling() + 1), "{resource}");
            assert_eq!(serde_json::to_value(resource).unwrap(), resource.as_str());
        }
        let rate = |rate| Limits { writes_per_second: Some(rate), ..Limits::default() }.check();
        assert!(rate(1).is_ok() && rate(MAX_RATE).is_ok());
        assert!(rate(0).is_err() && rate(MAX_RATE + 1).is_err());
        let kept = |days| Limits { kept_days: Some(days), ..Limits::default() }.check();
        assert!(kept(0).is_ok() && kept(MAX_KEPT_DAYS).is_ok() && kept(MAX_KEPT_DAYS + 1).is_err());
    }
}
