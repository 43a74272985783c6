//! A process that is killed at any of its calls to table, bucket and signer: before the call took effect or after it. What
//! was acknowledged is there, no log has a gap, every root that stands is whole, nothing goes back, and the next process
//! comes to the end of the logs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_embedded::{Embedded, LocalSigner, ManualTimer};
use flagforge_flags::Revision;
use flagforge_flags::manifest::{Position, PublicKey, Scope, ScopeId, Trust};
use flagforge_flags::time::Timestamp;
use flagforge_platform::log::LogEntry;
use flagforge_platform::ports::{
    ETag, Fetched, Item, ItemKey, ListedObject, ObjectError, Objects, OneTable, Page, PutIf, Query,
    Signer, SignerError, Table, TableError, Timer, Write,
};
use flagforge_platform::{Change, Outcome, Platform, Request, handle};
use tokio::sync::Notify;

use crate::accepted::chance::Chance;
use crate::incremental::change;
use crate::kit::{FAR, caller, env, furnished_on, listed, org, root, verified};

/// Processes that are killed, unless `FLAGFORGE_KILLS` says another number.
const KILLS: usize = 200;
/// After so many the next one lives.
const LIVES_EVERY: usize = 10;
/// What passes between two processes: enough that roots are signed again, kept and swept.
const BETWEEN: Duration = Duration::from_secs(1_201);

/// How long a process has to live, counted in calls.
#[derive(Debug)]
pub(crate) struct Life {
    calls: AtomicUsize,
    /// The number of the last call, and whether it takes effect.
    last: Option<(usize, bool)>,
    died: Notify,
}

impl Life {
    /// It ends with the call of this number, which takes effect or does not.
    pub(crate) fn until(last: Option<(usize, bool)>) -> Self {
        Self { calls: AtomicUsize::new(0), last, died: Notify::new() }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.last.is_none_or(|(last, _)| self.calls.load(Ordering::SeqCst) <= last)
    }

    /// What the process does; `None` where it died of it.
    pub(crate) async fn lived<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.died.notified() => None,
        }
    }

    pub(crate) async fn call<T>(&self, effect: impl Future<Output = T>) -> T {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        match self.last {
            Some((last, takes_effect)) if number >= last => {
                if takes_effect && number == last {
                    effect.await;
                }
                self.died.notify_one();
                // The process is gone: nothing after this call happens.
                std::future::pending().await
            }
            _ => effect.await,
        }
    }
}

#[derive(Debug)]
struct MortalTable(Arc<Life>, Arc<dyn Table>);
#[derive(Debug)]
struct MortalObjects(Arc<Life>, Arc<dyn Objects>);
#[derive(Debug)]
struct MortalSigner(Arc<Life>, Arc<LocalSigner>);

#[async_trait]
impl Table for MortalTable {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, TableError> {
        self.0.call(self.1.get(key)).await
    }
    async fn query(&self, query: &Query) -> Result<Page, TableError> {
        self.0.call(self.1.query(query)).await
    }
    async fn transact(&self, writes: Vec<Write>, token: Option<&str>) -> Result<(), TableError> {
        self.0.call(self.1.transact(writes, token)).await
    }
}

#[async_trait]
impl Objects for MortalObjects {
    async fn get(&self, name: &str, held: Option<&ETag>) -> Result<Fetched, ObjectError> {
        self.0.call(self.1.get(name, held)).await
    }
    async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        content_type: &str,
        condition: PutIf,
    ) -> Result<ETag, ObjectError> {
        self.0.call(self.1.put(name, bytes, content_type, condition)).await
    }
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>, ObjectError> {
        self.0.call(self.1.list(prefix, after)).await
    }
    async fn delete(&self, name: &str, before: Timestamp) -> Result<bool, ObjectError> {
        self.0.call(self.1.delete(name, before)).await
    }
}

#[async_trait]
impl Signer for MortalSigner {
    async fn public_key(&self) -> Result<PublicKey, SignerError> {
        self.0.call(self.1.public_key()).await
    }
    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        self.0.call(self.1.sign(message)).await
    }
}

/// A timer whose sleepers move it on, so that waits cost no time.
#[derive(Debug)]
pub(crate) struct Hasty(pub(crate) ManualTimer);

#[async_trait]
impl Timer for Hasty {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    async fn sleep(&self, duration: Duration) {
        self.0.advance(duration);
    }
}

struct World {
    hands: Embedded,
    timer: ManualTimer,
    trust: Trust,
    /// The highest position that anybody saw.
    seen: Option<Position>,
    /// The last entry of each log that was read: its number, and its sort key.
    logs: ((u64, String), (u64, String)),
}

