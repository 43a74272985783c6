//! An environment's configuration in memory: all items once, then the log entries since.

use std::collections::BTreeMap;

use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, TenantKey};
use flagforge_flags::time::Timestamp;
use flagforge_flags::{Revision, Snapshot};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::membership::Memberships;
use super::render::Chunk;
use super::segments::Segments;
use crate::error::Error;
use crate::kills::KillSwitch;
use crate::log::{Head, LogEntry};
use crate::place::{self, LogId, log_sk};
use crate::ports::{Query, Table};
use crate::record::{
    Definition, Group, KeyRecord, Member, Override, SegmentRecord, StateRecord, Tenant,
};
use crate::store::{self, Stored, decode};

/// Rounds of reading both logs until neither grew; a busier pair of logs is published a little behind.
const MAX_ROUNDS: usize = 8;

/// Records by their sort keys.
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
    pub(super) members: Records<Member>,
    pub(super) memberships: Memberships,
    /// The tenants' chunks and into how many shards they are cut, while nothing in them has changed.
    pub(super) rendered_tenants: Option<(u32, Vec<Chunk>)>,
    /// What was published last, as its readers load it: the next check reads only chunks that are new.
    pub(super) checked: Option<Snapshot>,
    pub(super) keys: Records<KeyRecord>,
    pub(super) states: Records<StateRecord>,
    pub(super) overrides: Records<Override>,
    pub(super) segments: Records<SegmentRecord>,
    pub(super) kills: Records<KillSwitch>,
    pub(super) rendered_segments: Segments,
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
            rendered_tenants: None,
            checked: None,
            keys: BTreeMap::new(),
            states: BTreeMap::new(),
            overrides: BTreeMap::new(),
            segments: BTreeMap::new(),
            kills: BTreeMap::new(),
            rendered_segments: Segments::default(),
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
                    view.apply(&item.key.sk, item.version, Some(body))?;
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
                for image in entry.images {
                    if mine.contains(&image.pk) {
                        self.apply(&image.sk, number, image.body)?;
                    }
                }
            }
            match page.next {
                None => return Ok(number),
                next => query.page = next,
            }
        }
    }

    fn apply(&mut self, sk: &str, version: u64, body: Option<Json>) -> Result<(), Error> {
        let kind = sk.split('#').next().unwrap_or_default();
        // An override counts only while its flag is the one that it was set for.
        if matches!(kind, "FLAG" | "TENANT" | "GROUP" | "MEMBER" | "OVERRIDE") {
            self.rendered_tenants = None;
        }
        match kind {
            "FLAG" => set(&mut self.definitions, sk, version, body),
            "TENANT" => {
                self.memberships.tenant_changed(sk);
                set(&mut self.tenants, sk, version, body)
            }
            "GROUP" => {
                self.memberships.group_changed();
                set(&mut self.groups, sk, version, body)
            }
            "MEMBER" => set(&mut self.members, sk, version, body),
            "KEY" => set(&mut self.keys, sk, version, body),
            "STATE" => set(&mut self.states, sk, version, body),
            "KILL" => set(&mut self.kills, sk, version, body),
            "SEGMENT" => set(&mut self.segments, sk, version, body),
            "OVERRIDE" => set(&mut self.overrides, sk, version, body),
            // HEAD, ORG, ENV: not in manifests. A newer writer's items: not known to this one.
            _ => Ok(()),
        }
    }

    pub(super) fn definition(&self, flag: &FlagKey) -> Option<&Stored<Definition>> {
        self.definitions.get(&format!("FLAG#{flag}"))
    }

    pub(super) fn tenant(&self, tenant: &TenantKey) -> Option<&Stored<Tenant>> {
        self.tenants.get(&format!("TENANT#{tenant}"))
    }
}

fn set<T: DeserializeOwned>(
    records: &mut Records<T>,
    sk: &str,
    version: u64,
    body: Option<Json>,
) -> Result<(), Error> {
    match body {
        None => {
            records.remove(sk);
        }
        Some(body) => {
            let value = serde_json::from_value(body)
                .map_err(|error| Error::internal("a stored record could not be read", error))?;
            records.insert(sk.to_owned(), Stored { value, version });
        }
    }
    Ok(())
}
