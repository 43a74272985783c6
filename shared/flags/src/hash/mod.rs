//! From a unit to a bucket, as each [`HashName`] does it: integers only, nothing allocated.
//!
//! Where a vendor divides floating-point numbers, the quotient is taken exactly and rounded down; so a
//! unit at a range's very edge, where the vendor's own SDKs differ in the last bit, is in the range that
//! exact arithmetic says. Where a vendor's quotient can be exactly one, it belongs to the last bucket.

mod crc32;
mod digest;
mod fnv;
mod murmur;
#[cfg(test)]
mod tests;

use crate::bucket::{Decimal, bucket_xxh3, salt_seed};
use crate::wire::HashName;

/// The greatest number of 15 hexadecimal digits, by which some vendors divide.
const FIFTEEN_DIGITS: u64 = 0x0FFF_FFFF_FFFF_FFFF;

/// How often Flagsmith's input is repeated at most. One more time is needed once in 9,999 units, so
/// nobody ever sees the last; it only bounds the loop.
const FLAGSMITH_REPEATS: usize = 16;

/// A hash function with its salt, ready to ask.
#[derive(Debug, Clone)]
pub struct CompiledHash {
    buckets: u32,
    scheme: Scheme,
}

/// What is left to do once the salt is known. Salts end with what separates them from the unit.
#[derive(Debug, Clone)]
enum Scheme {
    Xxh3 { seed: u64 },
    Unleash { salt: Box<str>, seed: u32 },
    Split { seed: u32 },
    Flagd { salt: Box<str>, seed: u32 },
    Confidence { salt: Box<str>, seed: u32 },
    Fifteen { salt: Box<str>, suffix: &'static str },
    ConfigCat { salt: Box<str> },
    FeatureProbe { salt: Box<str> },
    Eppo { salt: Box<str> },
    Flagsmith { salt: Box<str> },
    GrowthBook1 { salt: Box<str> },
    GrowthBook2 { salted: u32 },
    Flipt { salted: u32 },
    FliptThreshold { salt: Box<str> },
    Statsig { salt: Box<str> },
    DevCycle { seed: u32, suffix: &'static str },
}

impl CompiledHash {
    /// Joins what does not depend on the unit. `buckets` may be 0: then every bucket is 0.
    pub fn new(name: HashName, salt: &str, seed: u32, buckets: u32) -> Self {
        let with = |separator: &str| -> Box<str> { [salt, separator].concat().into() };
        let scheme = match name {
            HashName::Xxh3 => Scheme::Xxh3 { seed: salt_seed(salt) },
            HashName::Unleash => Scheme::Unleash { salt: with(":"), seed },
            HashName::Split => Scheme::Split { seed },
            HashName::Flagd => Scheme::Flagd { salt: with(""), seed },
            HashName::Confidence => Scheme::Confidence { salt: with("|"), seed },
            HashName::LaunchDarkly => Scheme::Fifteen { salt: with("."), suffix: "" },
            HashName::PostHog => {
                Scheme::Fifteen { salt: with("."), suffix: if seed == 0 { "" } else { "variant" } }
            }
            HashName::ConfigCat => Scheme::ConfigCat { salt: with("") },
            HashName::FeatureProbe => Scheme::FeatureProbe { salt: with("") },
            HashName::Eppo => Scheme::Eppo { salt: with("-") },
            HashName::Flagsmith => Scheme::Flagsmith { salt: with(",") },
            HashName::GrowthBook1 => Scheme::GrowthBook1 { salt: with("") },
            HashName::GrowthBook2 => {
                Scheme::GrowthBook2 { salted: fnv::fnv1a(fnv::BASIS, salt.as_bytes()) }
            }
            HashName::Flipt if seed == 0 => {
                Scheme::Flipt { salted: crc32::crc32(0, salt.as_bytes()) }
            }
            HashName::Flipt => Scheme::FliptThreshold { salt: with("") },
            HashName::Statsig => Scheme::Statsig { salt: with(".") },
            HashName::DevCycle => Scheme::DevCycle {
                seed: murmur::murmur3_32([salt.as_bytes()], 1),
                suffix: if seed == 0 { "" } else { "_rollout" },
            },
        };
        Self { buckets, scheme }
    }

    /// How many buckets there are.
    pub fn buckets(&self) -> u32 {
        self.buckets
    }
}

/// The bucket of a unit: below the number of buckets, or 0 when there are none.
#[inline]
pub fn bucket(by: &CompiledHash, unit: &str) -> u32 {
    match &by.scheme {
        Scheme::Xxh3 { seed } => bucket_xxh3(*seed, unit, by.buckets),
        _ => bucket_of_others(by, unit),
    }
}

fn bucket_of_others(by: &CompiledHash, unit: &str) -> u32 {
    let (buckets, text) = (by.buckets, unit.as_bytes());
    match &by.scheme {
        Scheme::Xxh3 { seed } => bucket_xxh3(*seed, unit, buckets),
        Scheme::Unleash { salt, seed } => {
            modulo(murmur::murmur3_32([salt.as_bytes(), text], *seed).into(), buckets)
        }
        Scheme::Split { seed } => modulo(murmur::murmur3_32([text], *seed).into(), buckets),
        Scheme::Flagd { salt, seed } => {
            let hash = murmur::murmur3_32([salt.as_bytes(), text], *seed);
            scaled(hash.into(), 1 << 32, buckets)
        }
        Scheme::Confidence { salt, seed } => {
            modulo(murmur::murmur3_128_first([salt.as_bytes(), text], *seed) >> 4, buckets)
        }
        Scheme::Fifteen { salt, suffix } => {
            let hash = digest::sha1_first([salt.as_bytes(), text, suffix.as_bytes()]);
            scaled(hash >> 4, FIFTEEN_DIGITS, buckets)
        }
        // Seven hexadecimal digits are 28 bits.
        Scheme::ConfigCat { salt } => {
            modulo(digest::sha1_first([salt.as_bytes(), text]) >> (64 - 28), buckets)
        }
        Scheme::FeatureProbe { salt } => {
            modulo(digest::sha1_last([text, salt.as_bytes()]).into(), buckets)
        }
        Scheme::Eppo { salt } => {
            let first = digest::md5([salt.as_bytes(), text]) >> (128 - 32);
            modulo(u64::try_from(first).unwrap_or(0), buckets)
        }
        Scheme::Flagsmith { salt } => scaled(flagsmith(salt, unit), 9_998, buckets),
        Scheme::GrowthBook1 { salt } => {
            let hash = fnv::fnv1a(fnv::fnv1a(fnv::BASIS, text), salt.as_bytes());
            scaled(u64::from(hash % 1_000), 1_000, buckets)
        }
        Scheme::GrowthBook2 { salted } => {
            let inner = Decimal::of(fnv::fnv1a(*salted, text));
            let hash = fnv::fnv1a(fnv::BASIS, inner.as_str().as_bytes());
            scaled(u64::from(hash % 10_000), 10_000, buckets)
        }
        Scheme::Flipt { salted } => modulo(crc32::crc32(*salted, text).into(), buckets),
        Scheme::FliptThreshold { salt } => {
            modulo(crc32::crc32(crc32::crc32(0, text), salt.as_bytes()).into(), buckets)
        }
        Scheme::DevCycle { seed, suffix } => {
            let hash = murmur::murmur3_32([text, suffix.as_bytes()], *seed);
            scaled(hash.into(), u32::MAX.into(), buckets)
        }
        Scheme::Statsig { salt } => modulo(digest::sha256_first([salt.as_bytes(), text]), buckets),
    }
}

/// A number from 0 to 9,998; 9,998 only if sixteen repeats all gave it.
fn flagsmith(salt: &str, unit: &str) -> u64 {
    let mut place = 0;
    for repeats in 1..=FLAGSMITH_REPEATS {
        let ids = [salt.as_bytes(), unit.as_bytes(), b",".as_slice()];
        // No comma after the last.
        let pieces = ids.iter().copied().cycle().take(3 * repeats - 1);
        place = u64::try_from(digest::md5(pieces) % 9_999).unwrap_or(0);
        if place < 9_998 {
            break;
        }
    }
    place
}

fn modulo(hash: u64, buckets: u32) -> u32 {
    let place = hash.checked_rem(u64::from(buckets)).unwrap_or(0);
    // A remainder by a number of 32 bits has 32 bits.
    u32::try_from(place).unwrap_or(0)
}

/// `hash / whole × buckets`, rounded down; what is exactly all is in the last bucket.
fn scaled(hash: u64, whole: u64, buckets: u32) -> u32 {
    let place = u128::from(hash) * u128::from(buckets) / u128::from(whole);
    let last = buckets.saturating_sub(1);
    u32::try_from(place).unwrap_or(last).min(last)
}
