//! Changes that take effect at an instant.

use axum::http::HeaderMap;
use axum::response::Response;
use flagforge_flags::keys::{EnvKey, OrgKey};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, ListOptions, PageBody};
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::caller::Permission;
use crate::schedule::{Schedule, ScheduleInput};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list, make)).routes(routes!(get, cancel))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Those that were fired, failed or cancelled in the last month; those that wait when not said.
    ended: Option<bool>,
}

/// Lists the changes that wait for their instant, the next first.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/schedules", tag = "schedules", params(("org" = String, Path), ("env" = String, Path), ListOptions, Which), responses(
    (status = 200, body = PageBody<Schedule>),
    (status = "default", body = ProblemBody),
))]
async fn list(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    Options(page): Options<ListOptions>,
    Options(Which { ended }): Options<Which>,
) -> Result<Response, Problem> {
    let ended = ended.unwrap_or_default();
    Ok(answer::listing(platform.schedules(&caller, (&org, &env), ended, &page.into()).await?))
}

/// Schedules a change that your key could make now, and that it must be able to make then. With If-Match it is for that
/// version of the flag's state, and fails if the state has moved on. What fails is kept with the reason, and told as an event.
#[utoipa::path(post, path = "/v1/orgs/{org}/environments/{env}/schedules", tag = "schedules", params(("org" = String, Path), ("env" = String, Path)), request_body = ScheduleInput, responses(
    (status = 201, body = Schedule),
    (status = "default", body = ProblemBody),
))]
async fn make(
    Acting(platform): Acting,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can_in(&org, &env, Permission::Read)?;
    let input: ScheduleInput = asked.body()?;
    let request = |change| asked.commit(change);
    let (change, outcome) = platform.schedule(&asked.caller, (org, env), input, request).await?;
    Ok(answer::changed(&change.log(), outcome))
}

/// One schedule, and what became of it.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/schedules/{schedule}", tag = "schedules", params(("org" = String, Path), ("env" = String, Path), ("schedule" = String, Path)), responses(
    (status = 200, body = Schedule),
    (status = "default", body = ProblemBody),
))]
async fn get(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env, schedule)): Keys<(OrgKey, EnvKey, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = platform.schedule_of(&caller, (&org, &env), &schedule).await?;
    Ok(answer::one(&headers, &found))
}

/// Cancels a schedule that waits. Whoever may make its change may.
#[utoipa::path(delete, path = "/v1/orgs/{org}/environments/{env}/schedules/{schedule}", tag = "schedules", params(("org" = String, Path), ("env" = String, Path), ("schedule" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn cancel(
    Acting(platform): Acting,
    Keys((org, env, schedule)): Keys<(OrgKey, EnvKey, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    let request = |change| asked.commit(change);
    let (change, outcome) =
        platform.cancel_schedule(&asked.caller, (org, env), schedule, request).await?;
    Ok(answer::changed(&change.log(), outcome))
}
