//! Looking things up by a hash of 64 bits, among things that are sorted by it.

use std::ops::Range;

use xxhash_rust::const_xxh3;

use crate::key_set::Ends;
use crate::manifest::key_hash;

/// What a thing is found by: its key's hash, and as much of the key as mostly spares comparing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) hash: u64,
    ends: Ends,
}

impl Mark {
    pub(crate) fn of(key: &str) -> Self {
        Self { hash: key_hash(key), ends: Ends::of(key) }
    }

    /// The same, found out when the program is compiled.
    pub(crate) const fn constant(key: &str) -> Self {
        Self { hash: const_xxh3::xxh3_64(key.as_bytes()), ends: Ends::of(key) }
    }

    /// Whether two keys are one, of which these are the marks.
    #[inline(always)]
    pub(crate) fn same(&self, key: &str, other: &Self, other_key: &str) -> bool {
        self == other && (self.ends.cover() || *key == *other_key)
    }
}

/// Where in a sorted list of hashes each stretch of equal leading bits begins. A look-up reads two neighbouring
/// bounds and then the few hashes between them, however long the list; and a list in which somebody made all hashes
/// begin alike is searched by halves.
#[derive(Debug, Default)]
pub(crate) struct Stretches {
    /// By how much a hash is shifted to its stretch; all but the stretches' bits.
    shift: u32,
    /// The first place of each stretch, and the end of the last.
    bounds: Box<[u32]>,
}

impl Stretches {
    /// Of hashes in ascending order, about so many to a stretch. Of more than 2³² hashes those beyond are not found.
    pub(crate) fn new(hashes: impl Iterator<Item = u64> + Clone, a_stretch: usize) -> Self {
        let count = hashes.clone().count();
        // At least two stretches, so that the shift stays below 64.
        let bits = (count / a_stretch.max(1)).max(2).next_power_of_two().trailing_zeros().min(31);
        let shift = u64::BITS - bits;
        let mut bounds = vec![0_u32; (1 << bits) + 1];
        for hash in hashes {
            if let Some(bound) = bounds.get_mut(stretch(hash, shift) + 1) {
                *bound += 1;
            }
        }
        let mut before = 0;
        for bound in &mut bounds {
            before += *bound;
            *bound = before;
        }
        Self { shift, bounds: bounds.into() }
    }

    /// The places where a hash can be.
    #[inline(always)]
    pub(crate) fn of(&self, hash: u64) -> Range<usize> {
        let at = stretch(hash, self.shift);
        match (self.bounds.get(at), self.bounds.get(at + 1)) {
            (Some(from), Some(until)) => *from as usize..*until as usize,
            _ => 0..0,
        }
    }
}

/// At most 31 bits of a hash are left: the shift is 33 at least, and 0 only where there are no bounds at all.
#[inline(always)]
fn stretch(hash: u64, shift: u32) -> usize {
    (hash.wrapping_shr(shift) as u32) as usize
}

/// Places in a stretch that are read one after the other before it is searched by halves.
pub(crate) const READ_ON: usize = 16;

/// The first of a stretch's entries whose hash is not below `hash`.
#[inline]
pub(crate) fn first<T>(stretch: &[T], hash: u64, of: impl Fn(&T) -> u64) -> usize {
    if stretch.len() <= READ_ON {
        stretch.iter().take_while(|entry| of(entry) < hash).count()
    } else {
        stretch.partition_point(|entry| of(entry) < hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_is_in_its_stretch_and_stretches_are_short() {
        for count in [0_u64, 1, 2, 3, 100, 10_000] {
            let mut hashes: Vec<u64> =
                (0..count).map(|i| xxhash_rust::xxh3::xxh3_64(&i.to_le_bytes())).collect();
            hashes.sort_unstable();
            let stretches = Stretches::new(hashes.iter().copied(), 4);
            for (place, hash) in hashes.iter().enumerate() {
                let stretch = stretches.of(*hash);
                assert!(stretch.contains(&place) && stretch.len() < 32, "{count}: {stretch:?}");
                let within = &hashes[stretch.clone()];
                assert_eq!(stretch.start + first(within, *hash, |h| *h), place);
            }
            assert!(stretches.of(0).start == 0 && stretches.of(u64::MAX).end == hashes.len());
        }
    }

    #[test]
    fn hashes_that_all_begin_alike_are_found_too() {
        let hashes: Vec<u64> = (0..100_000).collect();
        let stretches = Stretches::new(hashes.iter().copied(), 1);
        let within = &hashes[stretches.of(77_777)];
        assert_eq!(within.len(), 100_000);
        assert_eq!(first(within, 77_777, |h| *h), 77_777);
        assert!(stretches.of(u64::MAX).is_empty());
        assert!(Stretches::default().of(5).is_empty());
    }
}
