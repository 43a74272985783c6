//! The catalog of flags, and copies of them.

use axum::Json;
use axum::response::{IntoResponse, Response};
use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer;
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::caller::Permission;
use crate::catalog::{Catalog, CatalogBy};
use crate::copies::{Copied, CopyOf};
use crate::record::Definition;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(catalog))
        .routes(routes!(clone_flag))
        .routes(routes!(copy_environment))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CatalogOptions {
    /// By what flags are sorted; `owner` when not said.
    by: Option<CatalogBy>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CloneInput {
    /// The new flag's key.
    #[schema(value_type = String)]
    key: FlagKey,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CopyInput {
    /// The environment that is copied.
    #[schema(value_type = String)]
    from: EnvKey,
    /// The `next` of the call before.
    #[serde(default)]
    cursor: Option<String>,
}

/// All flags by owner, domain, dependent service or tag; those that look like duplicates, and those whose end or review
/// has passed.
#[utoipa::path(get, path = "/v1/orgs/{org}/catalog", tag = "flags", params(("org" = String, Path), CatalogOptions), responses(
    (status = 200, body = Catalog),
    (status = "default", body = ProblemBody),
))]
async fn catalog(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(options): Options<CatalogOptions>,
) -> Result<Response, Problem> {
    let by = options.by.unwrap_or_default();
    Ok(Json(platform.catalog(&caller, &org, by).await?).into_response())
}

/// Defines a flag like this one, with the states that it has where the caller may set states. The clone's buckets are
/// the original's: who is in the one is in the other.
#[utoipa::path(post, path = "/v1/orgs/{org}/flags/{flag}/clone", tag = "flags", params(("org" = String, Path), ("flag" = String, Path)), request_body = CloneInput, responses(
    (status = 201, body = Definition),
    (status = "default", body = ProblemBody),
))]
async fn clone_flag(
    Acting(platform): Acting,
    Keys((org, of)): Keys<(OrgKey, FlagKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can(&org, Permission::Read)?;
    let CloneInput { key } = asked.body()?;
    let of = CopyOf { org, of, flag: key };
    let (change, outcome) =
        platform.clone_flag(&asked.caller, of, |change| asked.commit(change)).await?;
    Ok(answer::changed(&change.log(), outcome))
}

/// Copies every segment and flag state of another environment into this one, in parts; what this one has besides stays.
/// As long as the answer has a `next`, there is more: send it as `cursor`. A call may be repeated.
#[utoipa::path(post, path = "/v1/orgs/{org}/environments/{env}/copy", tag = "promotion", params(("org" = String, Path), ("env" = String, Path)), request_body = CopyInput, responses(
    (status = 200, body = Copied),
    (status = "default", body = ProblemBody),
))]
async fn copy_environment(
    Acting(platform): Acting,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can_in(&org, &env, Permission::Read)?;
    let CopyInput { from, cursor } = asked.body()?;
    let committing = |change| asked.commit(change);
    let copied = platform
        .copy_environment(&asked.caller, (&org, &from, &env), cursor.as_deref(), committing)
        .await?;
    Ok(Json(copied).into_response())
}
