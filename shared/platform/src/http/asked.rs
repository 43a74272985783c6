//! What a request asks, read once and the same way for every route: who, which version, why, and the body.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use bytes::Bytes;
use flagforge_flags::keys::OrgKey;
use flagforge_flags::manifest::Digest;
use serde::de::DeserializeOwned;

use super::answer;
use super::problem::Problem;
use crate::Platform;
use crate::caller::Caller;
use crate::change::Change;
use crate::commit::{Idempotency, Precondition, Request as Commit};
use crate::error::Error;
use crate::link::{self, Link};
use crate::lists::{ListForm, MAX_LIST_BODY_BYTES};
use crate::{fresh, strict};

/// Bytes of a request's body. See `MAX_RECORD_BYTES` for how it bounds log entries.
pub const MAX_BODY_BYTES: usize = 128 * 1024;
/// What bodies are, but for lists.
const JSON_TYPES: [&str; 3] = [
    "application/json",
    "application/merge-patch+json",
    // curl says so unless told otherwise, and means the JSON it was given.
    "application/x-www-form-urlencoded",
];
/// What lists may be besides.
const LIST_TYPES: [&str; 2] = ["application/x-ndjson", "text/plain"];
/// Bytes of a request id that a client brings; a UUID has 36.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// Ties answers, log lines and log entries together.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

impl RequestId {
    /// The client's own id if it is short and printable, else a new one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let brought = headers.get("x-request-id").and_then(|value| value.to_str().ok());
        let decent = |id: &&str| {
            !id.is_empty()
                && id.len() <= MAX_REQUEST_ID_BYTES
                && id.bytes().all(|b| b.is_ascii_graphic())
        };
        match brought.filter(decent) {
            Some(id) => Self(id.to_owned()),
            None => Self(fresh::id().unwrap_or_else(|_| "unknown".to_owned())),
        }
    }
}

/// An authenticated request that changes something.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) caller: Caller,
    body: Bytes,
    request_id: String,
    reason: Option<String>,
    links: Vec<Link>,
    idempotency: Option<Idempotency>,
    /// What the headers say; [`Precondition::None`] when they say nothing.
    precondition: Precondition,
}

impl Asked {
    /// The body, strictly.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.body_but(&[])
    }

    /// The body, strictly but for fields that only readers see.
    pub(super) fn body_but<T: DeserializeOwned>(&self, read_only: &[&str]) -> Result<T, Error> {
        strict::from_slice(&self.body, read_only)
    }

    pub(super) fn bytes(&self) -> Bytes {
        self.body.clone()
    }

    /// The commit of a semantic operation or deletion: If-Match counts when it is there.
    pub(super) fn commit(&self, change: Change) -> Commit {
        Commit {
            change,
            precondition: self.precondition,
            reason: self.reason.clone(),
            links: self.links.clone(),
            idempotency: self.idempotency.clone(),
            request_id: self.request_id.clone(),
            fires: None,
        }
    }

    /// One commit of several: without the request's idempotency key and precondition, which are for one.
    pub(super) fn one_of_many(&self, change: Change) -> Commit {
        let (precondition, idempotency) = (Precondition::None, None);
        Commit { precondition, idempotency, ..self.commit(change) }
    }

    /// Carries out a semantic operation or deletion.
    pub(super) async fn change(
        &self,
        platform: &Platform,
        change: Change,
    ) -> Result<Response, Problem> {
        self.carry_out(platform, self.commit(change)).await
    }

    /// Carries out a semantic operation whose body may say why.
    pub(super) async fn change_because(
        &self,
        platform: &Platform,
        change: Change,
        reason: Option<String>,
    ) -> Result<Response, Problem> {
        self.carry_out(platform, self.commit_because(change, reason)).await
    }

    /// The commit of a semantic operation whose body may say why.
    pub(super) fn commit_because(&self, change: Change, reason: Option<String>) -> Commit {
        let mut commit = self.commit(change);
        commit.reason = reason.or(commit.reason);
        commit
    }

    /// Carries out a full replacement.
    pub(super) async fn replace(
        &self,
        platform: &Platform,
        change: Change,
    ) -> Result<Response, Problem> {
        self.carry_out(platform, self.replacement(change)).await
    }

    /// The commit of a full replacement: it must say what it replaces.
    pub(super) fn replacement(&self, change: Change) -> Commit {
        let mut commit = self.commit(change);
        if commit.precondition == Precondition::None {
            commit.precondition = Precondition::Unsaid;
        }
        commit
    }

    async fn carry_out(&self, platform: &Platform, commit: Commit) -> Result<Response, Problem> {
        let outcome = platform.commit(&self.caller, &commit).await?;
        Ok(answer::changed(&commit.change.log(), outcome))
    }
}

impl<S: Send + Sync> FromRequest<S> for Asked {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        Self::of(request, |kind| is_one_of(kind, &JSON_TYPES), MAX_BODY_BYTES).await
    }
}

