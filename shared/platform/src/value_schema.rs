//! The JSON Schema of a flag's values: a subset of draft 2020-12, each keyword exactly as there. A keyword outside it
//! is refused by name, because a schema that is half understood promises what it does not keep.

use flagforge_flags::wire::VariantWire;
use serde_json::{Map, Value as Json};

use crate::error::Error;
use crate::input::bounded;

/// Bytes of a schema as JSON.
const MAX_SCHEMA_BYTES: usize = 16 * 1024;
/// Levels of a schema: values nest as deep.
const MAX_DEPTH: usize = 16;

/// Keywords that say nothing of a value.
const ANNOTATIONS: [&str; 7] =
    ["$schema", "$id", "$comment", "title", "description", "default", "examples"];

/// Refuses a schema that is none, and variants that do not fit it.
pub(crate) fn check(schema: Option<&Json>, variants: &[VariantWire]) -> Result<(), Error> {
    let Some(schema) = schema else { return Ok(()) };
    bounded("schema", "bytes", MAX_SCHEMA_BYTES, schema.to_string().len())?;
    well_formed("schema", schema, 1)?;
    for (index, variant) in variants.iter().enumerate() {
        if let Err(Misfit { path, why }) = fits(schema, &variant.value) {
            let field = format!("variants[{index}].value{path}");
            return Err(Error::invalid(field, format!("does not fit the schema: {why}")));
        }
    }
    Ok(())
}

fn well_formed(field: &str, schema: &Json, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(Error::invalid(field, format!("a schema has at most {MAX_DEPTH} levels")));
    }
    let keywords = match schema {
        Json::Bool(_) => return Ok(()),
        Json::Object(keywords) => keywords,
        _ => return Err(Error::invalid(field, "a schema is an object, `true` or `false`")),
    };
    for (name, value) in keywords {
        let field = format!("{field}.{name}");
        let wanted = match name.as_str() {
            "type" => types(value).is_none().then_some("a type of JSON, or a list of them"),
            "enum" => (!value.is_array()).then_some("a list of values"),
            "const" => None,
            "required" => texts(value).is_none().then_some("a list of texts"),
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
                (!value.is_number()).then_some("a number")
            }
            "minLength" | "maxLength" | "minItems" | "maxItems" => {
                value.as_u64().is_none().then_some("a whole number, not below 0")
            }
            "items" | "additionalProperties" => {
                well_formed(&field, value, depth + 1)?;
                None
            }
            "properties" => {
                for (member, schema) in value.as_object().into_iter().flatten() {
                    well_formed(&format!("{field}.{member}"), schema, depth + 1)?;
                }
                (!value.is_object()).then_some("an object of schemas")
            }
            name if ANNOTATIONS.contains(&name) => None,
            name => {
                let message = format!("the keyword `{name}` is not understood here");
                return Err(Error::invalid(field, message));
            }
        };
        if let Some(wanted) = wanted {
            return Err(Error::invalid(field, format!("must be {wanted}")));
        }
    }
    Ok(())
}

fn types(value: &Json) -> Option<Vec<&str>> {
    const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];
    let types = match value {
        Json::String(one) => vec![one.as_str()],
        several => texts(several)?,
    };
    types.iter().all(|name| TYPES.contains(name)).then_some(types)
}

fn texts(value: &Json) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Json::as_str).collect()
}

/// Where a value does not fit, and why not.
#[derive(Debug, PartialEq, Eq)]
struct Misfit {
    path: String,
    why: String,
}

impl Misfit {
    fn here(why: impl Into<String>) -> Self {
        Self { path: String::new(), why: why.into() }
    }

    fn below(self, step: &str) -> Self {
        Self { path: format!("{step}{}", self.path), why: self.why }
    }
}

fn fits(schema: &Json, value: &Json) -> Result<(), Misfit> {
    let keywords = match schema {
        Json::Object(keywords) => keywords,
        Json::Bool(false) => return Err(Misfit::here("nothing may stand here")),
        _ => return Ok(()),
    };
    for (name, wanted) in keywords {
        if !keyword_fits(name, wanted, value) {
            return Err(Misfit::here(format!("`{name}` asks for {wanted}")));
        }
    }
    if let (Some(schema), Json::Array(items)) = (keywords.get("items"), value) {
        for (index, item) in items.iter().enumerate() {
            fits(schema, item).map_err(|misfit| misfit.below(&format!("[{index}]")))?;
        }
    }
    match value {
        Json::Object(members) => members_fit(keywords, members),
        _ => Ok(()),
    }
}

