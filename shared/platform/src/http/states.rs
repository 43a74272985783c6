//! What flags do in one environment.

use axum::http::HeaderMap;
use axum::response::Response;
use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, RuleId, TenantKey, VariantKey};
use flagforge_flags::time::Timestamp;
use serde::Deserialize;
use serde_json::Value as Json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, ListOptions, PageBody, Shape};
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::caller::Role;
use crate::change::Change;
use crate::input::{StateInput, WeightInput};
use crate::record::Override;
use crate::search::FlagFilter;
use crate::states::FlagState;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, put, patch))
        .routes(routes!(enable))
        .routes(routes!(kill))
        .routes(routes!(set_weights))
        .routes(routes!(list_overrides))
        .routes(routes!(set_override, clear_override))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct WeightsInput {
    /// The rule whose outcome becomes this split; absent: the fallthrough.
    #[serde(default)]
    rule: Option<RuleId>,
    /// The attribute path that is hashed; absent: as it was, or `user.key`.
    #[serde(default)]
    unit: Option<String>,
    weights: Vec<WeightInput>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OverrideInput {
    variant: VariantKey,
    /// From this instant on it counts no more. Absent: for good.
    #[serde(default)]
    expires: Option<Timestamp>,
    /// Why the tenant is special.
    #[serde(default)]
    reason: Option<String>,
}

/// Lists every flag with its state in an environment, by key.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/flags", tag = "states", params(("org" = String, Path), ("env" = String, Path), ListOptions, FlagFilter, Shape), responses(
    (status = 200, body = PageBody<FlagState>),
    (status = "default", body = ProblemBody),
))]
async fn list(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    Options(page): Options<ListOptions>,
    Options(filter): Options<FlagFilter>,
    Options(shape): Options<Shape>,
) -> Result<Response, Problem> {
    let found = platform.flag_states(&caller, &org, &env, &filter, &page.into()).await?;
    Ok(shape.listing(&found)?)
}

/// One flag's state in an environment.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/flags/{flag}", tag = "states", params(("org" = String, Path), ("env" = String, Path), ("flag" = String, Path), Shape), responses(
    (status = 200, body = FlagState),
    (status = "default", body = ProblemBody),
))]
async fn get(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env, flag)): Keys<(OrgKey, EnvKey, FlagKey)>,
    Options(shape): Options<Shape>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stored = platform.flag_state(&caller, &org, &env, &flag).await?;
    Ok(answer::one(&headers, &shape.of(&stored)?))
}

/// Replaces a flag's state. If-Match is required once the flag has been given a state here.
#[utoipa::path(put, path = "/v1/orgs/{org}/environments/{env}/flags/{flag}", tag = "states", params(("org" = String, Path), ("env" = String, Path), ("flag" = String, Path)), request_body = StateInput, responses(
    (status = 200, body = FlagState),
    (status = 201, body = FlagState),
    (status = "default", body = ProblemBody),
))]
async fn put(
    Acting(platform): Acting,
    Keys((org, env, flag)): Keys<(OrgKey, EnvKey, FlagKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.may_in(&org, &env, Role::Reader)?;
    let state: StateInput = asked.body_but(FlagState::READ_ONLY)?;
    asked.replace(&platform, Change::PutState { org, env, flag, state }).await
}

/// Changes parts of a flag's state: a JSON Merge Patch (RFC 7396), say `{"enabled": false}`. An outcome has one form, so a
/// patch that names one (`{"fallthrough": {"split": …}}`) replaces another; by the RFC both would stand. So do a split's
/// `weights` and `ranges`.
#[utoipa::path(patch, path = "/v1/orgs/{org}/environments/{env}/flags/{flag}", tag = "states", params(("org" = String, Path), ("env" = String, Path), ("flag" = String, Path)),
    request_body(content = Object, content_type = "application/merge-patch+json"), responses(
    (status = 200, body = FlagState),
    (status = 201, body = FlagState),
    (status = "default", body = ProblemBody),
))]
async fn patch(
    Acting(platform): Acting,
    Keys((org, env, flag)): Keys<(OrgKey, EnvKey, FlagKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.may_in(&org, &env, Role::Reader)?;
    let patch: Json = asked.body()?;
    asked.change(&platform, Change::PatchState { org, env, flag, patch }).await
}

/// Turns a flag on in an environment.
#[utoipa::path(post, path = "/v1/orgs/{org}/environments/{env}/flags/{flag}/enable", tag = "states", params(("org" = String, Path), ("env" = String, Path), ("flag" = String, Path)), responses(
    (status = 200, body = FlagState),
    (status = 201, body = FlagState),
    (status = "default", body = ProblemBody),
))]
async fn enable(
    Acting(platform): Acting,
    Keys((org, env, flag)): Keys<(OrgKey, EnvKey, FlagKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::SetEnabled { org, env, flag, enabled: true }).await
}

