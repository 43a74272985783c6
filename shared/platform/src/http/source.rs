//! Where tenants come from.

use axum::Json;
use axum::http::HeaderMap;
use axum::response::Response;
use flagforge_flags::keys::OrgKey;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer;
use super::asked::{Acting, Asked, Keys, Reading};
use super::problem::{Problem, ProblemBody};
use crate::caller::Permission;
use crate::import::OnError;
use crate::import::source::{Missing, SourceFormat, SourceRun, SourceSeen, TenantSource};
use crate::place::LogId;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(get, put, delete)).routes(routes!(run))
}

/// A source as it shall be, and what it is shown.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SourceInput {
    /// `https`; plain `http` only on this machine, where the installation allows it.
    url: String,
    /// Sent as `Authorization: Bearer …`. Not said, what stands stays; empty, none is sent.
    #[serde(default)]
    bearer: Option<String>,
    #[serde(default)]
    format: SourceFormat,
    /// Seconds between two runs, 60 to 604,800.
    #[serde(default = "an_hour")]
    every_seconds: u32,
    #[serde(default)]
    on_error: OnError,
    #[serde(default)]
    missing: Missing,
    /// When more of the tenants that came from the source are missing than so many of a hundred, nothing is believed.
    #[serde(default = "ten")]
    max_missing_percent: u8,
    #[serde(default)]
    paused: bool,
}

fn an_hour() -> u32 {
    3_600
}

fn ten() -> u8 {
    10
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RunInput {
    /// Believe the source also when much is missing.
    #[serde(default)]
    accept_shrinkage: bool,
}

/// The source of tenants, and what its last run came to.
#[utoipa::path(get, path = "/v1/orgs/{org}/tenant-source", tag = "imports", params(("org" = String, Path)), responses(
    (status = 200, body = SourceSeen),
    (status = "default", body = ProblemBody),
))]
async fn get(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
) -> Result<Json<SourceSeen>, Problem> {
    Ok(Json(platform.tenant_source(&caller, &org).await?.value))
}

/// Sets where tenants come from: an address that is asked every so often, whose answer is applied as an import is.
#[utoipa::path(put, path = "/v1/orgs/{org}/tenant-source", tag = "imports", params(("org" = String, Path)), request_body = SourceInput, responses(
    (status = 200, body = SourceSeen),
    (status = 201, body = SourceSeen),
    (status = "default", body = ProblemBody),
))]
async fn put(
    Acting(platform): Acting,
    Keys(org): Keys<OrgKey>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can_everywhere(&org, Permission::ManageSettings)?;
    let input: SourceInput = asked.body_but(&["hasBearer", "lastRun"])?;
    let SourceInput { url, bearer, format, every_seconds, on_error, missing, .. } = input;
    let (max_missing_percent, paused) = (input.max_missing_percent, input.paused);
    let source =
        TenantSource { url, format, every_seconds, on_error, missing, max_missing_percent, paused };
    let request = |change| asked.commit(change);
    let new = (source, bearer);
    let outcome = platform.put_tenant_source(&asked.caller, &org, new, request).await?;
    Ok(answer::changed(&LogId { org, env: None }, outcome))
}

/// Asks no source any more. The tenants stay.
#[utoipa::path(delete, path = "/v1/orgs/{org}/tenant-source", tag = "imports", params(("org" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn delete(
    Acting(platform): Acting,
    Keys(org): Keys<OrgKey>,
    asked: Asked,
) -> Result<Response, Problem> {
    let request = |change| asked.commit(change);
    let outcome = platform.delete_tenant_source(&asked.caller, &org, request).await?;
    Ok(answer::changed(&LogId { org, env: None }, outcome))
}

/// Asks the source now, and answers when all of it is applied.
#[utoipa::path(post, path = "/v1/orgs/{org}/tenant-source/run", tag = "imports", params(("org" = String, Path)), request_body = RunInput, responses(
    (status = 200, body = SourceRun),
    (status = "default", body = ProblemBody),
))]
async fn run(
    Acting(platform): Acting,
    Keys(org): Keys<OrgKey>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can_everywhere(&org, Permission::WriteDirectory)?;
    let RunInput { accept_shrinkage } = asked.body()?;
    let request = |change| asked.one_of_many(change);
    let run = platform.pull_tenants(&asked.caller, &org, accept_shrinkage, &request).await?;
    let value = crate::store::Stored { value: run, version: crate::store::ABSENT };
    Ok(answer::one(&HeaderMap::new(), &value))
}
