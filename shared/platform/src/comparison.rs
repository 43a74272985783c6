//! What differs: between two environments, between now and after a change, from one state of a flag to the next.

use std::collections::BTreeMap;

use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, SegmentKey};
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::{Actor, Caller};
use crate::commit::Request;
use crate::difference::{Difference, differences};
use crate::error::Error;
use crate::log::{Head, Image, LogEntry};
use crate::place::{self, LOG_PREFIX, LogId};
use crate::plan::{self, Plan};
use crate::ports::Query;
use crate::read::PageOf;
use crate::record::{Definition, SegmentRecord, StateRecord};
use crate::segments::Segment;
use crate::store::{self, Listing, Stored, decode, version_of};

/// Entries of a log that one page of a flag's history looks at: ten reads of the table. The page says where to go on.
const MAX_LOOKED_AT: u32 = 5_000;
const ENTRIES_A_READ: u32 = 500;

/// What kind of thing differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Thing {
    Flag,
    Segment,
    /// A kill switch, an override: named by its place.
    Other,
}

/// Something that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Differing {
    pub thing: Thing,
    pub key: String,
    pub differences: Vec<Difference>,
}

/// What a change would do, were it made now.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    pub changes: Vec<Differing>,
    /// Writes and checks of its transaction, which may have 100.
    pub writes: usize,
}

/// What a promotion came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Promoted {
    pub from: EnvKey,
    pub environment: EnvKey,
    /// Those whose state changed.
    pub flags: Vec<FlagKey>,
    pub segments: Vec<SegmentKey>,
}

/// One change of a flag's state.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Past {
    /// The entry of the environment's log; restoring takes it.
    pub number: u64,
    pub at: Timestamp,
    pub by: Actor,
    /// The kind of change, say `set-enabled`.
    pub change: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The state that it left behind.
    #[schema(value_type = Object)]
    pub state: Json,
}

impl Platform {
    /// What a change would do, without doing it. Refused as the change itself would be.
    pub(crate) async fn preview(
        &self,
        caller: &Caller,
        request: &Request,
    ) -> Result<Preview, Error> {
        self.authorize(caller, &request.change).await?;
        let log = request.change.log();
        let head: Option<Stored<Head>> = store::read(self.table(), &log.head()).await?;
        let mut plan = Plan::new(version_of(head.as_ref()) + 1, self.timer().now());
        plan::draw(self.table(), request, caller, &mut plan).await?;
        let mut changes = Vec::with_capacity(plan.images.len());
        for image in &plan.images {
            changes.push(self.against_what_stands(image).await?);
        }
        // The entry and the head of the log besides.
        let writes = plan.writes.len() + 2;
        crate::ports::check_transaction(&plan.writes)?;
        Ok(Preview { changes, writes })
    }

    /// Whether a change would write nothing.
    pub(crate) async fn is_idle(&self, caller: &Caller, request: &Request) -> Result<bool, Error> {
        Ok(self.preview(caller, request).await?.changes.is_empty())
    }

    async fn against_what_stands(&self, image: &Image) -> Result<Differing, Error> {
        let place = crate::ports::ItemKey::new(image.pk.clone(), image.sk.clone());
        let before: Option<Stored<Json>> = store::read(self.table(), &place).await?;
        let (kind, key) = image.sk.split_once('#').unwrap_or((&image.sk, ""));
        let before = before.map(|before| before.value);
        let (thing, before, after) = match kind {
            "STATE" => (Thing::Flag, state_of(before.as_ref()), state_of(image.body.as_ref())),
            "SEGMENT" => (
                Thing::Segment,
                before.map(segment_of).transpose()?,
                image.body.clone().map(segment_of).transpose()?,
            ),
            _ => (Thing::Other, before, image.body.clone()),
        };
        let key = if thing == Thing::Other { &image.sk } else { key };
        let differences = differences(before.as_ref(), after.as_ref());
        Ok(Differing { thing, key: key.to_owned(), differences })
    }

    /// What differs between two environments, flags first, each by key: what `from` has, and what `to` has instead.
    pub async fn compare(
        &self,
        caller: &Caller,
        org: &OrgKey,
        (from, to): (&EnvKey, &EnvKey),
        page: &PageOf,
    ) -> Result<Listing<Differing>, Error> {
        self.environment(caller, org, from).await?;
        self.environment(caller, org, to).await?;
        let limit = page.limit()? as usize;
        let mut found = self.compare_flags(org, (from, to)).await?;
        found.extend(self.compare_segments(org, (from, to)).await?);
        let after = page.cursor.as_deref().unwrap_or_default();
        let mut items = Vec::new();
        for ((thing, key), differences) in found {
            let cursor = cursor(thing, &key);
            if cursor.as_str() <= after || differences.is_empty() {
                continue;
            }
            if items.len() == limit {
                let last = items.last().map(|last: &Stored<Differing>| &last.value);
                let next = last.map(|last| self::cursor(last.thing, &last.key));
                return Ok(Listing { items, next });
            }
            let value = Differing { thing, key, differences };
            items.push(Stored { value, version: store::ABSENT });
        }
        Ok(Listing { items, next: None })
    }

