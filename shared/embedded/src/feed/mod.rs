//! The change feed: what each commit wrote, for whoever listens, within a bound.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{FeedRecord, Timer};
use tokio::sync::Notify;

use crate::chance::Chance;

/// Transactions a slow reader may fall behind.
pub const MAX_FEED_BATCHES: usize = 1_024;
/// Bytes of keys and bodies a slow reader may fall behind: four of the largest transactions, or some ten thousand usual ones.
pub const MAX_FEED_BYTES: usize = 16 * 1024 * 1024;
/// Records that chaos holds back at one time; past it the earliest due goes out early.
pub const MAX_HELD_RECORDS: usize = 1_024;

/// What a reader of the feed is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedEvent {
    /// What was written. Without chaos: one transaction, in its order.
    Records(Vec<FeedRecord>),
    /// The reader fell behind by more than [`MAX_FEED_BATCHES`] or [`MAX_FEED_BYTES`], and the records of this many
    /// transactions, the oldest, are gone. The items are safe in the table: a feed is a doorbell, and this is a ring
    /// for everything. The reader looks at every log it cares for.
    Lagged { batches: u64 },
}

/// How a feed misbehaves: as the cloud's stream may, but by seed. Order is lost in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedChaos {
    pub seed: u64,
    /// In how many of a thousand cases a record comes twice.
    pub repeat_per_mille: u16,
    /// Each record is held back for up to this long, on the table's timer.
    pub longest_delay: Duration,
}

/// One reader's end. Reading is cancel-safe: what [`next`](Self::next) has not returned is not lost.
#[derive(Debug)]
pub struct Feed {
    queue: Arc<Queue>,
    chaos: Option<Chaos>,
}

impl Feed {
    /// The next event; waits for one. `None` when the table is gone and everything was read.
    pub async fn next(&mut self) -> Option<FeedEvent> {
        match &mut self.chaos {
            None => self.queue.next().await,
            Some(chaos) => chaos.next(&self.queue).await,
        }
    }

    pub(crate) fn with(self, chaos: FeedChaos, timer: Arc<dyn Timer>) -> Self {
        let chance = Chance::new(chaos.seed);
        Self { chaos: Some(Chaos { plan: chaos, chance, held: Vec::new(), timer }), ..self }
    }
}

/// The table's end: it knows its readers as long as they live.
#[derive(Debug, Default)]
pub(crate) struct FeedHub {
    readers: Mutex<Vec<Weak<Queue>>>,
}

impl FeedHub {
    pub(crate) fn subscribe(&self) -> Feed {
        let queue = Arc::new(Queue::default());
        self.readers().push(Arc::downgrade(&queue));
        Feed { queue, chaos: None }
    }

    /// Gives one transaction's records to every reader. Never waits.
    pub(crate) fn publish(&self, records: &[FeedRecord]) {
        if records.is_empty() {
            return;
        }
        let mut readers = self.readers();
        readers.retain(|reader| reader.strong_count() > 0);
        for queue in readers.iter().filter_map(Weak::upgrade) {
            queue.push(records.to_vec());
        }
    }

    fn readers(&self) -> MutexGuard<'_, Vec<Weak<Queue>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FeedHub {
    fn drop(&mut self) {
        for queue in self.readers().iter().filter_map(Weak::upgrade) {
            queue.close();
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<Waiting>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<(usize, Vec<FeedRecord>)>,
    bytes: usize,
    lost: u64,
    is_closed: bool,
}

/// What a look at the queue found.
enum Look {
    Event(FeedEvent),
    Empty,
    Ended,
}

impl Queue {
    fn push(&self, records: Vec<FeedRecord>) {
        let size = records.iter().map(size_bytes).sum();
        let mut state = self.state();
        state.bytes += size;
        state.batches.push_back((size, records));
        // The newest batch stays whatever its size: the reader is at least told of that one.
        while state.batches.len() > MAX_FEED_BATCHES
            || (state.bytes > MAX_FEED_BYTES && state.batches.len() > 1)
        {
            let Some((size, _)) = state.batches.pop_front() else { break };
            state.bytes -= size;
            state.lost += 1;
        }
        drop(state);
        self.bell.notify_one();
    }

    fn close(&self) {
        self.state().is_closed = true;
        self.bell.notify_one();
    }

    fn look(&self) -> Look {
        let mut state = self.state();
        if state.lost > 0 {
            return Look::Event(FeedEvent::Lagged { batches: std::mem::take(&mut state.lost) });
        }
        match state.batches.pop_front() {
            Some((size, records)) => {
                state.bytes -= size;
                Look::Event(FeedEvent::Records(records))
            }
            None if state.is_closed => Look::Ended,
            None => Look::Empty,
        }
    }

    async fn next(&self) -> Option<FeedEvent> {
        loop {
            // `notify_one` leaves a permit when nobody waits, so a push between the look and the wait is not missed.
            match self.look() {
                Look::Event(event) => return Some(event),
                Look::Ended => return None,
                Look::Empty => self.bell.notified().await,
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size_bytes(record: &FeedRecord) -> usize {
    let body = record.item.as_ref().map_or(0, |item| item.body.len());
    record.key.pk.len() + record.key.sk.len() + body
}

#[derive(Debug)]
struct Chaos {
    plan: FeedChaos,
    chance: Chance,
    /// (due, a throw of the dice that orders what is due at once, record).
    held: Vec<(Timestamp, u64, FeedRecord)>,
    timer: Arc<dyn Timer>,
}

impl Chaos {
    async fn next(&mut self, queue: &Queue) -> Option<FeedEvent> {
        loop {
            let is_ended = loop {
                match queue.look() {
                    Look::Event(FeedEvent::Records(records)) => self.hold(records),
                    Look::Event(lagged) => return Some(lagged),
                    Look::Empty => break false,
                    Look::Ended => break true,
                }
            };
            let due = self.take_due();
            if !due.is_empty() {
                return Some(FeedEvent::Records(due));
            }
            match self.held.iter().map(|(due, ..)| *due).min() {
                None if is_ended => return None,
                None => queue.bell.notified().await,
                Some(due) => {
                    let wait = due.since(self.timer.now());
                    tokio::select! {
                        () = self.timer.sleep(wait) => {}
                        () = queue.bell.notified() => {}
                    }
                }
            }
        }
    }

    fn hold(&mut self, records: Vec<FeedRecord>) {
        let now = self.timer.now();
        let longest = u64::try_from(self.plan.longest_delay.as_millis()).unwrap_or(u64::MAX);
        for record in records {
            let copies = if self.chance.happens(self.plan.repeat_per_mille) { 2 } else { 1 };
            for _ in 0..copies {
                let delay = Duration::from_millis(self.chance.up_to(longest));
                self.held.push((now.plus(delay), self.chance.next(), record.clone()));
            }
        }
    }

    /// What is due, in the dice's order, and what is over the bound on top.
    fn take_due(&mut self) -> Vec<FeedRecord> {
        let now = self.timer.now();
        self.held.sort_by_key(|(due, dice, _)| (*due, *dice));
        let due = self.held.partition_point(|(due, ..)| *due <= now);
        let over = self.held.len().saturating_sub(MAX_HELD_RECORDS);
        let mut taken: Vec<_> = self.held.drain(..due.max(over)).collect();
        taken.sort_by_key(|(_, dice, _)| *dice);
        taken.into_iter().map(|(.., record)| record).collect()
    }
}
