//! Segments: saved sets of users, per environment.

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use flagforge_flags::compile::MAX_SEGMENT_IDS;
use flagforge_flags::keys::{EnvKey, OrgKey, SegmentKey};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, ListOptions, PageBody, Shape};
use super::asked::{Acting, Asked, Keys, Options, Reading, Upload};
use super::problem::{Problem, ProblemBody};
use crate::caller::Role;
use crate::change::Change;
use crate::input::SegmentInput;
use crate::lists::{ListEdit, MAX_EDITED_IDS};
use crate::segments::{ListName, ListPlace, Segment};
use crate::{Platform, lists};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, put, delete))
        .routes(routes!(ids, replace))
        .routes(routes!(add))
        .routes(routes!(remove))
}

/// A page of a segment's list.
#[derive(Debug, Serialize, ToSchema)]
struct IdsPage {
    /// In order, each once.
    ids: Vec<String>,
    /// Give it as `cursor` to get the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Lists the segments of an environment, by key.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/segments", tag = "segments", params(("org" = String, Path), ("env" = String, Path), ListOptions, Shape), responses(
    (status = 200, body = PageBody<Segment>),
    (status = "default", body = ProblemBody),
))]
async fn list(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    Options(page): Options<ListOptions>,
    Options(shape): Options<Shape>,
) -> Result<Response, Problem> {
    Ok(shape.listing(&platform.segments(&caller, &org, &env, &page.into()).await?)?)
}

/// One segment; how long its lists are, and not who is in them.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/segments/{segment}", tag = "segments", params(("org" = String, Path), ("env" = String, Path), ("segment" = String, Path), Shape), responses(
    (status = 200, body = Segment),
    (status = "default", body = ProblemBody),
))]
async fn get(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env, segment)): Keys<(OrgKey, EnvKey, SegmentKey)>,
    Options(shape): Options<Shape>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stored = platform.segment(&caller, &org, &env, &segment).await?;
    Ok(answer::one(&headers, &shape.of(&stored)?))
}

/// Creates a segment or replaces it. A list that the body does not have stays as it is; longer ones have doors of
/// their own. If-Match is required for one that exists.
#[utoipa::path(put, path = "/v1/orgs/{org}/environments/{env}/segments/{segment}", tag = "segments", params(("org" = String, Path), ("env" = String, Path), ("segment" = String, Path)), request_body = SegmentInput, responses(
    (status = 200, body = Segment),
    (status = 201, body = Segment),
    (status = "default", body = ProblemBody),
))]
async fn put(
    Acting(platform): Acting,
    Keys((org, env, segment)): Keys<(OrgKey, EnvKey, SegmentKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.may_in(&org, &env, Role::Reader)?;
    let definition: SegmentInput = asked.body_but(Segment::READ_ONLY)?;
    let replacing = |change| asked.replacement(change);
    let at = (org, env, segment);
    let (change, outcome) = platform.put_segment(&asked.caller, at, definition, replacing).await?;
    Ok(answer::changed(&change.log(), outcome))
}

/// Deletes a segment that no flag and no other segment of the environment asks for. It can be restored, and its key
/// stays taken, until it is purged.
#[utoipa::path(delete, path = "/v1/orgs/{org}/environments/{env}/segments/{segment}", tag = "segments", params(("org" = String, Path), ("env" = String, Path), ("segment" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn delete(
    Acting(platform): Acting,
    Keys((org, env, segment)): Keys<(OrgKey, EnvKey, SegmentKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::DeleteSegment { org, env, segment }).await
}

type ListKeys = Keys<(OrgKey, EnvKey, SegmentKey, ListName)>;

