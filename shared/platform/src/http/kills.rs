//! Kill switches for many flags at once.

use axum::response::Response;
use flagforge_flags::keys::{EnvKey, GroupKey, OrgKey};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, ListOptions, PageBody};
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::caller::Permission;
use crate::change::Change;
use crate::kills::{KillScope, KillSwitch};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(pull, take_back))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KillInput {
    /// For whoever finds these flags off. The header `FlagForge-Reason` does as well.
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ForWhom {
    /// The group for whose tenants the switch is; absent: for everybody.
    #[param(value_type = Option<String>)]
    group: Option<GroupKey>,
}

/// Lists the kill switches that are pulled in an environment.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/kills", tag = "kills", params(("org" = String, Path), ("env" = String, Path), ListOptions), responses(
    (status = 200, body = PageBody<KillSwitch>),
    (status = "default", body = ProblemBody),
))]
async fn list(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    Options(page): Options<ListOptions>,
) -> Result<Response, Problem> {
    Ok(answer::listing(platform.kill_switches(&caller, &org, &env, &page.into()).await?))
}

/// Turns off, in one call, every flag of an environment (`environment`), of a domain (`domain:checkout`) or with a tag
/// (`tag:q4`); flags that come to it later too. With `?group=` for the tenants of that group only. Migration flags stay:
/// they have no off.
#[utoipa::path(put, path = "/v1/orgs/{org}/environments/{env}/kills/{scope}", tag = "kills", params(("org" = String, Path), ("env" = String, Path), ("scope" = String, Path), ForWhom), request_body = KillInput, responses(
    (status = 200, body = KillSwitch),
    (status = 201, body = KillSwitch),
    (status = "default", body = ProblemBody),
))]
async fn pull(
    Acting(platform): Acting,
    Keys((org, env, scope)): Keys<(OrgKey, EnvKey, KillScope)>,
    Options(ForWhom { group }): Options<ForWhom>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can_in(&org, &env, Permission::Read)?;
    let KillInput { reason } = asked.body()?;
    asked.change_because(&platform, Change::Kill { org, env, scope, group }, reason).await
}

/// Takes a kill switch back: every flag does again what its own state says.
#[utoipa::path(delete, path = "/v1/orgs/{org}/environments/{env}/kills/{scope}", tag = "kills", params(("org" = String, Path), ("env" = String, Path), ("scope" = String, Path), ForWhom), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn take_back(
    Acting(platform): Acting,
    Keys((org, env, scope)): Keys<(OrgKey, EnvKey, KillScope)>,
    Options(ForWhom { group }): Options<ForWhom>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::EndKill { org, env, scope, group }).await
}
