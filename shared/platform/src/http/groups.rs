//! Tenant groups and their members.

use axum::http::HeaderMap;
use axum::response::Response;
use flagforge_flags::keys::{GroupKey, OrgKey, TenantKey};
use flagforge_flags::wire::ConditionWire;
use serde::Deserialize;
use serde_json::Value as Json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, ListOptions, PageBody};
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::change::Change;
use crate::error::Error;
use crate::record::{Group, Member};
use crate::{fresh, search, strict};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, put, delete))
        .routes(routes!(list_members))
        .routes(routes!(add_member, remove_member))
}

/// A group as it shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct GroupInput {
    #[serde(default)]
    description: String,
    /// Who is in it: a condition on `tenant.<attribute>`, as a tree or as text, say `tenant.plan == "gold"`.
    /// Absent: the members that are put into it.
    #[serde(default)]
    #[schema(value_type = serde_json::Value, required = false)]
    when: Option<Json>,
}

/// Lists tenant groups, by key.
#[utoipa::path(get, path = "/v1/orgs/{org}/groups", tag = "groups", params(("org" = String, Path), ListOptions), responses(
    (status = 200, body = PageBody<Group>),
    (status = "default", body = ProblemBody),
))]
async fn list(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(page): Options<ListOptions>,
) -> Result<Response, Problem> {
    Ok(answer::listing(platform.groups(&caller, &org, &page.into()).await?))
}

/// One group.
#[utoipa::path(get, path = "/v1/orgs/{org}/groups/{group}", tag = "groups", params(("org" = String, Path), ("group" = String, Path)), responses(
    (status = 200, body = Group),
    (status = "default", body = ProblemBody),
))]
async fn get(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, group)): Keys<(OrgKey, GroupKey)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(answer::one(&headers, &platform.group(&caller, &org, &group).await?))
}

/// Creates a group, or replaces its description and condition (then If-Match is required). Members stay, and
/// count while there is no condition.
#[utoipa::path(put, path = "/v1/orgs/{org}/groups/{group}", tag = "groups", params(("org" = String, Path), ("group" = String, Path)), request_body = GroupInput, responses(
    (status = 200, body = Group),
    (status = 201, body = Group),
    (status = "default", body = ProblemBody),
))]
async fn put(
    Acting(platform): Acting,
    Keys((org, group)): Keys<(OrgKey, GroupKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.may(&org, crate::caller::Role::Reader)?;
    let GroupInput { description, when } = asked.body_but(&["key", "uid"])?;
    let when = when.map(condition).transpose()?;
    let change = Change::PutGroup { org, group, uid: fresh::id()?, description, when };
    asked.replace(&platform, change).await
}

/// Deletes a group. Overrides for it are void from then on, also for a new group of the same key.
#[utoipa::path(delete, path = "/v1/orgs/{org}/groups/{group}", tag = "groups", params(("org" = String, Path), ("group" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn delete(
    Acting(platform): Acting,
    Keys((org, group)): Keys<(OrgKey, GroupKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::DeleteGroup { org, group }).await
}

/// Lists the members of a group; of one with a condition, the tenants for whom it holds.
#[utoipa::path(get, path = "/v1/orgs/{org}/groups/{group}/members", tag = "groups", params(("org" = String, Path), ("group" = String, Path), ListOptions), responses(
    (status = 200, body = PageBody<Member>),
    (status = "default", body = ProblemBody),
))]
async fn list_members(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, group)): Keys<(OrgKey, GroupKey)>,
    Options(page): Options<ListOptions>,
) -> Result<Response, Problem> {
    Ok(answer::listing(platform.members(&caller, &org, &group, &page.into()).await?))
}

/// Puts a tenant into a group.
#[utoipa::path(put, path = "/v1/orgs/{org}/groups/{group}/members/{tenant}", tag = "groups", params(("org" = String, Path), ("group" = String, Path), ("tenant" = String, Path)), responses(
    (status = 200, body = Member),
    (status = 201, body = Member),
    (status = "default", body = ProblemBody),
))]
async fn add_member(
    Acting(platform): Acting,
    Keys((org, group, tenant)): Keys<(OrgKey, GroupKey, TenantKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::AddMember { org, group, tenant }).await
}

/// Takes a tenant out of a group.
#[utoipa::path(delete, path = "/v1/orgs/{org}/groups/{group}/members/{tenant}", tag = "groups", params(("org" = String, Path), ("group" = String, Path), ("tenant" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn remove_member(
    Acting(platform): Acting,
    Keys((org, group, tenant)): Keys<(OrgKey, GroupKey, TenantKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::RemoveMember { org, group, tenant }).await
}

/// A condition as people send it: text, or the tree.
fn condition(sent: Json) -> Result<ConditionWire, Error> {
    match sent {
        // The tree of what always holds is the text `always` too.
        Json::String(text) if text != "always" => search::condition(&text),
        tree => {
            let wrapped = serde_json::json!({ "when": tree });
            strict::from_value::<Tree>(wrapped, &[]).map(|tree| tree.when)
        }
    }
}

/// Only so that an error's path begins with `when`.
#[derive(Deserialize)]
struct Tree {
    when: ConditionWire,
}
