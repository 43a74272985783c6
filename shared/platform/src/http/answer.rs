//! What a request is answered.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use crate::commit::Outcome;
use crate::conditions;
use crate::error::Error;
use crate::place::LogId;
use crate::read::PageOf;
use crate::store::{Listing, Stored};

/// Which page of a listing.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageOptions {
    /// Items a page, 1 to 500; 100 when not said.
    limit: Option<u32>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

impl From<PageOptions> for PageOf {
    fn from(options: PageOptions) -> Self {
        Self { limit: options.limit, cursor: options.cursor, search: None }
    }
}

/// Which page of a listing, and what it is searched for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListOptions {
    /// Items a page, 1 to 500; 100 when not said. Where something is searched for or left out, a page can be shorter,
    /// or empty, and still have a successor.
    limit: Option<u32>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// Only what has this in its key, name, description or reason, upper and lower case the same.
    search: Option<String>,
}

impl From<ListOptions> for PageOf {
    fn from(ListOptions { limit, cursor, search }: ListOptions) -> Self {
        Self { limit, cursor, search }
    }
}

/// What a short list is searched for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchOptions {
    /// Only what has this in its key or name, upper and lower case the same.
    pub(super) search: Option<String>,
}

/// How conditions are written in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ConditionForm {
    Tree,
    Text,
}

/// How an answer with conditions looks.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Shape {
    /// `text` for conditions in their canonical text form; `tree` when not said.
    conditions: Option<ConditionForm>,
}

impl Shape {
    pub(super) fn of<T: Serialize>(
        &self,
        stored: &Stored<T>,
    ) -> Result<Stored<serde_json::Value>, Error> {
        let mut value = serde_json::to_value(&stored.value)
            .map_err(|error| Error::internal("a record did not serialize", error))?;
        if self.conditions == Some(ConditionForm::Text) {
            conditions::as_text(&mut value);
        }
        Ok(Stored { value, version: stored.version })
    }

    pub(super) fn listing<T: Serialize>(&self, found: &Listing<T>) -> Result<Response, Error> {
        let items = found.items.iter().map(|item| self.of(item)).collect::<Result<_, _>>()?;
        Ok(listing(Listing { items, next: found.next.clone() }))
    }
}

/// An item of a listing, with the ETag that a replacement of it needs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Listed<T> {
    etag: String,
    #[serde(flatten)]
    item: T,
}

/// A page of a listing.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PageBody<T> {
    items: Vec<Listed<T>>,
    /// Give it as `cursor` to get the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(super) fn listing<T: Serialize>(listing: Listing<T>) -> Response {
    let item = |stored: Stored<T>| Listed { etag: etag(stored.version), item: stored.value };
    let items = listing.items.into_iter().map(item).collect();
    Json(PageBody { items, next: listing.next }).into_response()
}

/// One thing with its ETag, or 304 when the caller holds it.
pub(super) fn one<T: Serialize>(headers: &HeaderMap, stored: &Stored<T>) -> Response {
    let tag = etag(stored.version);
    let held = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let mut response = if held == Some(tag.as_str()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(&stored.value).into_response()
    };
    set(response.headers_mut(), "etag", &tag);
    set(response.headers_mut(), "cache-control", "private, no-cache");
    response
}

/// What became of a change: the thing afterwards with its ETag, 201 when it is new, 204 when it is gone,
/// 202 when it waits for approval.
pub(super) fn changed(log: &LogId, outcome: Outcome) -> Response {
    let committed = match outcome {
        Outcome::ChangeRequested(id) => {
            return (StatusCode::ACCEPTED, Json(json!({"changeRequest": id}))).into_response();
        }
        Outcome::Committed(committed) => committed,
    };
    let status = if committed.created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = match &committed.body {
        Some(body) => (status, Json(body)).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    };
    let headers = response.headers_mut();
    if committed.body.is_some() {
        set(headers, "etag", &etag(committed.number));
    }
    set(headers, "flagforge-revision", &revision(log, committed.number));
    if committed.replayed {
        set(headers, "idempotency-replayed", "true");
    }
    response
}

fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

/// An entry of a log in a header: `demo/prod:41`.
pub(super) fn revision(log: &LogId, number: u64) -> String {
    format!("{log}:{number}")
}

pub(super) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
