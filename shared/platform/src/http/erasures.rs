//! Erasing what names a person.

use axum::extract::State;
use axum::response::Response;
use flagforge_flags::keys::OrgKey;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::{Asked, Keys};
use super::problem::{Problem, ProblemBody};
use crate::Platform;
use crate::change::Change;

pub(super) fn routes() -> OpenApiRouter<Platform> {
    OpenApiRouter::new().routes(routes!(erase))
}

/// Whom to forget.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ErasureInput {
    /// As the log names who acted: the id of a key, gone or not, or of a person.
    actor: String,
}

/// Erases what names an actor, in the log and where it stands: from then on the log says `erased` for it. Ids stay, and
/// so does the chain. A person who was taken in is let go with it. What somebody wrote as a reason stays.
#[utoipa::path(post, path = "/v1/orgs/{org}/erasures", tag = "log", params(("org" = String, Path)), request_body = ErasureInput, responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn erase(
    State(platform): State<Platform>,
    Keys(org): Keys<OrgKey>,
    asked: Asked,
) -> Result<Response, Problem> {
    Platform::may_erase(&asked.caller, &org)?;
    let ErasureInput { actor } = asked.body()?;
    asked.change(&platform, Change::EraseActor { org, actor }).await
}
