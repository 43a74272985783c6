//! How far an endpoint has been told. Like a root of a manifest it is an object, written on condition of what
//! stood there: of two workers one wins, and the other's deliveries are repeats under the same ids.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::{Caller, Permission};
use crate::error::Error;
use crate::log::{Head, LogEntry};
use crate::place::{self, LogId};
use crate::ports::{ETag, Fetched, ObjectError, PutIf};
use crate::record::Environment;
use crate::store::{self, Stored};

/// The waits between tries of one delivery: about 28 hours together, then it is dead.
pub const RETRY_AFTER: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(5 * 3_600),
    Duration::from_secs(10 * 3_600),
    Duration::from_secs(10 * 3_600),
];
/// Deliveries that wait for another try; at it nothing new is read. 500 of 200 bytes are 100 KB.
pub const MAX_PENDING: usize = 500;
/// Dead letters that are kept, the newest; older ones are still in the log, and are replayed from there.
pub const MAX_DEAD: usize = 500;

/// How far an endpoint has been told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The last entry of each environment's log that was told; of the organization's under the empty name.
    pub(crate) told: BTreeMap<String, u64>,
    #[serde(default)]
    pub(crate) pending: Vec<Pending>,
    #[serde(default)]
    pub(crate) dead: Vec<Dead>,
}

/// Where one begins of whom nothing is kept yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// With what is logged from now on.
    Now,
    WithTheFirstEntry,
}

/// A delivery that waits for another try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pending {
    /// The environment whose log it is in.
    pub(crate) env: Option<EnvKey>,
    pub(crate) number: u64,
    pub(crate) index: usize,
    pub(crate) tries: usize,
    pub(crate) next: Timestamp,
}

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dead {
    /// The event's id; give it to replay.
    pub event: String,
    pub tries: usize,
    pub at: Timestamp,
    /// What the last try came to.
    pub why: String,
}

impl State {
    pub(super) fn name(env: Option<&EnvKey>) -> String {
        env.map(ToString::to_string).unwrap_or_default()
    }

    /// Notes a try that failed: another later, or none.
    pub(super) fn failed(
        &mut self,
        mut delivery: Pending,
        id: String,
        why: String,
        now: Timestamp,
    ) {
        match RETRY_AFTER.get(delivery.tries) {
            Some(wait) => {
                delivery.tries += 1;
                delivery.next = now.plus(*wait);
                self.pending.push(delivery);
            }
            None => {
                self.dead.push(Dead { event: id, tries: delivery.tries + 1, at: now, why });
                let over = self.dead.len().saturating_sub(MAX_DEAD);
                self.dead.drain(..over);
            }
        }
    }
}

fn object(org: &OrgKey, id: &str) -> String {
    format!("{org}/webhooks/{id}.json")
}

impl Platform {
    /// Where the logs of an organization stand.
    pub(super) async fn heads(&self, org: &OrgKey) -> Result<BTreeMap<String, u64>, Error> {
        let mut heads = BTreeMap::new();
        for log in self.logs(org).await? {
            let head: Option<Stored<Head>> = store::read(self.table(), &log.head()).await?;
            let number = head.map_or(0, |head| head.value.number);
            heads.insert(State::name(log.env.as_ref()), number);
        }
        Ok(heads)
    }

    pub(super) async fn logs(&self, org: &OrgKey) -> Result<Vec<LogId>, Error> {
        let environments: Vec<Stored<Environment>> =
            store::all(self.table(), &place::org_pk(org), "ENV#").await?;
        let envs = environments.into_iter().map(|env| Some(env.value.key));
        let log = |env| LogId { org: org.clone(), env };
        Ok([None].into_iter().chain(envs).map(log).collect())
    }

    pub(super) async fn begin_deliveries(
        &self,
        org: &OrgKey,
        id: &str,
        told: BTreeMap<String, u64>,
    ) -> Result<(), Error> {
        let state = State { told, ..State::default() };
        match self.put_state(org, id, &state, PutIf::Absent).await? {
            // Whoever tells endpoints found it first, and began at the logs' ends of then.
            Err(ObjectError::Lost) => Ok(()),
            put => Ok(put?),
        }
    }

