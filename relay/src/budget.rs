//! How many environments may be loaded for the first time.

use std::time::Instant;

/// First loads that may begin at once, and per second after that. Who knows no key can make a relay ask
/// its origin no oftener than this, whatever names they invent.
const LOADS_AT_ONCE: u32 = 200;
const LOADS_PER_SECOND: u32 = 50;

/// A bucket of tokens, one for each first load.
#[derive(Debug)]
pub(crate) struct Budget {
    tokens: u32,
    since: Instant,
}

impl Budget {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { tokens: LOADS_AT_ONCE, since: now }
    }

    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let millis = now.saturating_duration_since(self.since).as_millis();
        let grown =
            u32::try_from(millis * u128::from(LOADS_PER_SECOND) / 1_000).unwrap_or(u32::MAX);
        if grown > 0 {
            self.tokens = self.tokens.saturating_add(grown).min(LOADS_AT_ONCE);
            self.since = now;
        }
        let left = self.tokens.checked_sub(1);
        self.tokens = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn strangers_loads_are_bounded_at_once_and_per_second() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let taken = (0..1_000).filter(|_| budget.take(start)).count();
        assert_eq!(taken, LOADS_AT_ONCE as usize);
        let second = start + Duration::from_secs(1);
        assert_eq!((0..1_000).filter(|_| budget.take(second)).count(), LOADS_PER_SECOND as usize);
        let hour = second + Duration::from_secs(3_600);
        assert_eq!((0..1_000).filter(|_| budget.take(hour)).count(), LOADS_AT_ONCE as usize);
    }
}
