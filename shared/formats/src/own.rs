//! Our own wire form, as a file.

use flagforge_flags::Context;
use flagforge_flags::keys::TenantKey;
use flagforge_flags::wire::{FlagWire, SegmentWire, TenantWire};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::carry::list;
use crate::{ContextError, ImportError, Imported, Warning};

/// `{"flags": […], "segments": […], "tenants": {"<key>": {…}}}`.
pub(crate) fn import(json: &Json) -> Result<Imported, ImportError> {
    let mut imported = Imported::default();
    if !json.is_object() {
        return Err(ImportError::shape("", "is not an object with `flags`"));
    }
    let items = |member| list(json, member).map_err(|what| ImportError::shape(member, what));
    for flag in items("flags")? {
        let name = flag.get("key").and_then(Json::as_str).unwrap_or_default();
        match read::<FlagWire>(flag) {
            Ok(wire) => imported.flags.push(wire),
            // A flag that cannot be read answers why, as in a manifest.
            Err(what) => imported.add(name, |_, _| Err(what)),
        }
    }
    for segment in items("segments")? {
        let name = segment.get("key").and_then(Json::as_str).unwrap_or_default().to_owned();
        match read::<SegmentWire>(segment) {
            Ok(wire) => imported.segments.push(wire),
            Err(what) => imported.warn(&name, format!("the segment is left out: {what}")),
        }
    }
    let tenants = match json.get("tenants") {
        None | Some(Json::Null) => return Ok(imported),
        Some(Json::Object(tenants)) => tenants,
        Some(_) => return Err(ImportError::shape("tenants", "is not an object")),
    };
    for (key, tenant) in tenants {
        let made = TenantKey::new(key).map_err(|error| error.to_string());
        match made.and_then(|key| Ok((key, read::<TenantWire>(tenant)?))) {
            Ok(tenant) => imported.tenants.push(tenant),
            Err(what) => imported.warnings.push(Warning {
                subject: key.clone(),
                what: format!("the tenant is left out: {what}"),
                left_out: false,
            }),
        }
    }
    Ok(imported)
}

fn read<T: DeserializeOwned>(json: &Json) -> Result<T, String> {
    serde_json::from_value(json.clone()).map_err(|error| error.to_string())
}

/// OFREP's flat context; `entities` holds further entities by kind.
pub(crate) fn context(
    mut context: Context<'static>,
    json: &Json,
) -> Result<Context<'static>, ContextError> {
    let Some(members) = members(json)? else { return Ok(context) };
    for (name, value) in members {
        match (name.as_str(), value) {
            ("targetingKey", Json::String(key)) => context = context.user(key.clone()),
            ("targetingKey", Json::Null) => {}
            ("targetingKey", _) => return Err(ContextError("`targetingKey` is not a text".into())),
            ("entities", Json::Object(entities)) => {
                context = entities.iter().try_fold(context, entity)?;
            }
            ("entities", Json::Null) => {}
            ("entities", _) => return Err(ContextError("`entities` is not an object".into())),
            (name, value) => context = context.attr(name, value.clone()),
        }
    }
    Ok(context)
}

fn entity(
    mut context: Context<'static>,
    (kind, entity): (&String, &Json),
) -> Result<Context<'static>, ContextError> {
    let Json::Object(attributes) = entity else {
        return Err(ContextError(format!("the entity `{kind}` is not an object")));
    };
    for (name, value) in attributes {
        context = match (name.as_str(), value) {
            ("key", Json::String(key)) => context.entity(kind, key.clone()),
            ("key", _) => return Err(ContextError(format!("`{kind}.key` is not a text"))),
            (name, value) => context.entity_attr(kind.as_str(), name, value.clone()),
        };
    }
    Ok(context)
}

/// A context's members; null is a context that says nothing.
pub(crate) fn members(json: &Json) -> Result<Option<&Map<String, Json>>, ContextError> {
    match json {
        Json::Object(members) => Ok(Some(members)),
        Json::Null => Ok(None),
        _ => Err(ContextError("it is not an object".into())),
    }
}

/// Puts texts under names whose dots lead into members, as attribute paths read them.
pub(crate) fn nested(attributes: Vec<(String, Json)>) -> Result<Map<String, Json>, ContextError> {
    let mut root = Map::new();
    for (name, value) in attributes {
        let mut at = &mut root;
        let mut parts = name.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                if at.insert(part.to_owned(), value).is_some() {
                    return Err(clash(&name));
                }
                break;
            }
            let inner = at.entry(part).or_insert_with(|| Json::Object(Map::new()));
            at = inner.as_object_mut().ok_or_else(|| clash(&name))?;
        }
    }
    Ok(root)
}

fn clash(name: &str) -> ContextError {
    ContextError(format!("the property `{name}` stands where another one does"))
}
