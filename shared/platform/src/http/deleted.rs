//! What was deleted: listed, brought back, and ended for good.

use axum::response::Response;
use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, SegmentKey};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, ListOptions, PageBody};
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::change::Change;
use crate::deleted::Deleted;
use crate::record::Definition;
use crate::segments::Segment;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list_flags))
        .routes(routes!(restore_flag))
        .routes(routes!(purge_flag))
        .routes(routes!(list_segments))
        .routes(routes!(restore_segment))
        .routes(routes!(purge_segment))
}

// By names of their own, because the description tells kinds of listed things apart by nothing else.

/// A deleted flag.
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
struct DeletedFlag(Deleted<Definition>);

/// A deleted segment.
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
struct DeletedSegment(Deleted<Segment>);

/// Lists the flags that were deleted and can be restored, by key: when, by whom, and until when at least.
#[utoipa::path(get, path = "/v1/orgs/{org}/deleted-flags", tag = "deleted", params(("org" = String, Path), ListOptions), responses(
    (status = 200, body = PageBody<DeletedFlag>),
    (status = "default", body = ProblemBody),
))]
async fn list_flags(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(page): Options<ListOptions>,
) -> Result<Response, Problem> {
    let deleted = platform.deleted_flags(&caller, &org, &page.into()).await?;
    Ok(answer::listing(deleted.map(DeletedFlag)))
}

/// Brings a flag back as it was, with its states and overrides. Refused while it asks for what is not there.
#[utoipa::path(post, path = "/v1/orgs/{org}/deleted-flags/{flag}/restore", tag = "deleted", params(("org" = String, Path), ("flag" = String, Path)), responses(
    (status = 200, body = Definition),
    (status = "default", body = ProblemBody),
))]
async fn restore_flag(
    Acting(platform): Acting,
    Keys((org, flag)): Keys<(OrgKey, FlagKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::RestoreFlag { org, flag }).await
}

/// Ends a deleted flag for good once its time is over, and frees its key. It happens by itself when leftovers are
/// collected.
#[utoipa::path(delete, path = "/v1/orgs/{org}/deleted-flags/{flag}", tag = "deleted", params(("org" = String, Path), ("flag" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn purge_flag(
    Acting(platform): Acting,
    Keys((org, flag)): Keys<(OrgKey, FlagKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::PurgeFlag { org, flag }).await
}

/// Lists the segments of an environment that were deleted and can be restored, by key.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/deleted-segments", tag = "deleted", params(("org" = String, Path), ("env" = String, Path), ListOptions), responses(
    (status = 200, body = PageBody<DeletedSegment>),
    (status = "default", body = ProblemBody),
))]
async fn list_segments(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    Options(page): Options<ListOptions>,
) -> Result<Response, Problem> {
    let deleted = platform.deleted_segments(&caller, &org, &env, &page.into()).await?;
    Ok(answer::listing(deleted.map(DeletedSegment)))
}

/// Brings a segment back as it was, with its lists. Refused while it asks for what is not there.
#[utoipa::path(post, path = "/v1/orgs/{org}/environments/{env}/deleted-segments/{segment}/restore", tag = "deleted", params(("org" = String, Path), ("env" = String, Path), ("segment" = String, Path)), responses(
    (status = 200, body = Segment),
    (status = "default", body = ProblemBody),
))]
async fn restore_segment(
    Acting(platform): Acting,
    Keys((org, env, segment)): Keys<(OrgKey, EnvKey, SegmentKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::RestoreSegment { org, env, segment }).await
}

/// Ends a deleted segment for good once its time is over, and frees its key.
#[utoipa::path(delete, path = "/v1/orgs/{org}/environments/{env}/deleted-segments/{segment}", tag = "deleted", params(("org" = String, Path), ("env" = String, Path), ("segment" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn purge_segment(
    Acting(platform): Acting,
    Keys((org, env, segment)): Keys<(OrgKey, EnvKey, SegmentKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::PurgeSegment { org, env, segment }).await
}
