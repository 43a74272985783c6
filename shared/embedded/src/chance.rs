//! Chance by seed, for the parts that misbehave on purpose: the same seed tells the same story.

/// SplitMix64: one word of state, no dependency, and good enough to choose which call fails.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number of `0..=most`. The slight bias towards low numbers does not matter here.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        match most.checked_add(1) {
            Some(count) => self.next() % count,
            None => self.next(),
        }
    }

    /// True in `per_mille` of a thousand calls.
    pub(crate) fn happens(&mut self, per_mille: u16) -> bool {
        self.next() % 1_000 < u64::from(per_mille)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_tells_the_same_story_and_odds_hold() {
        let (mut one, mut other) = (Chance::new(7), Chance::new(7));
        assert!((0..100).all(|_| one.next() == other.next()));
        assert!((0..1_000).all(|_| !one.happens(0) && one.happens(1_000)));
        assert!((0..1_000).all(|_| one.up_to(3) <= 3));
        assert_eq!(one.up_to(0), 0);
        let hits = (0..10_000).filter(|_| one.happens(250)).count();
        assert!((2_200..2_800).contains(&hits), "{hits}");
    }
}
