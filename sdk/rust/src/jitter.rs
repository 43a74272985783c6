//! Waiting times: polls and retries spread out so that clients that started together do not ask together.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// The first wait after a failure.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// Failures after which the wait stops doubling: 100 ms · 2⁹ = 51.2 s.
const MAX_DOUBLINGS: u32 = 9;

/// Chance for spreading requests, of no worth for secrets. The standard library seeds its hash maps
/// from the operating system, which saves a dependency.
pub fn dice() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Between four fifths of `whole` and all of it: a poll is never later than its interval promises.
pub(crate) fn shortened(whole: Duration, dice: u64) -> Duration {
    let fifth = whole / 5;
    whole.saturating_sub(fraction(fifth, dice))
}

/// The wait before the retry after `failures` failures in a row: doubling from 100 ms, at most
/// `limit`, and between half of that and all of it.
pub(crate) fn backoff(failures: u32, limit: Duration, dice: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(MAX_DOUBLINGS);
    let whole = (FIRST_RETRY * 2_u32.pow(doublings)).min(limit);
    whole.saturating_sub(fraction(whole / 2, dice))
}

/// `whole` times a fraction below one: the dice's lowest 16 bits.
fn fraction(whole: Duration, dice: u64) -> Duration {
    let sixteen = u32::try_from(dice & 0xFFFF).unwrap_or(0);
    whole / 0x1_0000 * sixteen
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn polls_come_early_but_never_late() {
        let whole = Duration::from_secs(10);
        assert_eq!(shortened(whole, 0), whole);
        let earliest = shortened(whole, u64::MAX);
        assert!(earliest >= Duration::from_secs(8) && earliest < Duration::from_millis(8_010));
        assert_eq!(shortened(Duration::ZERO, 7), Duration::ZERO);
    }

    #[test]
    fn retries_double_up_to_the_limit() {
        assert_eq!(backoff(1, LIMIT, 0), Duration::from_millis(100));
        assert_eq!(backoff(2, LIMIT, 0), Duration::from_millis(200));
        assert_eq!(backoff(u32::MAX, LIMIT, 0), LIMIT);
        assert!(backoff(u32::MAX, LIMIT, u64::MAX) >= LIMIT / 2);
        assert_eq!(backoff(5, Duration::from_millis(10), 0), Duration::from_millis(10));
    }

    #[test]
    fn dice_differ() {
        assert!((0..8).any(|_| dice() != dice()));
    }
}
