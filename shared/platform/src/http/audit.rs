//! The log as people ask it.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, TenantKey};
use flagforge_flags::time::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, PageBody, PageOptions};
use super::asked::{Acting, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::audit::{AuditFilter, Audited, Chain, Explained};
use crate::error::Error;
use crate::place::LogId;
use crate::read::PageOf;

/// Bytes of one answer of an export: under the 6 MB that a Lambda function may answer. The rest is behind the cursor.
const MAX_EXPORT_BYTES: usize = 5 * 1024 * 1024;
/// Entries read at once for it, and their bytes at most: an entry has 300 KB.
const STEP: u32 = 10;
const STEP_BYTES: usize = STEP as usize * 300 * 1024;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(export))
        .routes(routes!(chain))
        .routes(routes!(entry))
        .routes(routes!(of_tenant))
}

/// Which entries, all of what is said.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct AuditOptions {
    /// The environment whose log is asked; absent: the organization's.
    #[param(value_type = Option<String>)]
    env: Option<EnvKey>,
    #[param(value_type = Option<String>)]
    flag: Option<FlagKey>,
    #[param(value_type = Option<String>)]
    tenant: Option<TenantKey>,
    /// A key's id, or the name of a part of the platform.
    actor: Option<String>,
    /// The change's type, say `set-enabled`.
    change: Option<String>,
    request_id: Option<String>,
    /// At this instant or later, RFC 3339.
    #[param(value_type = Option<String>)]
    since: Option<Timestamp>,
    /// Before this instant.
    #[param(value_type = Option<String>)]
    until: Option<Timestamp>,
}

impl AuditOptions {
    fn asked(self, org: OrgKey) -> (LogId, AuditFilter) {
        let Self { env, flag, tenant, actor, change, request_id, since, until } = self;
        let filter = AuditFilter { flag, tenant, actor, change, request_id, since, until };
        (LogId { org, env }, filter)
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WhichLog {
    /// The environment whose log is asked; absent: the organization's.
    #[param(value_type = Option<String>)]
    env: Option<EnvKey>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ChainOptions {
    /// The environment whose log is asked; absent: the organization's.
    #[param(value_type = Option<String>)]
    env: Option<EnvKey>,
    /// The entry to begin with; 1 when not said.
    from: Option<u64>,
}

/// Entries of a log, newest first, in short.
#[utoipa::path(get, path = "/v1/orgs/{org}/audit", tag = "log", params(("org" = String, Path), PageOptions, AuditOptions), responses(
    (status = 200, body = PageBody<Audited>),
    (status = "default", body = ProblemBody),
))]
async fn list(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(page): Options<PageOptions>,
    Options(asked): Options<AuditOptions>,
) -> Result<Response, Problem> {
    let (log, filter) = asked.asked(org);
    Ok(answer::listing(platform.audit(&caller, &log, &filter, &page.into()).await?))
}

/// Entries of a log, newest first, whole: a JSON object a line. The header `FlagForge-Next` is the cursor of what
/// did not fit.
#[utoipa::path(get, path = "/v1/orgs/{org}/audit/export", tag = "log", params(("org" = String, Path), PageOptions, AuditOptions), responses(
    (status = 200, body = String, content_type = "application/x-ndjson"),
    (status = "default", body = ProblemBody),
))]
async fn export(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(page): Options<PageOptions>,
    Options(asked): Options<AuditOptions>,
) -> Result<Response, Problem> {
    let (log, filter) = asked.asked(org);
    let mut page = PageOf::from(page);
    let mut lines = String::new();
    let wanted = page.limit.unwrap_or(crate::read::MAX_PAGE) as usize;
    let mut written = 0;
    loop {
        page.limit = u32::try_from(wanted - written).ok().map(|left| left.min(STEP));
        let found = platform.audited(&caller, &log, &filter, &page).await?;
        for entry in &found.items {
            let line = serde_json::to_string(&entry.value)
                .map_err(|error| Error::internal("an entry did not serialize", error))?;
            lines.push_str(&line);
            lines.push('\n');
            written += 1;
        }
        page.cursor = found.next;
        if page.cursor.is_none()
            || written >= wanted
            || lines.len() >= MAX_EXPORT_BYTES - STEP_BYTES
        {
            break;
        }
    }
    let mut response = lines.into_response();
    let ndjson = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, ndjson);
    if let Some(next) = &page.cursor {
        answer::set(response.headers_mut(), "flagforge-next", next);
    }
    Ok(response)
}

/// Whether each entry has the digest of the one before, and the head that of the newest. A call looks at some
/// 5,000 entries.
#[utoipa::path(get, path = "/v1/orgs/{org}/audit/chain", tag = "log", params(("org" = String, Path), ChainOptions), responses(
    (status = 200, body = Chain),
    (status = "default", body = ProblemBody),
))]
async fn chain(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(asked): Options<ChainOptions>,
) -> Result<Json<Chain>, Problem> {
    let log = LogId { org, env: asked.env };
    Ok(Json(platform.verify_chain(&caller, &log, asked.from.unwrap_or(1)).await?))
}

/// One entry with what was before and after, for programs and as text.
#[utoipa::path(get, path = "/v1/orgs/{org}/audit/{number}", tag = "log", params(("org" = String, Path), ("number" = u64, Path), WhichLog), responses(
    (status = 200, body = Explained),
    (status = "default", body = ProblemBody),
))]
async fn entry(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, number)): Keys<(OrgKey, u64)>,
    Options(asked): Options<WhichLog>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let log = LogId { org, env: asked.env };
    Ok(answer::one(&headers, &platform.explain_entry(&caller, &log, number).await?))
}

/// What a log says of one tenant, newest first, with nothing of others.
#[utoipa::path(get, path = "/v1/orgs/{org}/tenants/{tenant}/audit", tag = "log", params(("org" = String, Path), ("tenant" = String, Path), PageOptions, WhichLog), responses(
    (status = 200, body = PageBody<Audited>),
    (status = "default", body = ProblemBody),
))]
async fn of_tenant(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, tenant)): Keys<(OrgKey, TenantKey)>,
    Options(page): Options<PageOptions>,
    Options(WhichLog { env }): Options<WhichLog>,
) -> Result<Response, Problem> {
    let log = LogId { org, env };
    Ok(answer::listing(platform.audit_of_tenant(&caller, &log, &tenant, &page.into()).await?))
}
