//! Erasing what names a person.

use axum::response::Response;
use flagforge_flags::keys::{EnvKey, OrgKey};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::{Acting, Asked, Keys};
use super::problem::{Problem, ProblemBody};
use crate::Platform;
use crate::change::Change;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(erase))
}

/// What to forget: `{"actor": "…"}` or `{"reason": {"number": 7}}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum ErasureInput {
    /// As the log names who acted: the id of a key, gone or not, or of a person.
    Actor(String),
    /// Why something was done, by the entry of the log that says it.
    Reason {
        /// The environment whose log it is; absent: the organization's.
        #[serde(default)]
        env: Option<EnvKey>,
        number: u64,
    },
}

/// Erases what names an actor, in the log and where it stands: from then on the log says `erased` for it. Ids stay, and
/// so does the chain. A person who was taken in is let go with it. Or erases the reasons of one entry, and in what still
/// stands as that entry wrote it.
#[utoipa::path(post, path = "/v1/orgs/{org}/erasures", tag = "log", params(("org" = String, Path)), request_body = ErasureInput, responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn erase(
    Acting(platform): Acting,
    Keys(org): Keys<OrgKey>,
    asked: Asked,
) -> Result<Response, Problem> {
    Platform::may_erase(&asked.caller, &org)?;
    let change = match asked.body()? {
        ErasureInput::Actor(actor) => Change::EraseActor { org, actor },
        ErasureInput::Reason { env, number } => Change::EraseReason { org, env, number },
    };
    asked.change(&platform, change).await
}
