//! All that the answers of some flags can depend on for one tenant: flags and segments that they ask for, the tenant's
//! entry with its overrides and groups. Read item by item, so it costs what is asked and not what the environment holds.

use std::collections::{BTreeMap, BTreeSet};

use flagforge_flags::keys::{EnvKey, FlagKey, GroupKey, OrgKey, SegmentKey, TenantKey};
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagWire, SegmentWire, StateWire, TenantWire};
use flagforge_flags::{Revision, Snapshot};

use crate::Platform;
use crate::error::Error;
use crate::input::bounded;
use crate::kills::{self, KillSwitch, Killed};
use crate::place;
use crate::plan::asks::{Asks, Node};
use crate::record::{Definition, Group, Override, SegmentRecord, StateRecord, Tenant};
use crate::segments::ListName;
use crate::store::{self, Stored, version_of};

/// Flags and segments that one page of answers may depend on: each is two or three reads, 2,000 some seconds on
/// DynamoDB. A page of 500 flags that ask for nothing reaches 500.
pub(super) const MAX_REACHED: usize = 2_000;

/// What was read.
#[derive(Debug)]
pub(super) struct Reach {
    id: ScopeId,
    pub(super) flags: BTreeMap<FlagKey, FlagWire>,
    segments: BTreeMap<SegmentKey, SegmentWire>,
    tenant: (TenantKey, TenantWire),
    kills: Vec<Stored<KillSwitch>>,
}

impl Platform {
    pub(super) async fn reach(
        &self,
        (org, env): (&OrgKey, &EnvKey),
        tenant: &Tenant,
        from: impl Iterator<Item = FlagKey>,
        with_lists: bool,
    ) -> Result<Reach, Error> {
        let groups = self.memberships(org, tenant).await?;
        let wire = TenantWire {
            uid: tenant.uid.clone(),
            attributes: tenant.attributes.clone(),
            groups: groups.into_iter().map(|member| member.value.group).collect(),
            ..TenantWire::default()
        };
        let id = ScopeId { org: org.clone(), env: env.clone(), scope: Scope::Environment };
        let tenant_key = tenant.key.clone();
        let kills = kills::standing(self.table(), org, env).await?;
        let mut reach = Reach {
            id,
            flags: BTreeMap::new(),
            segments: BTreeMap::new(),
            tenant: (tenant_key, wire),
            kills,
        };
        let mut owed: Vec<Node> = from.map(Node::Flag).collect();
        let mut seen: BTreeSet<Node> = owed.iter().cloned().collect();
        while let Some(node) = owed.pop() {
            let asks = match &node {
                Node::Flag(key) => self.reach_flag(&mut reach, key).await?,
                Node::Segment(key) => self.reach_segment(&mut reach, key, with_lists).await?,
            };
            owed.extend(asks.others.into_keys().filter(|other| seen.insert(other.clone())));
            bounded("the flags and segments asked for", "things", MAX_REACHED, seen.len())?;
        }
        Ok(reach)
    }

    async fn reach_flag(&self, reach: &mut Reach, key: &FlagKey) -> Result<Asks, Error> {
        let (org, env) = (reach.id.org.clone(), reach.id.env.clone());
        let found: Option<Stored<Definition>> =
            store::read(self.table(), &place::flag(&org, key)).await?;
        let Some(Stored { value: definition, version }) = found else {
            return Ok(Asks::default());
        };
        let stored: Option<Stored<StateRecord>> =
            store::read(self.table(), &place::state(&org, &env, key)).await?;
        let stored = stored.filter(|stored| stored.value.flag_uid == definition.uid);
        let state_version = version_of(stored.as_ref());
        let state = match stored {
            None => definition.initial_state(),
            Some(stored) => self.with_current_groups(&org, stored.value).await?,
        };
        let asks = Asks::of_state(&state);
        let place = place::tenant_override(&org, &env, key, &reach.tenant.0);
        let over: Option<Stored<Override>> = store::read(self.table(), &place).await?;
        let current = |over: &Override| {
            over.flag_uid == definition.uid && over.tenant_uid == reach.tenant.1.uid
        };
        if let Some(over) = over.map(|over| over.value).filter(current) {
            reach.tenant.1.overrides.insert(key.clone(), over.wire());
        }
        let mut flag = definition.wire(version, state, state_version);
        Killed::of(reach.kills.iter(), &definition).onto(&mut flag);
        reach.flags.insert(key.clone(), flag);
        Ok(asks)
    }

