//! What is special about a tenant.

use axum::response::Response;
use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, ListOptions, PageBody, SearchOptions};
use super::asked::{Acting, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::effective::Effective;
use crate::search::{FlagFilter, Search};
use crate::special::{Membership, Special};
use crate::store::Listing;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(overrides_everywhere))
        .routes(routes!(overrides))
        .routes(routes!(groups))
        .routes(routes!(effective))
}

/// Lists what is special about a tenant: its overrides in every environment that the key may see.
#[utoipa::path(get, path = "/v1/orgs/{org}/tenants/{tenant}/overrides", tag = "tenants", params(("org" = String, Path), ("tenant" = String, Path), ListOptions), responses(
    (status = 200, body = PageBody<Special>),
    (status = "default", body = ProblemBody),
))]
async fn overrides_everywhere(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, tenant)): Keys<(OrgKey, TenantKey)>,
    Options(page): Options<ListOptions>,
) -> Result<Response, Problem> {
    let found = platform.overrides_everywhere(&caller, &org, &tenant, &page.into()).await?;
    Ok(answer::listing(found))
}

/// Lists a tenant's overrides in one environment, by flag.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/tenants/{tenant}/overrides", tag = "tenants", params(("org" = String, Path), ("env" = String, Path), ("tenant" = String, Path), ListOptions), responses(
    (status = 200, body = PageBody<Special>),
    (status = "default", body = ProblemBody),
))]
async fn overrides(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env, tenant)): Keys<(OrgKey, EnvKey, TenantKey)>,
    Options(page): Options<ListOptions>,
) -> Result<Response, Problem> {
    let found = platform.overrides_of(&caller, (&org, &env), &tenant, &page.into()).await?;
    Ok(answer::listing(found))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EffectiveOptions {
    /// A user of the tenant, by key, for what depends on one. Absent: nobody in particular.
    user: Option<String>,
}

/// What a tenant gets: every flag's answer in an environment, what decided it, and what that hides.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/tenants/{tenant}/flags", tag = "tenants", params(("org" = String, Path), ("env" = String, Path), ("tenant" = String, Path), ListOptions, FlagFilter, EffectiveOptions), responses(
    (status = 200, body = PageBody<Effective>),
    (status = "default", body = ProblemBody),
))]
async fn effective(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env, tenant)): Keys<(OrgKey, EnvKey, TenantKey)>,
    Options(page): Options<ListOptions>,
    Options(filter): Options<FlagFilter>,
    Options(EffectiveOptions { user }): Options<EffectiveOptions>,
) -> Result<Response, Problem> {
    let (page, who) = (page.into(), (&tenant, user.as_deref()));
    let found = platform.effective(&caller, (&org, &env), who, &filter, &page).await?;
    Ok(answer::listing(found))
}

/// Lists the groups that a tenant is in, by their lists or by their conditions.
#[utoipa::path(get, path = "/v1/orgs/{org}/tenants/{tenant}/groups", tag = "tenants", params(("org" = String, Path), ("tenant" = String, Path), SearchOptions), responses(
    (status = 200, body = PageBody<Membership>),
    (status = "default", body = ProblemBody),
))]
async fn groups(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, tenant)): Keys<(OrgKey, TenantKey)>,
    Options(SearchOptions { search }): Options<SearchOptions>,
) -> Result<Response, Problem> {
    let mut items = platform.groups_of(&caller, &org, &tenant).await?;
    Search::keep(search.as_deref(), &mut items)?;
    Ok(answer::listing(Listing { items, next: None }))
}
