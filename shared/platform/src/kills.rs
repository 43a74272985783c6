//! Kill switches for many flags at once: a whole environment, a domain's flags, a tag's; for everybody, or for the tenants
//! of a group. The flags' own states stay as they are; what is published is off until the switch is taken back.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use flagforge_flags::keys::{EnvKey, GroupKey, OrgKey};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::FlagWire;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::{Actor, Caller};
use crate::error::Error;
use crate::place;
use crate::ports::Table;
use crate::read::PageOf;
use crate::record::{Definition, Group};
use crate::store::{self, Listing, Stored};

/// Kill switches that an environment may have pulled at once. Every reading of a state looks at all of them.
pub const MAX_KILLS: usize = 100;

/// Which flags a kill switch turns off: `environment`, `domain:<domain>` or `tag:<tag>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KillScope {
    Environment,
    Domain(String),
    Tag(String),
}

impl FromStr for KillScope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "environment" => Ok(Self::Environment),
            Some(("domain", domain)) if !domain.is_empty() => Ok(Self::Domain(domain.to_owned())),
            Some(("tag", tag)) if !tag.is_empty() => Ok(Self::Tag(tag.to_owned())),
            _ => Err("say `environment`, `domain:<domain>` or `tag:<tag>`"),
        }
    }
}

impl TryFrom<String> for KillScope {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for KillScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("environment"),
            Self::Domain(domain) => write!(f, "domain:{domain}"),
            Self::Tag(tag) => write!(f, "tag:{tag}"),
        }
    }
}

impl From<KillScope> for String {
    fn from(scope: KillScope) -> Self {
        scope.to_string()
    }
}

impl KillScope {
    /// Whether it turns this flag off.
    pub(crate) fn covers(&self, flag: &Definition) -> bool {
        match self {
            Self::Environment => true,
            Self::Domain(domain) => flag.domain.as_ref() == Some(domain),
            Self::Tag(tag) => flag.tags.contains(tag),
        }
    }
}

/// A kill switch that is pulled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KillSwitch {
    #[schema(value_type = String, example = "domain:checkout")]
    pub scope: KillScope,
    /// The only group for whose tenants it is; absent: for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupKey>,
    /// The uid of the group: a group made again under its key is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_uid: Option<String>,
    pub since: Timestamp,
    pub by: Actor,
    pub reason: String,
}

impl KillSwitch {
    /// Whether it counts: a switch for the tenants of a group does while that very group is there.
    pub(crate) fn stands<'g>(&self, uid_of: impl Fn(&GroupKey) -> Option<&'g str>) -> bool {
        self.group.as_ref().is_none_or(|group| uid_of(group) == self.group_uid.as_deref())
    }
}

/// The kill switches that are pulled in an environment, those for groups that are gone among them.
pub(crate) async fn pulled(
    table: &dyn Table,
    org: &OrgKey,
    env: &EnvKey,
) -> Result<Vec<Stored<KillSwitch>>, Error> {
    store::all(table, &place::env_pk(org, env), "KILL#").await
}

/// Those of them that count.
pub(crate) async fn standing(
    table: &dyn Table,
    org: &OrgKey,
    env: &EnvKey,
) -> Result<Vec<Stored<KillSwitch>>, Error> {
    let mut pulled = pulled(table, org, env).await?;
    let mut uids: BTreeMap<GroupKey, Option<String>> = BTreeMap::new();
    for group in pulled.iter().filter_map(|switch| switch.value.group.clone()) {
        if let Entry::Vacant(unread) = uids.entry(group) {
            let place = place::group(org, unread.key());
            let stands: Option<Stored<Group>> = store::read(table, &place).await?;
            unread.insert(stands.map(|group| group.value.uid));
        }
    }
    pulled.retain(|switch| switch.value.stands(|group| uids.get(group)?.as_deref()));
    Ok(pulled)
}

/// What kill switches do to one flag.
#[derive(Debug, Clone, Default)]
pub(crate) struct Killed {
    /// Those that turn it off for everybody.
    pub(crate) by: Vec<KillScope>,
    /// Those that turn it off for the tenants of a group.
    pub(crate) in_part_by: Vec<PartKill>,
}

/// A kill switch for the tenants of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartKill {
    pub group: GroupKey,
    #[schema(value_type = String, example = "environment")]
    pub scope: KillScope,
}

impl Killed {
    /// What these switches, which count, do to a flag.
    pub(crate) fn of<'k>(
        switches: impl Iterator<Item = &'k Stored<KillSwitch>>,
        flag: &Definition,
    ) -> Self {
        let mut killed = Self::default();
        for KillSwitch { scope, group, .. } in switches.map(|switch| &switch.value) {
            match group {
                _ if !scope.covers(flag) => {}
                None => killed.by.push(scope.clone()),
                Some(group) => {
                    killed.in_part_by.push(PartKill { group: group.clone(), scope: scope.clone() });
                }
            }
        }
        killed
    }

    /// Writes it into what manifests carry.
    pub(crate) fn onto(self, flag: &mut FlagWire) {
        flag.state.enabled &= self.by.is_empty();
        let groups: BTreeSet<GroupKey> =
            self.in_part_by.into_iter().map(|part| part.group).collect();
        flag.killed_groups = groups.into_iter().collect();
    }
}

impl Platform {
    /// The kill switches that are pulled, by scope.
    pub async fn kill_switches(
        &self,
        caller: &Caller,
        org: &OrgKey,
        env: &EnvKey,
        page: &PageOf,
    ) -> Result<Listing<KillSwitch>, Error> {
        self.environment(caller, org, env).await?;
        let mut found: Listing<KillSwitch> =
            self.page(&place::env_pk(org, env), "KILL#", page).await?;
        self.name_people(org, found.items.iter_mut().map(|pulled| &mut pulled.value.by)).await?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_written_as_they_are_read() {
        for text in ["environment", "domain:checkout", "tag:a:b"] {
            assert_eq!(text.parse::<KillScope>().unwrap().to_string(), text);
        }
        for bad in ["", "env", "domain", "domain:", "tag:", "environment:x"] {
            assert!(bad.parse::<KillScope>().is_err(), "{bad}");
        }
    }
}
