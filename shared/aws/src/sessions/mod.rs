//! Tables that reach one organization: their credentials are a session that STS narrows to its partitions.
//!
//! A session costs a call to STS, so it is kept; where there is none to be had, nothing else steps in.

mod policy;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sts::config::timeout::TimeoutConfig;
use aws_sdk_sts::error::DisplayErrorContext;
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{
    Item, ItemKey, Page, Query, Reach, Table, TableError, Tables, Timer, Write,
};
use thiserror::Error;

use crate::settings::{RoleArn, Variable};
use crate::unset::Unset;
use crate::{Connection, DynamoTable};

/// An hour: the longest that STS gives to whoever is in a role already, as a function is.
const SESSION_SECONDS: i32 = 3_600;
/// What must be left of a session for a call to begin in it: one call with its retries (20 s), and clocks that are a
/// minute apart.
const LEAST_LEFT: Duration = Duration::from_secs(120);
/// The wait after STS refused or did not answer. Whoever stood in line meanwhile is told the same, and does not ask.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Sessions that one process keeps: one for each organization of the design load, 20 MB (a client of its own each, some
/// 20 KB). The one longest unused goes first; an organization that comes back costs a call to STS.
const MAX_SESSIONS: usize = 1_000;
/// One try at STS, which answers within a region. Three tries stay far below the API's 25 seconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(6);

/// The tables of one installation on AWS.
#[derive(Debug)]
pub(crate) struct DynamoTables {
    at_the_door: Arc<dyn Table>,
    /// `None`: the function was not told which role to assume.
    sessions: Option<Arc<Sessions>>,
}

impl DynamoTables {
    pub(crate) fn new(
        connection: &Connection,
        table: &str,
        role: Option<&RoleArn>,
        timer: Arc<dyn Timer>,
    ) -> Self {
        let sessions = role.map(|role| Arc::new(Sessions::new(connection, table, role, timer)));
        Self { at_the_door: Arc::new(DynamoTable::new(connection, table)), sessions }
    }
}

impl Tables for DynamoTables {
    fn at_the_door(&self) -> Arc<dyn Table> {
        self.at_the_door.clone()
    }

    fn within(&self, reach: &Reach) -> Arc<dyn Table> {
        match &self.sessions {
            Some(sessions) => {
                Arc::new(Narrowed { sessions: sessions.clone(), reach: reach.clone() })
            }
            None => Arc::new(Unset(Variable::OrgRole)),
        }
    }
}

/// A table within one reach. Its session is asked for when it is first used.
#[derive(Debug)]
struct Narrowed {
    sessions: Arc<Sessions>,
    reach: Reach,
}

#[async_trait]
impl Table for Narrowed {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, TableError> {
        self.sessions.table(&self.reach).await?.get(key).await
    }

    async fn query(&self, query: &Query) -> Result<Page, TableError> {
        self.sessions.table(&self.reach).await?.query(query).await
    }

    async fn transact(&self, writes: Vec<Write>, token: Option<&str>) -> Result<(), TableError> {
        self.sessions.table(&self.reach).await?.transact(writes, token).await
    }
}

/// Why there is no session.
#[derive(Debug, Clone, Error)]
#[error("no session for the organization: {0}")]
struct NoSession(String);

/// The sessions of this process.
#[derive(Debug)]
struct Sessions {
    sts: aws_sdk_sts::Client,
    connection: Connection,
    role: RoleArn,
    table: String,
    timer: Arc<dyn Timer>,
    held: Mutex<Held>,
}

/// What is known of one reach's session. Whoever asks holds the lock until STS answered, so that it is asked once.
#[derive(Debug, Default)]
struct Slot {
    session: Option<Session>,
    refused: Option<(Timestamp, NoSession)>,
}

#[derive(Debug, Clone)]
struct Session {
    table: DynamoTable,
    /// Half its life: STS can be gone for the other half without anybody noticing.
    renew: Timestamp,
    ends: Timestamp,
}

