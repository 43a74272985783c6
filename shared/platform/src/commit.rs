//! The one door: every mutation passes `commit`, and leaves as one transaction or not at all.

use std::time::Duration;

use flagforge_flags::manifest::Digest;
use flagforge_flags::rate::{Bucket, Rate};
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::Platform;
use crate::access::too_many;
use crate::authority;
use crate::caller::{Actor, Caller};
use crate::change::Change;
use crate::error::Error;
use crate::fresh;
use crate::input::bounded;
use crate::limits::{Counts, Limits, WRITE_BURST_SECONDS};
use crate::link::Link;
use crate::log::{Head, LogEntry};
use crate::place::{self, LogId};
use crate::plan::{self, Plan};
use crate::ports::{Condition, Item, TableError, Write};
use crate::record::Organization;
use crate::store::{self, Stored};
use crate::urgency;

/// Tries before a contended commit gives up with 503.
const MAX_ATTEMPTS: u32 = 16;
/// The first wait between tries; it doubles up to [`MAX_BACKOFF`]. All waits together stay under 3 s, within API Gateway's 29 s.
const FIRST_BACKOFF: Duration = Duration::from_millis(8);
const MAX_BACKOFF: Duration = Duration::from_millis(250);
/// How long an idempotency key is remembered: a day, well past DynamoDB's ten minutes and any sane client's retries.
pub const IDEMPOTENCY_SECONDS: i64 = 24 * 3_600;
/// Bytes of a reason.
pub const MAX_REASON_BYTES: usize = 1_024;
/// Bytes of an idempotency key.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// What the caller believes of the thing it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing: a semantic operation.
    None,
    /// It is new. If it is not, the caller should have said which version it replaces.
    Unsaid,
    /// It does not exist.
    Absent,
    /// It exists, at any version.
    Present,
    /// It exists at this version.
    Version(u64),
}

impl Precondition {
    /// Holds this against the version that stands (0: none).
    pub(crate) fn check(self, current: u64) -> Result<(), Error> {
        let holds = match self {
            Self::None => true,
            Self::Unsaid if current == store::ABSENT => true,
            Self::Unsaid => return Err(Error::PreconditionRequired),
            Self::Absent => current == store::ABSENT,
            Self::Present => current != store::ABSENT,
            Self::Version(version) => version == current,
        };
        if holds { Ok(()) } else { Err(Error::PreconditionFailed) }
    }
}

/// A repeat is recognized by the key and refused when it asks for something else.
#[derive(Debug, Clone)]
pub struct Idempotency {
    pub key: String,
    /// Of the request as it came: method, path, preconditions and body.
    pub request: Digest,
}

/// A change and its circumstances.
#[derive(Debug, Clone)]
pub struct Request {
    pub change: Change,
    pub precondition: Precondition,
    pub reason: Option<String>,
    /// Where it comes from: an incident, a release, a ticket.
    pub links: Vec<Link>,
    pub idempotency: Option<Idempotency>,
    /// Ties the log entry to the request that caused it.
    pub request_id: String,
    /// The schedule of the change's environment that this makes come true, and ends.
    pub fires: Option<String>,
}

impl Request {
    /// A change of the platform's own, without circumstances.
    pub fn of(change: Change, request_id: &str) -> Self {
        Self {
            change,
            precondition: Precondition::None,
            reason: None,
            links: Vec::new(),
            idempotency: None,
            request_id: request_id.to_owned(),
            fires: None,
        }
    }
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Committed(Committed),
    /// It waits for approval under this id, and has changed nothing yet.
    ChangeRequested(String),
}

/// A change that is in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Committed {
    /// The number of its entry in [`Change::log`]; also the version of every item it wrote.
    pub number: u64,
    pub at: Timestamp,
    /// The thing itself afterwards; nothing when it was deleted.
    pub body: Option<Json>,
    /// Whether the thing came into being by this change.
    pub created: bool,
    /// Whether this answers a repeat of an earlier request.
    #[serde(skip)]
    pub replayed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct IdempotencyRecord {
    request: Digest,
    outcome: Committed,
}

impl Platform {
    /// Applies a change: authority, preconditions, limits and references are checked, then everything is
    /// written in one transaction: items, log entry, head, idempotency record.
    ///
    /// Writers of one log take turns within a process; contention with other processes is retried a bounded
    /// number of times. An answer that the table lost is settled by
    /// looking for this commit's id in the log, so an effect never doubles.
    pub async fn commit(&self, caller: &Caller, request: &Request) -> Result<Outcome, Error> {
        self.authorize(caller, &request.change).await?;
        match authority::needs(&request.change) {
            // What an operator does to an organization stands in the installation's list too.
            authority::Needs::Operator => {
                self.operating_on(&request.change.log().org).carry_out(caller, request).await
            }
            _ => self.carry_out(caller, request).await,
        }
    }