/// The keywords that look at a value as a whole. One that is about another type holds.
fn keyword_fits(name: &str, wanted: &Json, value: &Json) -> bool {
    let ordered = |holds: fn(f64, f64) -> bool| match (value.as_f64(), wanted.as_f64()) {
        (Some(value), Some(bound)) => holds(value, bound),
        _ => true,
    };
    let sized = |size: Option<usize>, holds: fn(u64, u64) -> bool| match (size, wanted.as_u64()) {
        (Some(size), Some(bound)) => holds(size as u64, bound),
        _ => true,
    };
    let characters = value.as_str().map(|text| text.chars().count());
    let items = value.as_array().map(Vec::len);
    match name {
        "type" => types(wanted).is_some_and(|types| types.iter().any(|name| is_of(name, value))),
        "enum" => {
            wanted.as_array().is_some_and(|values| values.iter().any(|held| same(held, value)))
        }
        "const" => same(wanted, value),
        "minimum" => ordered(|value, bound| value >= bound),
        "maximum" => ordered(|value, bound| value <= bound),
        "exclusiveMinimum" => ordered(|value, bound| value > bound),
        "exclusiveMaximum" => ordered(|value, bound| value < bound),
        "minLength" => sized(characters, |size, bound| size >= bound),
        "maxLength" => sized(characters, |size, bound| size <= bound),
        "minItems" => sized(items, |size, bound| size >= bound),
        "maxItems" => sized(items, |size, bound| size <= bound),
        _ => true,
    }
}

fn members_fit(keywords: &Map<String, Json>, members: &Map<String, Json>) -> Result<(), Misfit> {
    let required = keywords.get("required").and_then(texts).unwrap_or_default();
    if let Some(missing) = required.iter().find(|name| !members.contains_key(**name)) {
        return Err(Misfit::here(format!("it has no member `{missing}`")));
    }
    let known = keywords.get("properties").and_then(Json::as_object);
    for (name, member) in members {
        let schema = known.and_then(|known| known.get(name));
        let schema = schema.or_else(|| keywords.get("additionalProperties"));
        if let Some(schema) = schema {
            fits(schema, member).map_err(|misfit| misfit.below(&format!(".{name}")))?;
        }
    }
    Ok(())
}

fn is_of(name: &str, value: &Json) -> bool {
    match (name, value) {
        ("null", Json::Null)
        | ("boolean", Json::Bool(_))
        | ("string", Json::String(_))
        | ("array", Json::Array(_))
        | ("object", Json::Object(_))
        | ("number", Json::Number(_)) => true,
        // 1.0 is an integer in JSON Schema.
        ("integer", Json::Number(number)) => {
            number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        _ => false,
    }
}

/// JSON Schema's equality: 1 is 1.0.
fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(x), Json::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Json::Array(x), Json::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
        }
        (Json::Object(x), Json::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, x)| y.get(k).is_some_and(|y| same(x, y)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn misfit(schema: &Json, value: &Json) -> String {
        well_formed("schema", schema, 1).unwrap();
        let misfit = fits(schema, value).unwrap_err();
        format!("{}: {}", misfit.path, misfit.why)
    }

    #[test]
    fn values_are_held_against_every_keyword() {
        let limits = json!({"type": "object", "required": ["rate"], "additionalProperties": false, "properties": {
            "rate": {"type": "integer", "minimum": 1, "exclusiveMaximum": 10},
            "names": {"type": "array", "maxItems": 2, "items": {"type": "string", "minLength": 1}},
            "mode": {"enum": ["a", 1]}}});
        for good in [json!({"rate": 1}), json!({"rate": 9.0, "names": ["x", "ü"], "mode": 1.0})] {
            assert_eq!(fits(&limits, &good), Ok(()), "{good}");
        }
        for (bad, why) in [
            (json!([]), ": `type` asks"),
            (json!({}), ": it has no member `rate`"),
            (json!({"rate": 0}), ".rate: `minimum` asks for 1"),
            (json!({"rate": 10}), ".rate: `exclusiveMaximum`"),
            (json!({"rate": 1.5}), ".rate: `type`"),
            (json!({"rate": 1, "other": 1}), ".other: nothing may stand here"),
            (json!({"rate": 1, "names": ["a", ""]}), ".names[1]: `minLength`"),
            (json!({"rate": 1, "names": ["a", "b", "c"]}), ".names: `maxItems`"),
            (json!({"rate": 1, "mode": "b"}), ".mode: `enum`"),
        ] {
            let told = misfit(&limits, &bad);
            assert!(told.starts_with(why), "{bad}: {told}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let refused = |schema: Json| check(Some(&schema), &[]).unwrap_err().to_string();
        assert_eq!(
            refused(json!({"properties": {"a": {"pattern": "x"}}})),
            "schema.properties.a.pattern: the keyword `pattern` is not understood here"
        );
        assert!(refused(json!([])).starts_with("schema: "));
        assert!(refused(json!({"type": "text"})).starts_with("schema.type: "));
        assert!(refused(json!({"minLength": -1})).starts_with("schema.minLength: "));
        let deep = (0..MAX_DEPTH).fold(json!({}), |inner, _| json!({"items": inner}));
        assert!(refused(deep).contains("at most 16 levels"));
        let long = json!({"title": "t".repeat(MAX_SCHEMA_BYTES)});
        assert!(refused(long).contains("limit is 16384 bytes"));
    }
}
