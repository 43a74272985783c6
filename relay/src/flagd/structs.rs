//! JSON and `google.protobuf.Struct`, whose numbers are all doubles.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::{Map, Value as Json};

use crate::problem::Refused;

/// Whole numbers up to here are doubles that stand for nothing else.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;

/// An object as a struct. An integer beyond 2^53 becomes the double next to it: there is no other number in a struct.
pub(super) fn structure(object: Map<String, Json>) -> Struct {
    Struct { fields: object.into_iter().map(|(name, json)| (name, value(json))).collect() }
}

fn value(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(it) => Kind::BoolValue(it),
        Json::Number(it) => Kind::NumberValue(it.as_f64().unwrap_or_default()),
        Json::String(it) => Kind::StringValue(it),
        Json::Array(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().map(value).collect() })
        }
        Json::Object(object) => Kind::StructValue(structure(object)),
    };
    Value { kind: Some(kind) }
}

/// A struct as an object. A whole double is an integer, because there is no other way to say one.
pub(super) fn object(structure: Struct) -> Result<Map<String, Json>, Refused> {
    structure.fields.into_iter().map(|(name, value)| Ok((name, json(value)?))).collect()
}

fn json(value: Value) -> Result<Json, Refused> {
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(it)) => Json::Bool(it),
        Some(Kind::StringValue(it)) => Json::String(it),
        Some(Kind::NumberValue(it)) => number(it)?,
        Some(Kind::ListValue(list)) => {
            Json::Array(list.values.into_iter().map(json).collect::<Result<_, _>>()?)
        }
        Some(Kind::StructValue(inner)) => Json::Object(object(inner)?),
    })
}

fn number(it: f64) -> Result<Json, Refused> {
    // Exact by the bound; minus zero loses its sign, which no rule asks for.
    #[allow(clippy::cast_possible_truncation, reason = "it is whole and within the bound")]
    if it.fract() == 0.0 && it.abs() <= MAX_EXACT {
        return Ok(Json::from(it as i64));
    }
    let number = serde_json::Number::from_f64(it);
    let not_finite = || Refused::Invalid("a number in the context is not finite".into());
    number.map(Json::Number).ok_or_else(not_finite)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_goes_there_comes_back() {
        let there = json!({"a": [1, -2.5, null, true, "x"], "b": {"c": 9_007_199_254_740_991_i64}});
        let there = there.as_object().unwrap().clone();
        assert_eq!(object(structure(there.clone())).unwrap(), there);
    }

    #[test]
    fn a_number_is_finite() {
        for it in [f64::NAN, f64::INFINITY] {
            let fields = [("n".to_owned(), Value { kind: Some(Kind::NumberValue(it)) })];
            assert!(object(Struct { fields: fields.into_iter().collect() }).is_err());
        }
        assert_eq!(number(1e300).unwrap(), json!(1e300));
        assert_eq!(number(7.0).unwrap(), json!(7));
    }
}
