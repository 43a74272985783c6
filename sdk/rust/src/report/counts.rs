//! Counting answers from many threads, without one waiting for another.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use flagforge_flags::Reason;

use super::{Combination, MAX_COMBINATIONS};

/// Parts that are locked apart. A part is held for about a hundred nanoseconds.
const PARTS: usize = 16;

/// How often each combination was seen.
#[derive(Debug, Default)]
pub(super) struct Counts {
    parts: [Mutex<Part>; PARTS],
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Part {
    counts: HashMap<Known, Vec<Variant>>,
    combinations: usize,
}

/// A variant, and how often it was answered.
type Variant = (Option<Box<str>>, u64);

/// What is compared without a copy: the flag's key is a constant of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Known {
    flag: &'static str,
    reason: Reason,
    error: Option<&'static str>,
}

impl Counts {
    /// Counts one answer, or that it could not be counted: where every part is being written by somebody else.
    pub(super) fn add(
        &self,
        flag: &'static str,
        variant: Option<&str>,
        reason: Reason,
        error: Option<&'static str>,
    ) {
        let first = place();
        let (before, from) = self.parts.split_at(first % PARTS);
        let free = from.iter().chain(before).find_map(|part| match part.try_lock() {
            Ok(part) => Some(part),
            Err(TryLockError::Poisoned(part)) => Some(part.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        let counted = free.is_some_and(|mut part| part.add(Known { flag, reason, error }, variant));
        if !counted {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted since it was last asked, and how many answers were not.
    pub(super) fn take(&self) -> (BTreeMap<Combination, u64>, u64) {
        let mut all = BTreeMap::new();
        for part in &self.parts {
            // Emptied under the lock, read outside of it.
            let part = std::mem::take(&mut *lock(part));
            for (Known { flag, reason, error }, variants) in part.counts {
                let reason = reason.as_str();
                for (variant, count) in variants {
                    *all.entry(Combination { flag, variant, reason, error }).or_default() += count;
                }
            }
        }
        (all, self.dropped.swap(0, Ordering::Relaxed))
    }
}

impl Part {
    fn add(&mut self, known: Known, variant: Option<&str>) -> bool {
        let full = self.combinations >= MAX_COMBINATIONS;
        if full && !self.counts.contains_key(&known) {
            return false;
        }
        // A flag has at most 100 variants, and hardly ever more than four.
        let variants = self.counts.entry(known).or_default();
        match variants.iter_mut().find(|(held, _)| held.as_deref() == variant) {
            Some((_, count)) => *count += 1,
            None if full => return false,
            None => {
                variants.push((variant.map(Into::into), 1));
                self.combinations += 1;
            }
        }
        true
    }
}

fn lock(part: &Mutex<Part>) -> MutexGuard<'_, Part> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The part that a thread tries first: each has its own until there are more threads than parts.
fn place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    // A thread that is ending has no place any more.
    PLACE.try_with(|place| *place).unwrap_or(0)
}

/// Chance, one draw after the other, from any number of threads: the counter's hash.
#[derive(Debug, Default)]
pub(super) struct Lot {
    keys: std::collections::hash_map::RandomState,
    drawn: AtomicU64,
}

impl Lot {
    /// Whether the one in `one_in` is drawn.
    pub(super) fn draw(&self, one_in: u32) -> bool {
        one_in <= 1
            || self
                .keys
                .hash_one(self.drawn.fetch_add(1, Ordering::Relaxed))
                .is_multiple_of(u64::from(one_in))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_counted_or_told_as_dropped() {
        const EACH: u64 = 20_000;
        let counts = Counts::default();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let counts = &counts;
                scope.spawn(move || {
                    let variant = ["on", "off"][thread % 2];
                    for _ in 0..EACH {
                        counts.add("flag", Some(variant), Reason::Default, None);
                    }
                });
            }
            let mut seen = 0;
            for _ in 0..50 {
                let (all, dropped) = counts.take();
                seen += all.values().sum::<u64>() + dropped;
            }
            counts.add("seen", None, Reason::Error, Some("GENERAL"));
            counts.parts[0]
                .lock()
                .unwrap()
                .add(Known { flag: "x", reason: Reason::Split, error: None }, None);
            counts.dropped.fetch_add(seen, Ordering::Relaxed);
        });
        let (all, dropped) = counts.take();
        assert_eq!(all.values().sum::<u64>() + dropped, 8 * EACH + 2);
        let error = all.keys().find(|combination| combination.flag == "seen").unwrap();
        assert_eq!((error.reason, error.error), ("ERROR", Some("GENERAL")));
    }

    #[test]
    fn combinations_at_the_limit_and_one_past_it() {
        let mut part = Part::default();
        let known = Known { flag: "flag", reason: Reason::Split, error: None };
        for variant in 0..MAX_COMBINATIONS {
            assert!(part.add(known, Some(&variant.to_string())), "{variant}");
        }
        assert!(!part.add(known, Some("another")));
        assert!(!part.add(Known { flag: "another", ..known }, None));
        assert!(part.add(known, Some("7")), "what is known is counted on");
    }

    #[test]
    fn a_lot_draws_its_share() {
        let lot = Lot::default();
        let drawn = (0..100_000).filter(|_| lot.draw(10)).count();
        // Six standard deviations of 95 either way.
        assert!((9_430..=10_570).contains(&drawn), "{drawn}");
        assert!((0..100).all(|_| lot.draw(1) && lot.draw(0)));
    }
}
