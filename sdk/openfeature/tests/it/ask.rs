//! One question through OpenFeature's client, of whatever type.

use flagforge_openfeature::{Provider, reason_of_default};
use open_feature::{
    Client, EvaluationContext, EvaluationDetails, EvaluationError, EvaluationOptions, FlagMetadata,
    FlagMetadataValue, OpenFeature, StructValue, Value,
};
use serde_json::{Map, Value as Json};

pub(crate) const TYPES: [&str; 5] = ["boolean", "string", "integer", "number", "object"];

/// What a caller sees; `Err` has the error's code and its message.
pub(crate) type Seen = Result<Answer, (String, String)>;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) key: String,
    pub(crate) value: Json,
    pub(crate) reason: String,
    pub(crate) variant: Option<String>,
    pub(crate) metadata: Map<String, Json>,
}

/// Asks a provider in an OpenFeature of its own.
pub(crate) async fn ask(
    provider: &Provider,
    kind: &str,
    key: &str,
    context: &EvaluationContext,
) -> Seen {
    let mut openfeature = OpenFeature::default();
    openfeature.set_provider(provider.clone()).await;
    let asked = raw(&openfeature.create_client(), kind, key, Some(context), None).await;
    asked.map_err(|error| match reason_of_default(&error) {
        Some(reason) => (format!("the caller's default, {reason}"), String::new()),
        None => (error.code.to_string(), error.message.unwrap_or_default()),
    })
}

pub(crate) async fn raw(
    client: &Client,
    kind: &str,
    key: &str,
    context: Option<&EvaluationContext>,
    options: Option<&EvaluationOptions>,
) -> Result<Answer, EvaluationError> {
    Ok(match kind {
        "boolean" => told(client.get_bool_details(key, context, options).await?),
        "string" => told(client.get_string_details(key, context, options).await?),
        "integer" => told(client.get_int_details(key, context, options).await?),
        "number" => told(client.get_float_details(key, context, options).await?),
        "object" => told(client.get_struct_details::<StructValue>(key, context, options).await?),
        other => panic!("{other} is no type"),
    })
}

fn told(details: EvaluationDetails<impl Into<Value>>) -> Answer {
    let EvaluationDetails { flag_key: key, value, reason, variant, flag_metadata } = details;
    let reason = reason.map(|reason| reason.to_string()).unwrap_or_default();
    Answer { key, value: json(&value.into()), reason, variant, metadata: read(flag_metadata) }
}

fn read(metadata: FlagMetadata) -> Map<String, Json> {
    let values = metadata.values.into_iter().map(|(name, value)| {
        let value = match value {
            FlagMetadataValue::Bool(yes) => Json::from(yes),
            FlagMetadataValue::Int(whole) => Json::from(whole),
            FlagMetadataValue::Float(number) => Json::from(number),
            FlagMetadataValue::String(text) => Json::from(text),
        };
        (name, value)
    });
    values.collect()
}

pub(crate) fn json(value: &Value) -> Json {
    match value {
        Value::Bool(yes) => Json::from(*yes),
        Value::Int(whole) => Json::from(*whole),
        Value::Float(number) => Json::from(*number),
        Value::String(text) => Json::from(text.as_str()),
        Value::Array(list) => list.iter().map(json).collect(),
        Value::Struct(structure) => {
            let fields = structure.fields.iter();
            Json::Object(fields.map(|(name, value)| (name.clone(), json(value))).collect())
        }
    }
}
