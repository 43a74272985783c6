//! Issuers: who says who people are.

use axum::http::HeaderMap;
use axum::response::Response;
use flagforge_flags::keys::{IssuerKey, OrgKey};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, ListOptions, PageBody};
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::caller::Permission;
use crate::change::Change;
use crate::people::{Issuer, IssuerRecord};
use crate::place::LogId;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, put, delete))
}

/// Lists the issuers whose tokens the organization believes.
#[utoipa::path(get, path = "/v1/orgs/{org}/issuers", tag = "people", params(("org" = String, Path), ListOptions), responses(
    (status = 200, body = PageBody<IssuerRecord>),
    (status = "default", body = ProblemBody),
))]
async fn list(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(page): Options<ListOptions>,
) -> Result<Response, Problem> {
    Ok(answer::listing(platform.issuers(&caller, &org, &page.into()).await?))
}

/// One issuer.
#[utoipa::path(get, path = "/v1/orgs/{org}/issuers/{issuer}", tag = "people", params(("org" = String, Path), ("issuer" = String, Path)), responses(
    (status = 200, body = IssuerRecord),
    (status = "default", body = ProblemBody),
))]
async fn get(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, issuer)): Keys<(OrgKey, IssuerKey)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(answer::one(&headers, &platform.issuer(&caller, &org, &issuer).await?))
}

/// Believes an OpenID Connect issuer, or replaces what was said of one (then If-Match is required). It is asked for its
/// keys first; one that does not answer is refused. Its people may no more than who names it.
#[utoipa::path(put, path = "/v1/orgs/{org}/issuers/{issuer}", tag = "people", params(("org" = String, Path), ("issuer" = String, Path)), request_body = Issuer, responses(
    (status = 200, body = IssuerRecord),
    (status = 201, body = IssuerRecord),
    (status = "default", body = ProblemBody),
))]
async fn put(
    Acting(platform): Acting,
    Keys((org, key)): Keys<(OrgKey, IssuerKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can_everywhere(&org, Permission::ManageSettings)?;
    let record = IssuerRecord { key, issuer: asked.body_but(&["key"])? };
    let request = |change| asked.replacement(change);
    let outcome = platform.put_issuer(&asked.caller, &org, record, request).await?;
    Ok(answer::changed(&LogId { org, env: None }, outcome))
}

/// Believes an issuer no more. Its people are strangers from then on, their memberships wait for it.
#[utoipa::path(delete, path = "/v1/orgs/{org}/issuers/{issuer}", tag = "people", params(("org" = String, Path), ("issuer" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn delete(
    Acting(platform): Acting,
    Keys((org, issuer)): Keys<(OrgKey, IssuerKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::DeleteIssuer { org, issuer }).await
}
