//! Flipt: the declarative file of a namespace.
//!
//! A boolean flag's variants are `true` and `false`. A variant flag's value is the variant's own key; where nothing
//! matches and no variant is the default, the answer is the caller's.

mod constraint;
mod rollout;

use std::collections::BTreeSet;

use flagforge_flags::Context;
use flagforge_flags::hash::{CompiledHash, bucket};
use flagforge_flags::keys::{FlagKey, SegmentKey};
use flagforge_flags::wire::{
    ConditionWire, FlagClass, FlagWire, HashName, IdsWire, MissingUnit, OutcomeWire, RuleWire,
    SegmentWire, StateWire, UnitWire, ValueType, VariantWire,
};
use serde_json::Value as Json;

use crate::carry::{all, any, list, missing, rule, text, text_of, variant_key};
use crate::own::{members, nested};
use crate::{ContextError, ImportError, Imported};

pub(crate) fn import(json: &Json) -> Result<Imported, ImportError> {
    if !json.is_object() {
        return Err(ImportError::shape("", "is not a mapping with `flags`"));
    }
    let items = |member| list(json, member).map_err(|what| ImportError::shape(member, what));
    let mut imported = Imported::default();
    let mut segments = BTreeSet::new();
    for segment in items("segments")? {
        let name = segment.get("key").and_then(text_of).unwrap_or_default();
        match carry_segment(&name, segment) {
            Ok(wire) => {
                imported.segments.push(wire);
                segments.insert(name);
            }
            Err(what) => imported.warn(&name, format!("the segment is left out: {what}")),
        }
    }
    for flag in items("flags")? {
        let name = flag.get("key").and_then(text_of).unwrap_or_default();
        imported.add(&name, |key, _| carry(key, flag, &segments));
    }
    Ok(imported)
}

fn carry_segment(name: &str, segment: &Json) -> Result<SegmentWire, String> {
    let key = SegmentKey::new(name).map_err(|error| error.to_string())?;
    let mut parts = Vec::new();
    for one in list(segment, "constraints")? {
        parts.push(constraint::carry(one)?);
    }
    let some = matches!(segment.get("match_type").and_then(Json::as_str), Some("ANY_MATCH_TYPE"));
    // A segment without constraints holds everybody, whichever way it matches.
    let when = if some && !parts.is_empty() { any(parts) } else { all(parts) };
    Ok(SegmentWire {
        key,
        version: 1,
        entity: "user".into(),
        excluded: IdsWire::default(),
        included: IdsWire::default(),
        when: Some(when),
    })
}

fn carry(key: FlagKey, flag: &Json, segments: &BTreeSet<String>) -> Result<FlagWire, String> {
    let on = flag.get("enabled").is_none_or(|on| on == true);
    let (value_type, variants, state) = match flag.get("type").and_then(Json::as_str) {
        Some("BOOLEAN_FLAG_TYPE") => boolean(key.as_str(), on, flag, segments)?,
        None | Some("VARIANT_FLAG_TYPE") => variant(key.as_str(), on, flag, segments)?,
        Some(other) => return Err(format!("there is no flag type {other}")),
    };
    let class = FlagClass::Release;
    let killed_groups = Vec::new();
    Ok(FlagWire {
        key,
        version: 1,
        class,
        value_type,
        variants,
        client_visible: false,
        killed_groups,
        state,
    })
}

type Parts = (ValueType, Vec<VariantWire>, StateWire);

fn state(enabled: bool, off: OutcomeWire, rules: Vec<RuleWire>) -> StateWire {
    StateWire {
        enabled,
        off: off.clone(),
        stale: None,
        prerequisites: Vec::new(),
        targets: Vec::new(),
        group_overrides: Vec::new(),
        rules,
        fallthrough: off,
    }
}

/// `enabled` of a boolean flag is what it answers when no rollout matches; it switches nothing off.
fn boolean(
    name: &str,
    on: bool,
    flag: &Json,
    segments: &BTreeSet<String>,
) -> Result<Parts, String> {
    let answer = |yes: bool| variant_key(&yes.to_string()).map(OutcomeWire::Variant);
    let mut variants = Vec::new();
    for yes in [true, false] {
        let key = variant_key(&yes.to_string())?;
        variants.push(VariantWire { key, value: yes.into(), attachment: None });
    }
    let mut rules = Vec::new();
    for (place, one) in list(flag, "rollouts")?.iter().enumerate() {
        let at = place + 1;
        let value = |part: &Json| part.get("value").is_some_and(|value| value == true);
        if let Some(segment) = one.get("segment") {
            let when = asked(segment, segment.get("operator"), segments)?;
            rules.push(rule(&format!("rollout {at}"), when, answer(value(segment))?)?);
        } else if let Some(threshold) = one.get("threshold") {
            let serve = answer(value(threshold))?;
            for (turn, when) in rollout::threshold(name, threshold)?.into_iter().enumerate() {
                let id =
                    if turn == 0 { format!("rollout {at}") } else { format!("rollout {at}.2") };
                rules.push(rule(&id, when, serve.clone())?);
            }
        } else {
            return Err(format!("rollout {at} has neither `segment` nor `threshold`"));
        }
    }
    Ok((ValueType::Boolean, variants, state(true, answer(on)?, rules)))
}

