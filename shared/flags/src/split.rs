//! Percentage splits: from the weights that an author asks for to ranges of buckets, moving the fewest
//! buckets. Pure; the control plane calls it at every edit of weights and stores the ranges.

use std::collections::{BTreeMap, HashSet};

use thiserror::Error;

use crate::keys::VariantKey;
use crate::wire::RangeWire;

/// Buckets of a split unless its author wants others: thousandths of a percent.
pub const DEFAULT_BUCKETS: u32 = 100_000;
/// Buckets of a split: a ten-thousandth of a percent is finer than any population here.
pub const MAX_BUCKETS: u32 = 1_000_000;
/// Ranges of a split. A rebalance adds at most one a variant, and merges what touches; a hundred variants
/// and many edits stay far below.
pub const MAX_RANGES: usize = 1_000;

/// What an author asks for: a share in proportion to all weights of the split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// The variant.
    pub variant: VariantKey,
    /// Its share is this over the sum of all; 0 means nobody.
    pub weight: u32,
}

/// Why weights or ranges make no split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SplitError {
    /// No buckets, or too many.
    #[error("a split has 1 to {MAX_BUCKETS} buckets")]
    Buckets,
    /// No weight, or all of them 0.
    #[error("at least one weight must be above 0")]
    NoWeight,
    /// A variant that stands twice.
    #[error("a variant has two weights")]
    Twice,
    /// More ranges than the limit.
    #[error("a split has at most {MAX_RANGES} ranges")]
    TooManyRanges,
    /// Ranges that are empty, overlap, leave a gap, or do not end at the last bucket.
    #[error("ranges must ascend and cover every bucket once, from 0 to the number of buckets")]
    Cover,
    /// A bound beyond the last bucket, or a range that ends before it begins.
    #[error("bounds must be from 0 to the number of buckets, and `from` not above `until`")]
    Bounds,
    /// A ramp that ends before it starts.
    #[error("a ramp must end later than it starts")]
    Instants,
    /// A ramp in no steps.
    #[error("a ramp has at least one step")]
    NoSteps,
}

/// Holds ranges against their bucket count: ascending, none empty, every bucket covered once.
pub fn check_ranges(ranges: &[RangeWire], buckets: u32) -> Result<(), SplitError> {
    if buckets == 0 || buckets > MAX_BUCKETS {
        return Err(SplitError::Buckets);
    }
    if ranges.len() > MAX_RANGES {
        return Err(SplitError::TooManyRanges);
    }
    let mut end = 0;
    for range in ranges {
        if range.from != end || range.until <= range.from {
            return Err(SplitError::Cover);
        }
        end = range.until;
    }
    if end == buckets { Ok(()) } else { Err(SplitError::Cover) }
}

/// New ranges for `weights`, as near to `previous` as they can be: a variant that shrinks gives away only
/// what it loses, a variant that grows keeps all it has. `previous` is empty for a new split, and
/// otherwise covers the same number of buckets. Shares are rounded to whole buckets by largest remainder,
/// ties to the earlier weight, so the same input gives the same ranges.
pub fn rebalance(
    previous: &[RangeWire],
    buckets: u32,
    weights: &[Weight],
) -> Result<Vec<RangeWire>, SplitError> {
    if previous.is_empty() {
        if buckets == 0 || buckets > MAX_BUCKETS {
            return Err(SplitError::Buckets);
        }
    } else {
        check_ranges(previous, buckets)?;
    }
    let targets = targets(buckets, weights)?;
    let (mut kept, mut free) = shrink(previous, buckets, weights, &targets);
    grow(&mut kept, &mut free, weights, &targets);
    kept.sort_by_key(|range| range.from);
    let ranges = merged(kept);
    check_ranges(&ranges, buckets)?;
    Ok(ranges)
}

