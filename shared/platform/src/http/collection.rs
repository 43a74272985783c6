//! Collecting what is left behind.

use axum::Json;
use flagforge_flags::keys::OrgKey;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::{Acting, Asked, Keys, Reading};
use super::problem::{Problem, ProblemBody};
use crate::collect::{Collection, Mode};
use crate::commit::Request;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(preview, collect))
}

/// What would be collected now: deleted flags and segments whose time is over, and what belonged to what is gone.
#[utoipa::path(get, path = "/v1/orgs/{org}/collection", tag = "deleted", params(("org" = String, Path)), responses(
    (status = 200, body = Collection),
    (status = "default", body = ProblemBody),
))]
async fn preview(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
) -> Result<Json<Collection>, Problem> {
    let nothing = |change| Request::of(change, "preview");
    Ok(Json(platform.collect(&caller, &org, Mode::DryRun, &nothing).await?))
}

/// Collects it, for at most 14 seconds; `complete` says whether that was all. It happens by itself where somebody runs
/// the clock.
#[utoipa::path(post, path = "/v1/orgs/{org}/collection", tag = "deleted", params(("org" = String, Path)), responses(
    (status = 200, body = Collection),
    (status = "default", body = ProblemBody),
))]
async fn collect(
    Acting(platform): Acting,
    Keys(org): Keys<OrgKey>,
    asked: Asked,
) -> Result<Json<Collection>, Problem> {
    let each = |change| asked.one_of_many(change);
    Ok(Json(platform.collect(&asked.caller, &org, Mode::ForGood, &each).await?))
}
