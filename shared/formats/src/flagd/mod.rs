//! flagd: flag definitions whose targeting is JSONLogic that names a variant.
//!
//! Targeting that decides (`if` over comparisons, with `fractional` for shares) becomes rules. Targeting that
//! computes is refused by the name of its operation.

mod compare;
mod logic;
mod outcome;
mod schema;

use flagforge_flags::Context;
use flagforge_flags::keys::FlagKey;
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagClass, FlagWire, OutcomeWire, StateWire, VariantWire};
use serde_json::{Value as Json, json};

use crate::carry::variant_key;
use crate::featureprobe::type_of;
use crate::{ContextError, ImportError, Imported, own};

pub(crate) use schema::targeting as check_targeting;

/// Refuses the whole document where flagd's schema does.
pub(crate) fn import(document: &Json) -> Result<Imported, ImportError> {
    let mut imported = Imported::default();
    for (name, flag) in schema::flags(document)? {
        imported.add(&name, |key, imported| {
            let made = carry(key, flag, document.get("$evaluators"))?;
            if made.1 {
                let what = "reads `$flagd.timestamp`, which a program has to send as an attribute";
                imported.warn(&name, what);
            }
            Ok(made.0)
        });
    }
    Ok(imported)
}

/// The flag, and whether it reads the clock.
fn carry(key: FlagKey, flag: &Json, evaluators: Option<&Json>) -> Result<(FlagWire, bool), String> {
    let held = flag.get("variants").and_then(Json::as_object).ok_or("it has no variants")?;
    let values: Vec<Json> = held.values().cloned().collect();
    let mut variants = Vec::new();
    for (name, value) in held {
        let key = variant_key(name)?;
        variants.push(VariantWire { key, value: value.clone(), attachment: None });
    }
    let default = match flag.get("defaultVariant") {
        None | Some(Json::Null) => OutcomeWire::CallerDefault,
        Some(name) => {
            let name = name.as_str().unwrap_or_default();
            if !held.contains_key(name) {
                return Err(format!("its default variant `{name}` is not there"));
            }
            OutcomeWire::Variant(variant_key(name)?)
        }
    };
    let mut rules = outcome::Rules::new(key.as_str(), held, default.clone(), evaluators);
    if let Some(targeting) = flag.get("targeting").filter(|rule| **rule != json!({})) {
        rules.read(targeting)?;
    }
    let reads_clock = rules.reads_clock();
    let state = StateWire {
        enabled: flag.get("state").is_some_and(|state| state == "ENABLED"),
        off: OutcomeWire::CallerDefault,
        stale: None,
        prerequisites: Vec::new(),
        targets: Vec::new(),
        group_overrides: Vec::new(),
        rules: rules.finish()?,
        fallthrough: default,
    };
    let wire = FlagWire {
        key,
        version: 1,
        class: FlagClass::Release,
        value_type: type_of(&values)?,
        variants,
        client_visible: false,
        killed_groups: Vec::new(),
        state,
    };
    Ok((wire, reads_clock))
}

/// Flat, with `targetingKey`; `$flagd.timestamp` is `now` in whole seconds, whatever the caller says it is.
pub(crate) fn context(
    context: Context<'static>,
    json: &Json,
    now: Timestamp,
) -> Result<Context<'static>, ContextError> {
    let context = own::context(context, json)?;
    Ok(context.attr("$flagd", json!({"timestamp": now.as_seconds()})))
}
