//! An environment's configuration in memory: all items once, then the log entries since.

use std::collections::{BTreeMap, HashSet};

use flagforge_flags::keys::{EnvKey, GroupKey, OrgKey};
use flagforge_flags::manifest::{Digest, Listing, Scope};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{ConditionWire, FlagWire};
use flagforge_flags::{Revision, Snapshot};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::held::{Held, Unreadable};
use super::membership::Memberships;
use super::render::Renderings;
use super::restored::Restored;
use super::segments::Segments;
use super::shrinkage::Kept;
use super::tenants::TenantScopes;
use crate::error::Error;
use crate::kills::KillSwitch;
use crate::log::{Head, LogEntry};
use crate::manifest::ManifestRecord;
use crate::place::{self, LogId, log_sk};
use crate::ports::{Query, Table};
use crate::record::{
    Definition, Group, KeyRecord, Member, Override, SegmentRecord, StateRecord, Tenant,
};
use crate::schedule::Schedule;
use crate::store::{self, Stored, decode};

/// Rounds of reading both logs until neither grew; a busier pair of logs is published a little behind.
const MAX_ROUNDS: usize = 8;

/// An entry with more images than this was written by an import, a source or a bulk request: its tenants may wait their
/// turn. What a person changes at once is fewer.
const MANY: usize = 8;

/// Records by their sort keys, without the kind before it.
pub(super) type Records<T> = BTreeMap<String, Stored<T>>;

/// Everything that the manifests of one environment are made of.
#[derive(Debug)]
pub(super) struct View {
    pub(super) org: OrgKey,
    pub(super) env: EnvKey,
    pub(super) revision: Revision,
    /// When the newest change in here was committed.
    pub(super) committed: Timestamp,
    pub(super) definitions: Records<Definition>,
    pub(super) tenants: Records<Tenant>,
    pub(super) groups: Records<Group>,
    /// By tenant and group, so that a tenant's stand together.
    pub(super) members: Records<Member>,
    pub(super) memberships: Memberships,
    pub(super) renderings: Renderings,
    /// What was published last, as its readers load it: the next check reads only chunks that are new.
    pub(super) checked: Option<Snapshot>,
    /// The roots that this publisher put last, by their digests, and all that they list: it is in the store.
    pub(super) put: BTreeMap<Scope, (Digest, Listing)>,
    /// Chunks and indexes that the publication under way has put: its scopes share most of them.
    pub(super) put_just_now: HashSet<Digest>,
    pub(super) keys: Records<KeyRecord>,
    pub(super) states: Records<StateRecord>,
    /// By tenant and flag.
    pub(super) overrides: Records<Override>,
    pub(super) segments: Records<SegmentRecord>,
    pub(super) kills: Records<KillSwitch>,
    /// The changes that are tried out.
    pub(super) tried: Records<Schedule>,
    pub(super) rendered_segments: Segments,
    pub(super) tenant_scopes: TenantScopes,
    /// Records of flags that could not be read, by their sort keys.
    pub(super) unreadable: BTreeMap<String, Unreadable>,
    pub(super) held: BTreeMap<String, Held>,
    pub(super) kept: Kept,
    pub(super) restored: Option<Restored>,
    /// What was said of the manifest itself.
    pub(super) manifest: Option<ManifestRecord>,
}

impl View {
    /// Reads all items. The heads are noted first: an item that is newer than them is overlaid with its
    /// own after-image when the entries since are read, so the view ends whole however long this takes.
    pub(super) async fn read(table: &dyn Table, org: &OrgKey, env: &EnvKey) -> Result<Self, Error> {
        let mut view = Self {
            org: org.clone(),
            env: env.clone(),
            revision: Revision::default(),
            committed: Timestamp::default(),
            definitions: BTreeMap::new(),
            tenants: BTreeMap::new(),
            groups: BTreeMap::new(),
            members: BTreeMap::new(),
            memberships: Memberships::default(),
            renderings: Renderings::default(),
            checked: None,
            put: BTreeMap::new(),
            put_just_now: HashSet::new(),
            keys: BTreeMap::new(),
            states: BTreeMap::new(),
            overrides: BTreeMap::new(),
            segments: BTreeMap::new(),
            kills: BTreeMap::new(),
            tried: BTreeMap::new(),
            rendered_segments: Segments::default(),
            tenant_scopes: TenantScopes::default(),
            unreadable: BTreeMap::new(),
            held: BTreeMap::new(),
            kept: Kept::default(),
            restored: None,
            manifest: None,
        };
        let org_log = LogId { org: org.clone(), env: None };
        let env_log = LogId { org: org.clone(), env: Some(env.clone()) };
        let org_head: Option<Stored<Head>> = store::read(table, &org_log.head()).await?;
        let env_head: Option<Stored<Head>> = store::read(table, &env_log.head()).await?;
        for head in org_head.iter().chain(&env_head) {
            view.committed = view.committed.max(head.value.at);
        }
        view.revision = Revision {
            org: org_head.map_or(0, |head| head.value.number),
            env: env_head.map_or(0, |head| head.value.number),
        };
        for pk in [place::org_pk(org), place::env_pk(org, env)] {
            let mut query = Query::prefix(pk, "");
            loop {
                let page = table.query(&query).await?;
                for item in &page.items {
                    let body = decode::<Json>(item)?.value;
                    view.apply(&item.key.sk, item.version, Some(body), false)?;
                }
                match page.next {
                    None => break,
                    next => query.page = next,
                }
            }
        }
        Ok(view)
    }

