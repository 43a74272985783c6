//! What the installation's operator does with an organization. None of it shows what the organization made.

use axum::Json;
use axum::response::Response;
use flagforge_flags::keys::OrgKey;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::{Acting, Asked, Keys, Reading};
use super::problem::{Problem, ProblemBody};
use crate::change::Change;
use crate::limits::Limits;
use crate::meter::Metered;
use crate::record::Organization;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(meter))
        .routes(routes!(set_limits))
        .routes(routes!(suspend))
        .routes(routes!(resume))
}

/// How much an organization has and did, in numbers. For the installation's operator.
#[utoipa::path(get, path = "/v1/operator/orgs/{org}", tag = "operator", params(("org" = String, Path)), responses(
    (status = 200, body = Metered),
    (status = "default", body = ProblemBody),
))]
async fn meter(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
) -> Result<Json<Metered>, Problem> {
    Ok(Json(platform.meter(&caller, &org).await?))
}

/// Sets what an organization may have and ask; what is not said is as for everybody. For the installation's operator.
#[utoipa::path(put, path = "/v1/operator/orgs/{org}/limits", tag = "operator", params(("org" = String, Path)), request_body = Limits, responses(
    (status = 200, body = Organization),
    (status = "default", body = ProblemBody),
))]
async fn set_limits(
    Acting(platform): Acting,
    Keys(org): Keys<OrgKey>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.may_operate()?;
    let limits: Limits = asked.body()?;
    asked.change(&platform, Change::SetLimits { org, limits }).await
}

/// Suspends an organization: its keys and people are refused until it is resumed, and the data plane goes on
/// serving what was published. For the installation's operator.
#[utoipa::path(post, path = "/v1/operator/orgs/{org}/suspend", tag = "operator", params(("org" = String, Path)), responses(
    (status = 200, body = Organization),
    (status = "default", body = ProblemBody),
))]
async fn suspend(
    Acting(platform): Acting,
    Keys(org): Keys<OrgKey>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::SuspendOrganization { org }).await
}

/// Resumes a suspended organization. For the installation's operator.
#[utoipa::path(post, path = "/v1/operator/orgs/{org}/resume", tag = "operator", params(("org" = String, Path)), responses(
    (status = 200, body = Organization),
    (status = "default", body = ProblemBody),
))]
async fn resume(
    Acting(platform): Acting,
    Keys(org): Keys<OrgKey>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::ResumeOrganization { org }).await
}
