//! The evaluation service's answers. What a provider is told is what OFREP's clients are told, with one word changed: no
//! answer is `STATIC`, because providers keep such an answer by the flag's key alone and give it to whoever asks next, of
//! whichever tenant.

use std::sync::Arc;

use axum::http::HeaderMap;
use flagforge_flags::{Answer, FlagName, KeyKind, Pinned, Reason, Snapshot, Value};
use prost_types::Struct;
use serde_json::{Map, Value as Json, json};

use super::caller::headers_of;
use super::message::{
    AnyFlag, AnyValue, Resolve, ResolveAll, ResolvedAll, ResolvedBoolean, ResolvedFloat,
    ResolvedInt, ResolvedObject, ResolvedString,
};
use super::structs::{object as object_of, structure};
use crate::asker::Asker;
use crate::clock;
use crate::ofrep::{Metadata, context_of};
use crate::problem::Refused;
use crate::relay::Relay;

/// An answer without its value.
struct Told {
    reason: String,
    variant: Option<String>,
    metadata: Option<Struct>,
}

macro_rules! method {
    ($(#[$doc:meta])* $name:ident, $resolved:ident, $read:expr) => {
        $(#[$doc])*
        pub(super) async fn $name(
            relay: Arc<Relay>,
            headers: HeaderMap,
            asked: Resolve,
        ) -> Result<$resolved, Refused> {
            let (value, told) = resolved(&relay, headers, asked, $read).await?;
            let Told { reason, variant, metadata } = told;
            Ok($resolved { value, reason, variant, metadata })
        }
    };
}

method!(boolean, ResolvedBoolean, Value::as_bool);
method!(string, ResolvedString, |value| value.as_str().map(str::to_owned));
method!(int, ResolvedInt, Value::as_i64);
method!(
    /// Of integers too: where a language has one type of numbers, its provider asks for every number so.
    float, ResolvedFloat, float_of
);
method!(
    /// Of objects alone: the protocol has no place for a list.
    object, ResolvedObject, |value| value.as_object().and_then(Json::as_object).cloned().map(structure)
);

/// `ResolveAll`: what cannot be said of a flag in this protocol is left out, as flagd leaves out what it cannot resolve.
pub(super) async fn all(
    relay: Arc<Relay>,
    headers: HeaderMap,
    asked: ResolveAll,
) -> Result<ResolvedAll, Refused> {
    let (asker, headers) = asker(&relay, headers).await?;
    let attributes = attributes(asked.context)?;
    let pinned =
        asker.shelf.manifest.view().pin(context_of(&asker, &headers, attributes)?, clock::now());
    let places = pinned.snapshot().places();
    let flags = places.into_iter().filter_map(|(key, place)| {
        let answer = pinned.answer_in(place)?;
        let seen = answer.error.is_none() && sees(&asker, &answer);
        let value = any(answer.value).filter(|_| seen)?;
        let Told { reason, variant, metadata } = told(&pinned, &answer);
        Some((key.to_owned(), AnyFlag { reason, variant, value: Some(value), metadata }))
    });
    let metadata =
        json!({"revision": pinned.revision().to_string(), "tenantKnown": pinned.tenant_known()});
    Ok(ResolvedAll { flags: flags.collect(), metadata: structured(metadata) })
}

async fn resolved<T>(
    relay: &Relay,
    headers: HeaderMap,
    asked: Resolve,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<(Option<T>, Told), Refused> {
    let (asker, headers) = asker(relay, headers).await?;
    let context = context_of(&asker, &headers, attributes(asked.context)?)?;
    let pinned = asker.shelf.manifest.view().pin(context, clock::now());
    let answer = pinned.answer(FlagName::new(&asked.flag_key), None);
    #[cfg(feature = "otel")]
    crate::traces::evaluated(&asker.environment.id, &asked.flag_key, &answer);
    // What a client's key may not see is not there, whatever is wrong with it.
    if !sees(&asker, &answer) {
        return Err(Refused::FlagNotFound);
    }
    match &answer.error {
        None => {}
        Some(error) if error.code() == "FLAG_NOT_FOUND" => return Err(Refused::FlagNotFound),
        Some(error) => return Err(Refused::Evaluation(error.code(), error.details())),
    }
    let told = told(&pinned, &answer);
    let Some(value) = answer.value else { return Ok((None, told)) };
    let read = read(value).ok_or_else(|| {
        let kind = match value {
            Value::Object(Json::Array(_)) => "a list, which flagd's protocol cannot carry",
            _ => "of another type",
        };
        Refused::Evaluation("TYPE_MISMATCH", format!("the flag is {kind}"))
    });
    Ok((Some(read?), told))
}

pub(super) async fn asker(
    relay: &Relay,
    headers: HeaderMap,
) -> Result<(Asker, HeaderMap), Refused> {
    let headers = headers_of(headers)?;
    Ok((Asker::of(relay, &headers, None).await?, headers))
}

fn attributes(context: Option<Struct>) -> Result<Map<String, Json>, Refused> {
    object_of(context.unwrap_or_default())
}

fn sees(asker: &Asker, answer: &Answer<'_>) -> bool {
    asker.kind != KeyKind::Client || answer.client_visible
}

/// Providers give their caller's own default where no variant is named and the reason is `DEFAULT`.
fn told(pinned: &Pinned<'_, &Snapshot>, answer: &Answer<'_>) -> Told {
    let reason = if answer.value.is_none() { Reason::Default } else { answer.reason };
    let metadata = serde_json::to_value(Metadata::of(pinned, answer)).ok();
    Told {
        reason: reason.as_str().to_owned(),
        variant: answer.variant.map(str::to_owned),
        metadata: metadata.and_then(structured),
    }
}

fn structured(json: Json) -> Option<Struct> {
    if let Json::Object(object) = json { Some(structure(object)) } else { None }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "an integer beyond 2^53 becomes the double next to it"
)]
fn float_of(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_i64().map(|whole| whole as f64))
}

fn any(value: Option<&Value>) -> Option<AnyValue> {
    Some(match value? {
        Value::Boolean(it) => AnyValue::Bool(*it),
        Value::String(it) => AnyValue::String(it.to_string()),
        Value::Object(Json::Object(it)) => AnyValue::Object(structure(it.clone())),
        Value::Object(_) => return None,
        number => AnyValue::Double(float_of(number)?),
    })
}
