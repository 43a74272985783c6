//! flagd's published JSON schemas (`flags.json`, `flagd.json`, `targeting.json`), as code: what they accept is accepted,
//! and what they refuse is refused with its place.

use serde_json::{Map, Value as Json};

use crate::ImportError;

/// How deep targeting may stand in itself; serde_json itself stops at 128.
const MAX_DEPTH: usize = 64;

/// Whether a document may list its flags, as the daemon's may and a provider's may not.
fn may_list(document: &Map<String, Json>) -> bool {
    let schema = document.get("$schema").and_then(Json::as_str).unwrap_or_default();
    schema.rsplit('/').next() != Some("flags.json")
}

/// Flags by name, in a document that the schema accepts.
pub(crate) fn flags(json: &Json) -> Result<Vec<(String, &Json)>, ImportError> {
    let document = object(json, "")?;
    let mut flags = Vec::new();
    match document.get("flags") {
        Some(Json::Object(members)) => {
            for (name, held) in members {
                if name.is_empty() {
                    return Err(ImportError::shape("flags", "has a flag without a name"));
                }
                flag(held, &format!("flags.{name}"))?;
                flags.push((name.clone(), held));
            }
        }
        Some(Json::Array(items)) if may_list(document) => {
            for (place, held) in items.iter().enumerate() {
                let path = format!("flags[{place}]");
                flag(held, &path)?;
                let name = held.get("key").and_then(Json::as_str).filter(|name| !name.is_empty());
                let name = name.ok_or_else(|| ImportError::shape(&path, "has no `key`"))?;
                flags.push((name.to_owned(), held));
            }
        }
        Some(_) => return Err(ImportError::shape("flags", "is not an object of flags")),
        None => return Err(ImportError::shape("", "has no `flags`")),
    }
    if let Some(evaluators) = document.get("$evaluators") {
        for (name, rule) in object(evaluators, "$evaluators")? {
            targeting(rule, &format!("$evaluators.{name}"))?;
        }
    }
    metadata(document.get("metadata"), "metadata")?;
    for name in ["flagSetId", "version"] {
        let held = document.get("metadata").and_then(|metadata| metadata.get(name));
        if held.is_some_and(|held| !held.is_string()) {
            return Err(ImportError::shape(format!("metadata.{name}"), "is not a text"));
        }
    }
    Ok(flags)
}

fn object<'j>(json: &'j Json, path: &str) -> Result<&'j Map<String, Json>, ImportError> {
    json.as_object().ok_or_else(|| ImportError::shape(path, "is not an object"))
}

fn flag(json: &Json, path: &str) -> Result<(), ImportError> {
    let flag = object(json, path)?;
    let at = |member: &str| format!("{path}.{member}");
    match flag.get("state").and_then(Json::as_str) {
        Some("ENABLED" | "DISABLED") => {}
        _ => return Err(ImportError::shape(at("state"), "is neither ENABLED nor DISABLED")),
    }
    let variants =
        flag.get("variants").ok_or_else(|| ImportError::shape(path, "has no variants"))?;
    let variants = object(variants, &at("variants"))?;
    if variants.is_empty() || variants.keys().any(String::is_empty) {
        return Err(ImportError::shape(at("variants"), "is empty, or has a name that is"));
    }
    let kinds = [Json::is_boolean, Json::is_string, Json::is_number, Json::is_object];
    if !kinds.iter().any(|is| variants.values().all(is)) {
        return Err(ImportError::shape(at("variants"), "has values of several types"));
    }
    match flag.get("defaultVariant") {
        None | Some(Json::Null | Json::String(_)) => {}
        Some(_) => return Err(ImportError::shape(at("defaultVariant"), "is not a text")),
    }
    metadata(flag.get("metadata"), &at("metadata"))?;
    flag.get("targeting").map_or(Ok(()), |rule| targeting(rule, &at("targeting")))
}

fn metadata(json: Option<&Json>, path: &str) -> Result<(), ImportError> {
    let Some(json) = json else { return Ok(()) };
    let plain = |value: &Json| value.is_string() || value.is_number() || value.is_boolean();
    if object(json, path)?.values().all(plain) {
        return Ok(());
    }
    Err(ImportError::shape(path, "has a value that is no text, number or boolean"))
}

/// A rule of `targeting.json`: none at all, or an operation.
pub(crate) fn targeting(json: &Json, path: &str) -> Result<(), ImportError> {
    let members = object(json, path)?;
    if members.is_empty() { Ok(()) } else { operation(members, path, 0) }
}

fn refuse(path: &str, what: &str) -> Result<(), ImportError> {
    Err(ImportError::shape(path, what))
}

/// An argument: a reference, an operation, or a value that is no object.
fn argument(json: &Json, path: &str, depth: usize) -> Result<(), ImportError> {
    match json {
        Json::Object(members) if members.keys().all(|name| name == "$ref") => {
            match members.get("$ref") {
                None | Some(Json::String(_)) => Ok(()),
                Some(_) => refuse(path, "has a `$ref` that is no text"),
            }
        }
        Json::Object(members) => operation(members, path, depth),
        // What a list holds, the schema does not look into.
        _ => Ok(()),
    }
}

fn arguments(items: &[Json], path: &str, depth: usize) -> Result<(), ImportError> {
    for (place, item) in items.iter().enumerate() {
        argument(item, &format!("{path}[{place}]"), depth)?;
    }
    Ok(())
}

