//! What a tenant's attributes may be: a schema per organization. Without one, anything is taken.

use std::collections::BTreeMap;

use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use utoipa::ToSchema;

use crate::error::Error;
use crate::input::{MAX_TENANT_ATTRIBUTES, bounded, bounded_text};

/// Values that an attribute's `allowed` may list: an enumeration, not a directory of its own.
pub const MAX_ALLOWED_VALUES: usize = 200;
/// Bytes of one allowed value as JSON. 64 attributes of 200 values of 9 bytes are 115 KB; the record's own
/// limit of 144 KiB refuses what is larger altogether.
pub const MAX_ALLOWED_VALUE_BYTES: usize = 256;

/// The attributes that tenants of an organization may have.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantSchema {
    /// By name. An attribute that is not here is refused, unless there are none at all.
    pub attributes: BTreeMap<String, AttributeSpec>,
}

/// One attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttributeSpec {
    #[serde(rename = "type")]
    pub kind: AttributeType,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The only values it may have; for a list, that its elements may have. Absent: any of its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    pub allowed: Option<Vec<Json>>,
    /// Every tenant has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

/// What an attribute's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttributeType {
    String,
    /// A whole number of 64 bits, signed.
    Integer,
    Number,
    Boolean,
    /// A list of strings.
    Strings,
    /// An instant as RFC 3339 text, say `2026-11-20T09:30:00Z`.
    Date,
}

impl AttributeType {
    fn in_words(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Strings => "a list of strings",
            Self::Date => "an instant as RFC 3339 text",
        }
    }

    fn takes(self, value: &Json) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Integer => value.is_i64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Strings => {
                value.as_array().is_some_and(|elements| elements.iter().all(Json::is_string))
            }
            Self::Date => serde_json::from_value::<Timestamp>(value.clone()).is_ok(),
        }
    }
}

impl TenantSchema {
    /// Refuses a schema that says nothing sensible.
    pub(crate) fn check(&self) -> Result<(), Error> {
        bounded("attributes", "attributes", MAX_TENANT_ATTRIBUTES, self.attributes.len())?;
        for (name, spec) in &self.attributes {
            let field = format!("attributes.{name}");
            check_name(name)?;
            bounded_text(&format!("{field}.description"), &spec.description)?;
            spec.check_allowed(&format!("{field}.allowed"))?;
        }
        Ok(())
    }

    /// Refuses attributes that the schema does not have, of another type, or not among the allowed.
    pub(crate) fn admit(&self, attributes: &Map<String, Json>) -> Result<(), Error> {
        if self.attributes.is_empty() {
            return Ok(());
        }
        for (name, value) in attributes {
            let field = format!("attributes.{name}");
            let Some(spec) = self.attributes.get(name) else {
                let known: Vec<&str> = self.attributes.keys().map(String::as_str).collect();
                let message =
                    format!("the schema has no such attribute; it has: {}", known.join(", "));
                return Err(Error::invalid(field, message));
            };
            spec.admit(&field, value)?;
        }
        let missing = self.attributes.iter().find(|(name, spec)| {
            spec.required && attributes.get(name.as_str()).is_none_or(Json::is_null)
        });
        match missing {
            None => Ok(()),
            Some((name, spec)) => {
                let message = format!("the schema requires it: {}", spec.kind.in_words());
                Err(Error::invalid(format!("attributes.{name}"), message))
            }
        }
    }
}

impl AttributeSpec {
    fn check_allowed(&self, field: &str) -> Result<(), Error> {
        let Some(allowed) = &self.allowed else { return Ok(()) };
        if allowed.is_empty() {
            let message = "an empty list allows nothing; leave it out to allow anything";
            return Err(Error::invalid(field, message));
        }
        bounded(field, "values", MAX_ALLOWED_VALUES, allowed.len())?;
        for (index, value) in allowed.iter().enumerate() {
            let field = format!("{field}[{index}]");
            bounded(&field, "bytes", MAX_ALLOWED_VALUE_BYTES, value.to_string().len())?;
            let fits = match self.kind {
                AttributeType::Strings => value.is_string(),
                kind => kind.takes(value),
            };
            if !fits {
                let of = match self.kind {
                    AttributeType::Strings => "a string, as the list's elements are",
                    kind => kind.in_words(),
                };
                return Err(Error::invalid(field, format!("must be {of}")));
            }
        }
        Ok(())
    }

