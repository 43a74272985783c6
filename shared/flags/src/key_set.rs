//! Sets of texts, and of nothing but the hashes of texts.

use xxhash_rust::xxh3::xxh3_64;

use crate::by_hash::{READ_ON, Stretches, first};

/// Texts that are compared one by one rather than hashed.
const FEW: usize = 4;
/// Hashes in a stretch: a bound of 4 bytes for four hashes of 8 makes 9 bytes a hash.
const A_STRETCH: usize = 4;

/// A set of texts.
#[derive(Debug)]
pub(crate) enum KeySet {
    /// Ascending.
    Few(Box<[(Ends, Box<str>)]>),
    Many(Box<Hashed>),
}

impl KeySet {
    pub(crate) fn new(mut keys: Vec<Box<str>>) -> Self {
        if keys.len() <= FEW {
            keys.sort_unstable();
            keys.dedup();
            return Self::Few(keys.into_iter().map(|key| (Ends::of(&key), key)).collect());
        }
        let mut hashed: Vec<(u64, Box<str>)> =
            keys.into_iter().map(|key| (xxh3_64(key.as_bytes()), key)).collect();
        hashed.sort_unstable();
        hashed.dedup();
        let (hashes, keys): (Vec<u64>, Vec<Box<str>>) = hashed.into_iter().unzip();
        Self::Many(Box::new(Hashed { keys: keys.into(), hashes: Sorted::new(hashes.into()) }))
    }

    #[inline]
    pub(crate) fn has(&self, text: &str) -> bool {
        match self {
            Self::Few(keys) if keys.is_empty() => false,
            _ => self.has_with(text, Ends::of(text)),
        }
    }

    /// As [`KeySet::has`], of a text whose ends are known.
    #[inline(always)]
    pub(crate) fn has_with(&self, text: &str, ends: Ends) -> bool {
        match self {
            Self::Few(keys) => {
                // Of a text that its ends cover nothing is left to compare.
                let same = |(held, key): &(Ends, Box<str>)| {
                    *held == ends && (ends.cover() || **key == *text)
                };
                keys.iter().any(same)
            }
            Self::Many(keys) => keys.have(text),
        }
    }

    /// Ascending. Allocates.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let mut keys: Vec<&str> = match self {
            Self::Few(keys) => keys.iter().map(|(_, key)| &**key).collect(),
            Self::Many(keys) => keys.keys.iter().map(AsRef::as_ref).collect(),
        };
        keys.sort_unstable();
        keys.into_iter()
    }
}

impl Default for KeySet {
    fn default() -> Self {
        Self::Few(Box::default())
    }
}

/// Texts by their hashes.
#[derive(Debug)]
pub(crate) struct Hashed {
    /// In the hashes' order.
    keys: Box<[Box<str>]>,
    hashes: Sorted,
}

impl Hashed {
    #[inline(never)]
    fn have(&self, text: &str) -> bool {
        let hash = xxh3_64(text.as_bytes());
        let start = self.hashes.place(hash);
        let held = self.hashes.hashes.iter().zip(&self.keys).skip(start);
        // Two texts of one hash stand side by side.
        held.take_while(|(held, _)| **held == hash).any(|(_, key)| **key == *text)
    }
}

/// A text's length, its first and its last eight bytes: three comparisons instead of a call for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    length: u64,
    first: u64,
    last: u64,
}

impl Ends {
    #[inline]
    pub(crate) const fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let (first, last) = match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => (short(bytes), 0),
        };
        Self { length: bytes.len() as u64, first, last }
    }

    /// Whether the ends are all there is.
    pub(crate) const fn cover(self) -> bool {
        self.length <= 16
    }
}

/// Fewer than eight bytes as a number; of one length no two texts have the same.
#[inline]
const fn short(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(&[a, b, c, d]), Some(&[e, f, g, h])) => [a, b, c, d, e, f, g, h],
        _ => match *bytes {
            [a, b, c] => [a, b, c, 0, 0, 0, 0, 0],
            [a, b] => [a, b, 0, 0, 0, 0, 0, 0],
            [a] => [a, 0, 0, 0, 0, 0, 0, 0],
            _ => [0; 8],
        },
    })
}

/// Hashes of texts, ascending, and where in them each stretch begins.
#[derive(Debug, Default)]
struct Sorted {
    hashes: Box<[u64]>,
    stretches: Stretches,
}

impl Sorted {
    fn new(hashes: Box<[u64]>) -> Self {
        let stretches = Stretches::new(hashes.iter().copied(), A_STRETCH);
        Self { hashes, stretches }
    }