    async fn carry_out(&self, caller: &Caller, request: &Request) -> Result<Outcome, Error> {
        if let Some(reason) = &request.reason {
            bounded("reason", "bytes", MAX_REASON_BYTES, reason.len())?;
        }
        let log = request.change.log();
        let mut attempt = Attempt {
            commit_id: fresh::id()?,
            idempotency: Condition::Absent,
            unsettled: Vec::new(),
        };
        let home = self.standing_of(caller, &request.change, &log).await?;
        let _turn = self.turns().wait(&log).await?;
        let mut wait = FIRST_BACKOFF;
        for _ in 0..MAX_ATTEMPTS {
            if let Some(outcome) = self.settle(&log, &mut attempt).await? {
                return Ok(Outcome::Committed(outcome));
            }
            match self.recall(caller, &log, request).await? {
                Recall::Answered(outcome) => return Ok(Outcome::Committed(outcome)),
                Recall::New(condition) => attempt.idempotency = condition,
            }
            match self.attempt(caller, request, &log, &home, &mut attempt).await? {
                Some(committed) => return Ok(Outcome::Committed(committed)),
                None => self.timer().sleep(fresh::jitter(wait)).await,
            }
            wait = (wait * 2).min(MAX_BACKOFF);
        }
        // The last try may have been written all the same.
        match self.settle(&log, &mut attempt).await? {
            Some(outcome) => Ok(Outcome::Committed(outcome)),
            None => Err(Error::busy("too many writers at once")),
        }
    }

