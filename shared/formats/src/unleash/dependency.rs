//! Dependencies: a toggle that is off unless its parents answer so.

use flagforge_flags::keys::FlagKey;
use flagforge_flags::wire::{FlagIsWire, FlagTestWire};
use serde_json::Value as Json;

use super::variant::OFF;
use super::{Surroundings, toggle};
use crate::Imported;
use crate::carry::{list, text, text_of};

/// When a dependency is met.
pub(crate) enum Met {
    Always,
    Never(String),
    When(FlagTestWire),
}

pub(crate) fn carry(
    child: &str,
    dependency: &Json,
    surroundings: &Surroundings<'_>,
    imported: &mut Imported,
) -> Result<Met, String> {
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
        return Ok(Met::When(FlagTestWire { flag, is }));
    }
    let names: Vec<String> = list(dependency, "variants")?.iter().filter_map(text_of).collect();
    if names.is_empty() {
        let is = FlagIsWire::Variants(variants.all_on());
        return Ok(Met::When(FlagTestWire { flag, is }));
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
    if !variants.named.is_empty() {
        let what =
            format!("depends on a variant of `{name}`: where that is drawn at random, this is off");
        imported.warn(child, what);
    }
    Ok(Met::When(FlagTestWire { flag, is: FlagIsWire::Variants(keys) }))
}
