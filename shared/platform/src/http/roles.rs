//! Roles: those that every organization has, and those it made.

use axum::http::HeaderMap;
use axum::response::Response;
use flagforge_flags::keys::{OrgKey, RoleKey};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, ListOptions, PageBody};
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::caller::{Permission, PermissionSet};
use crate::change::Change;
use crate::record::RoleRecord;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, put, delete))
}

/// A role as it shall be. `read` is in every role, said or not.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RoleInput {
    #[serde(default)]
    description: String,
    permissions: PermissionSet,
}

/// Lists the organization's own roles, by key. `reader`, `approver`, `maintainer` and `admin` are always there besides.
#[utoipa::path(get, path = "/v1/orgs/{org}/roles", tag = "roles", params(("org" = String, Path), ListOptions), responses(
    (status = 200, body = PageBody<RoleRecord>),
    (status = "default", body = ProblemBody),
))]
async fn list(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(page): Options<ListOptions>,
) -> Result<Response, Problem> {
    Ok(answer::listing(platform.roles(&caller, &org, &page.into()).await?))
}

/// One of the organization's own roles.
#[utoipa::path(get, path = "/v1/orgs/{org}/roles/{role}", tag = "roles", params(("org" = String, Path), ("role" = String, Path)), responses(
    (status = 200, body = RoleRecord),
    (status = "default", body = ProblemBody),
))]
async fn get(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, role)): Keys<(OrgKey, RoleKey)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(answer::one(&headers, &platform.role(&caller, &org, &role).await?))
}

/// Makes a role, or replaces one (then If-Match is required). Every key and person that has it changes with it.
/// It cannot allow what its maker may not do.
#[utoipa::path(put, path = "/v1/orgs/{org}/roles/{role}", tag = "roles", params(("org" = String, Path), ("role" = String, Path)), request_body = RoleInput, responses(
    (status = 200, body = RoleRecord),
    (status = 201, body = RoleRecord),
    (status = "default", body = ProblemBody),
))]
async fn put(
    Acting(platform): Acting,
    Keys((org, role)): Keys<(OrgKey, RoleKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can_everywhere(&org, Permission::ManageMembers)?;
    let RoleInput { description, permissions } = asked.body_but(&["key"])?;
    asked.replace(&platform, Change::PutRole { org, role, description, permissions }).await
}

/// Deletes a role that nobody has.
#[utoipa::path(delete, path = "/v1/orgs/{org}/roles/{role}", tag = "roles", params(("org" = String, Path), ("role" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn delete(
    Acting(platform): Acting,
    Keys((org, role)): Keys<(OrgKey, RoleKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::DeleteRole { org, role }).await
}
