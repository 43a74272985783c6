//! Tenants.

use axum::http::HeaderMap;
use axum::response::Response;
use flagforge_flags::keys::{OrgKey, TenantKey};
use serde::Deserialize;
use serde_json::Value as Json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, ListOptions, PageBody};
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::change::Change;
use crate::error::Error;
use crate::fresh;
use crate::import::Counts;
use crate::record::Tenant;
use crate::schema::TenantSchema;
use crate::search::TenantFilter;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, upsert))
        .routes(routes!(get, put, delete))
        .routes(routes!(get_schema, put_schema))
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
    /// Made for tests, and no customer.
    #[serde(default)]
    synthetic: bool,
}

/// Tenants as they shall be.
#[derive(Debug, Deserialize, ToSchema)]
struct ManyTenants {
    tenants: Vec<NamedTenant>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NamedTenant {
    #[schema(value_type = String)]
    key: TenantKey,
    #[serde(default)]
    name: String,
    #[serde(default)]
    #[schema(value_type = Object)]
    attributes: serde_json::Map<String, Json>,
    #[serde(default)]
    synthetic: bool,
}

impl NamedTenant {
    fn record(self) -> Result<Tenant, Error> {
        let Self { key, name, attributes, synthetic } = self;
        let name = if name.is_empty() { key.to_string() } else { name };
        Ok(Tenant { key, uid: fresh::id()?, name, attributes, synthetic })
    }
}

/// Which tenants a list holds.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TenantOptions {
    /// Only synthetic tenants, or only real ones.
    synthetic: Option<bool>,
    /// A condition on attributes as text, say `tenant.plan == "gold"`.
    when: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SchemaOptions {
    /// Refuse the schema while tenants stand that do not fit it (the default), or hold only later writes to it.
    strict: Option<bool>,
}

/// Lists tenants, by key.
#[utoipa::path(get, path = "/v1/orgs/{org}/tenants", tag = "tenants", params(("org" = String, Path), ListOptions, TenantOptions), responses(
    (status = 200, body = PageBody<Tenant>),
    (status = "default", body = ProblemBody),
))]
async fn list(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(page): Options<ListOptions>,
    Options(TenantOptions { synthetic, when }): Options<TenantOptions>,
) -> Result<Response, Problem> {
    caller.may(&org, crate::caller::Role::Reader)?;
    let filter = TenantFilter::parse(synthetic, when.as_deref())?;
    Ok(answer::listing(platform.tenants(&caller, &org, &filter, &page.into()).await?))
}

/// Creates or replaces up to 50 tenants, all or none, without If-Match. For more, see imports.
#[utoipa::path(post, path = "/v1/orgs/{org}/tenants", tag = "tenants", params(("org" = String, Path)), request_body = ManyTenants, responses(
    (status = 200, body = Counts),
    (status = "default", body = ProblemBody),
))]
async fn upsert(
    Acting(platform): Acting,
    Keys(org): Keys<OrgKey>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.may(&org, crate::caller::Role::Reader)?;
    let ManyTenants { tenants } = asked.body()?;
    let tenants = tenants.into_iter().map(NamedTenant::record).collect::<Result<_, Error>>()?;
    asked.change(&platform, Change::UpsertTenants { org, tenants, import: None }).await
}

/// What tenants' attributes may be. Without attributes it takes anything.
#[utoipa::path(get, path = "/v1/orgs/{org}/tenant-schema", tag = "tenants", params(("org" = String, Path)), responses(
    (status = 200, body = TenantSchema),
    (status = "default", body = ProblemBody),
))]
async fn get_schema(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(answer::one(&headers, &platform.tenant_schema(&caller, &org).await?))
}

/// Sets what tenants' attributes may be (If-Match is required to replace it). Refused while tenants stand that do
/// not fit, naming the first; with `strict=false` those stay as they are and only later writes are held to it.
#[utoipa::path(put, path = "/v1/orgs/{org}/tenant-schema", tag = "tenants", params(("org" = String, Path), SchemaOptions), request_body = TenantSchema, responses(
    (status = 200, body = TenantSchema),
    (status = 201, body = TenantSchema),
    (status = "default", body = ProblemBody),
))]
async fn put_schema(
    Acting(platform): Acting,
    Keys(org): Keys<OrgKey>,
    Options(options): Options<SchemaOptions>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.may(&org, crate::caller::Role::Reader)?;
    let schema: TenantSchema = asked.body()?;
    let strict = options.strict.unwrap_or(true);
    asked.replace(&platform, Change::PutTenantSchema { org, schema, strict }).await
}

/// One tenant.
#[utoipa::path(get, path = "/v1/orgs/{org}/tenants/{tenant}", tag = "tenants", params(("org" = String, Path), ("tenant" = String, Path)), responses(
    (status = 200, body = Tenant),
    (status = "default", body = ProblemBody),
))]
async fn get(
    Acting(platform): Acting,
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
    Acting(platform): Acting,
    Keys((org, tenant)): Keys<(OrgKey, TenantKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.may(&org, crate::caller::Role::Reader)?;
    let input: TenantInput = asked.body_but(&["key", "uid"])?;
    let name = if input.name.is_empty() { tenant.to_string() } else { input.name };
    let (attributes, synthetic, uid) = (input.attributes, input.synthetic, fresh::id()?);
    let change = Change::PutTenant { org, tenant, uid, name, attributes, synthetic };
    asked.replace(&platform, change).await
}

/// Deletes a tenant. Its overrides and memberships are void from then on, also for a new tenant of the same key.
#[utoipa::path(delete, path = "/v1/orgs/{org}/tenants/{tenant}", tag = "tenants", params(("org" = String, Path), ("tenant" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn delete(
    Acting(platform): Acting,
    Keys((org, tenant)): Keys<(OrgKey, TenantKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::DeleteTenant { org, tenant }).await
}
