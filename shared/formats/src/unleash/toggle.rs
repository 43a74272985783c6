//! A toggle: strategies, any of which lets the user in, and variants.

use flagforge_flags::keys::FlagKey;
use flagforge_flags::wire::{
    ConditionWire, FlagClass, FlagWire, OutcomeWire, RuleWire, StateWire, ValueType,
};
use serde_json::Value as Json;

use super::dependency::{self, Met};
use super::variant::Variants;
use super::{Surroundings, strategy};
use crate::Imported;
use crate::carry::{Carried, all, list, rule, text_of};

/// A strategy, carried over.
struct Way {
    carried: Carried,
    outcomes: Vec<(ConditionWire, OutcomeWire)>,
}

/// The ways into a toggle, and its variants.
fn ways(
    name: &str,
    feature: &Json,
    surroundings: &Surroundings<'_>,
    imported: &mut Imported,
) -> Result<(Vec<Way>, Variants), String> {
    let mut variants = Variants::new(name, imported)?;
    let own = list(feature, "variants")?;
    let sticky = own.first().and_then(|variant| variant.get("stickiness")).and_then(text_of);
    let strategies = list(feature, "strategies")?;
    let mut ways = Vec::new();
    for strategy in strategies {
        let carried = strategy::carry(strategy, name, surroundings, imported)?;
        for case in &carried.undecided {
            imported.warn(name, format!("may answer an error: {}", case.why));
        }
        let theirs = list(strategy, "variants")?;
        let outcomes = if theirs.is_empty() {
            variants.outcomes(name, own, sticky.as_deref(), name, imported)?
        } else {
            let parameter = |name: &str| strategy.get("parameters")?.get(name).and_then(text_of);
            let group = parameter("groupId").unwrap_or_else(|| name.to_owned());
            let sticky = parameter("stickiness");
            variants.outcomes(name, theirs, sticky.as_deref(), &group, imported)?
        };
        ways.push(Way { carried, outcomes });
    }
    if strategies.is_empty() {
        // A toggle that is on and has no strategy is on for everybody.
        let outcomes = variants.outcomes(name, own, sticky.as_deref(), name, imported)?;
        ways.push(Way { carried: ConditionWire::Always.into(), outcomes });
    }
    Ok((ways, variants))
}

pub(crate) fn carry(
    key: FlagKey,
    feature: &Json,
    surroundings: &Surroundings<'_>,
    imported: &mut Imported,
) -> Result<FlagWire, String> {
    let name = key.as_str();
    let on = feature.get("enabled").and_then(Json::as_bool).ok_or("`enabled` is no boolean")?;
    let (ways, variants) = ways(name, feature, surroundings, imported)?;
    let (mut enabled, mut prerequisites, mut first) = (on, Vec::new(), Vec::new());
    for entry in list(feature, "dependencies")? {
        match dependency::carry(entry, surroundings)? {
            Met::When(test, undecided) => {
                prerequisites.push(test);
                if let Some(case) = undecided {
                    let id = format!("dependency {} undecided", prerequisites.len());
                    first.push(rule(&id, case.when, OutcomeWire::Error(case.why))?);
                }
            }
            Met::Always => {}
            Met::Never(why) => {
                imported.warn(name, format!("is off for good: {why}"));
                enabled = false;
            }
        }
    }
    first.extend(rules(&ways)?);
    let off = OutcomeWire::Variant(variants.off.clone());
    Ok(FlagWire {
        version: 1,
        class: FlagClass::Release,
        value_type: ValueType::Boolean,
        variants: variants.wires,
        client_visible: false,
        killed_groups: Vec::new(),
        state: StateWire {
            enabled,
            off: off.clone(),
            stale: None,
            prerequisites,
            targets: Vec::new(),
            group_overrides: Vec::new(),
            rules: first,
            fallthrough: off,
        },
        key,
    })
}

/// The names of the variants that mean "on", with their keys, and those that no name tells.
pub(crate) fn on_variants(
    name: &str,
    feature: &Json,
    surroundings: &Surroundings<'_>,
) -> Result<Variants, String> {
    // What there is to warn of is said where the toggle itself is carried over.
    Ok(ways(name, feature, surroundings, &mut Imported::default())?.1)
}

fn rules(ways: &[Way]) -> Result<Vec<RuleWire>, String> {
    let (mut rules, mut late) = (Vec::new(), Vec::new());
    // Where all ways lead to the same, a later one that lets the user in makes the undecided one moot.
    let same = ways.windows(2).all(|pair| match pair {
        [one, other] => one.outcomes == other.outcomes,
        _ => true,
    });
    for (place, way) in ways.iter().enumerate() {
        let at = place + 1;
        for (turn, (when, serve)) in way.outcomes.iter().enumerate() {
            let when = all([way.carried.when.clone(), when.clone()]);
            if when == crate::carry::never() {
                continue;
            }
            let id = match turn {
                0 => format!("strategy {at}"),
                turn => format!("strategy {at}.{}", turn + 1),
            };
            rules.push(rule(&id, when, serve.clone())?);
        }
        for (turn, case) in way.carried.undecided.iter().enumerate() {
            let id = format!("strategy {at} undecided {}", turn + 1);
            let rule = rule(&id, case.when.clone(), OutcomeWire::Error(case.why.clone()))?;
            if same { late.push(rule) } else { rules.push(rule) }
        }
    }
    rules.extend(late);
    Ok(rules)
}