impl Asked {
    /// Reads a request whose body may be of these types and as long as this.
    async fn of(
        request: Request,
        taken: impl Fn(&str) -> bool,
        max_bytes: usize,
    ) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let caller = caller_of(&parts)?;
        if content_type(&parts.headers).is_some_and(|kind| !taken(kind)) {
            return Err(Problem::unsupported_media_type());
        }
        let body = read(body, max_bytes).await?;
        let precondition = precondition(&parts.headers)?;
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone());
        Ok(Self {
            caller,
            request_id: request_id.unwrap_or_default(),
            reason: text_header(&parts.headers, "flagforge-reason")?,
            links: match text_header(&parts.headers, "flagforge-links")? {
                Some(links) => link::parse(&links)?,
                None => Vec::new(),
            },
            idempotency: idempotency(&parts, &body)?,
            precondition,
            body,
        })
    }
}

/// An authenticated request whose body is a list of ids.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) asked: Asked,
    pub(super) form: ListForm,
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let lines =
            content_type(request.headers()).is_some_and(|kind| is_one_of(kind, &["text/plain"]));
        let form = if lines { ListForm::Lines } else { ListForm::Json };
        let taken = |kind: &str| is_one_of(kind, &JSON_TYPES) || is_one_of(kind, &LIST_TYPES);
        let asked = Asked::of(request, taken, MAX_LIST_BODY_BYTES).await?;
        Ok(Self { asked, form })
    }
}

/// The platform as it acts for whoever asks. Handlers have no other: what they do for one organization cannot reach
/// another's.
#[derive(Debug, Clone)]
pub(super) struct Acting(pub(super) Platform);

impl<S: Send + Sync> FromRequestParts<S> for Acting {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Error::Unauthenticated.into())
    }
}

/// An authenticated request that reads.
#[derive(Debug)]
pub(super) struct Reading(pub(super) Caller);

impl<S: Send + Sync> FromRequestParts<S> for Reading {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        caller_of(parts).map(Self)
    }
}

/// The keys in the path; one that is no key is named.
#[derive(Debug)]
pub(super) struct Keys<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Keys<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(keys)) => Ok(Self(keys)),
            Err(rejection) => Err(Error::invalid("the path", rejection.body_text()).into()),
        }
    }
}

/// A part of the query string. That nothing else is in it, `query::read` sees to.
#[derive(Debug)]
pub(super) struct Options<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Options<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(options)) => Ok(Self(options)),
            Err(rejection) => Err(Error::invalid("the query", rejection.body_text()).into()),
        }
    }
}

fn caller_of(parts: &Parts) -> Result<Caller, Problem> {
    parts.extensions.get::<Caller>().cloned().ok_or_else(|| Error::Unauthenticated.into())
}

/// The organization that a path is about.
pub(super) fn organization(path: &str) -> Option<OrgKey> {
    let (_, below) = path.split_once("/v1/orgs/")?;
    OrgKey::new(below.split('/').next()?).ok()
}

/// The media type of the body, without its parameters.
fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?;
    value.to_str().unwrap_or_default().split(';').next().map(str::trim)
}

fn is_one_of(kind: &str, taken: &[&str]) -> bool {
    taken.iter().any(|taken| kind.eq_ignore_ascii_case(taken))
}

async fn read(body: Body, max_bytes: usize) -> Result<Bytes, Problem> {
    use std::error::Error as _;
    to_bytes(body, max_bytes).await.map_err(|error| {
        let over =
            error.source().is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
        if over { Problem::body_too_large(max_bytes) } else { Problem::body_unreadable() }
    })
}

fn text_header(headers: &HeaderMap, name: &str) -> Result<Option<String>, Error> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(Error::invalid(name, "is not UTF-8")),
    }
}

fn idempotency(parts: &Parts, body: &[u8]) -> Result<Option<Idempotency>, Error> {
    let Some(key) = text_header(&parts.headers, "idempotency-key")? else { return Ok(None) };
    if key.is_empty() {
        return Err(Error::invalid("Idempotency-Key", "is empty"));
    }
    let mut request = format!("{} {}\n", parts.method, parts.uri.path()).into_bytes();
    for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
        let value = parts.headers.get(name).map_or(&b""[..], |value| value.as_bytes());
        request.extend_from_slice(value);
        request.push(b'\n');
    }
    request.extend_from_slice(body);
    Ok(Some(Idempotency { key, request: Digest::of(&request) }))
}

fn precondition(headers: &HeaderMap) -> Result<Precondition, Error> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) => Ok(Precondition::None),
        (None, Some("*")) => Ok(Precondition::Absent),
        (Some("*"), None) => Ok(Precondition::Present),
        (Some(tag), None) => {
            let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            // Who read only some fields holds the same version.
            let version = tag.map(|tag| tag.split_once('.').map_or(tag, |(version, _)| version));
            match version.and_then(|version| version.parse().ok()) {
                Some(version) => Ok(Precondition::Version(version)),
                None => Err(Error::invalid("If-Match", "send one ETag as you got it, or *")),
            }
        }
        _ => Err(Error::invalid("If-None-Match", "a change takes `If-None-Match: *` or If-Match")),
    }
}
