//! Places to wait in, for streams and for answers that are held back: a bounded number, of which one key does not get all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::env_id::EnvId;
use crate::problem::Refused;

/// A key of an environment, by its id.
type Key = (EnvId, String);

/// Places of one sort.
#[derive(Debug)]
pub(crate) struct Seats {
    what: &'static str,
    limit: AtomicUsize,
    of_a_key: AtomicUsize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_key: HashMap<Key, usize>,
}

/// A place. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Seat {
    key: Option<Key>,
    taken: Arc<Mutex<Taken>>,
}

impl Seats {
    pub(crate) fn new(what: &'static str, limit: usize, of_a_key: usize) -> Self {
        let (limit, of_a_key) = (AtomicUsize::new(limit), AtomicUsize::new(of_a_key));
        Self { what, limit, of_a_key, taken: Arc::default() }
    }

    /// Other limits from here on. Who has a place keeps it.
    #[cfg(feature = "server")]
    pub(crate) fn set(&self, limit: usize, of_a_key: usize) {
        self.limit.store(limit, Ordering::Relaxed);
        self.of_a_key.store(of_a_key, Ordering::Relaxed);
    }

    /// A place for a key that was verified.
    pub(crate) fn take(&self, environment: &EnvId, key: &str) -> Result<Seat, Refused> {
        let mut taken = self.with_room()?;
        let key = (environment.clone(), key.to_owned());
        let held = taken.by_key.entry(key.clone()).or_default();
        let limit = self.of_a_key.load(Ordering::Relaxed);
        if *held >= limit {
            return Err(Refused::Full { what: self.what, whose: "this key", limit });
        }
        *held += 1;
        taken.all += 1;
        drop(taken);
        Ok(Seat { key: Some(key), taken: Arc::clone(&self.taken) })
    }

    /// A place for whoever shows no key.
    #[cfg(feature = "flagd")]
    pub(crate) fn take_of_nobody(&self) -> Result<Seat, Refused> {
        self.with_room()?.all += 1;
        Ok(Seat { key: None, taken: Arc::clone(&self.taken) })
    }

    fn with_room(&self) -> Result<MutexGuard<'_, Taken>, Refused> {
        let taken = lock(&self.taken);
        let limit = self.limit.load(Ordering::Relaxed);
        if taken.all >= limit {
            return Err(Refused::Full { what: self.what, whose: "this relay", limit });
        }
        Ok(taken)
    }

    /// How many are taken.
    #[cfg(any(test, feature = "metrics"))]
    pub(crate) fn taken(&self) -> usize {
        lock(&self.taken).all
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all = taken.all.saturating_sub(1);
        // Who holds nothing costs nothing.
        let Some(key) = self.key.take() else { return };
        if let Entry::Occupied(mut held) = taken.by_key.entry(key) {
            match held.get().saturating_sub(1) {
                0 => drop(held.remove()),
                left => drop(held.insert(left)),
            }
        }
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    // Every change is whole, so a panic elsewhere leaves nothing half done.
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flagforge_flags::keys::{EnvKey, OrgKey};

    fn environment(org: &str) -> EnvId {
        EnvId { org: OrgKey::new(org).unwrap(), env: EnvKey::new("prod").unwrap() }
    }

    #[test]
    fn one_key_does_not_get_all_and_all_do_not_get_more() {
        let seats = Seats::new("streams", 3, 2);
        let (demo, other) = (environment("demo"), environment("other"));
        let mine: Vec<Seat> = (0..2).map(|_| seats.take(&demo, "k").unwrap()).collect();
        let refused = seats.take(&demo, "k").unwrap_err();
        assert!(matches!(refused, Refused::Full { whose: "this key", limit: 2, .. }));
        let theirs = seats.take(&other, "k").unwrap();
        let refused = seats.take(&other, "k").unwrap_err();
        assert!(matches!(refused, Refused::Full { whose: "this relay", limit: 3, .. }));
        drop(mine);
        assert_eq!((seats.taken(), lock(&seats.taken).by_key.len()), (1, 1));
        let again = seats.take(&demo, "k").unwrap();
        drop((theirs, again));
        assert_eq!((seats.taken(), lock(&seats.taken).by_key.len()), (0, 0));
    }
}