/// How many buckets each weight is to have, in the weights' order.
fn targets(buckets: u32, weights: &[Weight]) -> Result<Vec<u32>, SplitError> {
    let mut seen = HashSet::new();
    if !weights.iter().all(|w| seen.insert(&w.variant)) {
        return Err(SplitError::Twice);
    }
    let total: u64 = weights.iter().map(|w| u64::from(w.weight)).sum();
    if total == 0 {
        return Err(SplitError::NoWeight);
    }
    let share = |weight: u32| u64::from(weight) * u64::from(buckets);
    // A share of at most all buckets fits the type of the bucket count.
    let mut targets: Vec<u32> =
        weights.iter().map(|w| u32::try_from(share(w.weight) / total).unwrap_or(buckets)).collect();
    let given: u32 = targets.iter().sum();
    let mut by_remainder: Vec<(u64, usize)> =
        weights.iter().enumerate().map(|(i, w)| (share(w.weight) % total, i)).collect();
    by_remainder.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, place) in by_remainder.into_iter().take((buckets - given) as usize) {
        if let Some(target) = targets.get_mut(place) {
            *target += 1;
        }
    }
    Ok(targets)
}

/// Ranges without an owner, by first bucket: `from → until`.
type Free = BTreeMap<u32, u32>;

/// Takes from each variant what it has too much of, its shortest ranges first, so that splits do not
/// crumble with every edit.
fn shrink(
    previous: &[RangeWire],
    buckets: u32,
    weights: &[Weight],
    targets: &[u32],
) -> (Vec<RangeWire>, Free) {
    let mut free = Free::new();
    if previous.is_empty() {
        release(&mut free, 0, buckets);
    }
    let mut held: BTreeMap<&VariantKey, Vec<RangeWire>> = BTreeMap::new();
    for range in previous {
        held.entry(&range.variant).or_default().push(range.clone());
    }
    let mut kept = Vec::with_capacity(previous.len());
    for (variant, mut ranges) in held {
        let place = weights.iter().position(|w| w.variant == *variant);
        let target = place.and_then(|p| targets.get(p)).copied().unwrap_or(0);
        let has: u32 = ranges.iter().map(|r| r.until - r.from).sum();
        let mut surplus = has.saturating_sub(target);
        ranges.sort_by_key(|r| (r.until - r.from, std::cmp::Reverse(r.from)));
        for mut range in ranges {
            let cut = surplus.min(range.until - range.from);
            surplus -= cut;
            if cut > 0 {
                release(&mut free, range.until - cut, range.until);
                range.until -= cut;
            }
            if range.from < range.until {
                kept.push(range);
            }
        }
    }
    (kept, free)
}

fn release(free: &mut Free, mut from: u32, mut until: u32) {
    if let Some((&before, &end)) = free.range(..from).next_back()
        && end == from
    {
        free.remove(&before);
        from = before;
    }
    if let Some(end) = free.remove(&until) {
        until = end;
    }
    free.insert(from, until);
}

/// Gives each variant what it lacks, from the lowest free buckets, in the weights' order.
fn grow(kept: &mut Vec<RangeWire>, free: &mut Free, weights: &[Weight], targets: &[u32]) {
    for (weight, target) in weights.iter().zip(targets) {
        let has: u32 =
            kept.iter().filter(|r| r.variant == weight.variant).map(|r| r.until - r.from).sum();
        let mut lacks = target.saturating_sub(has);
        while lacks > 0 {
            let Some((from, until)) = free.pop_first() else { return };
            let take = lacks.min(until - from);
            lacks -= take;
            kept.push(RangeWire { from, until: from + take, variant: weight.variant.clone() });
            if from + take < until {
                free.insert(from + take, until);
            }
        }
    }
}

fn merged(sorted: Vec<RangeWire>) -> Vec<RangeWire> {
    let mut ranges: Vec<RangeWire> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match ranges.last_mut() {
            Some(last) if last.variant == range.variant && last.until == range.from => {
                last.until = range.until;
            }
            _ => ranges.push(range),
        }
    }
    ranges
}

#[cfg(test)]
mod tests;
