//! The values that flags answer.

use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use crate::wire::ValueType;

/// A variant's value, of one of the five types.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A text.
    String(Box<str>),
    /// A whole number.
    Integer(i64),
    /// A finite number.
    Number(f64),
    /// A JSON object or array.
    Object(Json),
}

impl Value {
    /// Reads JSON as a value of one type; `Err` says what it is instead. A whole number written with a
    /// fraction of zero (`5.0`) is an integer, and an integer is a number; nothing else converts.
    pub fn from_json(value_type: ValueType, json: &Json) -> Result<Self, &'static str> {
        match (value_type, json) {
            (ValueType::Boolean, Json::Bool(b)) => Ok(Self::Boolean(*b)),
            (ValueType::String, Json::String(s)) => Ok(Self::String(s.as_str().into())),
            (ValueType::Integer, Json::Number(n)) => {
                let whole = n.as_i64().or_else(|| n.as_f64().and_then(whole));
                whole.map(Self::Integer).ok_or("a number with a fraction or beyond 64 bits")
            }
            (ValueType::Number, Json::Number(n)) => {
                n.as_f64().filter(|n| n.is_finite()).map(Self::Number).ok_or("no finite number")
            }
            (ValueType::Object, Json::Object(_) | Json::Array(_)) => Ok(Self::Object(json.clone())),
            (_, Json::Null) => Err("null"),
            (_, Json::Bool(_)) => Err("a boolean"),
            (_, Json::Number(_)) => Err("a number"),
            (_, Json::String(_)) => Err("a string"),
            (_, Json::Array(_)) => Err("an array"),
            (_, Json::Object(_)) => Err("an object"),
        }
    }

    /// The type.
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::Boolean(_) => ValueType::Boolean,
            Self::String(_) => ValueType::String,
            Self::Integer(_) => ValueType::Integer,
            Self::Number(_) => ValueType::Number,
            Self::Object(_) => ValueType::Object,
        }
    }

    /// As JSON. A number keeps its decimal point (`5.0`), so that its type can be read back. Allocates for
    /// strings and objects.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Boolean(b) => Json::Bool(*b),
            Self::String(s) => Json::String(s.as_ref().into()),
            Self::Integer(i) => Json::from(*i),
            Self::Number(n) => Json::from(*n),
            Self::Object(json) => json.clone(),
        }
    }

    /// The boolean, when it is one.
    pub const fn as_bool(&self) -> Option<bool> {
        if let Self::Boolean(b) = self { Some(*b) } else { None }
    }

    /// The text, when it is one.
    pub const fn as_str(&self) -> Option<&str> {
        if let Self::String(s) = self { Some(s) } else { None }
    }

    /// The whole number, when it is one.
    pub const fn as_i64(&self) -> Option<i64> {
        if let Self::Integer(i) = self { Some(*i) } else { None }
    }

    /// The number, when it is one; an integer is not.
    pub const fn as_f64(&self) -> Option<f64> {
        if let Self::Number(n) = self { Some(*n) } else { None }
    }

    /// The object or array, when it is one.
    pub const fn as_object(&self) -> Option<&Json> {
        if let Self::Object(json) = self { Some(json) } else { None }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Boolean(b) => serializer.serialize_bool(*b),
            Self::String(s) => serializer.serialize_str(s),
            Self::Integer(i) => serializer.serialize_i64(*i),
            Self::Number(n) => serializer.serialize_f64(*n),
            Self::Object(json) => json.serialize(serializer),
        }
    }
}

impl ValueType {
    /// The word in the wire form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Object => "object",
        }
    }
}

impl std::fmt::Display for ValueType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The whole number that a float is, if it is one and no other float rounds to it.
pub(crate) fn whole(number: f64) -> Option<i64> {
    // Beyond 2^53 neighbouring whole numbers share a float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53 by the condition")]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_type_takes_its_own_json_and_no_other() {
        use ValueType::{Boolean, Integer, Number, Object, String};
        let good = [
            (Boolean, json!(true), "true"),
            (String, json!(""), "\"\""),
            (Integer, json!(i64::MIN), "-9223372036854775808"),
            (Integer, json!(5.0), "5"),
            (Number, json!(5), "5.0"),
            (Number, json!(-0.5), "-0.5"),
            (Object, json!({"a": [1]}), "{\"a\":[1]}"),
            (Object, json!([]), "[]"),
        ];
        for (value_type, json, text) in good {
            let value = Value::from_json(value_type, &json).unwrap();
            assert_eq!(value.value_type(), value_type);
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
            assert_eq!(value.to_json().to_string(), text);
        }
        let samples = [json!(null), json!(true), json!("x"), json!(1), json!([1]), json!({})];
        for value_type in [Boolean, String, Integer, Number, Object] {
            let fits = samples.iter().filter(|json| Value::from_json(value_type, json).is_ok());
            assert_eq!(fits.count(), if value_type == Object { 2 } else { 1 }, "{value_type}");
        }
        for bad in [json!(0.5), json!(u64::MAX), json!(1e300)] {
            assert!(Value::from_json(Integer, &bad).is_err(), "{bad}");
        }
    }
}