    async fn compare_flags(
        &self,
        org: &OrgKey,
        (from, to): (&EnvKey, &EnvKey),
    ) -> Result<BTreeMap<(Thing, String), Vec<Difference>>, Error> {
        let definitions: Vec<Stored<Definition>> =
            store::all(self.table(), &place::org_pk(org), "FLAG#").await?;
        let (left, right) = (self.states(org, from).await?, self.states(org, to).await?);
        let mut found = BTreeMap::new();
        for Stored { value: definition, .. } in definitions {
            let state = |states: &BTreeMap<FlagKey, StateRecord>| {
                let record = states.get(&definition.key);
                let record = record.filter(|record| record.flag_uid == definition.uid);
                let state = record.map(|record| record.state.clone());
                json(&state.unwrap_or_else(|| definition.initial_state()))
            };
            let told = differences(Some(&state(&left)?), Some(&state(&right)?));
            found.insert((Thing::Flag, definition.key.to_string()), told);
        }
        Ok(found)
    }

    async fn states(
        &self,
        org: &OrgKey,
        env: &EnvKey,
    ) -> Result<BTreeMap<FlagKey, StateRecord>, Error> {
        let states: Vec<Stored<StateRecord>> =
            store::all(self.table(), &place::env_pk(org, env), "STATE#").await?;
        Ok(states.into_iter().map(|stored| (stored.value.flag.clone(), stored.value)).collect())
    }

    async fn compare_segments(
        &self,
        org: &OrgKey,
        (from, to): (&EnvKey, &EnvKey),
    ) -> Result<BTreeMap<(Thing, String), Vec<Difference>>, Error> {
        let mut sides = BTreeMap::<String, [Option<Json>; 2]>::new();
        for (side, env) in [from, to].into_iter().enumerate() {
            let segments: Vec<Stored<SegmentRecord>> =
                store::all(self.table(), &place::env_pk(org, env), "SEGMENT#").await?;
            for Stored { value, .. } in segments {
                let seen = seen_segment(&value)?;
                if let Some(place) = sides.entry(value.key.to_string()).or_default().get_mut(side) {
                    *place = Some(seen);
                }
            }
        }
        let told = |[left, right]: [Option<Json>; 2]| differences(left.as_ref(), right.as_ref());
        Ok(sides.into_iter().map(|(key, both)| ((Thing::Segment, key), told(both))).collect())
    }

    /// The changes of a flag's state in an environment, newest first. A page may be short, and still have a successor.
    pub async fn state_history(
        &self,
        caller: &Caller,
        (org, env): (&OrgKey, &EnvKey),
        flag: &FlagKey,
        page: &PageOf,
    ) -> Result<Listing<Past>, Error> {
        self.environment(caller, org, env).await?;
        let uid = self.definition(caller, org, flag).await?.value.uid;
        let limit = page.limit()? as usize;
        let place = place::state(org, env, flag);
        let log = LogId { org: org.clone(), env: Some(env.clone()) };
        let mut query = Query::prefix(log.partition(), LOG_PREFIX);
        (query.descending, query.limit) = (true, ENTRIES_A_READ);
        query.page = page
            .cursor
            .as_ref()
            .map(|cursor| crate::ports::PageToken(format!("{LOG_PREFIX}{cursor}")));
        let mut found = Vec::new();
        let mut full = None;
        'reads: for _ in 0..MAX_LOOKED_AT / ENTRIES_A_READ {
            let read = self.table().query(&query).await?;
            for item in &read.items {
                let entry: LogEntry = decode(item)?.value;
                found.extend(state_in(&entry, &place.sk, &uid).map(|state| (entry, state)));
                if found.len() == limit {
                    full = Some(item.key.sk.clone());
                    break 'reads;
                }
            }
            query.page = read.next;
            if query.page.is_none() {
                break;
            }
        }
        self.show(&log, found.iter_mut().map(|(entry, _)| entry)).await?;
        let items = found.into_iter().map(|(entry, state)| past(entry, state)).collect();
        let next = full.or_else(|| query.page.map(|page| page.0));
        Ok(Listing { items, next: next.and_then(|sk| after_prefix(&sk)) })
    }
}

fn after_prefix(sk: &str) -> Option<String> {
    sk.strip_prefix(LOG_PREFIX).map(str::to_owned)
}

/// The state of a flag as an entry left it, if it did.
fn state_in(entry: &LogEntry, sk: &str, uid: &str) -> Option<Json> {
    let image = entry.images.iter().find(|image| image.sk == sk)?;
    let body = image.body.as_ref()?;
    let is_its = body.get("flagUid").and_then(Json::as_str) == Some(uid);
    if is_its { state_of(Some(body)) } else { None }
}

fn past(entry: LogEntry, state: Json) -> Stored<Past> {
    let change = entry.change_name().to_owned();
    let LogEntry { number, at, by, reason, .. } = entry;
    Stored { value: Past { number, at, by, change, reason, state }, version: number }
}

fn cursor(thing: Thing, key: &str) -> String {
    match thing {
        Thing::Flag => format!("0{key}"),
        Thing::Segment | Thing::Other => format!("1{key}"),
    }
}

/// The part of a stored state that people know.
fn state_of(record: Option<&Json>) -> Option<Json> {
    record.and_then(|record| record.get("state")).cloned()
}

fn segment_of(record: Json) -> Result<Json, Error> {
    let record: SegmentRecord = serde_json::from_value(record)
        .map_err(|error| Error::internal("a stored record could not be read", error))?;
    seen_segment(&record)
}

/// A segment as people read it, with the digests of its lists, which tell lists of one length apart.
fn seen_segment(record: &SegmentRecord) -> Result<Json, Error> {
    let mut seen = json(&Segment::of(record))?;
    seen["excludedDigests"] = json(&record.excluded.parts)?;
    seen["includedDigests"] = json(&record.included.parts)?;
    Ok(seen)
}

fn json<T: Serialize>(value: &T) -> Result<Json, Error> {
    serde_json::to_value(value)
        .map_err(|error| Error::internal("a record did not serialize", error))
}