    fn admit(&self, field: &str, value: &Json) -> Result<(), Error> {
        // Null is how people say that an attribute is not there; conditions read it so.
        if value.is_null() && !self.required {
            return Ok(());
        }
        if !self.kind.takes(value) {
            return Err(Error::invalid(field, format!("must be {}", self.kind.in_words())));
        }
        let Some(allowed) = &self.allowed else { return Ok(()) };
        let stranger = match value {
            Json::Array(elements) => elements.iter().find(|element| !allowed.contains(element)),
            value => (!allowed.contains(value)).then_some(value),
        };
        match stranger {
            None => Ok(()),
            Some(_) => {
                let listed: Vec<String> = allowed.iter().map(Json::to_string).collect();
                Err(Error::invalid(field, format!("must be one of {}", listed.join(", "))))
            }
        }
    }
}

/// Refuses a name that no condition could ask for.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let field = || format!("attributes.{name}");
    // `tenant.key` is the tenant's own key; an attribute of that name could never be read.
    if name == "key" {
        let message = "`key` means the tenant's own key; choose another name";
        return Err(Error::invalid(field(), message));
    }
    if name.is_empty() || name.contains('.') {
        let message =
            "a name may not be empty or hold a dot, which separates the parts of attribute paths";
        return Err(Error::invalid(field(), message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema(attributes: &Json) -> TenantSchema {
        serde_json::from_value(json!({ "attributes": attributes })).unwrap()
    }

    fn refused(schema: &TenantSchema, attributes: &Json) -> String {
        schema.admit(attributes.as_object().unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn each_type_takes_its_own_and_names_the_field_of_what_it_does_not() {
        let cases = [
            ("string", json!("x"), json!(1), "a string"),
            ("integer", json!(7), json!(7.5), "an integer"),
            ("number", json!(7.5), json!("7"), "a number"),
            ("boolean", json!(false), json!("false"), "true or false"),
            ("strings", json!(["a"]), json!(["a", 1]), "a list of strings"),
            ("date", json!("2026-11-20T09:30:00Z"), json!("yesterday"), "RFC 3339"),
        ];
        for (kind, good, bad, words) in cases {
            let schema = schema(&json!({"x": {"type": kind}}));
            schema.check().unwrap();
            schema.admit(json!({ "x": good }).as_object().unwrap()).unwrap();
            let error = refused(&schema, &json!({ "x": bad }));
            assert!(
                error.starts_with("attributes.x: must be ") && error.contains(words),
                "{error}"
            );
        }
    }

    #[test]
    fn unknown_missing_and_disallowed_values_are_refused_by_name() {
        let schema = schema(&json!({
            "plan": {"type": "string", "allowed": ["free", "gold"], "required": true},
            "tags": {"type": "strings", "allowed": ["beta"]},
        }));
        schema.check().unwrap();
        let fine = json!({"plan": "gold", "tags": ["beta"]});
        schema.admit(fine.as_object().unwrap()).unwrap();
        for (attributes, starts) in [
            (json!({"plan": "gold", "region": "eu"}), "attributes.region: the schema has no such"),
            (json!({"plan": "silver"}), "attributes.plan: must be one of \"free\", \"gold\""),
            (
                json!({"plan": "gold", "tags": ["alpha"]}),
                "attributes.tags: must be one of \"beta\"",
            ),
            (json!({"tags": []}), "attributes.plan: the schema requires it"),
            (json!({"plan": null}), "attributes.plan: must be a string"),
        ] {
            let error = refused(&schema, &attributes);
            assert!(error.starts_with(starts), "{error}");
        }
    }

    #[test]
    fn a_schema_has_limits() {
        let many = |count: usize| {
            let names = (0..count).map(|n| (format!("a{n}"), json!({"type": "string"})));
            schema(&Json::Object(names.collect()))
        };
        many(MAX_TENANT_ATTRIBUTES).check().unwrap();
        let error = many(MAX_TENANT_ATTRIBUTES + 1).check().unwrap_err().to_string();
        assert!(error.starts_with("attributes: the limit is 64"), "{error}");
        let allowing = |count: usize| {
            let values: Vec<usize> = (0..count).collect();
            schema(&json!({"x": {"type": "integer", "allowed": values}}))
        };
        allowing(MAX_ALLOWED_VALUES).check().unwrap();
        for (count, words) in [(MAX_ALLOWED_VALUES + 1, "limit is 200"), (0, "empty list")] {
            let error = allowing(count).check().unwrap_err().to_string();
            assert!(
                error.starts_with("attributes.x.allowed: ") && error.contains(words),
                "{error}"
            );
        }
        let error = schema(&json!({"key": {"type": "string"}})).check().unwrap_err().to_string();
        assert!(error.starts_with("attributes.key: "), "{error}");
    }
}