/// Some ids of a segment's list (`excluded` or `included`), in order; up to 10,000 a page.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/segments/{segment}/lists/{list}", tag = "segments", params(("org" = String, Path), ("env" = String, Path), ("segment" = String, Path), ("list" = ListName, Path), ListOptions), responses(
    (status = 200, body = IdsPage),
    (status = "default", body = ProblemBody),
))]
async fn ids(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env, segment, list)): ListKeys,
    Options(page): Options<ListOptions>,
) -> Result<Response, Problem> {
    let at = ListPlace { org, env, segment, list };
    let (ids, next) = platform.listed_ids(&caller, &at, &page.into()).await?;
    Ok(Json(IdsPage { ids, next }).into_response())
}

/// Replaces a segment's list: up to 1,000,000 ids as a JSON array of strings, as JSON strings line by line
/// (`application/x-ndjson`), or as plain lines (`text/plain`). A gateway may take less at once; add the rest then.
#[utoipa::path(put, path = "/v1/orgs/{org}/environments/{env}/segments/{segment}/lists/{list}", tag = "segments", params(("org" = String, Path), ("env" = String, Path), ("segment" = String, Path), ("list" = ListName, Path)),
    request_body(content((Vec<String> = "application/json"), (String = "application/x-ndjson"), (String = "text/plain"))), responses(
    (status = 200, body = Segment),
    (status = "default", body = ProblemBody),
))]
async fn replace(
    Acting(platform): Acting,
    Keys((org, env, segment, list)): ListKeys,
    upload: Upload,
) -> Result<Response, Problem> {
    let asked = upload.asked;
    asked.caller.may_in(&org, &env, Role::Reader)?;
    let ids = lists::parse(upload.form, &asked.bytes(), MAX_SEGMENT_IDS)?;
    let at = ListPlace { org, env, segment, list };
    let committing = |change| asked.commit(change);
    let (change, outcome) = platform.replace_list(&asked.caller, at, &ids, committing).await?;
    Ok(answer::changed(&change.log(), outcome))
}

/// Adds up to 100,000 ids to a segment's list; those that are there already stay.
#[utoipa::path(post, path = "/v1/orgs/{org}/environments/{env}/segments/{segment}/lists/{list}/add", tag = "segments", params(("org" = String, Path), ("env" = String, Path), ("segment" = String, Path), ("list" = ListName, Path)),
    request_body(content((Vec<String> = "application/json"), (String = "application/x-ndjson"), (String = "text/plain"))), responses(
    (status = 200, body = Segment),
    (status = "default", body = ProblemBody),
))]
async fn add(
    Acting(platform): Acting,
    Keys((org, env, segment, list)): ListKeys,
    upload: Upload,
) -> Result<Response, Problem> {
    edit(&platform, ListPlace { org, env, segment, list }, ListEdit::Add, upload).await
}

/// Removes up to 100,000 ids from a segment's list; those that are not there are passed over.
#[utoipa::path(post, path = "/v1/orgs/{org}/environments/{env}/segments/{segment}/lists/{list}/remove", tag = "segments", params(("org" = String, Path), ("env" = String, Path), ("segment" = String, Path), ("list" = ListName, Path)),
    request_body(content((Vec<String> = "application/json"), (String = "application/x-ndjson"), (String = "text/plain"))), responses(
    (status = 200, body = Segment),
    (status = "default", body = ProblemBody),
))]
async fn remove(
    Acting(platform): Acting,
    Keys((org, env, segment, list)): ListKeys,
    upload: Upload,
) -> Result<Response, Problem> {
    edit(&platform, ListPlace { org, env, segment, list }, ListEdit::Remove, upload).await
}

async fn edit(
    platform: &Platform,
    at: ListPlace,
    edit: ListEdit,
    upload: Upload,
) -> Result<Response, Problem> {
    let asked = upload.asked;
    asked.caller.may_in(&at.org, &at.env, Role::Reader)?;
    let ids = lists::parse(upload.form, &asked.bytes(), MAX_EDITED_IDS)?;
    let committing = |change| asked.commit(change);
    let (change, outcome) = platform.edit_list(&asked.caller, at, edit, &ids, committing).await?;
    Ok(answer::changed(&change.log(), outcome))
}
