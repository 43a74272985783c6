//! FeatureProbe: the repository that its server SDKs poll.
//!
//! A toggle's variations have no names; here they are `variation 0` and so on, in their order.

mod condition;
mod serve;

use std::collections::BTreeMap;

use flagforge_flags::Context;
use flagforge_flags::keys::{FlagKey, SegmentKey};
use flagforge_flags::wire::{
    FlagClass, FlagIsWire, FlagTestWire, FlagWire, IdsWire, SegmentWire, StateWire, ValueType,
    VariantWire,
};
use serde_json::{Map, Value as Json};

use crate::carry::{Carried, any_of, list, rule, text, text_of, variant_key};
use crate::own::{members, nested};
use crate::{ContextError, ImportError, Imported};

type Segments = BTreeMap<String, Result<Carried, String>>;

pub(crate) fn import(json: &Json) -> Result<Imported, ImportError> {
    let nothing = Map::new();
    let member = |name: &str| match json.get(name) {
        None | Some(Json::Null) => Ok(&nothing),
        Some(Json::Object(members)) => Ok(members),
        Some(_) => Err(ImportError::shape(name, "is not an object")),
    };
    if !json.get("toggles").is_some_and(Json::is_object) {
        return Err(ImportError::shape("toggles", "is not an object"));
    }
    let mut imported = Imported::default();
    let mut segments = Segments::new();
    for (name, segment) in member("segments")? {
        let carried = carry_segment(segment);
        match (&carried, SegmentKey::new(name)) {
            (Ok(carried), Ok(key)) => imported.segments.push(SegmentWire {
                key,
                version: segment.get("version").and_then(Json::as_u64).unwrap_or(1),
                entity: "user".into(),
                excluded: IdsWire::default(),
                included: IdsWire::default(),
                when: Some(carried.when.clone()),
            }),
            (Err(what), _) => imported.warn(name, format!("segment: {what}")),
            (_, Err(error)) => imported.warn(name, error.to_string()),
        }
        segments.insert(name.clone(), carried);
    }
    let toggles = member("toggles")?;
    for (name, toggle) in toggles {
        imported.add(name, |key, imported| carry(key, toggle, toggles, &segments, imported));
    }
    Ok(imported)
}

/// Any rule of a segment. FeatureProbe's SDKs disagree on rules of several conditions: some ask for all, some for any.
fn carry_segment(segment: &Json) -> Result<Carried, String> {
    let mut parts = Vec::new();
    for rule in list(segment, "rules")? {
        match list(rule, "conditions")? {
            [] => return Err("it has a rule without conditions".into()),
            [one] => parts.push(condition::carry(one, None)?),
            _ => return Err("it has a rule of several conditions, where the SDKs disagree".into()),
        }
    }
    Ok(any_of(parts))
}

fn carry(
    key: FlagKey,
    toggle: &Json,
    toggles: &Map<String, Json>,
    segments: &Segments,
    imported: &mut Imported,
) -> Result<FlagWire, String> {
    let name = key.as_str();
    let variations = list(toggle, "variations")?;
    let value_type = type_of(variations)?;
    let mut variants = Vec::new();
    for (place, value) in variations.iter().enumerate() {
        let key = variant_key(&serve::name(place))?;
        variants.push(VariantWire { key, value: value.clone(), attachment: None });
    }
    let mut enabled =
        toggle.get("enabled").and_then(Json::as_bool).ok_or("`enabled` is no boolean")?;
    let mut prerequisites = Vec::new();
    for entry in list(toggle, "prerequisites")? {
        match prerequisite(entry, toggles)? {
            Ok(test) => prerequisites.push(test),
            Err(why) => {
                imported.warn(name, format!("is disabled for good: {why}"));
                enabled = false;
            }
        }
    }
    let count = variations.len();
    let mut rules = Vec::new();
    for (place, one) in list(toggle, "rules")?.iter().enumerate() {
        let conditions = list(one, "conditions")?;
        let parts = conditions.iter().map(|one| condition::carry(one, Some(segments)));
        let carried = Carried::all(parts);
        let serves = serve::carry(one.get("serve"), count, name)?;
        for (turn, serve) in serves.into_iter().enumerate() {
            let id = match turn {
                0 => format!("rule {place}"),
                turn => format!("rule {place}.{turn}"),
            };
            rules.push(rule(&id, carried.when.clone(), serve)?);
        }
        rules.extend(carried.rules(&format!("rule {place}"), name, imported)?);
    }
    let first = |member: &str| {
        let serves = serve::carry(toggle.get(member), count, name)?;
        serves.into_iter().next().ok_or_else(|| format!("`{member}` serves nothing"))
    };
    Ok(FlagWire {
        version: toggle.get("version").and_then(Json::as_u64).unwrap_or(1),
        class: FlagClass::Release,
        value_type,
        variants,
        client_visible: toggle.get("forClient").and_then(Json::as_bool).unwrap_or(false),
        killed_groups: Vec::new(),
        state: StateWire {
            enabled,
            off: first("disabledServe")?,
            stale: None,
            prerequisites,
            targets: Vec::new(),
            group_overrides: Vec::new(),
            rules,
            fallthrough: first("defaultServe")?,
        },
        key,
    })
}

