//! Tenants.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use flagforge_flags::keys::{OrgKey, TenantKey};
use serde::Deserialize;
use serde_json::Value as Json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, PageBody, PageOptions};
use super::asked::{Asked, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::change::Change;
use crate::record::Tenant;
use crate::{Platform, fresh};

pub(super) fn routes() -> OpenApiRouter<Platform> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, put, delete))
}

/// A tenant as it shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TenantInput {
    #[serde(default)]
    name: String,
    /// What rules read as `tenant.<name>`.
    #[serde(default)]
    #[schema(value_type = Object)]
    attributes: serde_json::Map<String, Json>,
}

/// Lists tenants, by key.
#[utoipa::path(get, path = "/v1/orgs/{org}/tenants", tag = "tenants", params(("org" = String, Path), PageOptions), responses(
    (status = 200, body = PageBody<Tenant>),
    (status = "default", body = ProblemBody),
))]
async fn list(
    State(platform): State<Platform>,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(page): Options<PageOptions>,
) -> Result<Response, Problem> {
    Ok(answer::listing(platform.tenants(&caller, &org, &page.into()).await?))
}

/// One tenant.
#[utoipa::path(get, path = "/v1/orgs/{org}/tenants/{tenant}", tag = "tenants", params(("org" = String, Path), ("tenant" = String, Path)), responses(
    (status = 200, body = Tenant),
    (status = "default", body = ProblemBody),
))]
async fn get(
    State(platform): State<Platform>,
    Reading(caller): Reading,
    Keys((org, tenant)): Keys<(OrgKey, TenantKey)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(answer::one(&headers, &platform.tenant(&caller, &org, &tenant).await?))
}

/// Creates a tenant, or replaces one (then If-Match is required).
#[utoipa::path(put, path = "/v1/orgs/{org}/tenants/{tenant}", tag = "tenants", params(("org" = String, Path), ("tenant" = String, Path)), request_body = TenantInput, responses(
    (status = 200, body = Tenant),
    (status = 201, body = Tenant),
    (status = "default", body = ProblemBody),
))]
async fn put(
    State(platform): State<Platform>,
    Keys((org, tenant)): Keys<(OrgKey, TenantKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.may(&org, crate::caller::Role::Reader)?;
    let input: TenantInput = asked.body_but(&["key", "uid"])?;
    let name = if input.name.is_empty() { tenant.to_string() } else { input.name };
    let attributes = input.attributes;
    asked
        .replace(&platform, Change::PutTenant { org, tenant, uid: fresh::id()?, name, attributes })
        .await
}

/// Deletes a tenant. Its overrides and memberships are void from then on, also for a new tenant of the same key.
#[utoipa::path(delete, path = "/v1/orgs/{org}/tenants/{tenant}", tag = "tenants", params(("org" = String, Path), ("tenant" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn delete(
    State(platform): State<Platform>,
    Keys((org, tenant)): Keys<(OrgKey, TenantKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::DeleteTenant { org, tenant }).await
}
