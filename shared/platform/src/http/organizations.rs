//! Organizations and their environments.

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use flagforge_flags::keys::{EnvKey, OrgKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, ListOptions, PageBody, SearchOptions};
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::caller::Permission;
use crate::change::Change;
use crate::place::LogId;
use crate::record::{Environment, Organization};
use crate::search::Search;
use crate::store::Listing;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get))
        .routes(routes!(list_environments, create_environment))
        .routes(routes!(get_environment))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewOrganization {
    key: OrgKey,
    #[serde(default)]
    name: String,
}

/// A new organization with its first admin key, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Founded {
    organization: Organization,
    /// Absent when this answers a repeat: the key was shown the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_key: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewEnvironment {
    key: EnvKey,
    #[serde(default)]
    name: String,
}

/// Lists the organizations of the installation. For its operator.
#[utoipa::path(get, path = "/v1/orgs", tag = "organizations", params(ListOptions), responses(
    (status = 200, body = PageBody<Organization>),
    (status = "default", body = ProblemBody),
))]
async fn list(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Options(page): Options<ListOptions>,
) -> Result<Response, Problem> {
    Ok(answer::listing(platform.organizations(&caller, &page.into()).await?))
}

/// Creates an organization and its first admin key. For the installation's operator.
#[utoipa::path(post, path = "/v1/orgs", tag = "organizations", request_body = NewOrganization, responses(
    (status = 201, body = Founded),
    (status = "default", body = ProblemBody),
))]
async fn create(Acting(platform): Acting, asked: Asked) -> Result<Response, Problem> {
    asked.caller.may_operate()?;
    let new: NewOrganization = asked.body()?;
    let name = if new.name.is_empty() { new.key.to_string() } else { new.name };
    let request = |change| asked.commit(change);
    let (outcome, issued) =
        platform.create_organization(&asked.caller, &new.key, &name, false, request).await?;
    let log = LogId { org: new.key, env: None };
    Ok(with_secret(&log, outcome, "adminKey", "organization", &issued.key.expose()))
}

/// One organization.
#[utoipa::path(get, path = "/v1/orgs/{org}", tag = "organizations", params(("org" = String, Path)), responses(
    (status = 200, body = Organization),
    (status = "default", body = ProblemBody),
))]
async fn get(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(answer::one(&headers, &platform.organization(&caller, &org).await?))
}

/// The environments of an organization that the key may see; at most 20, so one page.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments", tag = "organizations", params(("org" = String, Path), SearchOptions), responses(
    (status = 200, body = PageBody<Environment>),
    (status = "default", body = ProblemBody),
))]
async fn list_environments(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(SearchOptions { search }): Options<SearchOptions>,
) -> Result<Response, Problem> {
    let mut items = platform.environments(&caller, &org).await?;
    Search::keep(search.as_deref(), &mut items)?;
    Ok(answer::listing(Listing { items, next: None }))
}

/// Creates an environment. Every flag starts there off.
#[utoipa::path(post, path = "/v1/orgs/{org}/environments", tag = "organizations", params(("org" = String, Path)), request_body = NewEnvironment, responses(
    (status = 201, body = Environment),
    (status = "default", body = ProblemBody),
))]
async fn create_environment(
    Acting(platform): Acting,
    Keys(org): Keys<OrgKey>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can_everywhere(&org, Permission::WriteEnvironments)?;
    let new: NewEnvironment = asked.body()?;
    let name = if new.name.is_empty() { new.key.to_string() } else { new.name };
    asked.change(&platform, Change::CreateEnvironment { org, env: new.key, name }).await
}

/// One environment.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}", tag = "organizations", params(("org" = String, Path), ("env" = String, Path)), responses(
    (status = 200, body = Environment),
    (status = "default", body = ProblemBody),
))]
async fn get_environment(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(answer::one(&headers, &platform.environment(&caller, &org, &env).await?))
}

/// Answers a change that made a key: the record under `name`, and the secret where it is new.
pub(super) fn with_secret(
    log: &LogId,
    outcome: crate::commit::Outcome,
    secret_name: &str,
    name: &str,
    secret: &str,
) -> Response {
    use crate::commit::Outcome;
    let committed = match outcome {
        Outcome::Committed(committed) => committed,
        Outcome::ChangeRequested(id) => {
            let body = serde_json::json!({"changeRequest": id});
            return (axum::http::StatusCode::ACCEPTED, Json(body)).into_response();
        }
    };
    let revision = answer::revision(log, committed.number);
    let mut body = serde_json::Map::new();
    body.insert(name.to_owned(), committed.body.unwrap_or_default());
    if !committed.replayed {
        body.insert(secret_name.to_owned(), secret.into());
    }
    let created = axum::http::StatusCode::CREATED;
    let status = if committed.created { created } else { axum::http::StatusCode::OK };
    let mut response = (status, Json(body)).into_response();
    let no_store = axum::http::HeaderValue::from_static("no-store");
    response.headers_mut().insert(axum::http::header::CACHE_CONTROL, no_store);
    answer::set(response.headers_mut(), "flagforge-revision", &revision);
    response
}
