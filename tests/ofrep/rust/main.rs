//! The provider of crates.io: the cases on its input, and what was answered on its output.

use std::io::{Read, Write};
use std::time::Duration;

use open_feature::provider::{FeatureProvider, ResolutionDetails};
use open_feature::{
    EvaluationContext, EvaluationContextFieldValue, EvaluationErrorCode, EvaluationResult,
    StructValue, Value,
};
use open_feature_ofrep::{OfrepOptions, OfrepProvider};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value as Json, json};

type Error = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut given = String::new();
    std::io::stdin().read_to_string(&mut given)?;
    let given: Json = serde_json::from_str(&given)?;
    let mut providers = Vec::new();
    for (name, headers) in given["asks"].as_object().ok_or("no asks")? {
        let mut map = HeaderMap::new();
        for (header, value) in headers.as_object().ok_or("no headers")? {
            map.insert(HeaderName::try_from(header.as_str())?, HeaderValue::from_str(text(value))?);
        }
        let options = OfrepOptions {
            base_url: text(&given["base"]).to_owned(),
            headers: map,
            connect_timeout: Duration::from_secs(5),
            ..Default::default()
        };
        providers.push((name.clone(), OfrepProvider::new(options).await?));
    }
    let mut results = Vec::new();
    for case in given["cases"].as_array().ok_or("no cases")? {
        let provider = providers.iter().find(|(name, _)| name == text(&case["ask"]));
        let (_, provider) = provider.ok_or("no such asker")?;
        results.push(asked(provider, case).await);
    }
    std::io::stdout().write_all(Json::from(results).to_string().as_bytes())?;
    Ok(())
}

async fn asked(provider: &OfrepProvider, case: &Json) -> Json {
    let (flag, context) = (text(&case["flag"]), context(&case["context"]));
    match text(&case["type"]) {
        "boolean" => told(case, provider.resolve_bool_value(flag, &context).await),
        "string" => told(case, provider.resolve_string_value(flag, &context).await),
        "integer" => told(case, provider.resolve_int_value(flag, &context).await),
        "number" => told(case, provider.resolve_float_value(flag, &context).await),
        _ => {
            let details = provider.resolve_struct_value(flag, &context).await;
            told(
                case,
                details.map(|it| ResolutionDetails {
                    value: plain(&it.value),
                    variant: it.variant,
                    reason: it.reason,
                    flag_metadata: it.flag_metadata,
                }),
            )
        }
    }
}

/// What the SDK makes of a provider's answer: the default where there is an error.
fn told<T: Into<Json>>(case: &Json, details: EvaluationResult<ResolutionDetails<T>>) -> Json {
    match details {
        Ok(it) => {
            let value: Json = it.value.into();
            let reason = it.reason.map(|reason| reason.to_string());
            json!({"id": case["id"], "value": value, "variant": it.variant, "reason": reason, "error": null})
        }
        Err(error) => {
            let code = match &error.code {
                EvaluationErrorCode::General(_) => "GENERAL".to_owned(),
                other => other.to_string(),
            };
            json!({"id": case["id"], "value": case["default"], "error": code, "details": error.message})
        }
    }
}

fn context(json: &Json) -> EvaluationContext {
    let mut context = EvaluationContext::default();
    for (name, value) in json.as_object().into_iter().flatten() {
        let value = match value {
            Json::String(text) if name == "targetingKey" => {
                context = context.with_targeting_key(text.as_str());
                continue;
            }
            Json::String(text) => EvaluationContextFieldValue::String(text.clone()),
            Json::Bool(yes) => EvaluationContextFieldValue::Bool(*yes),
            other => EvaluationContextFieldValue::Int(other.as_i64().unwrap_or_default()),
        };
        context = context.with_custom_field(name.as_str(), value);
    }
    context
}

fn plain(value: &StructValue) -> Json {
    value
        .fields
        .iter()
        .map(|(name, value)| (name.clone(), plain_value(value)))
        .collect::<Map<_, _>>()
        .into()
}

fn plain_value(value: &Value) -> Json {
    match value {
        Value::Bool(yes) => json!(yes),
        Value::Int(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::String(text) => json!(text),
        Value::Array(list) => list.iter().map(plain_value).collect(),
        Value::Struct(fields) => plain(fields),
    }
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}