    pub(super) async fn deliveries(
        &self,
        org: &OrgKey,
        id: &str,
        begins: Begins,
    ) -> Result<(State, PutIf), Error> {
        match self.objects().get(&object(org, id), None).await? {
            Fetched::Found { bytes, etag } => {
                let state = serde_json::from_slice(&bytes)
                    .map_err(|error| Error::internal("a stored state could not be read", error))?;
                let ETag(tag) = etag;
                Ok((state, PutIf::Matches(ETag(tag))))
            }
            Fetched::NotModified | Fetched::Absent => {
                let told = match begins {
                    Begins::Now => self.heads(org).await?,
                    Begins::WithTheFirstEntry => BTreeMap::new(),
                };
                Ok((State { told, ..State::default() }, PutIf::Absent))
            }
        }
    }

    pub(super) async fn keep_deliveries(
        &self,
        org: &OrgKey,
        id: &str,
        state: &State,
        condition: PutIf,
    ) -> Result<(), Error> {
        Ok(self.put_state(org, id, state, condition).await??)
    }

    async fn put_state(
        &self,
        org: &OrgKey,
        id: &str,
        state: &State,
        condition: PutIf,
    ) -> Result<Result<(), ObjectError>, Error> {
        let text = serde_json::to_vec(state)
            .map_err(|error| Error::internal("a state did not serialize", error))?;
        let name = object(org, id);
        let put = self.objects().put(&name, Bytes::from(text), "application/json", condition);
        Ok(put.await.map(drop))
    }

    /// The deliveries that were given up, oldest first.
    pub async fn dead_letters(
        &self,
        caller: &Caller,
        org: &OrgKey,
        id: &str,
    ) -> Result<Vec<Dead>, Error> {
        self.webhook(caller, org, id).await?;
        Ok(self.deliveries(org, id, Begins::Now).await?.0.dead)
    }

    /// Sends one event again, by its id, with all its tries before it.
    pub async fn replay_event(
        &self,
        caller: &Caller,
        org: &OrgKey,
        id: &str,
        event: &str,
    ) -> Result<(), Error> {
        caller.can_everywhere(org, Permission::ManageSettings)?;
        self.webhook(caller, org, id).await?;
        let missing = || Error::invalid("event", "there is no such event in this organization");
        let mut parts = event.rsplitn(3, ':');
        let index = parts.next().and_then(|index| index.parse().ok()).ok_or_else(missing)?;
        let number = parts.next().and_then(|number| number.parse().ok()).ok_or_else(missing)?;
        let logs = self.logs(org).await?;
        let log = parts.next().and_then(|name| logs.iter().find(|log| log.to_string() == name));
        let log = log.ok_or_else(missing)?;
        let stands: Option<Stored<LogEntry>> =
            store::read(self.table(), &log.entry(number)).await?;
        stands.ok_or_else(missing)?;
        let (mut state, condition) = self.deliveries(org, id, Begins::Now).await?;
        state.dead.retain(|dead| dead.event != event);
        let (env, next) = (log.env.clone(), self.timer().now());
        state.pending.push(Pending { env, number, index, tries: 0, next });
        self.keep_deliveries(org, id, &state, condition).await
    }

    /// Sends everything since an instant again.
    pub async fn replay_since(
        &self,
        caller: &Caller,
        org: &OrgKey,
        id: &str,
        since: Timestamp,
    ) -> Result<(), Error> {
        self.webhook(caller, org, id).await?;
        let (mut state, condition) = self.deliveries(org, id, Begins::Now).await?;
        for log in self.logs(org).await? {
            let name = State::name(log.env.as_ref());
            let told = state.told.get(&name).copied().unwrap_or_default();
            let before = self.last_before(&log, told, since).await?;
            state.told.insert(name, before);
        }
        self.keep_deliveries(org, id, &state, condition).await
    }

    /// The last entry before an instant, of the first `told`. Entries are in the order of time, but for clocks that
    /// differ between writers.
    async fn last_before(&self, log: &LogId, told: u64, since: Timestamp) -> Result<u64, Error> {
        let (mut low, mut high) = (0, told);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let entry: Option<Stored<LogEntry>> =
                store::read(self.table(), &log.entry(middle)).await?;
            match entry {
                Some(entry) if entry.value.at < since => low = middle,
                _ => high = middle - 1,
            }
        }
        Ok(low)
    }
}
