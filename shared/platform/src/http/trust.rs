//! The trust document, for the installation's operator.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::{Acting, Asked};
use super::problem::{Problem, ProblemBody};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(put))
}

#[derive(Debug, Serialize, ToSchema)]
struct Installed {
    /// The number of the document that is in force.
    number: u64,
}

/// Installs a trust document, signed offline by root keys: the first, or one that succeeds the current.
#[utoipa::path(put, path = "/v1/trust", tag = "trust", request_body = Object, responses(
    (status = 200, body = Installed),
    (status = "default", body = ProblemBody),
))]
async fn put(Acting(platform): Acting, asked: Asked) -> Result<Json<Installed>, Problem> {
    let number = platform.install_trust(&asked.caller, asked.bytes()).await?;
    Ok(Json(Installed { number }))
}
