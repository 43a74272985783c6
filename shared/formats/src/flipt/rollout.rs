//! Percentages: a variant flag's distributions and a boolean flag's thresholds.

use flagforge_flags::wire::{ConditionWire, OutcomeWire, RangeWire, RolloutWire, SplitWire};
use serde_json::Value as Json;

use super::{empty_bucket, scalar, unit};
use crate::carry::variant_key;

/// Flipt counts thousandths in distributions, and hundredths in thresholds.
const THOUSAND: u32 = 1_000;
const HUNDRED: u32 = 100;

type Served = Vec<(ConditionWire, OutcomeWire)>;

/// What a matching rule leads to, under further conditions. Shares are made to fill the whole, in the single
/// precision that Flipt's engine has, so that every bound falls where its own does.
pub(crate) fn distributions(
    flag: &str,
    distributions: &[Json],
    default: &OutcomeWire,
) -> Result<Served, String> {
    let mut shares = Vec::new();
    for one in distributions {
        let variant = variant_key(&scalar(one, "variant")?)?;
        let share = scalar(one, "rollout")?;
        let share: f32 =
            share.parse().map_err(|_| format!("the rollout {share:?} is no number"))?;
        if share > 0.0 {
            shares.push((variant, share));
        }
    }
    let total: f32 = shares.iter().map(|(_, share)| share).sum();
    let (mut ranges, mut from, mut cumulative): (Vec<RangeWire>, u32, f32) = (Vec::new(), 0, 0.0);
    let last = shares.len().saturating_sub(1);
    for (place, (variant, share)) in shares.into_iter().enumerate() {
        cumulative += (share / total) * 100.0;
        let until = if place == last { THOUSAND } else { whole((cumulative * 10.0).round()) };
        if until > from {
            ranges.push(RangeWire { from, until, variant });
            from = until;
        }
    }
    let always = ConditionWire::Always;
    match ranges.len() {
        0 => return Ok(vec![(always, default.clone())]),
        1 => return Ok(vec![(always, OutcomeWire::Variant(ranges.swap_remove(0).variant))]),
        _ => {}
    }
    let by = unit(flag, false, THOUSAND);
    let (nobody, bucket) = empty_bucket(&by);
    let held = ranges.iter().find(|range| bucket < range.until).map(|range| range.variant.clone());
    let mut serves = vec![(always, OutcomeWire::Split(SplitWire { by, ranges }))];
    serves.extend(held.map(|variant| (nobody, OutcomeWire::Variant(variant))));
    Ok(serves)
}

/// When a threshold holds: a bucket below the percentage, which may be a fraction.
pub(crate) fn threshold(flag: &str, threshold: &Json) -> Result<Vec<ConditionWire>, String> {
    let text = scalar(threshold, "percentage")?;
    let share: f32 = text.parse().map_err(|_| format!("the percentage {text:?} is no number"))?;
    let until = whole(share.ceil()).min(HUNDRED);
    let by = unit(flag, true, HUNDRED);
    let (nobody, bucket) = empty_bucket(&by);
    match until {
        0 => return Ok(Vec::new()),
        HUNDRED => return Ok(vec![ConditionWire::Always]),
        _ => {}
    }
    let mut whens = vec![ConditionWire::Rollout(RolloutWire { by, from: 0, until })];
    whens.extend((bucket < until).then_some(nobody));
    Ok(whens)
}

/// A share as a count of buckets: no less than none, and no more than all.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded on the line itself; NaN becomes 0"
)]
fn whole(share: f32) -> u32 {
    share.clamp(0.0, 1_000.0) as u32
}
