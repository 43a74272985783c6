//! An origin that is left alone while it does not answer. Environments wait longer and longer between their own tries; but a
//! relay holds up to 1,024 of them, and requests ask for chunks, roots and environments that are not here yet. All of them
//! together ask an origin that is down no oftener than one probe does, and are told so at once instead of after a timeout.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge::follow::spread;
use flagforge::origin::{Announcements, Fetched, Origin, OriginError};
use flagforge_flags::manifest::{Named, ScopeId};
use flagforge_flags::propagation::Reports;
use tokio::time::Instant;
use tracing::{info, warn};

/// Failures in a row after which the origin is left alone. One refresh of an environment asks for two or three roots, so it
/// takes a second environment, or a second try, to fail as well.
const FAILURES: u32 = 5;
/// How long at first: an environment alone waits 100 ms after its first failure, and comes here with its third.
const FIRST: Duration = Duration::from_secs(1);
/// How long at most, after doubling three times. Less than the 30 s between an environment's own tries, so that who comes by
/// then finds the origin open as soon as it is back.
const LONGEST: Duration = Duration::from_secs(8);

/// An origin behind a breaker. One for all environments: they are at the same address.
#[derive(Debug)]
pub(crate) struct Breaker {
    origin: Arc<dyn Origin>,
    state: Mutex<State>,
    seen: Seen,
}

/// What came of calls so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The origin did not answer.
    pub(crate) failures: AtomicU64,
    /// It was begun to be left alone.
    pub(crate) opened: AtomicU64,
    /// It was not asked.
    pub(crate) spared: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Everything passes; so many failed in a row.
    Closed(u32),
    /// Nothing passes until then.
    Open { until: Instant, wait: Duration },
    /// One call passes, to see.
    Probing { wait: Duration },
}

/// A call that may be made. One that is given up before it came to anything, as by a client that hung up, says nothing of the
/// origin; but a probe makes room for another.
struct Leave<'b> {
    breaker: &'b Breaker,
    probe: Option<Duration>,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if let Some(wait) = self.probe {
            self.breaker.open(&mut self.breaker.state(), wait);
        }
    }
}

impl Breaker {
    pub(crate) fn new(origin: Arc<dyn Origin>) -> Self {
        Self { origin, state: Mutex::new(State::Closed(0)), seen: Seen::default() }
    }

    /// Whether the origin is left alone, and what was seen.
    #[cfg(feature = "metrics")]
    pub(crate) fn told(&self) -> (bool, &Seen) {
        (!matches!(*self.state(), State::Closed(_)), &self.seen)
    }

    async fn guard<T>(
        &self,
        what: &'static str,
        call: impl Future<Output = Result<T, OriginError>> + Send,
    ) -> Result<T, OriginError> {
        let leave = self.leave().ok_or_else(|| {
            self.seen.spared.fetch_add(1, Ordering::Relaxed);
            let why = "it failed again and again, and is left alone for a while";
            OriginError::Unreachable { what: what.to_owned(), source: why.into() }
        })?;
        let answer = call.await;
        leave.came_to(answer.as_ref().err().is_none_or(answers));
        answer
    }

    fn leave(&self) -> Option<Leave<'_>> {
        let mut state = self.state();
        let probe = match *state {
            State::Closed(_) => None,
            State::Open { until, wait } if until <= Instant::now() => {
                *state = State::Probing { wait };
                Some(wait)
            }
            State::Open { .. } | State::Probing { .. } => return None,
        };
        Some(Leave { breaker: self, probe })
    }

    fn open(&self, state: &mut State, wait: Duration) {
        *state = State::Open { until: Instant::now() + spread(wait), wait };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is whole, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leave<'_> {
    fn came_to(mut self, well: bool) {
        let (breaker, probe) = (self.breaker, self.probe.take());
        let mut state = breaker.state();
        if !well {
            breaker.seen.failures.fetch_add(1, Ordering::Relaxed);
        }
        match (*state, probe, well) {
            (_, Some(_), true) => {
                *state = State::Closed(0);
                info!("the origin answers again");
            }
            (_, Some(wait), false) => breaker.open(&mut state, (wait * 2).min(LONGEST)),
            (State::Closed(_), None, true) => *state = State::Closed(0),
            (State::Closed(failures), None, false) if failures + 1 < FAILURES => {
                *state = State::Closed(failures + 1);
            }
            (State::Closed(_), None, false) => {
                breaker.open(&mut state, FIRST);
                breaker.seen.opened.fetch_add(1, Ordering::Relaxed);
                warn!(
                    failures = FAILURES,
                    "the origin does not answer; it is left alone but for probes"
                );
            }
            // It began before the origin was left alone; the probe decides.
            (State::Open { .. } | State::Probing { .. }, None, _) => {}
        }
    }
}

/// Whether an error is an answer: one that refuses this key, or has too many bytes, is. One that asks for patience is none.
fn answers(error: &OriginError) -> bool {
    match error {
        OriginError::Unreachable { .. } => false,
        OriginError::Refused { status, .. } => *status < 500 && *status != 429,
        OriginError::TooLarge { .. } => true,
    }
}

#[async_trait]
impl Origin for Breaker {
    async fn trust(
        &self,
        scope: &ScopeId,
        number: Option<u64>,
    ) -> Result<Option<Bytes>, OriginError> {
        self.guard("a trust document", self.origin.trust(scope, number)).await
    }

    async fn root(&self, scope: &ScopeId, held: Option<&str>) -> Result<Fetched, OriginError> {
        self.guard("a root", self.origin.root(scope, held)).await
    }