    /// One try. `None`: it did not happen, or nobody knows; look again.
    async fn attempt(
        &self,
        caller: &Caller,
        request: &Request,
        log: &LogId,
        home: &Standing,
        attempt: &mut Attempt,
    ) -> Result<Option<Committed>, Error> {
        let head: Option<Stored<Head>> = store::read(self.table(), &log.head()).await?;
        let number = head.as_ref().map_or(0, |head| head.value.number) + 1;
        let mut plan = Plan::new(number, self.timer().now());
        plan::draw_all(self.table(), request, caller, &mut plan).await?;
        if let Standing::Within { limits, .. } = home {
            limits.allow_tenants(self.table(), log, &plan.writes).await?;
        }
        let committed = Committed {
            number,
            at: plan.at,
            body: plan.subject.take(),
            created: plan.created,
            replayed: false,
        };
        let writes =
            self.complete(plan, caller, request, log, head.as_ref(), home, attempt, &committed)?;
        match self.table().transact(writes, None).await {
            Ok(()) => Ok(Some(committed)),
            Err(TableError::Conflict { .. } | TableError::Contended) => Ok(None),
            Err(TableError::Unavailable(error)) => {
                tracing::warn!(log = %log, number, %error, "the table did not answer a commit");
                attempt.unsettled.push(Unsettled { number, committed });
                Ok(None)
            }
            Err(error @ TableError::TooLarge { .. }) => Err(error.into()),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one transaction, each once")]
    fn complete(
        &self,
        plan: Plan,
        caller: &Caller,
        request: &Request,
        log: &LogId,
        head: Option<&Stored<Head>>,
        home: &Standing,
        attempt: &Attempt,
        committed: &Committed,
    ) -> Result<Vec<Write>, Error> {
        let number = plan.number;
        let entry = LogEntry {
            number,
            id: attempt.commit_id.clone(),
            at: plan.at,
            by: caller.actor.clone(),
            change: request.change.logged().map_err(unserializable)?,
            reason: plan.reason,
            links: request.links.clone(),
            request_id: request.request_id.clone(),
            propagation: urgency::of(&request.change, plan.class),
            images: plan.images,
            previous: head.map_or_else(|| Digest::of(b""), |head| head.value.digest),
        };
        let entry_text = text(&entry)?;
        let mut writes = plan.writes;
        let was = head.map(|head| head.value.clone()).unwrap_or_default();
        let digest = Digest::of(entry_text.as_bytes());
        let counts = was.counts.after(log, &writes);
        let bucket = home.allow(&was, &counts, plan.at)?;
        let new_head = Head { number, at: plan.at, digest, counts, bucket };
        let mut put = |key, body, expires_at_seconds, condition| {
            let item = Item { key, version: number, body, expires_at_seconds };
            writes.push(Write::Put { item, condition });
        };
        put(log.entry(number), entry_text, None, Condition::Absent);
        let stands = head.map_or(Condition::Absent, |head| Condition::Version(head.version));
        put(log.head(), text(&new_head)?, None, stands);
        if let Some(idempotency) = &request.idempotency {
            let record =
                IdempotencyRecord { request: idempotency.request, outcome: committed.clone() };
            let expires = plan.at.as_seconds() + IDEMPOTENCY_SECONDS;
            let place = idempotency_place(caller, log, idempotency);
            put(place, text(&record)?, Some(expires), attempt.idempotency);
        }
        Ok(writes)
    }

    /// What the organization may do and have, as it stands. A suspended one changes nothing but by its operator.
    async fn standing_of(
        &self,
        caller: &Caller,
        change: &Change,
        log: &LogId,
    ) -> Result<Standing, Error> {
        let by_operator = matches!(authority::needs(change), authority::Needs::Operator);
        if by_operator {
            return Ok(Standing::Unbounded);
        }
        let limits = match &caller.home {
            Some(home) => home.limits.clone(),
            None => {
                let found: Option<Stored<Organization>> =
                    store::read(self.table(), &place::organization(&log.org)).await?;
                let Some(found) = found else { return Ok(Standing::Unbounded) };
                if found.value.suspended.is_some() {
                    return Err(Error::Suspended);
                }
                found.value.limits
            }
        };
        let is_system = matches!(caller.actor, Actor::System { .. });
        Ok(Standing::Within { limits, metered: !is_system })
    }

    /// Answers a repeat of a remembered request, refuses another request under its key.
    async fn recall(
        &self,
        caller: &Caller,
        log: &LogId,
        request: &Request,
    ) -> Result<Recall, Error> {
        let fresh = Recall::New(Condition::Absent);
        let Some(idempotency) = &request.idempotency else { return Ok(fresh) };
        bounded("Idempotency-Key", "bytes", MAX_IDEMPOTENCY_KEY_BYTES, idempotency.key.len())?;
        let place = idempotency_place(caller, log, idempotency);
        let Some(item) = self.table().get(&place).await? else { return Ok(fresh) };
        let now = self.timer().now().as_seconds();
        if item.expires_at_seconds.is_some_and(|expires| expires <= now) {
            return Ok(Recall::New(Condition::Version(item.version)));
        }
        let record: IdempotencyRecord = store::decode(&item)?.value;
        if record.request != idempotency.request {
            return Err(Error::IdempotencyMismatch);
        }
        Ok(Recall::Answered(Committed { replayed: true, ..record.outcome }))
    }

    /// Looks whether a try without an answer was written after all: the log entry at its number says whose it is.
    async fn settle(&self, log: &LogId, attempt: &mut Attempt) -> Result<Option<Committed>, Error> {
        for unsettled in &attempt.unsettled {
            let entry: Option<Stored<LogEntry>> =
                store::read(self.table(), &log.entry(unsettled.number)).await?;
            if entry.is_some_and(|entry| entry.value.id == attempt.commit_id) {
                return Ok(Some(unsettled.committed.clone()));
            }
        }
        Ok(None)
    }
}

/// What bounds a commit.
enum Standing {
    /// The operator's own changes, and those to an organization that is not there (which fail by themselves).
    Unbounded,
    Within {
        limits: Limits,
        /// Whether the rate of writes counts: the platform's own doings wait for nobody.
        metered: bool,
    },
}

impl Standing {
    /// Refuses what is beyond a quota or the rate; answers what is left of the rate.
    fn allow(&self, was: &Head, counts: &Counts, at: Timestamp) -> Result<Option<Bucket>, Error> {
        let Self::Within { limits, metered } = self else { return Ok(was.bucket) };
        limits.allow(&was.counts, counts)?;
        if !metered {
            return Ok(was.bucket);
        }
        let rate =
            Rate { per_second: limits.writes_per_second(), burst_seconds: WRITE_BURST_SECONDS };
        let bucket = was.bucket.unwrap_or_else(|| Bucket::full(rate, at));
        bucket.take(rate, at).map(Some).map_err(|empty| too_many("changes", empty))
    }
}

enum Recall {
    Answered(Committed),
    /// Nothing is remembered; this is what the record's place must still look like.
    New(Condition),
}

struct Attempt {
    commit_id: String,
    idempotency: Condition,
    unsettled: Vec<Unsettled>,
}

struct Unsettled {
    number: u64,
    committed: Committed,
}

/// One caller's keys never meet another's, nor another organization's.
fn idempotency_place(
    caller: &Caller,
    log: &LogId,
    idempotency: &Idempotency,
) -> crate::ports::ItemKey {
    let scoped = format!("{:?}\n{}", caller.actor, idempotency.key);
    place::idempotency(&log.org, &Digest::of(scoped.as_bytes()).to_string())
}

fn unserializable(error: serde_json::Error) -> Error {
    Error::internal("a record did not serialize", error)
}

fn text<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(unserializable)
}
