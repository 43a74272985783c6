//! The logs: what was changed, by whom and why.

use axum::response::Response;
use flagforge_flags::keys::{EnvKey, OrgKey};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, PageBody, PageOptions};
use super::asked::{Acting, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::log::LogEntry;
use crate::place::LogId;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(of_organization)).routes(routes!(of_environment))
}

/// The organization's log: definitions, tenants, groups, keys. Oldest first.
#[utoipa::path(get, path = "/v1/orgs/{org}/log", tag = "log", params(("org" = String, Path), PageOptions), responses(
    (status = 200, body = PageBody<LogEntry>),
    (status = "default", body = ProblemBody),
))]
async fn of_organization(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(page): Options<PageOptions>,
) -> Result<Response, Problem> {
    let log = LogId { org, env: None };
    Ok(answer::listing(platform.log(&caller, &log, &page.into()).await?))
}

/// One environment's log: states, overrides. Oldest first.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/log", tag = "log", params(("org" = String, Path), ("env" = String, Path), PageOptions), responses(
    (status = 200, body = PageBody<LogEntry>),
    (status = "default", body = ProblemBody),
))]
async fn of_environment(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    Options(page): Options<PageOptions>,
) -> Result<Response, Problem> {
    let log = LogId { org, env: Some(env) };
    Ok(answer::listing(platform.log(&caller, &log, &page.into()).await?))
}
