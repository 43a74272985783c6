//! Dependencies: a toggle that is off unless its parents answer so.

use flagforge_flags::keys::FlagKey;
use flagforge_flags::wire::{ConditionWire, FlagIsWire, FlagTestWire};
use serde_json::Value as Json;

use super::variant::OFF;
use super::{Surroundings, toggle};
use crate::carry::{Undecided, list, text, text_of};

/// When a dependency is met.
pub(crate) enum Met {
    Always,
    Never(String),
    /// Met, or not decided where the parent's variant would be drawn.
    When(FlagTestWire, Option<Undecided>),
}

pub(crate) fn carry(dependency: &Json, surroundings: &Surroundings<'_>) -> Result<Met, String> {
    let name = text(dependency, "feature")?;
    let Some(parent) = surroundings.toggles.get(name) else {
        return Ok(Met::Never(format!("it depends on `{name}`, which is not there")));
    };
    if !list(parent, "dependencies")?.is_empty() {
        let why =
            format!("it depends on `{name}`, which has dependencies, and Unleash allows one level");
        return Ok(Met::Never(why));
    }
    let parent_on = parent.get("enabled").and_then(Json::as_bool).unwrap_or(false);
    let wanted_on = dependency.get("enabled").and_then(Json::as_bool).unwrap_or(true);
    if !parent_on {
        return Ok(if wanted_on {
            Met::Never(format!("it depends on `{name}`, which is off"))
        } else {
            Met::Always
        });
    }
    let flag = FlagKey::new(name).map_err(|error| error.to_string())?;
    let variants = toggle::on_variants(name, parent, surroundings)?;
    if !wanted_on {
        let is = FlagIsWire::Variants(vec![variants.off]);
        return Ok(Met::When(FlagTestWire { flag, is }, None));
    }
    let names: Vec<String> = list(dependency, "variants")?.iter().filter_map(text_of).collect();
    if names.is_empty() {
        let is = FlagIsWire::Variants(variants.all_on());
        return Ok(Met::When(FlagTestWire { flag, is }, None));
    }
    let mut keys: Vec<_> = variants
        .named
        .iter()
        .filter(|(held, _)| names.contains(held))
        .map(|(_, key)| key.clone())
        .collect();
    if names.iter().any(|name| name == OFF) {
        keys.push(variants.bare);
    }
    if keys.is_empty() {
        return Ok(Met::Never(format!("it depends on variants that `{name}` does not have")));
    }
    // A drawn variant meets the dependency here, so that a rule behind it can say that there is no answer.
    let drawn = FlagIsWire::Variants(vec![variants.drawn.clone()]);
    let case = Undecided {
        when: ConditionWire::Flag(FlagTestWire { flag: flag.clone(), is: drawn }),
        why: format!("it depends on a variant of `{name}` that is drawn at random"),
    };
    keys.push(variants.drawn);
    Ok(Met::When(FlagTestWire { flag, is: FlagIsWire::Variants(keys) }, Some(case)))
}
