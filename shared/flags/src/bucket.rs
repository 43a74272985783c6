//! From a unit to a bucket: integers only, one hash.

use std::fmt::Write;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The seed that stands for a salt: XXH3-64 of its bytes. Computed once, when a flag is compiled.
pub fn salt_seed(salt: &str) -> u64 {
    xxh3_64(salt.as_bytes())
}

/// The bucket of a unit, below `buckets` (0 when there are none): the high 64 bits of
/// `XXH3-64(unit, seed) × buckets`, which spreads evenly over any number of buckets.
#[inline]
pub fn bucket_xxh3(salt_seed: u64, unit: &str, buckets: u32) -> u32 {
    let hash = xxh3_64_with_seed(unit.as_bytes(), salt_seed);
    let place = (u128::from(hash) * u128::from(buckets)) >> 64;
    // `hash` is below 2^64, so the product's high half is below `buckets`.
    u32::try_from(place).unwrap_or(0)
}

/// The decimal text of a number, on the stack: evaluation allocates nothing.
#[derive(Default)]
pub(crate) struct Decimal {
    /// Whole numbers of 64 bits have at most 20 characters (`-9223372036854775808`), floats as JSON at most 24.
    digits: [u8; 32],
    length: usize,
}

impl Decimal {
    pub(crate) fn of(number: impl std::fmt::Display) -> Self {
        let mut decimal = Self::default();
        // Numbers of 64 bits always fit; anything longer would be cut, not fail.
        let _fits = write!(decimal, "{number}");
        decimal
    }

    pub(crate) fn as_str(&self) -> &str {
        let digits = self.digits.get(..self.length).unwrap_or_default();
        std::str::from_utf8(digits).unwrap_or_default()
    }
}

impl Write for Decimal {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        let place = self.digits.get_mut(self.length..end).ok_or(std::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extremes_of_64_bits_fit() {
        for number in [i64::MIN, -1, 0, i64::MAX] {
            assert_eq!(Decimal::of(number).as_str(), number.to_string());
        }
        assert_eq!(Decimal::of(u64::MAX).as_str(), u64::MAX.to_string());
    }

    #[test]
    fn buckets_are_pinned() {
        // Computed with Python's xxhash: a change here would move users between variants.
        let check = |salt: &str, unit: &str, buckets, bucket| {
            assert_eq!(bucket_xxh3(salt_seed(salt), unit, buckets), bucket, "{unit}");
        };
        check("", "", 100_000, 25_462);
        check("s", "u-1", 100_000, 46_004);
        check("s", "u-2", 100_000, 8_649);
        check("new-dashboard", "acme", 100_000, 24_577);
        check("checkout", "é", 1_000_000, 111_576);
        check("s", "-9223372036854775808", 1_000, 520);
        check("s", "true", 10, 6);
        check(&"x".repeat(1_000), &"y".repeat(1_000), 99_999, 12_456);
    }

    #[test]
    fn buckets_stay_in_range_and_every_bucket_is_reached() {
        let seed = salt_seed("s");
        assert_eq!(bucket_xxh3(seed, "u", 0), 0);
        assert_eq!(bucket_xxh3(seed, "u", 1), 0);
        let mut reached = [false; 7];
        for unit in 0..500 {
            let bucket = bucket_xxh3(seed, &unit.to_string(), 7);
            *reached.get_mut(bucket as usize).unwrap() = true;
        }
        assert_eq!(reached, [true; 7]);
    }
}
