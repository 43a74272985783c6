//! Token buckets: time goes in, a verdict comes out. Evaluation uses none of it; who serves does. The control plane counts
//! writes exactly, with a bucket in the head of the log that each of them writes; requests are counted in each process by
//! itself, so that several processes together let pass several times as many.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A token in thousandths, so that a slow rate still drips every millisecond.
const TOKEN: u64 = 1_000;
/// Buckets that one process keeps of each sort, 100 bytes each. When there are more it empties its memory, which
/// forgives everybody once.
const MAX_BUCKETS: usize = 20_000;

/// A rate and how much of it may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens a second, sustained; 0 counts as 1.
    pub per_second: u32,
    /// Seconds' worth of them that may come at once.
    pub burst_seconds: u32,
}

impl Rate {
    /// Tokens of a full bucket.
    pub fn burst(self) -> u64 {
        u64::from(self.per_second) * u64::from(self.burst_seconds)
    }
}

/// What is left of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    /// Thousandths of a token.
    tokens: u64,
    at: Timestamp,
}

/// The bucket was empty; there will be a token after so many whole seconds, and at that instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Empty {
    /// Whole seconds to wait, at least 1.
    pub retry_after_seconds: u32,
    /// The instant from which there is a token, if nobody takes it before.
    pub until: Timestamp,
}

impl Bucket {
    /// One that nothing was taken from.
    pub fn full(rate: Rate, now: Timestamp) -> Self {
        Self { tokens: rate.burst() * TOKEN, at: now }
    }

    /// The bucket with one token less, if it has one. A clock that went back fills nothing.
    pub fn take(self, rate: Rate, now: Timestamp) -> Result<Self, Empty> {
        let millis = u64::try_from(now.as_millis() - self.at.as_millis()).unwrap_or(0);
        let dripped = millis.saturating_mul(u64::from(rate.per_second));
        let tokens = self.tokens.saturating_add(dripped).min(rate.burst() * TOKEN);
        let at = self.at.max(now);
        match tokens.checked_sub(TOKEN) {
            Some(tokens) => Ok(Self { tokens, at }),
            None => {
                let millis = (TOKEN - tokens).div_ceil(u64::from(rate.per_second.max(1)));
                let seconds = u32::try_from(millis.div_ceil(1_000)).unwrap_or(u32::MAX);
                let until = at.plus(Duration::from_millis(millis));
                Err(Empty { retry_after_seconds: seconds.max(1), until })
            }
        }
    }

    /// Whole tokens left.
    pub fn left(self) -> u64 {
        self.tokens / TOKEN
    }
}

/// Empties a memory that is full, if the key is new to it.
fn make_room<K: Hash + Eq, V>(memory: &mut HashMap<K, V>, key: &K) {
    if memory.len() >= MAX_BUCKETS && !memory.contains_key(key) {
        memory.clear();
    }
}

/// The buckets of one process, in memory; each call holds a lock for a lookup.
#[derive(Debug)]
pub struct Buckets<K>(Mutex<HashMap<K, Bucket>>);

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Hash + Eq> Buckets<K> {
    /// Takes a token from the bucket of `key`, which is full when it is new; answers how many are left.
    pub fn take(&self, key: K, rate: Rate, now: Timestamp) -> Result<u64, Empty> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut buckets, &key);
        let bucket = buckets.entry(key).or_insert_with(|| Bucket::full(rate, now));
        *bucket = bucket.take(rate, now)?;
        Ok(bucket.left())
    }
}

/// Who found a bucket empty, and until when it stays so: they are refused without looking anything up.
#[derive(Debug)]
pub struct Refusals<K>(Mutex<HashMap<K, Empty>>);

impl<K> Default for Refusals<K> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Hash + Eq> Refusals<K> {
    /// Remembers that the bucket of `key` is empty, and until when.
    pub fn note(&self, key: K, empty: Empty) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut refused, &key);
        refused.insert(key, empty);
    }

    /// An error while the bucket that this key found empty has no token.
    pub fn check(&self, key: &K, now: Timestamp) -> Result<(), Empty> {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match refused.get(key) {
            Some(empty) if now < empty.until => Err(*empty),
            Some(_) => {
                refused.remove(key);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 2, burst_seconds: 3 };

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_does() {
        let mut bucket = Bucket::full(RATE, at(0));
        for _ in 0..RATE.burst() {
            bucket = bucket.take(RATE, at(0)).unwrap();
        }
        let empty = bucket.take(RATE, at(0)).unwrap_err();
        assert_eq!((empty.retry_after_seconds, empty.until), (1, at(500)));
        assert!(bucket.take(RATE, at(499)).is_err());
        let mut passed = 0;
        for millis in 0..10_000 {
            if let Ok(next) = bucket.take(RATE, at(millis)) {
                (bucket, passed) = (next, passed + 1);
            }
        }
        assert_eq!(passed, 19, "two a second over ten seconds, the first after half a second");
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_and_takes_nothing() {
        let bucket = Bucket::full(RATE, at(10_000)).take(RATE, at(10_000)).unwrap();
        let back = bucket.take(RATE, at(0)).unwrap();
        assert_eq!(back.left(), RATE.burst() - 2);
        assert_eq!(back.take(RATE, at(10_500)).unwrap().left(), RATE.burst() - 2);
    }

    #[test]
    fn a_refusal_holds_until_there_is_a_token() {
        let refusals = Refusals::default();
        let empty = Bucket { tokens: 0, at: at(100) }.take(RATE, at(100)).unwrap_err();
        refusals.note("loud", empty);
        assert_eq!(refusals.check(&"loud", at(599)), Err(empty));
        assert_eq!(refusals.check(&"quiet", at(599)), Ok(()));
        assert_eq!(refusals.check(&"loud", at(600)), Ok(()));
    }

    #[test]
    fn buckets_are_bounded_and_apart() {
        let buckets = Buckets::default();
        for key in 0..3 * MAX_BUCKETS {
            assert!(buckets.take(key, RATE, at(0)).is_ok());
        }
        assert!(buckets.0.lock().unwrap().len() <= MAX_BUCKETS);
        let refusals = Refusals::default();
        let empty = Empty { retry_after_seconds: 1, until: at(1) };
        (0..=MAX_BUCKETS).for_each(|key| refusals.note(key, empty));
        assert!(refusals.0.lock().unwrap().len() <= MAX_BUCKETS);
    }
}