    /// Applies the entries of both logs since, until neither has more.
    pub(super) async fn catch_up(&mut self, table: &dyn Table) -> Result<(), Error> {
        for _ in 0..MAX_ROUNDS {
            let before = self.revision;
            self.revision.org = self.follow(table, None, before.org).await?;
            let env = Some(self.env.clone());
            self.revision.env = self.follow(table, env, before.env).await?;
            if self.revision == before {
                break;
            }
        }
        Ok(())
    }

    async fn follow(
        &mut self,
        table: &dyn Table,
        env: Option<EnvKey>,
        mut number: u64,
    ) -> Result<u64, Error> {
        let log = LogId { org: self.org.clone(), env };
        let mine = [place::org_pk(&self.org), place::env_pk(&self.org, &self.env)];
        let mut query = Query::prefix(log.partition(), place::LOG_PREFIX);
        query.from = log_sk(number + 1);
        loop {
            let page = table.query(&query).await?;
            for item in &page.items {
                let entry: LogEntry = decode(item)?.value;
                if entry.number != number + 1 {
                    let context = "a log has a gap; nothing is published from it";
                    return Err(Error::Internal { context, source: None });
                }
                number = entry.number;
                self.committed = self.committed.max(entry.at);
                let many = entry.images.len() > MANY;
                for image in entry.images {
                    if mine.contains(&image.pk) {
                        self.apply(&image.sk, number, image.body, many)?;
                    }
                }
            }
            match page.next {
                None => return Ok(number),
                next => query.page = next,
            }
        }
    }

    /// Takes in what stands at a place now; `many` says that it came with many others.
    fn apply(
        &mut self,
        sk: &str,
        version: u64,
        body: Option<Json>,
        many: bool,
    ) -> Result<(), Error> {
        let (kind, key) = sk.split_once('#').unwrap_or((sk, ""));
        match kind {
            "FLAG" => {
                let before = uid_of(&self.definitions, key, |flag| &flag.uid);
                let unreadable = unreadable(&mut self.definitions, key, version, body);
                self.note(sk, unreadable);
                self.renderings.owed_flags.add(key);
                if before != uid_of(&self.definitions, key, |flag| &flag.uid) {
                    self.owe_overrides_of(key);
                    // Under the same key another flag, for which no earlier form will do.
                    self.held.remove(key);
                    self.renderings.flags.set::<FlagWire>(key, None);
                }
            }
            "TENANT" => {
                self.memberships.tenant_changed(key);
                match many {
                    true => self.renderings.backlog.add(key),
                    false => self.renderings.owed_tenants.add(key),
                }
                set(&mut self.tenants, key, version, body)?;
            }
            "GROUP" => self.apply_group(key, version, body)?,
            "MEMBER" => {
                let (tenant, place) = by_tenant(key);
                self.renderings.owed_tenants.add(tenant);
                set(&mut self.members, &place, version, body)?;
            }
            "OVERRIDE" => {
                let (tenant, place) = by_tenant(key);
                self.renderings.owed_tenants.add(tenant);
                set(&mut self.overrides, &place, version, body)?;
            }
            "STATE" => {
                self.renderings.owed_flags.add(key);
                let unreadable = unreadable(&mut self.states, key, version, body);
                self.note(sk, unreadable);
            }
            "KILL" => {
                self.renderings.owed_flags.add_all();
                set(&mut self.kills, key, version, body)?;
            }
            "MANIFEST" => {
                self.manifest = body.and_then(|body| serde_json::from_value(body).ok());
            }
            "SCHEDULE" => {
                // One that cannot be read is a newer writer's, and is not tried out here.
                let _ = unreadable(&mut self.tried, key, version, body);
                self.tried.retain(|_, schedule| schedule.value.canary);
            }
            "KEY" => set(&mut self.keys, key, version, body)?,
            "SEGMENT" => set(&mut self.segments, key, version, body)?,
            // HEAD, ORG, ENV: not in manifests. A newer writer's items: not known to this one.
            _ => {}
        }
        Ok(())
    }