    /// The state without overrides for groups that are gone.
    async fn with_current_groups(
        &self,
        org: &OrgKey,
        record: StateRecord,
    ) -> Result<StateWire, Error> {
        let StateRecord { groups, mut state, .. } = record;
        let mut gone: BTreeSet<GroupKey> = BTreeSet::new();
        for over in &state.group_overrides {
            let group: Option<Stored<Group>> =
                store::read(self.table(), &place::group(org, &over.group)).await?;
            let uid = group.map(|group| group.value.uid);
            if uid.is_none() || uid.as_ref() != groups.get(&over.group) {
                gone.insert(over.group.clone());
            }
        }
        state.group_overrides.retain(|over| !gone.contains(&over.group));
        Ok(state)
    }

    async fn reach_segment(
        &self,
        reach: &mut Reach,
        key: &SegmentKey,
        with_lists: bool,
    ) -> Result<Asks, Error> {
        let (org, env) = (&reach.id.org, &reach.id.env);
        let found: Option<Stored<SegmentRecord>> =
            store::read(self.table(), &place::segment(org, env, key)).await?;
        let Some(Stored { value: record, version }) = found else { return Ok(Asks::default()) };
        let mut lists = [None, None];
        // Who is not there is in no list of users; a tenant is.
        if with_lists || record.entity == "tenant" {
            for (list, name) in lists.iter_mut().zip([ListName::Excluded, ListName::Included]) {
                *list = self.list_wire(org, &record, name).await?;
            }
        }
        let asks = Asks::of_segment(record.when.as_ref());
        reach.segments.insert(key.clone(), record.wire(version, lists));
        Ok(asks)
    }
}

impl Reach {
    /// A configuration of this flag and all that it asks for; the tenant with or without its override of it.
    pub(super) fn snapshot(&self, flag: &FlagWire, overridden: bool) -> Snapshot {
        let mut flags = vec![flag.clone()];
        let mut segments = Vec::new();
        let mut owed: Vec<Node> = Asks::of_state(&flag.state).others.into_keys().collect();
        let mut seen: BTreeSet<Node> = owed.iter().cloned().collect();
        seen.insert(Node::Flag(flag.key.clone()));
        while let Some(node) = owed.pop() {
            let asks = match &node {
                Node::Flag(key) => self.flags.get(key).map(|other| {
                    flags.push(other.clone());
                    Asks::of_state(&other.state)
                }),
                Node::Segment(key) => self.segments.get(key).map(|segment| {
                    segments.push(segment.clone());
                    Asks::of_segment(segment.when.as_ref())
                }),
            };
            let others = asks.into_iter().flat_map(|asks| asks.others.into_keys());
            owed.extend(others.filter(|other| seen.insert(other.clone())));
        }
        let (key, mut tenant) = self.tenant.clone();
        if !overridden {
            tenant.overrides.remove(&flag.key);
        }
        Snapshot::from_parts(self.id.clone(), Revision::default(), flags, [(key, tenant)])
            .with_segments(segments)
    }

    /// The group by whose kill switch the flag is off.
    pub(super) fn killing_group(&self, flag: &FlagWire) -> Option<GroupKey> {
        flag.killed_groups.iter().find(|group| self.tenant.1.groups.contains(group)).cloned()
    }

    /// The group whose override decides: the first, in the flag's order, that the tenant is in and that counts.
    pub(super) fn deciding_group(&self, flag: &FlagWire, now: Timestamp) -> Option<GroupKey> {
        let mut overs = flag.state.group_overrides.iter();
        let over = overs.find(|over| {
            self.tenant.1.groups.contains(&over.group)
                && over.expires.is_none_or(|expires| expires > now)
        });
        over.map(|over| over.group.clone())
    }
}
