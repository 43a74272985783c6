//! What a rule, or a toggle without one, serves.

use flagforge_flags::wire::{HashName, MissingUnit, OutcomeWire, RangeWire, SplitWire, UnitWire};
use serde_json::Value as Json;

use crate::carry::{list, text_of, user_path, variant_key};

const BUCKETS: u32 = 10_000;

pub(crate) fn name(place: usize) -> String {
    format!("variation {place}")
}

/// What is served, tried in order: a split without its unit goes on to the error that FeatureProbe answers there.
pub(crate) fn carry(
    serve: Option<&Json>,
    variations: usize,
    toggle: &str,
) -> Result<Vec<OutcomeWire>, String> {
    let serve = serve.ok_or("nothing is served")?;
    if let Some(select) = serve.get("select") {
        let place = select.as_u64().and_then(|place| usize::try_from(place).ok());
        let place = place.ok_or_else(|| format!("`select` is {select}"))?;
        if place >= variations {
            let why = format!("variation {place} is selected, and there are {variations}");
            return Ok(vec![OutcomeWire::Error(why)]);
        }
        return Ok(vec![OutcomeWire::Variant(variant_key(&name(place))?)]);
    }
    let split = serve.get("split").ok_or("neither `select` nor `split` is served")?;
    let (unit, missing) = match split.get("bucketBy").and_then(Json::as_str) {
        None => ("user.key".to_owned(), "the user has no key".to_owned()),
        Some(by) => (user_path(by)?, format!("the user has no attribute `{by}`")),
    };
    let salt = split.get("salt").and_then(text_of).filter(|salt| !salt.is_empty());
    let by = UnitWire {
        unit,
        fallbacks: Vec::new(),
        missing: MissingUnit::NoMatch,
        salt: salt.unwrap_or_else(|| toggle.to_owned()),
        hash: HashName::FeatureProbe,
        seed: 0,
        buckets: BUCKETS,
    };
    let ranges = ranges(split, variations)?;
    Ok(vec![OutcomeWire::Split(SplitWire { by, ranges }), OutcomeWire::Error(missing)])
}

/// Of ranges that overlap, FeatureProbe takes the earlier variation's; buckets in none have no answer.
fn ranges(split: &Json, variations: usize) -> Result<Vec<RangeWire>, String> {
    let mut held: Vec<(usize, u32, u32)> = Vec::new();
    for (place, pairs) in list(split, "distribution")?.iter().enumerate() {
        for pair in pairs.as_array().into_iter().flatten() {
            let at = |place| pair.get(place).and_then(Json::as_u64)?.try_into().ok();
            let (Some(from), Some(until)) = (at(0), at(1)) else {
                return Err("a range of the split is no pair of numbers".into());
            };
            held.push((place, from, until));
        }
    }
    let bounds = held.iter().flat_map(|(_, from, until)| [*from, *until]).chain([0, BUCKETS]);
    let mut bounds: Vec<u32> = bounds.filter(|bound| *bound <= BUCKETS).collect();
    bounds.sort_unstable();
    bounds.dedup();
    let mut ranges: Vec<RangeWire> = Vec::new();
    for pair in bounds.windows(2) {
        let [from, until] = *pair else { continue };
        let covers = |entry: &&(usize, u32, u32)| entry.1 <= from && from < entry.2;
        let place = held.iter().filter(covers).map(|(place, ..)| *place).min();
        let place = place.filter(|place| *place < variations);
        let place =
            place.ok_or_else(|| format!("the split leaves {from}..{until} without a variation"))?;
        let variant = variant_key(&name(place))?;
        match ranges.last_mut() {
            Some(last) if last.variant == variant => last.until = until,
            _ => ranges.push(RangeWire { from, until, variant }),
        }
    }
    Ok(ranges)
}
