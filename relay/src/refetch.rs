//! OFREP's event stream: it says when to ask for all flags again, at changes of the configuration and at the instants
//! at which a configuration begins to answer otherwise. It says nothing of the answers.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use flagforge_flags::time::Timestamp;
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::browser::shown;
use crate::clock;
use crate::leave::{Leave, Listener};
use crate::position::Position;
use crate::problem::Refused;
use crate::relay::Relay;
use crate::seats::Seat;
use crate::sse;

pub(crate) const PATH: &str = "/ofrep/v1/stream";

/// After how many seconds out of sight a page closes its stream: what OFREP proposes.
const INACTIVITY_SECONDS: u32 = 120;
/// When a client comes back whose stream broke: by lot between these, so that 10,000 that a relay left come as 600 a second.
const BACK_WITHIN: std::ops::Range<u64> = 1_000..17_000;
/// When it comes back from a stream that has become old, and was told so.
const BACK_AT_ONCE: Duration = Duration::from_millis(200);
/// By how much of its age one stream ends before another, so that not all end at once that began at once.
const EARLY_PERCENT: u64 = 25;
/// The longest that a stream sleeps: clocks may be set, and what it waits for may come sooner by that.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What is in the address of a stream.
#[derive(Deserialize)]
pub(crate) struct Address {
    /// Where the answers stood that the client holds.
    since: Option<String>,
    leave: String,
}

/// The entry of a bulk answer. Without an origin, because a relay does not know by which name it is called: clients take
/// the one that they asked.
pub(crate) fn event_streams(leave: &Leave, position: Position) -> impl serde::Serialize {
    let address = format!("{PATH}?since={position}&leave={}", leave.expose());
    json!([{
        "type": "sse",
        "endpoint": {"requestUri": address},
        "inactivityDelaySec": INACTIVITY_SECONDS,
    }])
}

/// `GET /ofrep/v1/stream`
pub(crate) async fn stream(
    State(relay): State<Arc<Relay>>,
    address: Result<Query<Address>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let told = told(relay, address.ok(), &headers).await;
    shown(told.unwrap_or_else(|refused| refused.problem()))
}

async fn told(
    relay: Arc<Relay>,
    address: Option<Query<Address>>,
    headers: &HeaderMap,
) -> Result<Response, Refused> {
    let Query(address) = address.ok_or(Refused::Unauthenticated)?;
    let listener = Listener::of(&relay, &address.leave).await?;
    let taken = listener.seat(&relay)?;
    let last = headers.get("Last-Event-ID").and_then(|id| id.to_str().ok());
    let known = last.or(address.since.as_deref()).and_then(Position::parse);
    let telling = Telling::new(&relay, listener, known, taken);
    let (closed, heartbeat) = (relay.closed(), relay.config.heartbeat);
    let events = stream::unfold(telling, |mut telling| async {
        let event = telling.next().await?;
        Some((event, telling))
    });
    let events = futures_util::StreamExt::take_until(events, Box::pin(closed));
    Ok(sse::answer(events, heartbeat))
}

/// One client that is told.
struct Telling {
    listener: Listener,
    turns: watch::Receiver<()>,
    rounds: watch::Receiver<u64>,
    /// Where the client stands; `None`: it has not said so, and nothing is known to have been missed.
    known: Option<Position>,
    /// Where the environment stood at the last look.
    seen: Option<Position>,
    next: Next,
    ends: Instant,
    _held_while_the_stream_lives: Seat,
}

/// What is said next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Hello,
    News,
    Nothing,
}

impl Telling {
    fn new(relay: &Relay, listener: Listener, known: Option<Position>, taken: Seat) -> Self {
        let age = relay.config.max_stream_age;
        let early =
            age.mul_f64(f64::from(u32::try_from(lot(0..EARLY_PERCENT)).unwrap_or(0)) / 100.0);
        Self {
            turns: listener.environment.turns(),
            rounds: listener.environment.rounds(),
            listener,
            known,
            seen: None,
            next: Next::Hello,
            ends: Instant::now() + age.saturating_sub(early),
            _held_while_the_stream_lives: taken,
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        match self.next {
            Next::Hello => self.next = Next::News,
            Next::News => return self.news().await,
            Next::Nothing => return None,
        }
        // An id without data is no event, and what the client says it stands at when it comes back.
        let (position, _) = self.position(clock::now());
        let known = *self.known.get_or_insert(position);
        Some(format!("id: {known}\nretry: {}\n\n", lot(BACK_WITHIN)).into())
    }

    /// The next event; `None` where the stream ends without a word.
    async fn news(&mut self) -> Option<Bytes> {
        loop {
            // Before the look, so that nothing is missed.
            self.turns.mark_unchanged();
            self.rounds.mark_unchanged();
            let now = clock::now();
            let key_ends = self.listener.stands(&self.listener.environment.shelf(), now).ok()?;
            let (position, next) = self.position(now);
            if let Some(told) = self.look(position, now) {
                return Some(event(told, self.last_modified(told)));
            }
            let awaited = [next, key_ends].into_iter().flatten().min();
            let wait = awaited.map_or(LOOK_EVERY, |at| at.since(now).min(LOOK_EVERY));
            tokio::select! {
                changed = self.turns.changed() => changed.ok()?,
                changed = self.rounds.changed() => changed.ok()?,
                () = sleep(wait) => {}
                () = sleep_until(self.ends) => {
                    self.next = Next::Nothing;
                    return Some(format!("retry: {}\n\n", BACK_AT_ONCE.as_millis()).into());
                }
            }
        }
    }

    fn position(&self, now: Timestamp) -> (Position, Option<Timestamp>) {
        let Listener { environment, tenant, .. } = &self.listener;
        Position::of(&environment.shelf(), &environment.id, tenant, now)
    }

    /// Where the client has to be told that the environment stands, if it has.
    fn look(&mut self, position: Position, now: Timestamp) -> Option<Position> {
        let before = self.seen.replace(position);
        let known = self.known?;
        let told = if position.is_after(known) {
            position
        } else if !position.covers(known) {
            // Another relay has told it more than is here.
            self.listener.environment.ring();
            return None;
        } else if before.is_some_and(|before| position.since < before.since) {
            // A configuration that was stale was confirmed.
            Position { since: now, ..position }
        } else {
            return None;
        };
        self.known = Some(told);
        Some(told)
    }

    fn last_modified(&self, position: Position) -> i64 {
        let committed = self.listener.environment.shelf().manifest.snapshot().root().committed;
        committed.max(position.since).as_seconds().max(0)
    }
}

fn event(position: Position, last_modified: i64) -> Bytes {
    let etag = position.to_string();
    let data = json!({"type": "refetchEvaluation", "etag": etag, "lastModified": last_modified});
    sse::event("message", &etag, &data.to_string())
}

fn lot(range: std::ops::Range<u64>) -> u64 {
    let drawn = flagforge::dice();
    range.start + drawn % range.end.saturating_sub(range.start).max(1)
}