/// Turns a flag off in an environment, for everybody.
#[utoipa::path(post, path = "/v1/orgs/{org}/environments/{env}/flags/{flag}/kill", tag = "states", params(("org" = String, Path), ("env" = String, Path), ("flag" = String, Path)), responses(
    (status = 200, body = FlagState),
    (status = 201, body = FlagState),
    (status = "default", body = ProblemBody),
))]
async fn kill(
    Acting(platform): Acting,
    Keys((org, env, flag)): Keys<(OrgKey, EnvKey, FlagKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::SetEnabled { org, env, flag, enabled: false }).await
}

/// Sets the weights of a split, moving the fewest users: raising 10 % to 20 % moves nobody out.
#[utoipa::path(put, path = "/v1/orgs/{org}/environments/{env}/flags/{flag}/weights", tag = "states", params(("org" = String, Path), ("env" = String, Path), ("flag" = String, Path)), request_body = WeightsInput, responses(
    (status = 200, body = FlagState),
    (status = 201, body = FlagState),
    (status = "default", body = ProblemBody),
))]
async fn set_weights(
    Acting(platform): Acting,
    Keys((org, env, flag)): Keys<(OrgKey, EnvKey, FlagKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.may_in(&org, &env, Role::Reader)?;
    let WeightsInput { rule, unit, weights } = asked.body()?;
    asked.change(&platform, Change::SetWeights { org, env, flag, rule, unit, weights }).await
}

/// Lists the tenants for whom a flag is overridden.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/flags/{flag}/overrides", tag = "states", params(("org" = String, Path), ("env" = String, Path), ("flag" = String, Path), ListOptions), responses(
    (status = 200, body = PageBody<Override>),
    (status = "default", body = ProblemBody),
))]
async fn list_overrides(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env, flag)): Keys<(OrgKey, EnvKey, FlagKey)>,
    Options(page): Options<ListOptions>,
) -> Result<Response, Problem> {
    Ok(answer::listing(platform.overrides(&caller, &org, &env, &flag, &page.into()).await?))
}

/// Gives one tenant a variant whatever the rules say.
#[utoipa::path(put, path = "/v1/orgs/{org}/environments/{env}/flags/{flag}/overrides/{tenant}", tag = "states", params(("org" = String, Path), ("env" = String, Path), ("flag" = String, Path), ("tenant" = String, Path)), request_body = OverrideInput, responses(
    (status = 200, body = Override),
    (status = 201, body = Override),
    (status = "default", body = ProblemBody),
))]
async fn set_override(
    Acting(platform): Acting,
    Keys((org, env, flag, tenant)): Keys<(OrgKey, EnvKey, FlagKey, TenantKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.may_in(&org, &env, Role::Reader)?;
    let OverrideInput { variant, expires, reason } = asked.body()?;
    let change = Change::SetOverride { org, env, flag, tenant, variant, expires, reason };
    asked.change(&platform, change).await
}

/// Takes a tenant's override away; the rules decide again.
#[utoipa::path(delete, path = "/v1/orgs/{org}/environments/{env}/flags/{flag}/overrides/{tenant}", tag = "states", params(("org" = String, Path), ("env" = String, Path), ("flag" = String, Path), ("tenant" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn clear_override(
    Acting(platform): Acting,
    Keys((org, env, flag, tenant)): Keys<(OrgKey, EnvKey, FlagKey, TenantKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::ClearOverride { org, env, flag, tenant }).await
}
