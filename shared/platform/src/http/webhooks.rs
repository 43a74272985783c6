//! Webhook endpoints: what they hear, their secrets, what did not reach them.

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use flagforge_flags::keys::OrgKey;
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, ListOptions, PageBody};
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::organizations::with_secret;
use super::problem::{Problem, ProblemBody};
use crate::caller::Role;
use crate::change::Change;
use crate::error::Error;
use crate::place::LogId;
use crate::webhooks::{Dead, Webhook, WebhookInput};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, put, delete))
        .routes(routes!(rotate))
        .routes(routes!(dead_letters))
        .routes(routes!(replay))
}

/// A new endpoint, or one with a new secret, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
struct Armed {
    webhook: Webhook,
    /// `whsec_…`. Absent when this answers a repeat: it was shown the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// What is sent again: one event, or all since an instant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReplayInput {
    /// An event's id.
    #[serde(default)]
    event: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    since: Option<Timestamp>,
}

/// Deliveries that were given up.
#[derive(Debug, Serialize, ToSchema)]
struct DeadLetters {
    items: Vec<Dead>,
}

/// Lists webhook endpoints.
#[utoipa::path(get, path = "/v1/orgs/{org}/webhooks", tag = "webhooks", params(("org" = String, Path), ListOptions), responses(
    (status = 200, body = PageBody<Webhook>),
    (status = "default", body = ProblemBody),
))]
async fn list(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(page): Options<ListOptions>,
) -> Result<Response, Problem> {
    Ok(answer::listing(platform.webhooks(&caller, &org, &page.into()).await?))
}

/// Makes an endpoint. It hears of what happens from now on, signed as Standard Webhooks says.
#[utoipa::path(post, path = "/v1/orgs/{org}/webhooks", tag = "webhooks", params(("org" = String, Path)), request_body = WebhookInput, responses(
    (status = 201, body = Armed),
    (status = "default", body = ProblemBody),
))]
async fn create(
    Acting(platform): Acting,
    Keys(org): Keys<OrgKey>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.may(&org, Role::Reader)?;
    let input: WebhookInput = asked.body()?;
    let request = |change| asked.commit(change);
    let (outcome, secret) = platform.create_webhook(&asked.caller, &org, input, request).await?;
    let log = LogId { org, env: None };
    Ok(with_secret(&log, outcome, "secret", "webhook", &secret))
}

/// One endpoint, without its secret.
#[utoipa::path(get, path = "/v1/orgs/{org}/webhooks/{webhook}", tag = "webhooks", params(("org" = String, Path), ("webhook" = String, Path)), responses(
    (status = 200, body = Webhook),
    (status = "default", body = ProblemBody),
))]
async fn get(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, webhook)): Keys<(OrgKey, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(answer::one(&headers, &platform.webhook(&caller, &org, &webhook).await?))
}

/// Changes an endpoint; its secret stays. If-Match counts when it is there.
#[utoipa::path(put, path = "/v1/orgs/{org}/webhooks/{webhook}", tag = "webhooks", params(("org" = String, Path), ("webhook" = String, Path)), request_body = WebhookInput, responses(
    (status = 200, body = Webhook),
    (status = "default", body = ProblemBody),
))]
async fn put(
    Acting(platform): Acting,
    Keys((org, webhook)): Keys<(OrgKey, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.may(&org, Role::Reader)?;
    let input: WebhookInput = asked.body_but(&["id", "created"])?;
    let request = |change| asked.commit(change);
    let outcome = platform.change_webhook(&asked.caller, &org, &webhook, input, request).await?;
    Ok(answer::changed(&LogId { org, env: None }, outcome))
}

/// Deletes an endpoint. What was not delivered is not delivered.
#[utoipa::path(delete, path = "/v1/orgs/{org}/webhooks/{webhook}", tag = "webhooks", params(("org" = String, Path), ("webhook" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn delete(
    Acting(platform): Acting,
    Keys((org, webhook)): Keys<(OrgKey, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::DeleteWebhook { org, id: webhook }).await
}

/// Gives an endpoint a new secret. For a day deliveries carry the signatures of both.
#[utoipa::path(post, path = "/v1/orgs/{org}/webhooks/{webhook}/rotate", tag = "webhooks", params(("org" = String, Path), ("webhook" = String, Path)), responses(
    (status = 201, body = Armed),
    (status = "default", body = ProblemBody),
))]
async fn rotate(
    Acting(platform): Acting,
    Keys((org, webhook)): Keys<(OrgKey, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    let request = |change| asked.commit(change);
    let (outcome, secret) = platform.rotate_webhook(&asked.caller, &org, &webhook, request).await?;
    let log = LogId { org, env: None };
    Ok(with_secret(&log, outcome, "secret", "webhook", &secret))
}

/// The newest deliveries that were given up after all tries, oldest first.
#[utoipa::path(get, path = "/v1/orgs/{org}/webhooks/{webhook}/dead", tag = "webhooks", params(("org" = String, Path), ("webhook" = String, Path)), responses(
    (status = 200, body = DeadLetters),
    (status = "default", body = ProblemBody),
))]
async fn dead_letters(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, webhook)): Keys<(OrgKey, String)>,
) -> Result<Json<DeadLetters>, Problem> {
    Ok(Json(DeadLetters { items: platform.dead_letters(&caller, &org, &webhook).await? }))
}

/// Sends one event again, or everything since an instant. They keep their ids.
#[utoipa::path(post, path = "/v1/orgs/{org}/webhooks/{webhook}/replay", tag = "webhooks", params(("org" = String, Path), ("webhook" = String, Path)), request_body = ReplayInput, responses(
    (status = 202),
    (status = "default", body = ProblemBody),
))]
async fn replay(
    Acting(platform): Acting,
    Keys((org, webhook)): Keys<(OrgKey, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.may(&org, Role::Reader)?;
    let caller = &asked.caller;
    match asked.body()? {
        ReplayInput { event: Some(event), since: None } => {
            platform.replay_event(caller, &org, &webhook, &event).await?;
        }
        ReplayInput { event: None, since: Some(since) } => {
            platform.replay_since(caller, &org, &webhook, since).await?;
        }
        ReplayInput { .. } => {
            let message = "say either which `event` or `since` when, not both and not neither";
            return Err(Error::invalid("the body", message).into());
        }
    }
    Ok(StatusCode::ACCEPTED.into_response())
}