    /// Notes whether a flag's record can be read: if not, that flag is held, and others go on.
    fn note(&mut self, sk: &str, unreadable: Option<Unreadable>) {
        match unreadable {
            Some(unreadable) => drop(self.unreadable.insert(sk.to_owned(), unreadable)),
            None => drop(self.unreadable.remove(sk)),
        }
    }

    /// The kill switches that count.
    pub(super) fn pulled(&self) -> impl Iterator<Item = &Stored<KillSwitch>> {
        let uid_of = |group: &GroupKey| Some(self.groups.get(group.as_str())?.value.uid.as_str());
        self.kills.values().filter(move |switch| switch.value.stands(uid_of))
    }

    /// A group created again under its key, or given a condition, has other members and other overrides.
    fn apply_group(&mut self, key: &str, version: u64, body: Option<Json>) -> Result<(), Error> {
        let facts = |groups: &Records<Group>| {
            groups.get(key).map(|group| (group.value.uid.clone(), group.value.when.clone()))
        };
        let before = facts(&self.groups);
        set(&mut self.groups, key, version, body)?;
        let after = facts(&self.groups);
        if before == after {
            return Ok(());
        }
        let has_condition = |facts: &Option<(String, Option<ConditionWire>)>| {
            facts.as_ref().is_some_and(|(_, when)| when.is_some())
        };
        if has_condition(&before) || has_condition(&after) {
            self.memberships.conditions_changed();
        }
        for member in self.members.values().filter(|member| member.value.group.as_str() == key) {
            self.renderings.owed_tenants.add(member.value.tenant.as_str());
        }
        let is_of_it = |kill: &KillSwitch| kill.group.as_ref().is_some_and(|it| it.as_str() == key);
        if self.kills.values().any(|kill| is_of_it(&kill.value)) {
            self.renderings.owed_flags.add_all();
        }
        for (flag, state) in &self.states {
            if state.value.groups.keys().any(|group| group.as_str() == key) {
                self.renderings.owed_flags.add(flag);
            }
        }
        Ok(())
    }

    /// An override counts only while its flag is the one that it was set for.
    pub(super) fn owe_overrides_of(&mut self, flag: &str) {
        if self.renderings.owed_tenants.is_all() {
            return;
        }
        for over in self.overrides.values().filter(|over| over.value.flag.as_str() == flag) {
            self.renderings.owed_tenants.add(over.value.tenant.as_str());
        }
    }
}

fn uid_of<T>(records: &Records<T>, key: &str, uid: impl Fn(&T) -> &String) -> Option<String> {
    records.get(key).map(|stored| uid(&stored.value).clone())
}

/// The tenant of `<what>#<tenant>`, and the same the other way round.
fn by_tenant(key: &str) -> (&str, String) {
    let (what, tenant) = key.split_once('#').unwrap_or((key, ""));
    (tenant, format!("{tenant}#{what}"))
}

/// What is kept under a tenant, in the order of the other half of its key.
pub(super) fn of_tenant<'r, T>(
    records: &'r Records<T>,
    tenant: &str,
) -> impl Iterator<Item = &'r T> + use<'r, T> {
    // `$` follows `#`, which is in no key.
    let range = format!("{tenant}#")..format!("{tenant}$");
    records.range(range).map(|(_, stored)| &stored.value)
}

/// As [`set`], but what cannot be read leaves what stood there.
fn unreadable<T: DeserializeOwned>(
    records: &mut Records<T>,
    key: &str,
    version: u64,
    body: Option<Json>,
) -> Option<Unreadable> {
    let Some(body) = body else {
        records.remove(key);
        return None;
    };
    match T::deserialize(&body) {
        Ok(value) => drop(records.insert(key.to_owned(), Stored { value, version })),
        Err(why) => return Some(Unreadable::new(&why, &body)),
    }
    None
}

fn set<T: DeserializeOwned>(
    records: &mut Records<T>,
    key: &str,
    version: u64,
    body: Option<Json>,
) -> Result<(), Error> {
    match body {
        None => {
            records.remove(key);
        }
        Some(body) => {
            let value = serde_json::from_value(body)
                .map_err(|error| Error::internal("a stored record could not be read", error))?;
            records.insert(key.to_owned(), Stored { value, version });
        }
    }
    Ok(())
}