impl Sessions {
    fn new(connection: &Connection, table: &str, role: &RoleArn, timer: Arc<dyn Timer>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let config = aws_sdk_sts::config::Builder::from(connection.sdk()).timeout_config(timeouts);
        Self {
            sts: aws_sdk_sts::Client::from_conf(config.build()),
            connection: connection.clone(),
            role: role.clone(),
            table: table.to_owned(),
            timer,
            held: Mutex::default(),
        }
    }

    /// The table with credentials of this reach.
    async fn table(&self, reach: &Reach) -> Result<DynamoTable, TableError> {
        let slot = self.held.lock().unwrap_or_else(PoisonError::into_inner).slot(reach);
        let mut slot = slot.lock().await;
        let now = self.timer.now();
        if let Some(session) = slot.session.as_ref().filter(|session| now < session.renew) {
            return Ok(session.table.clone());
        }
        let may_ask = slot.refused.as_ref().is_none_or(|(at, _)| at.plus(ASK_AGAIN_AFTER) <= now);
        if may_ask {
            match self.assume(reach).await {
                Ok(session) => *slot = Slot { session: Some(session), refused: None },
                Err(refused) => {
                    tracing::error!(org = %reach.org(), error = %refused, "no new session");
                    slot.refused = Some((self.timer.now(), refused));
                }
            }
        }
        let good = |session: &&Session| self.timer.now().plus(LEAST_LEFT) < session.ends;
        match (slot.session.as_ref().filter(good), &slot.refused) {
            (Some(session), _) => Ok(session.table.clone()),
            (None, Some((_, refused))) => Err(TableError::Unavailable(refused.clone().into())),
            (None, None) => Err(TableError::Unavailable("STS gave a session that is over".into())),
        }
    }

    async fn assume(&self, reach: &Reach) -> Result<Session, NoSession> {
        let table_arn = self.role.table_arn(&self.connection.region(), &self.table);
        let asked = self.sts.assume_role().role_arn(self.role.as_str());
        let asked = asked.role_session_name(session_name(reach)).duration_seconds(SESSION_SECONDS);
        let asked = asked.policy(policy::session_policy(&table_arn, reach));
        let answer = asked.send().await;
        let answer = answer.map_err(|error| NoSession(DisplayErrorContext(error).to_string()))?;
        let given =
            answer.credentials.ok_or_else(|| NoSession("STS gave no credentials".into()))?;
        let (now, ends) = (self.timer.now(), Timestamp::from_seconds(given.expiration.secs()));
        let half_left = (ends.as_millis() - now.as_millis()) / 2;
        let renew = Timestamp::from_millis(now.as_millis() + half_left);
        let key = (given.access_key_id, given.secret_access_key, given.session_token);
        let table = DynamoTable::in_session(&self.connection, &self.table, key);
        Ok(Session { table, renew, ends })
    }
}

/// What the trail of calls shows: whose session it was.
fn session_name(reach: &Reach) -> String {
    match reach {
        Reach::Organization(org) => format!("org-{org}"),
        Reach::Operated(org) => format!("operator-{org}"),
    }
}

/// The slots of this process, and when each was used last: a count, not a time.
#[derive(Debug, Default)]
struct Held {
    slots: HashMap<Reach, (Arc<tokio::sync::Mutex<Slot>>, u64)>,
    uses: u64,
}

impl Held {
    fn slot(&mut self, reach: &Reach) -> Arc<tokio::sync::Mutex<Slot>> {
        self.uses += 1;
        if let Some((slot, used)) = self.slots.get_mut(reach) {
            *used = self.uses;
            return slot.clone();
        }
        if self.slots.len() >= MAX_SESSIONS {
            let oldest = self.slots.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(reach, _)| reach.clone()) {
                self.slots.remove(&oldest);
            }
        }
        let slot = Arc::default();
        self.slots.insert(reach.clone(), (Arc::clone(&slot), self.uses));
        slot
    }
}
