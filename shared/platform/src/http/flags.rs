//! Flag definitions: what a flag is, in every environment.

use axum::http::HeaderMap;
use axum::response::Response;
use flagforge_flags::keys::{FlagKey, OrgKey};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, ListOptions, PageBody};
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::change::Change;
use crate::fresh;
use crate::input::DefinitionInput;
use crate::record::Definition;
use crate::search::FlagFilter;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, put, delete))
}

/// Lists flag definitions, by key.
#[utoipa::path(get, path = "/v1/orgs/{org}/flags", tag = "flags", params(("org" = String, Path), ListOptions, FlagFilter), responses(
    (status = 200, body = PageBody<Definition>),
    (status = "default", body = ProblemBody),
))]
async fn list(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(page): Options<ListOptions>,
    Options(filter): Options<FlagFilter>,
) -> Result<Response, Problem> {
    Ok(answer::listing(platform.definitions(&caller, &org, &filter, &page.into()).await?))
}

/// One flag's definition.
#[utoipa::path(get, path = "/v1/orgs/{org}/flags/{flag}", tag = "flags", params(("org" = String, Path), ("flag" = String, Path)), responses(
    (status = 200, body = Definition),
    (status = "default", body = ProblemBody),
))]
async fn get(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, flag)): Keys<(OrgKey, FlagKey)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(answer::one(&headers, &platform.definition(&caller, &org, &flag).await?))
}

/// Defines a flag, or replaces its definition (then If-Match is required). A new flag is off everywhere.
/// Refused when some environment's state or override would not fit.
#[utoipa::path(put, path = "/v1/orgs/{org}/flags/{flag}", tag = "flags", params(("org" = String, Path), ("flag" = String, Path)), request_body = DefinitionInput, responses(
    (status = 200, body = Definition),
    (status = 201, body = Definition),
    (status = "default", body = ProblemBody),
))]
async fn put(
    Acting(platform): Acting,
    Keys((org, flag)): Keys<(OrgKey, FlagKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.may(&org, crate::caller::Role::Reader)?;
    let definition: DefinitionInput = asked.body_but(&["key", "uid", "created"])?;
    asked.replace(&platform, Change::PutFlag { org, flag, uid: fresh::id()?, definition }).await
}

/// Deletes a flag in every environment, unless something asks for it. Services get their own defaults from then on.
/// It can be restored, and its key stays taken, until it is purged.
#[utoipa::path(delete, path = "/v1/orgs/{org}/flags/{flag}", tag = "flags", params(("org" = String, Path), ("flag" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn delete(
    Acting(platform): Acting,
    Keys((org, flag)): Keys<(OrgKey, FlagKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::DeleteFlag { org, flag }).await
}