fn operation(members: &Map<String, Json>, path: &str, depth: usize) -> Result<(), ImportError> {
    if depth == MAX_DEPTH {
        return refuse(path, "stands too deep");
    }
    let mut entries = members.iter();
    let (Some((name, held)), None) = (entries.next(), entries.next()) else {
        return refuse(path, "is no single operation");
    };
    let (path, depth) = (format!("{path}.{name}"), depth + 1);
    let items = held.as_array().map(Vec::as_slice);
    let counted = |least: usize, most: usize| match items {
        Some(items) if (least..=most).contains(&items.len()) => arguments(items, &path, depth),
        _ => refuse(&path, "does not have as many arguments as the operation takes"),
    };
    match name.as_str() {
        "var" => variable(held, &path),
        "missing" => match items {
            Some(items) if items.iter().all(Json::is_string) => Ok(()),
            _ => refuse(&path, "is no list of names"),
        },
        "missing_some" => match items {
            Some([Json::Number(_), Json::Array(names)]) if names.iter().all(Json::is_string) => {
                Ok(())
            }
            _ => refuse(&path, "is no number and a list of names"),
        },
        "if" | "or" | "and" | "+" | "-" | "max" | "min" | "merge" | "cat" => counted(1, usize::MAX),
        "*" => counted(2, usize::MAX),
        "==" | "===" | "!=" | "!==" | ">" | ">=" | "%" | "/" | "map" | "filter" | "all"
        | "none" | "some" | "in" => counted(2, 2),
        "<" | "<=" | "substr" => counted(2, 3),
        "reduce" => counted(3, 3),
        "!" | "!!" => match items {
            Some(_) => counted(1, 1),
            None => argument(held, &path, depth),
        },
        "starts_with" | "ends_with" => match items {
            Some([one, other]) => {
                text_or_operation(one, &path, depth)?;
                text_or_operation(other, &path, depth)
            }
            _ => refuse(&path, "does not have two arguments"),
        },
        "sem_ver" => versions(items, &path),
        "fractional" => fractional(items, &path, depth),
        _ => refuse(&path, "is no operation"),
    }
}

fn variable(held: &Json, path: &str) -> Result<(), ImportError> {
    match held {
        Json::String(name) => match name.strip_prefix("$flagd.") {
            None | Some("timestamp" | "flagKey") => Ok(()),
            Some(_) => refuse(path, "is no property of $flagd"),
        },
        Json::Array(items) => match items.split_first() {
            Some((Json::String(_), rest))
                if !rest.iter().any(|it| it.is_array() || it.is_object()) =>
            {
                Ok(())
            }
            _ => refuse(path, "is no name and defaults"),
        },
        // The schema forbids texts only; other engines read a number as an index.
        _ => Ok(()),
    }
}

fn text_or_operation(json: &Json, path: &str, depth: usize) -> Result<(), ImportError> {
    match json {
        Json::String(_) => Ok(()),
        Json::Object(members) => operation(members, path, depth),
        _ => refuse(path, "has an argument that is no text"),
    }
}

fn versions(items: Option<&[Json]>, path: &str) -> Result<(), ImportError> {
    let Some([one, Json::String(range), other]) = items else {
        return refuse(path, "is no version, range and version");
    };
    if !["=", "!=", ">", "<", ">=", "<=", "~", "^"].contains(&range.as_str()) {
        return refuse(path, "has an unknown range");
    }
    for side in [one, other] {
        match side {
            Json::String(text) if is_version(text) => {}
            Json::Object(members) if members.len() == 1 => match members.get("var") {
                Some(held) => variable(held, path)?,
                None => return refuse(path, "has a version that is neither a text nor a `var`"),
            },
            _ => return refuse(path, "has a version that is none"),
        }
    }
    Ok(())
}

/// Semantic Versioning 2.0.0, by its own grammar.
pub(crate) fn is_version(text: &str) -> bool {
    let (text, build) = text.split_once('+').map_or((text, None), |(v, b)| (v, Some(b)));
    let (core, pre) = text.split_once('-').map_or((text, None), |(v, p)| (v, Some(p)));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let number = |part: &str| digits(part) && (part == "0" || !part.starts_with('0'));
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let pre_part = |part: &str| word(part) && (!digits(part) || number(part));
    core.split('.').count() == 3
        && core.split('.').all(number)
        && pre.is_none_or(|pre| pre.split('.').all(pre_part))
        && build.is_none_or(|build| build.split('.').all(word))
}

/// Either what is hashed and then shares, or shares alone.
fn fractional(items: Option<&[Json]>, path: &str, depth: usize) -> Result<(), ImportError> {
    let Some(items @ [first, rest @ ..]) = items else {
        return refuse(path, "has no shares");
    };
    let shares = match first {
        Json::Object(members) => {
            operation(members, path, depth)?;
            rest
        }
        _ => items,
    };
    for (place, share) in shares.iter().enumerate() {
        let path = format!("{path}[{place}]");
        let (variant, weight) = match share.as_array().map(Vec::as_slice) {
            Some([variant]) => (variant, None),
            Some([variant, weight]) => (variant, Some(weight)),
            _ => return refuse(&path, "is no variant and weight"),
        };
        argument(variant, &path, depth)?;
        match weight {
            None => {}
            Some(Json::Object(members)) => operation(members, &path, depth)?,
            Some(weight) if is_count(weight) => {}
            Some(_) => return refuse(&path, "has a weight that is no whole number from 0 on"),
        }
    }
    Ok(())
}

fn is_count(weight: &Json) -> bool {
    // JSON Schema's integers include 25.0.
    weight.is_u64() || weight.as_f64().is_some_and(|weight| weight >= 0.0 && weight.fract() == 0.0)
}