fn variant(
    name: &str,
    on: bool,
    flag: &Json,
    segments: &BTreeSet<String>,
) -> Result<Parts, String> {
    let (mut variants, mut default) = (Vec::new(), OutcomeWire::CallerDefault);
    for one in list(flag, "variants")? {
        let text = one.get("key").and_then(text_of).ok_or("a variant has no `key`")?;
        let key = variant_key(&text)?;
        if one.get("default").is_some_and(|yes| yes == true) {
            default = OutcomeWire::Variant(key.clone());
        }
        let attachment = one.get("attachment").filter(|held| !held.is_null()).cloned();
        variants.push(VariantWire { key, value: text.into(), attachment });
    }
    let mut rules = Vec::new();
    for (place, one) in list(flag, "rules")?.iter().enumerate() {
        let operator = one.get("operator").or_else(|| one.get("segment_operator"));
        let operator = operator.or_else(|| one.get("segment")?.get("operator"));
        let named = one.get("segment").or_else(|| one.get("segments"));
        let named = named.ok_or_else(|| format!("rule {} has no `segment`", place + 1))?;
        let when = asked(named, operator, segments)?;
        let serves = rollout::distributions(name, list(one, "distributions")?, &default)?;
        for (turn, (extra, serve)) in serves.into_iter().enumerate() {
            let id = match turn {
                0 => format!("rule {}", place + 1),
                turn => format!("rule {}.{}", place + 1, turn + 1),
            };
            rules.push(rule(&id, all([when.clone(), extra]), serve)?);
        }
    }
    if variants.is_empty() {
        // Flipt takes a flag without variants, and answers an empty one; here there has to be a value.
        variants.push(VariantWire {
            key: variant_key("none")?,
            value: "".into(),
            attachment: None,
        });
    }
    Ok((ValueType::String, variants, state(on, default, rules)))
}

/// Whether the entity is in the segments that a rule names: in any of them, unless it says all.
fn asked(
    named: &Json,
    operator: Option<&Json>,
    known: &BTreeSet<String>,
) -> Result<ConditionWire, String> {
    let keys: Vec<&Json> = match named {
        Json::String(_) | Json::Number(_) => vec![named],
        Json::Array(keys) => keys.iter().collect(),
        Json::Object(_) => match named.get("key") {
            Some(key) => vec![key],
            None => list(named, "keys")?.iter().collect(),
        },
        _ => return Err("a segment's key is no text".into()),
    };
    let mut parts = Vec::new();
    for key in keys {
        let key = text_of(key).ok_or("a segment's key is no text")?;
        if !known.contains(&key) {
            return Err(format!("there is no usable segment `{key}`"));
        }
        let key = SegmentKey::new(&key).map_err(|error| error.to_string())?;
        parts.push(ConditionWire::InSegment(key));
    }
    match operator.and_then(Json::as_str) {
        None | Some("OR_SEGMENT_OPERATOR") => Ok(any(parts)),
        Some("AND_SEGMENT_OPERATOR") => Ok(all(parts)),
        Some(other) => Err(format!("there is no segment operator {other}")),
    }
}

/// The entity's bucket: its id after the flag's key, or before it in thresholds.
fn unit(flag: &str, threshold: bool, buckets: u32) -> UnitWire {
    UnitWire {
        unit: "user.key".to_owned(),
        fallbacks: Vec::new(),
        missing: MissingUnit::NoMatch,
        salt: flag.to_owned(),
        hash: HashName::Flipt,
        seed: u32::from(threshold),
        buckets,
    }
}

/// Flipt hashes an empty id like any other, while here it is no key: its bucket is a constant.
fn empty_bucket(by: &UnitWire) -> (ConditionWire, u32) {
    let compiled = CompiledHash::new(by.hash, &by.salt, by.seed, by.buckets);
    (missing(&by.unit), bucket(&compiled, ""))
}

/// `{"entityId", "context": {}}`, the context's values being texts. An empty text is an absent one to Flipt.
pub(crate) fn context(
    mut context: Context<'static>,
    json: &Json,
) -> Result<Context<'static>, ContextError> {
    let Some(held) = members(json)? else { return Ok(context) };
    let id = ["entityId", "entity_id"].into_iter().find_map(|name| held.get(name));
    if let Some(id) = id.filter(|id| !id.is_null()) {
        let id = text_of(id).ok_or_else(|| ContextError("`entityId` is no text".into()))?;
        context = context.user(id);
    }
    let attributes = match held.get("context") {
        None | Some(Json::Null) => return Ok(context),
        Some(Json::Object(attributes)) => attributes,
        Some(_) => return Err(ContextError("`context` is not an object".into())),
    };
    let texts = attributes.iter().filter_map(|(name, value)| Some((name.clone(), text_of(value)?)));
    let texts = texts.filter(|(_, text)| !text.is_empty());
    for (name, value) in nested(texts.map(|(name, text)| (name, text.into())).collect())? {
        context = context.attr(name, value);
    }
    Ok(context)
}

/// The text of a constraint's or a distribution's member that YAML may have read as another scalar.
fn scalar(json: &Json, member: &str) -> Result<String, String> {
    match json.get(member) {
        Some(value) => text_of(value).ok_or_else(|| format!("`{member}` is no text")),
        None => text(json, member).map(str::to_owned),
    }
}