/// The inner error: why it can never be met.
fn prerequisite(
    entry: &Json,
    toggles: &Map<String, Json>,
) -> Result<Result<FlagTestWire, String>, String> {
    let name = text(entry, "key")?;
    let Some(parent) = toggles.get(name) else {
        return Ok(Err(format!("its prerequisite `{name}` is not there")));
    };
    let wanted = entry.get("value").ok_or("a prerequisite has no `value`")?;
    let mut keys = Vec::new();
    for (place, value) in list(parent, "variations")?.iter().enumerate() {
        if value == wanted {
            keys.push(variant_key(&serve::name(place))?);
        }
    }
    if keys.is_empty() {
        return Ok(Err(format!("its prerequisite `{name}` never has the value {wanted}")));
    }
    let flag = FlagKey::new(name).map_err(|error| error.to_string())?;
    Ok(Ok(FlagTestWire { flag, is: FlagIsWire::Variants(keys) }))
}

/// The one type of all values.
pub(crate) fn type_of(values: &[Json]) -> Result<ValueType, String> {
    let all = |is: fn(&Json) -> bool| values.iter().all(is);
    match () {
        () if values.is_empty() => Err("it has no variations".into()),
        () if all(Json::is_boolean) => Ok(ValueType::Boolean),
        () if all(Json::is_string) => Ok(ValueType::String),
        () if all(Json::is_i64) => Ok(ValueType::Integer),
        () if all(Json::is_number) => Ok(ValueType::Number),
        () if all(|value| value.is_object() || value.is_array()) => Ok(ValueType::Object),
        () => Err("its values are of several types".into()),
    }
}

/// `{"key", "customValues": [{"key", "value"}]}`, or with `attrs` as an object. Attributes are texts.
pub(crate) fn context(
    mut context: Context<'static>,
    json: &Json,
) -> Result<Context<'static>, ContextError> {
    let Some(held) = members(json)? else { return Ok(context) };
    match held.get("key") {
        None | Some(Json::Null) => {}
        Some(key) => {
            let key = text_of(key).ok_or_else(|| ContextError("`key` is no text".into()))?;
            context = context.user(key);
        }
    }
    let mut attributes = Vec::new();
    let shape = ContextError;
    for entry in list(json, "customValues").map_err(shape)? {
        let name = text(entry, "key").map_err(shape)?;
        attributes.extend(entry.get("value").map(|value| (name.to_owned(), value)));
    }
    let attrs = held.get("attrs").and_then(Json::as_object).into_iter().flatten();
    attributes.extend(attrs.map(|(name, value)| (name.clone(), value)));
    let texts =
        attributes.into_iter().filter_map(|(name, value)| Some((name, text_of(value)?.into())));
    for (name, value) in nested(texts.collect())? {
        context = context.attr(name, value);
    }
    Ok(context)
}
