//! Access keys.

use axum::extract::State;
use axum::response::Response;
use flagforge_flags::keys::OrgKey;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, PageBody, PageOptions};
use super::asked::{Asked, Keys, Options, Reading};
use super::organizations::with_secret;
use super::problem::{Problem, ProblemBody};
use crate::Platform;
use crate::access::KeySpec;
use crate::caller::Permission;
use crate::change::Change;
use crate::place::LogId;
use crate::record::KeyFacts;

pub(super) fn routes() -> OpenApiRouter<Platform> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// A new key, shown this once.
#[derive(Debug, Serialize, ToSchema)]
struct Issued {
    record: KeyFacts,
    /// Absent when this answers a repeat: the key was shown the first time.
    key: Option<String>,
}

/// Lists the organization's keys, without their secrets.
#[utoipa::path(get, path = "/v1/orgs/{org}/keys", tag = "keys", params(("org" = String, Path), PageOptions), responses(
    (status = 200, body = PageBody<KeyFacts>),
    (status = "default", body = ProblemBody),
))]
async fn list(
    State(platform): State<Platform>,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(page): Options<PageOptions>,
) -> Result<Response, Problem> {
    Ok(answer::listing(platform.keys(&caller, &org, &page.into()).await?))
}

/// Makes a key, no stronger than the one that asks.
#[utoipa::path(post, path = "/v1/orgs/{org}/keys", tag = "keys", params(("org" = String, Path)), request_body = KeySpec, responses(
    (status = 201, body = Issued),
    (status = "default", body = ProblemBody),
))]
async fn create(
    State(platform): State<Platform>,
    Keys(org): Keys<OrgKey>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can(&org, Permission::ManageKeys)?;
    let spec: KeySpec = asked.body()?;
    let request = |change| asked.commit(change);
    let (outcome, issued) = platform.issue_key(&asked.caller, &org, spec, request).await?;
    let log = LogId { org, env: None };
    Ok(with_secret(&log, outcome, "key", "record", &issued.key.expose()))
}

/// Revokes a key and every key made by it.
#[utoipa::path(delete, path = "/v1/orgs/{org}/keys/{id}", tag = "keys", params(("org" = String, Path), ("id" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn revoke(
    State(platform): State<Platform>,
    Keys((org, id)): Keys<(OrgKey, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::RevokeKey { org, id }).await
}