    /// Where the hash is, or would be.
    #[inline]
    fn place(&self, hash: u64) -> usize {
        let within = self.stretches.of(hash);
        let start = within.start;
        start + first(self.hashes.get(within).unwrap_or_default(), hash, |held| *held)
    }
}

/// Hashes of texts and nothing else, ascending, with gaps. A hash stands where its share of all hashes would put it, or
/// a little further; so a look-up reads one line of memory, mostly. A gap repeats the hash before it: the whole is sorted.
#[derive(Debug)]
pub(crate) struct HashSet {
    slots: Box<[u64]>,
    /// As many slots as hashes are spread over; a few more follow for those that the last ones push on.
    spread: u64,
    /// Whether 0 is among the hashes.
    zero: bool,
}

impl HashSet {
    /// Of hashes that ascend and do not repeat.
    pub(crate) fn new(hashes: &[u64]) -> Self {
        // Six slots for five hashes: 9.6 bytes each.
        let spread = (hashes.len() as u64).saturating_mul(6).div_ceil(5);
        let mut slots: Vec<u64> = Vec::with_capacity(usize::try_from(spread).unwrap_or(0));
        for hash in hashes {
            let before = slots.last().copied().unwrap_or(0);
            slots.resize(slots.len().max(place(*hash, spread)), before);
            slots.push(*hash);
        }
        Self { slots: slots.into(), spread, zero: hashes.first() == Some(&0) }
    }

    /// What it is made of; of the same hashes always the same.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u64> {
        self.slots.iter().copied()
    }

    #[inline]
    pub(crate) fn has(&self, hash: u64) -> bool {
        let rest = self.slots.get(place(hash, self.spread)..).unwrap_or_default();
        match rest.iter().take(READ_ON).find(|held| **held >= hash) {
            // A gap before the first hash is 0, too.
            Some(held) => *held == hash && (hash != 0 || self.zero),
            None => rest.binary_search(&hash).is_ok(),
        }
    }
}

#[inline]
fn place(hash: u64, spread: u64) -> usize {
    // Below `spread`, because the hash is below 2^64.
    usize::try_from((u128::from(hash) * u128::from(spread)) >> 64).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_in_and_nothing_else() {
        for count in [0, 1, FEW, FEW + 1, 1_000] {
            let keys = (0..count).flat_map(|i| [format!("k-{i}").into(), format!("k-{i}").into()]);
            let set = KeySet::new(keys.collect());
            assert!((0..count).all(|i| set.has(&format!("k-{i}"))), "{count}");
            assert!(!set.has("") && !set.has("k-") && !set.has(&format!("k-{count}")));
            assert_eq!(set.iter().count(), count);
            assert!(set.iter().is_sorted());
        }
    }

    #[test]
    fn texts_that_differ_in_one_byte_are_told_apart() {
        for length in 0..40 {
            let text = "x".repeat(length);
            let set = KeySet::new(vec![text.as_str().into()]);
            assert!(set.has(&text) && !set.has(&format!("{text}x")), "{length}");
            for place in 0..length {
                let mut other = text.clone().into_bytes();
                other[place] = b'y';
                assert!(!set.has(std::str::from_utf8(&other).unwrap()), "{length}: {place}");
            }
        }
    }

    fn hashes(count: u64) -> Vec<u64> {
        let mut hashes: Vec<u64> = (0..count).map(|i| xxh3_64(&i.to_le_bytes())).collect();
        hashes.sort_unstable();
        hashes
    }

    #[test]
    fn hashes_that_were_put_in_are_in_and_no_others() {
        let alike: Vec<u64> = (5..50_000).collect();
        let ends = vec![0, 1, u64::MAX - 1, u64::MAX];
        for all in [hashes(0), hashes(1), hashes(7), hashes(10_000), alike, ends] {
            let set = HashSet::new(&all);
            assert!(all.iter().all(|hash| set.has(*hash)), "{}", all.len());
            let near = all.iter().flat_map(|hash| [hash.wrapping_sub(1), hash.wrapping_add(1)]);
            let far = hashes(3).into_iter().map(|hash| hash ^ 1);
            for hash in near.chain(far).chain([0, 1, u64::MAX]) {
                assert_eq!(
                    set.has(hash),
                    all.binary_search(&hash).is_ok(),
                    "{hash} in {}",
                    all.len()
                );
            }
        }
        // A gap before the first hash is no hash.
        assert!(!HashSet::new(&[u64::MAX - 1, u64::MAX]).has(0));
    }

    #[test]
    fn a_hash_costs_less_than_ten_bytes() {
        let set = HashSet::new(&hashes(1 << 20));
        let bytes = size_of_val(&*set.slots) as f64 / f64::from(1 << 20);
        assert!(bytes < 9.7, "{bytes}");
    }
}
