//! OFREP's single evaluation, why a flag answers as it does, and the context that OFREP's requests carry.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use flagforge_flags::{Answer, Context, FlagName, KeyKind, Pinned, Reason, Snapshot, Value};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use tokio::time::timeout;

use crate::asker::Asker;
use crate::browser::shown;
use crate::clock;
use crate::problem::{Refused, answer};
use crate::relay::Relay;

/// Bytes of a request's body: a context of a few hundred attributes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// `POST /ofrep/v1/evaluate/flags/{key}`
pub(crate) async fn evaluate_flag(
    State(relay): State<Arc<Relay>>,
    key: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Ok(Path(key)) = key else { return shown(Refused::FlagNotFound.ofrep("")) };
    let evaluated = evaluated(&relay, &key, &headers, body).await;
    shown(evaluated.unwrap_or_else(|refused| refused.ofrep(&key)))
}

/// `POST /ofrep/v1/evaluate/flags/`
pub(crate) async fn evaluate_nothing(
    State(relay): State<Arc<Relay>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let evaluated = evaluated(&relay, "", &headers, body).await;
    shown(evaluated.unwrap_or_else(|refused| refused.ofrep("")))
}

async fn evaluated(
    relay: &Relay,
    key: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let asker = Asker::of(relay, headers, None).await?;
    let context = context(&asker, headers, &whole(body).await?)?;
    let pinned = asker.shelf.manifest.view().pin(context, clock::now());
    let answered = pinned.answer(FlagName::new(key), None);
    #[cfg(feature = "otel")]
    crate::traces::evaluated(&asker.environment.id, key, &answered);
    // What a client's key may not see is not there, whatever is wrong with it.
    if asker.kind == KeyKind::Client && !answered.client_visible {
        return Err(Refused::FlagNotFound);
    }
    match &answered.error {
        None => Ok(answer(&Success::of(key, &pinned, &answered))),
        Some(error) if error.code() == "FLAG_NOT_FOUND" => Err(Refused::FlagNotFound),
        Some(error) => Err(Refused::Evaluation(error.code(), error.details())),
    }
}

/// `POST /data/v1/explain/{key}`
pub(crate) async fn explain_flag(
    State(relay): State<Arc<Relay>>,
    key: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Ok(Path(key)) = key else { return Refused::FlagNotFound.ofrep("") };
    let explained = explained(&relay, &key, &headers, body).await;
    explained.unwrap_or_else(|refused| refused.ofrep(&key))
}

async fn explained(
    relay: &Relay,
    key: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let asker = Asker::of(relay, headers, None).await?;
    let may = &[KeyKind::Management, KeyKind::Server, KeyKind::Relay];
    asker.needs(may, "a client's key may not ask why")?;
    // The steps tell what flags say of everybody.
    asker.speaks_for_all()?;
    let context = context(&asker, headers, &whole(body).await?)?;
    let explanation = asker.shelf.manifest.view().pin(context, clock::now()).explain(key);
    if explanation.error_code == Some("FLAG_NOT_FOUND") {
        return Err(Refused::FlagNotFound);
    }
    let text = explanation.to_string();
    Ok(answer(&Explained { explanation, text }))
}

#[derive(Serialize)]
struct Explained {
    #[serde(flatten)]
    explanation: flagforge_flags::Explanation,
    /// The same for people.
    text: String,
}

/// OFREP's `serverEvaluationSuccess`. Some clients fail without a variant, so it is there even when the
/// value is the caller's own, and empty then.
#[derive(Serialize)]
struct Success<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a Value>,
    reason: &'static str,
    variant: &'a str,
    metadata: Metadata<'a>,
}

/// Of OpenFeature's reasons OFREP 0.3 allows these. The finer word, and whether the configuration is stale, stand in
/// the metadata.
pub(crate) const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Default => "STATIC",
        Reason::Stale => "UNKNOWN",
        Reason::TargetingMatch | Reason::Split | Reason::Disabled | Reason::Error => {
            reason.as_str()
        }
    }
}

/// OFREP allows booleans, strings and numbers here.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata<'a> {
    fine_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flag_version: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
    revision: String,
    age_seconds: u64,
    tenant_known: bool,
}

