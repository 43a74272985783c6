//! Our own hash spreads units evenly, and two salts spread them independently of one another.
//!
//! Over 1,000,000 units for each of 100 salts where the build is optimized, as in the long tier
//! (`cargo test --release -p flagforge-flags --test uniformity`); over a twentieth of the units and a tenth of
//! the salts otherwise.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

use std::fmt::Write;

use flagforge_flags::hash::{CompiledHash, bucket};
use flagforge_flags::wire::HashName;

const UNITS: u32 = if cfg!(debug_assertions) { 50_000 } else { 1_000_000 };
const SALTS: u32 = if cfg!(debug_assertions) { 10 } else { 100 };
const CELLS: u32 = 100;

/// With 99 degrees of freedom a random draw is above it once in a million times; ours are fixed draws.
const MOST: f64 = 181.0;

fn chi_square(counts: &[u32]) -> f64 {
    let expected = f64::from(UNITS) / f64::from(CELLS);
    counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
}

/// Counts each unit in the cell that `place` finds for it, below [`CELLS`].
fn counted(mail: bool, place: impl Fn(&str) -> u32) -> f64 {
    let mut counts = vec![0; CELLS as usize];
    let mut unit = String::new();
    for number in 0..UNITS {
        unit.clear();
        if mail {
            write!(unit, "user-{number}@example.com").unwrap();
        } else {
            write!(unit, "{number}").unwrap();
        }
        counts[place(&unit) as usize] += 1;
    }
    chi_square(&counts)
}

fn hash(salt: u32, buckets: u32) -> CompiledHash {
    CompiledHash::new(HashName::Xxh3, &format!("flag-{salt}"), 0, buckets)
}

#[test]
fn units_spread_evenly_for_every_salt() {
    let mut sum = 0.0;
    for salt in 0..SALTS {
        let by = hash(salt, CELLS);
        let chi = counted(salt % 2 == 0, |unit| bucket(&by, unit));
        assert!(chi < MOST, "salt {salt}: {chi}");
        sum += chi;
    }
    // All together are neither too uneven nor too even: five standard deviations of a chi-square.
    let freedom = f64::from(SALTS * (CELLS - 1));
    assert!((sum - freedom).abs() < 5.0 * (2.0 * freedom).sqrt(), "{sum} of {freedom}");
}

#[test]
fn the_default_number_of_buckets_is_spread_over_evenly() {
    let by = hash(0, 100_000);
    let chi = counted(true, |unit| bucket(&by, unit) / 1_000);
    assert!(chi < MOST, "{chi}");
}

#[test]
fn two_salts_place_the_same_units_independently() {
    for salt in 0..SALTS / 2 {
        let (one, other) = (hash(2 * salt, 10), hash(2 * salt + 1, 10));
        let chi = counted(salt % 2 == 0, |unit| bucket(&one, unit) * 10 + bucket(&other, unit));
        assert!(chi < MOST, "salts {} and {}: {chi}", 2 * salt, 2 * salt + 1);
    }
}
