//! Unleash: the client API's features, whole or as delta events.
//!
//! A toggle becomes a boolean flag. Its strategies are rules; the variants of Unleash are variants whose value is
//! `true`, `disabled` is the one whose value is `false`, and `enabled` is "on, without a variant", which Unleash's
//! SDKs name `disabled` too.

mod constraint;
mod dependency;
mod strategy;
mod toggle;
mod variant;

use std::collections::BTreeMap;

use flagforge_flags::Context;
use flagforge_flags::keys::SegmentKey;
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{IdsWire, SegmentWire};
use serde_json::{Map, Value as Json};

use crate::carry::{Carried, list, text, text_of};
use crate::own::{members, nested};
use crate::{ContextError, ImportError, Imported};

/// What is known beside the toggle that is being carried over.
pub(crate) struct Surroundings<'j> {
    /// Toggles by name.
    pub(crate) toggles: BTreeMap<&'j str, &'j Json>,
    /// Segments by their number: carried over, or why not.
    pub(crate) segments: BTreeMap<String, Result<Carried, String>>,
}

pub(crate) fn import(json: &Json) -> Result<Imported, ImportError> {
    if !json.is_object() {
        return Err(ImportError::shape("", "is not an object with `features`"));
    }
    let (features, segments) = match json.get("events") {
        Some(events) => replay(events)?,
        None => {
            let all = |member| list(json, member).map_err(|what| ImportError::shape(member, what));
            if json.get("features").is_none() {
                return Err(ImportError::shape("", "has neither `features` nor `events`"));
            }
            (all("features")?.iter().collect(), all("segments")?.iter().collect::<Vec<_>>())
        }
    };
    let mut imported = Imported::default();
    let mut surroundings = Surroundings { toggles: BTreeMap::new(), segments: BTreeMap::new() };
    for segment in segments {
        let Some(id) = segment.get("id").and_then(text_of) else {
            imported.warn("", "a segment without `id` is left out");
            continue;
        };
        let carried = constraint::all_of(segment, &id, &mut imported);
        match (&carried, SegmentKey::new(&id)) {
            (Ok(carried), Ok(key)) => imported.segments.push(SegmentWire {
                key,
                version: 1,
                entity: "user".into(),
                excluded: IdsWire::default(),
                included: IdsWire::default(),
                when: Some(carried.when.clone()),
            }),
            (Err(what), _) => {
                let what = format!("segment {id}: {what}");
                imported.warn(&id, what);
            }
            (_, Err(error)) => imported.warn(&id, error.to_string()),
        }
        surroundings.segments.insert(id, carried);
    }
    for feature in &features {
        if let Ok(name) = text(feature, "name") {
            surroundings.toggles.insert(name, feature);
        }
    }
    for feature in features {
        match text(feature, "name") {
            Ok(name) => imported
                .add(name, |key, imported| toggle::carry(key, feature, &surroundings, imported)),
            Err(what) => imported.warn("", format!("a feature is left out: {what}")),
        }
    }
    Ok(imported)
}

/// Delta events, applied in order.
fn replay(events: &Json) -> Result<(Vec<&Json>, Vec<&Json>), ImportError> {
    let Json::Array(events) = events else {
        return Err(ImportError::shape("events", "is not a list"));
    };
    let (mut features, mut segments) = (BTreeMap::new(), BTreeMap::new());
    for (place, event) in events.iter().enumerate() {
        let at = |what: String| ImportError::shape(format!("events[{place}]"), what);
        let feature = |json| text(json, "name").map(str::to_owned).map_err(at);
        let id = |json: &Json| {
            json.get("id").and_then(text_of).ok_or_else(|| at("the segment has no `id`".into()))
        };
        let member = |name: &str| event.get(name).ok_or_else(|| at(format!("has no `{name}`")));
        match text(event, "type").map_err(at)? {
            "hydration" => {
                (features, segments) = (BTreeMap::new(), BTreeMap::new());
                for json in list(event, "features").map_err(at)? {
                    features.insert(feature(json)?, json);
                }
                for json in list(event, "segments").map_err(at)? {
                    segments.insert(id(json)?, json);
                }
            }
            "feature-updated" => {
                let json = member("feature")?;
                features.insert(feature(json)?, json);
            }
            "feature-removed" => {
                features.remove(text(event, "featureName").map_err(at)?);
            }
            "segment-updated" => {
                let json = member("segment")?;
                segments.insert(id(json)?, json);
            }
            "segment-removed" => {
                let id = member("segmentId")?;
                segments.remove(&text_of(id).unwrap_or_default());
            }
            other => return Err(at(format!("there is no event type `{other}`"))),
        }
    }
    Ok((features.into_values().collect(), segments.into_values().collect()))
}

/// The members of Unleash's context that are not properties; `userId` is the user's key.
const STANDARD: [&str; 6] =
    ["sessionId", "remoteAddress", "environment", "appName", "currentTime", "hostname"];

/// Everything in Unleash's context is a text; numbers and booleans count as theirs, null as absent.
pub(crate) fn context(
    mut context: Context<'static>,
    json: &Json,
    now: Timestamp,
) -> Result<Context<'static>, ContextError> {
    let nobody = Map::new();
    let held = members(json)?.unwrap_or(&nobody);
    let properties = match held.get("properties") {
        None | Some(Json::Null) => &nobody,
        Some(Json::Object(properties)) => properties,
        Some(_) => return Err(ContextError("`properties` is not an object".into())),
    };
    let mut attributes: Vec<(String, Json)> = Vec::new();
    let scalar = |name: &str, value: &Json| match (value, text_of(value)) {
        (Json::Null, _) => Ok(None),
        (_, Some(text)) => Ok(Some(text)),
        (_, None) => Err(ContextError(format!("`{name}` is a list or an object"))),
    };
    for (name, value) in properties {
        let shadowed = held.get(name).is_some_and(|value| !value.is_null());
        if let (Some(value), false) = (scalar(name, value)?, shadowed) {
            match name.as_str() {
                "userId" => context = context.user(value),
                _ => attributes.push((name.clone(), value.into())),
            }
        }
    }
    for (name, value) in held.iter().filter(|(name, _)| *name != "properties") {
        let Some(value) = scalar(name, value)? else { continue };
        match name.as_str() {
            "userId" => context = context.user(value),
            name if STANDARD.contains(&name) => attributes.push((name.to_owned(), value.into())),
            // Unleash knows no other member, and reads none.
            _ => {}
        }
    }
    if !attributes.iter().any(|(name, _)| name == "currentTime") {
        attributes.push(("currentTime".to_owned(), now.to_string().into()));
    }
    for (name, value) in nested(attributes)? {
        context = context.attr(name, value);
    }
    Ok(context)
}
