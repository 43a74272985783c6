//! Who has got which revision.

use axum::Json;
use axum::http::{Method, StatusCode};
use flagforge_flags::Revision;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::propagation::Reports;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::PageOptions;
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::error::Error;
use crate::propagation::Progress;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(get, report))
}

/// Whether a request says how far a process is: the one thing that keys of services may do here.
pub(super) fn reports(method: &Method, path: &str) -> bool {
    method == Method::POST && path.ends_with("/propagation")
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// The revision that reporters are held against; the published one when not said.
    #[param(value_type = Option<String>, example = "17.41")]
    revision: Option<Revision>,
    /// Only those who are heard and have not got it.
    behind: Option<bool>,
}

/// Says how far an environment's configuration has come: what is committed, what is published, and which SDKs and relays
/// have applied what.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/propagation", tag = "propagation", params(("org" = String, Path), ("env" = String, Path), Which, PageOptions), responses(
    (status = 200, body = Progress),
    (status = "default", body = ProblemBody),
))]
async fn get(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    Options(Which { revision, behind }): Options<Which>,
    Options(page): Options<PageOptions>,
) -> Result<Json<Progress>, Problem> {
    let behind = behind.unwrap_or_default();
    let progress =
        platform.propagation(&caller, (&org, &env), revision, behind, &page.into()).await?;
    Ok(Json(progress))
}

/// Notes how far processes are. For keys of the kinds server and relay, which may do nothing else here. More than one
/// report of a process in five seconds is passed over, and fields that are not known are too.
#[utoipa::path(post, path = "/v1/orgs/{org}/environments/{env}/propagation", tag = "propagation", params(("org" = String, Path), ("env" = String, Path)), request_body = Reports, responses(
    (status = 204, description = "They were heard."),
    (status = "default", body = ProblemBody),
))]
async fn report(
    Acting(platform): Acting,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    asked: Asked,
) -> Result<StatusCode, Problem> {
    // Before the body, so that it tells nobody whether the place is there.
    asked.caller.may_report(&org, &env)?;
    let Reports { reports } = serde_json::from_slice(&asked.bytes())
        .map_err(|error| Error::invalid("the body", error))?;
    platform.hear(&asked.caller, &org, &env, reports).await?;
    Ok(StatusCode::NO_CONTENT)
}