    async fn chunk(&self, scope: &ScopeId, named: Named) -> Result<Option<Bytes>, OriginError> {
        self.guard("a chunk", self.origin.chunk(scope, named)).await
    }

    async fn watch(&self, scope: &ScopeId) -> Result<Option<Announcements>, OriginError> {
        self.guard("a stream", self.origin.watch(scope)).await
    }

    async fn report(&self, scope: &ScopeId, reports: &Reports) -> Result<bool, OriginError> {
        self.guard("reports", self.origin.report(scope, reports)).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use flagforge_flags::keys::{EnvKey, OrgKey};
    use flagforge_flags::manifest::Scope;
    use tokio::sync::Notify;
    use tokio::time::{advance, timeout};

    use super::*;

    /// An origin that answers or does not, and counts.
    #[derive(Debug, Default)]
    struct Fickle {
        asked: AtomicU64,
        down: AtomicBool,
        /// Answers only when it is told to.
        slow: AtomicBool,
        go_on: Notify,
    }

    #[async_trait]
    impl Origin for Fickle {
        async fn trust(&self, _: &ScopeId, _: Option<u64>) -> Result<Option<Bytes>, OriginError> {
            let status = 403;
            Err(OriginError::Refused { status, what: "trust".into() })
        }

        async fn root(&self, _: &ScopeId, _: Option<&str>) -> Result<Fetched, OriginError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if self.slow.load(Ordering::Relaxed) {
                self.go_on.notified().await;
            }
            if self.down.load(Ordering::Relaxed) {
                let status = 503;
                return Err(OriginError::Refused { status, what: "root".into() });
            }
            Ok(Fetched::Absent)
        }

        async fn chunk(&self, _: &ScopeId, _: Named) -> Result<Option<Bytes>, OriginError> {
            Ok(None)
        }
    }

    struct World {
        origin: Arc<Fickle>,
        breaker: Breaker,
        scope: ScopeId,
    }

    impl World {
        fn down() -> Self {
            let origin = Arc::new(Fickle::default());
            origin.down.store(true, Ordering::Relaxed);
            let breaker = Breaker::new(Arc::clone(&origin) as _);
            let (org, env) = (OrgKey::new("o").unwrap(), EnvKey::new("e").unwrap());
            Self { origin, breaker, scope: ScopeId { org, env, scope: Scope::Relay } }
        }

        async fn ask(&self) -> bool {
            self.breaker.root(&self.scope, None).await.is_ok()
        }

        /// Asks so often that it is left alone.
        async fn wear_out(&self) {
            for _ in 0..FAILURES {
                assert!(!self.ask().await);
            }
            assert!(self.left_alone());
        }

        fn left_alone(&self) -> bool {
            !matches!(*self.breaker.state(), State::Closed(_))
        }

        fn asked(&self) -> u64 {
            self.origin.asked.load(Ordering::Relaxed)
        }

        fn up(&self) {
            self.origin.down.store(false, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_left_alone_after_failures_in_a_row_and_not_one_before() {
        let world = World::down();
        for _ in 1..FAILURES {
            world.ask().await;
        }
        assert!(!world.left_alone());
        world.up();
        assert!(world.ask().await, "an answer in between begins anew");
        world.origin.down.store(true, Ordering::Relaxed);
        world.wear_out().await;
        let asked = world.asked();
        for _ in 0..1_000 {
            assert!(!world.ask().await);
        }
        assert_eq!(world.asked(), asked, "not asked at all");
        let Seen { failures, opened, spared } = &world.breaker.seen;
        let seen = [failures, opened, spared].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(seen, [u64::from(2 * FAILURES - 1), 1, 1_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_is_made_after_each_wait_and_waits_double_up_to_the_longest() {
        let world = World::down();
        world.wear_out().await;
        let mut waits = Vec::new();
        for _ in 0..6 {
            let (asked, since) = (world.asked(), Instant::now());
            while world.asked() == asked {
                advance(Duration::from_millis(10)).await;
                world.ask().await;
            }
            assert_eq!(world.asked(), asked + 1);
            waits.push(since.elapsed());
        }
        for (wait, seconds) in waits.iter().zip([1, 2, 4, 8, 8, 8]) {
            let whole = Duration::from_secs(seconds);
            let due = whole * 4 / 5..=whole + Duration::from_millis(20);
            assert!(due.contains(wait), "{waits:?}");
        }
        world.up();
        advance(LONGEST).await;
        assert!(world.ask().await && !world.left_alone());
        world.origin.down.store(true, Ordering::Relaxed);
        assert!(!world.ask().await && !world.left_alone(), "it counts from nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn others_do_not_pass_beside_a_probe_and_one_that_is_given_up_makes_room() {
        let world = World::down();
        world.wear_out().await;
        world.up();
        world.origin.slow.store(true, Ordering::Relaxed);
        advance(FIRST).await;
        let asked = world.asked();
        let given_up = timeout(Duration::from_secs(60), async {
            tokio::join!(world.ask(), async {
                for _ in 0..100 {
                    assert!(!world.ask().await);
                }
            })
        });
        assert!(given_up.await.is_err());
        assert_eq!(world.asked(), asked + 1);
        assert!(world.left_alone());
        advance(FIRST).await;
        world.origin.go_on.notify_one();
        assert!(world.ask().await && !world.left_alone());
    }

    #[tokio::test(start_paused = true)]
    async fn an_origin_that_refuses_a_key_answers() {
        let world = World::down();
        for _ in 0..2 * FAILURES {
            assert!(world.breaker.trust(&world.scope, None).await.is_err());
        }
        assert!(!world.left_alone());
    }
}