impl<'a> Metadata<'a> {
    pub(crate) fn of(pinned: &Pinned<'_, &Snapshot>, answer: &Answer<'a>) -> Self {
        Self {
            fine_reason: answer.fine.as_str(),
            rule: answer.rule,
            flag_version: answer.flag_version,
            stale: answer.reason == Reason::Stale,
            revision: pinned.revision().to_string(),
            age_seconds: pinned.age().as_secs(),
            tenant_known: pinned.tenant_known(),
        }
    }
}

impl<'a> Success<'a> {
    fn of(key: &'a str, pinned: &Pinned<'_, &Snapshot>, answer: &Answer<'a>) -> Self {
        let metadata = Metadata::of(pinned, answer);
        let variant = answer.variant.unwrap_or_default();
        Self { key, value: answer.value, reason: reason(answer.reason), variant, metadata }
    }
}

/// How long a body may take to come, once its head is there: 64 KiB at 6 KiB a second, which is a bad telephone's.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// The whole body, at most [`MAX_BODY_BYTES`] of it.
pub(crate) async fn whole(body: Body) -> Result<Bytes, Refused> {
    whole_within(body, MAX_BODY_BYTES).await
}

/// The whole body, at most so many bytes of it.
pub(crate) async fn whole_within(body: Body, limit: usize) -> Result<Bytes, Refused> {
    let Ok(read) = timeout(BODY_WITHIN, to_bytes(body, limit)).await else {
        return Err(Refused::Slow(BODY_WITHIN));
    };
    match read {
        Ok(bytes) => Ok(bytes),
        Err(error) if over_limit(&error) => Err(Refused::TooLarge(limit)),
        Err(_) => Err(Refused::Malformed("the body ended before it was whole".into())),
    }
}

fn over_limit(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

/// The evaluation context in a request: OFREP's flat one is the user's, `tenant` names the tenant, and
/// `entities` holds further entities by kind, each an object whose `key` is its key.
pub(crate) fn context(
    asker: &Asker,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Context<'static>, Refused> {
    let json: Json =
        serde_json::from_slice(body).map_err(|error| Refused::Malformed(error.to_string()))?;
    let Json::Object(mut request) = json else {
        return Err(invalid("the body must be an object with a `context`"));
    };
    // OFREP's schema does not require it: nothing is known of the user then.
    let context = request.remove("context").unwrap_or_else(|| Json::Object(Map::new()));
    let Json::Object(attributes) = context else {
        return Err(invalid("`context` must be an object"));
    };
    context_of(asker, headers, attributes)
}

/// The same of the flat context alone.
pub(crate) fn context_of(
    asker: &Asker,
    headers: &HeaderMap,
    mut attributes: Map<String, Json>,
) -> Result<Context<'static>, Refused> {
    let tenant = text(&mut attributes, "tenant")?;
    let user = text(&mut attributes, "targetingKey")?;
    let entities = attributes.remove("entities");
    let mut context = Context::for_tenant(asker.tenant(headers, tenant.as_deref())?);
    if let Some(user) = user {
        context = context.user(user);
    }
    for (name, value) in attributes {
        context = context.attr(name, value);
    }
    match entities {
        None | Some(Json::Null) => Ok(context),
        Some(Json::Object(entities)) => entities.into_iter().try_fold(context, entity),
        Some(_) => Err(invalid("`context.entities` must be an object of objects")),
    }
}

fn entity(
    mut context: Context<'static>,
    (kind, entity): (String, Json),
) -> Result<Context<'static>, Refused> {
    let Json::Object(mut attributes) = entity else {
        return Err(invalid("`context.entities` must be an object of objects"));
    };
    if let Some(key) = text(&mut attributes, "key")? {
        context = context.entity(&kind, key);
    }
    for (name, value) in attributes {
        context = context.entity_attr(kind.as_str(), name, value);
    }
    Ok(context)
}

/// Takes a text out; null is none.
fn text(attributes: &mut Map<String, Json>, name: &str) -> Result<Option<String>, Refused> {
    match attributes.remove(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refused::Invalid(format!("`{name}` in the context must be a string"))),
    }
}

fn invalid(why: &str) -> Refused {
    Refused::Invalid(why.to_owned())
}
