//! Structures: ours are JSON, OpenFeature's are its own.

use std::any::Any;

use open_feature::{StructValue, Value};
use serde_json::{Map, Number, Value as Json};

/// JSON as OpenFeature's structure. It has no null: a field that is null is left out. `None` for what has no place in it, a null inside of
/// a list, since leaving it out would move what comes after.
pub(crate) fn structure(fields: &Map<String, Json>) -> Option<StructValue> {
    let fields = fields.iter().filter(|(_, value)| !value.is_null());
    let fields = fields.map(|(name, value)| Some((name.clone(), opened(value)?)));
    Some(StructValue { fields: fields.collect::<Option<_>>()? })
}

fn opened(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => return None,
        Json::Bool(yes) => Value::Bool(*yes),
        // A whole number beyond 64 bits with a sign is the nearest float, as in JSON's other readers.
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64()?),
        },
        Json::String(text) => Value::String(text.clone()),
        Json::Array(list) => Value::Array(list.iter().map(opened).collect::<Option<_>>()?),
        Json::Object(fields) => Value::Struct(structure(fields)?),
    })
}

/// An attribute that is a structure as JSON, where it is one that can be read: OpenFeature's [`StructValue`] or [`Value`], or JSON.
pub(crate) fn json_of(structure: &(dyn Any + Send + Sync)) -> Option<Json> {
    if let Some(json) = structure.downcast_ref::<Json>() {
        return Some(json.clone());
    }
    if let Some(value) = structure.downcast_ref::<Value>() {
        return Some(closed(value));
    }
    structure.downcast_ref::<StructValue>().map(fields)
}

fn fields(structure: &StructValue) -> Json {
    let fields = structure.fields.iter();
    Json::Object(fields.map(|(name, value)| (name.clone(), closed(value))).collect())
}

fn closed(value: &Value) -> Json {
    match value {
        Value::Bool(yes) => Json::Bool(*yes),
        Value::Int(whole) => Json::from(*whole),
        // What is not finite is null, which is as good as missing.
        Value::Float(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::String(text) => Json::String(text.clone()),
        Value::Array(list) => Json::Array(list.iter().map(closed).collect()),
        Value::Struct(structure) => fields(structure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_is_a_structure_and_back() {
        let json = json!({
            "yes": true, "whole": i64::MIN, "number": 1.0, "text": "ä", "list": [1, 2.5, "x", {"deep": []}],
        });
        let structure = structure(json.as_object().unwrap()).unwrap();
        assert_eq!(structure.fields["whole"], Value::Int(i64::MIN));
        assert_eq!(structure.fields["number"], Value::Float(1.0));
        assert_eq!(json_of(&structure), Some(json.clone()));
        assert_eq!(json_of(&Value::Struct(structure)), Some(json.clone()));
        assert_eq!(json_of(&json), Some(json));
        assert_eq!(json_of(&"a text"), None);
    }

    #[test]
    fn what_the_other_side_does_not_have() {
        let open = |json: &Json| structure(json.as_object().unwrap());
        assert_eq!(open(&json!({"gone": null, "there": 1})), open(&json!({"there": 1})));
        assert_eq!(open(&json!({"list": [null, 1]})), None);
        let beyond = open(&json!({"beyond": u64::MAX})).unwrap();
        assert_eq!(beyond.fields["beyond"], Value::Float(18_446_744_073_709_551_615.0));
        assert_eq!(json_of(&Value::Float(f64::NAN)), Some(Json::Null));
    }
}
