//! Imports of tenants: upload, start, progress, report.

use axum::Json;
use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use flagforge_flags::keys::OrgKey;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, ListOptions, PageBody};
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::caller::{Caller, Role};
use crate::error::Error;
use crate::import::{BadLine, Import, MAX_IMPORT_PART_BYTES, NewImport};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, begin))
        .routes(routes!(get))
        .routes(routes!(put_part))
        .routes(routes!(start))
        .routes(routes!(go_on))
        .routes(routes!(report))
}

#[derive(Debug, Deserialize, ToSchema)]
struct StartInput {
    /// How many parts were put: 0 to `parts - 1`.
    parts: u32,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ReportOptions {
    /// The `next` of the page before.
    cursor: Option<usize>,
}

/// The lines that were refused.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportReport)]
struct Report {
    items: Vec<BadLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A part of a file, as it was sent.
struct Part {
    caller: Caller,
    bytes: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for Part {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let caller = parts.extensions.get::<Caller>().cloned().ok_or(Error::Unauthenticated)?;
        let bytes = to_bytes(body, MAX_IMPORT_PART_BYTES)
            .await
            .map_err(|_| Problem::body_too_large(MAX_IMPORT_PART_BYTES))?;
        Ok(Self { caller, bytes })
    }
}

/// Lists imports.
#[utoipa::path(get, path = "/v1/orgs/{org}/imports", tag = "imports", params(("org" = String, Path), ListOptions), responses(
    (status = 200, body = PageBody<Import>),
    (status = "default", body = ProblemBody),
))]
async fn list(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(page): Options<ListOptions>,
) -> Result<Response, Problem> {
    Ok(answer::listing(platform.imports(&caller, &org, &page.into()).await?))
}

/// Begins an import of up to 100,000 tenants. Put the file's parts next, then start it.
#[utoipa::path(post, path = "/v1/orgs/{org}/imports", tag = "imports", params(("org" = String, Path)), request_body = NewImport, responses(
    (status = 201, body = Import),
    (status = "default", body = ProblemBody),
))]
async fn begin(
    Acting(platform): Acting,
    Keys(org): Keys<OrgKey>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.may(&org, Role::Reader)?;
    let new: NewImport = asked.body()?;
    let request = |change| asked.commit(change);
    let (change, outcome) = platform.begin_import(&asked.caller, &org, new, request).await?;
    Ok(answer::changed(&change.log(), outcome))
}

/// How far an import is.
#[utoipa::path(get, path = "/v1/orgs/{org}/imports/{import}", tag = "imports", params(("org" = String, Path), ("import" = String, Path)), responses(
    (status = 200, body = Import),
    (status = "default", body = ProblemBody),
))]
async fn get(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, import)): Keys<(OrgKey, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(answer::one(&headers, &platform.import(&caller, &org, &import).await?))
}

/// Puts a part of the file, of at most 4 MiB; part 0 is the first. A part may end in the middle of a line.
#[utoipa::path(put, path = "/v1/orgs/{org}/imports/{import}/parts/{part}", tag = "imports", params(("org" = String, Path), ("import" = String, Path), ("part" = u32, Path)), request_body(content = String, content_type = "application/octet-stream"), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn put_part(
    Acting(platform): Acting,
    Keys((org, import, part)): Keys<(OrgKey, String, u32)>,
    sent: Part,
) -> Result<Response, Problem> {
    platform.put_import_part(&sent.caller, &org, &import, part, sent.bytes).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Checks the whole file and applies what fits in this call. The state says whether to continue.
#[utoipa::path(post, path = "/v1/orgs/{org}/imports/{import}/start", tag = "imports", params(("org" = String, Path), ("import" = String, Path)), request_body = StartInput, responses(
    (status = 200, body = Import),
    (status = "default", body = ProblemBody),
))]
async fn start(
    Acting(platform): Acting,
    Keys((org, import)): Keys<(OrgKey, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.may(&org, Role::Reader)?;
    let StartInput { parts } = asked.body()?;
    let request = |change| asked.one_of_many(change);
    let import = platform.start_import(&asked.caller, &org, &import, parts, &request).await?;
    Ok(answer::one(&HeaderMap::new(), &import))
}

/// Applies what fits in this call. Repeat it while the state is `applying`; more than one may.
#[utoipa::path(post, path = "/v1/orgs/{org}/imports/{import}/continue", tag = "imports", params(("org" = String, Path), ("import" = String, Path)), responses(
    (status = 200, body = Import),
    (status = "default", body = ProblemBody),
))]
async fn go_on(
    Acting(platform): Acting,
    Keys((org, import)): Keys<(OrgKey, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    let request = |change| asked.one_of_many(change);
    let import = platform.continue_import(&asked.caller, &org, &import, &request).await?;
    Ok(answer::one(&HeaderMap::new(), &import))
}

/// The lines that were refused, each with its field and limit, by line.
#[utoipa::path(get, path = "/v1/orgs/{org}/imports/{import}/report", tag = "imports", params(("org" = String, Path), ("import" = String, Path), ReportOptions), responses(
    (status = 200, body = Report),
    (status = "default", body = ProblemBody),
))]
async fn report(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, import)): Keys<(OrgKey, String)>,
    Options(asked): Options<ReportOptions>,
) -> Result<Json<Report>, Problem> {
    let page = asked.cursor.unwrap_or_default();
    let (items, next) = platform.import_report(&caller, &org, &import, page).await?;
    Ok(Json(Report { items, next: next.map(|next| next.to_string()) }))
}