impl World {
    fn process(&self, life: &Arc<Life>) -> Platform {
        let table = MortalTable(life.clone(), self.hands.table.clone());
        let objects = MortalObjects(life.clone(), self.hands.objects.clone());
        let signer = MortalSigner(life.clone(), self.hands.signer.clone());
        let timer = Arc::new(Hasty(self.timer.clone()));
        let bus = self.hands.bus.clone();
        let table = Arc::new(OneTable(Arc::new(table)));
        Platform::new(table, Arc::new(objects), Arc::new(signer), bus, timer, None)
    }

    /// One process: it commits, publishes and sweeps until it dies. Answers what it acknowledged, and its calls.
    async fn run(
        &self,
        number: usize,
        changes: Vec<Change>,
        last: Option<(usize, bool)>,
    ) -> (usize, usize) {
        let life = Arc::new(Life::until(last));
        let process = self.process(&life);
        let acknowledged = AtomicUsize::new(0);
        let work = async {
            for change in changes {
                let reason = Some("by chance".to_owned());
                let request = Request { reason, ..Request::of(change, "test") };
                if let Ok(Outcome::Committed(_)) = process.commit(&caller(), &request).await {
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            }
            handle::resign(&process).await.unwrap();
            if number.is_multiple_of(3) {
                handle::sweep(&process, FAR).await.unwrap();
            }
        };
        life.lived(work).await;
        (acknowledged.into_inner(), life.calls.load(Ordering::SeqCst))
    }

    /// Reads what both logs say since the last time, and answers where they stand. There is no gap.
    async fn read_logs(&mut self) -> Revision {
        for (partition, last) in
            [("home#log", &mut self.logs.0), ("home#env#prod#log", &mut self.logs.1)]
        {
            let mut query = Query::prefix(partition, "LOG#");
            if last.0 > 0 {
                query.from = format!("{}\0", last.1);
            }
            let page = self.hands.table.query(&query).await.unwrap();
            assert!(page.next.is_none());
            for item in page.items {
                let entry: LogEntry = serde_json::from_str(&item.body).unwrap();
                assert_eq!(entry.number, last.0 + 1, "a gap in {partition}");
                *last = (entry.number, item.key.sk);
            }
        }
        Revision { org: self.logs.0.0, env: self.logs.1.0 }
    }

    /// Every root that stands verifies, is whole, and is not behind what was seen.
    async fn look(&mut self) {
        for scope in [Scope::Relay, Scope::Environment] {
            let id = ScopeId { org: org(), env: env("prod"), scope };
            listed(&self.hands, &verified(&self.hands, &self.trust, &id).await).await;
        }
        let position = root(&self.hands, &self.trust, Scope::Environment).await.position();
        assert!(self.seen.is_none_or(|seen| seen.allows(&position)), "{:?}, {position}", self.seen);
        self.seen = Some(position);
    }
}

const fn first_entry() -> (u64, String) {
    (0, String::new())
}

#[tokio::test]
async fn whoever_is_killed_anywhere_leaves_nothing_half_done() {
    let timer = ManualTimer::at(Timestamp::from_seconds(1_800_000_000));
    let hands = Embedded::memory_at(Arc::new(timer.clone())).unwrap();
    let (hands, first, trust) = furnished_on(hands).await;
    handle::resign(&first).await.unwrap();
    let mut world = World { hands, timer, trust, seen: None, logs: (first_entry(), first_entry()) };
    let mut chance = Chance::new(20_261_121);
    let (mut whole_run, mut died, mut places) = (60, 0, std::collections::BTreeSet::new());
    let mut number = 0;
    let kills = std::env::var("FLAGFORGE_KILLS").map_or(KILLS, |n| n.parse().unwrap());
    while died < kills {
        number += 1;
        world.timer.advance(BETWEEN);
        let changes: Vec<Change> = (0..2)
            .map(|n| serde_json::from_value(change(&mut chance, 10 * number + n)).unwrap())
            .collect();
        let last = (!number.is_multiple_of(LIVES_EVERY))
            .then(|| (chance.below(whole_run), chance.one_in(2)));
        let before = world.read_logs().await;
        let (acknowledged, calls) = world.run(number, changes, last).await;
        let now = world.read_logs().await;
        let written = (now.org - before.org) + (now.env - before.env);
        assert!(written >= acknowledged as u64, "something acknowledged is gone");
        world.look().await;
        match last {
            Some((last, _)) if calls > last => {
                died += 1;
                places.insert(last);
            }
            _ => {
                // Who lives brings everything to the end of the logs.
                whole_run = whole_run.max(calls);
                let stands = root(&world.hands, &world.trust, Scope::Environment).await;
                assert_eq!(stands.revision, now, "after {number}");
            }
        }
    }
    // The test is worth where it killed.
    assert!(places.len() > 40, "killed at {} places only", places.len());
}
