//! Errors as RFC 9457 problems. The only place that knows both the domain's errors and HTTP's.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::kinds::{self, Kind};
use crate::error::Error;

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// Stable; programs may compare it.
    #[serde(rename = "type")]
    #[schema(example = "urn:flagforge:problem:invalid")]
    kind: String,
    /// The type in words.
    title: &'static str,
    status: u16,
    /// What happened and what to do, for people.
    detail: String,
    /// The path of the offending field in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The limit that was passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    /// What was sent instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    actual: Option<u64>,
    /// The line of the field's text, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// The column in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

/// An error on its way out. Its status is never a success: only this module makes one.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    /// Boxed: errors are rare, and results should be small.
    body: Box<ProblemBody>,
    retry_after_seconds: Option<u32>,
}

impl Problem {
    fn new(kind: Kind, detail: String) -> Self {
        let Kind { name, status, title } = kind;
        let kind = format!("urn:flagforge:problem:{name}");
        let (field, limit, actual) = (None, None, None);
        let (line, column) = (None, None);
        let status_code = status.as_u16();
        let body = ProblemBody {
            kind,
            title,
            status: status_code,
            detail,
            field,
            limit,
            actual,
            line,
            column,
        };
        Self { status, body: Box::new(body), retry_after_seconds: None }
    }

    pub(crate) fn method_not_allowed() -> Self {
        let detail = "this address does not take that method; see /openapi.json".to_owned();
        Self::new(kinds::METHOD_NOT_ALLOWED, detail)
    }

    pub(crate) fn body_too_large(limit: usize) -> Self {
        let detail = format!("the body: the limit is {limit} bytes");
        let mut problem = Self::new(kinds::BODY_TOO_LARGE, detail);
        problem.body.field = Some("the body".to_owned());
        problem.body.limit = Some(limit as u64);
        problem
    }

    pub(crate) fn body_unreadable() -> Self {
        Self::new(kinds::BODY_UNREADABLE, "the body ended before it was whole".to_owned())
    }

    pub(crate) fn unsupported_media_type() -> Self {
        let detail = "send JSON as application/json (or application/merge-patch+json)".to_owned();
        Self::new(kinds::UNSUPPORTED_MEDIA_TYPE, detail)
    }
}

/// Which type of problem an error is.
fn kind_of(error: &Error) -> Kind {
    match error {
        Error::Unauthenticated => kinds::UNAUTHENTICATED,
        Error::NotFound { .. } => kinds::NOT_FOUND,
        Error::Forbidden { .. } => kinds::FORBIDDEN,
        Error::WrongKeyKind { .. } | Error::NotAService => kinds::WRONG_KEY_KIND,
        Error::Suspended => kinds::SUSPENDED,
        Error::Invalid { .. } | Error::BadText { .. } => kinds::INVALID,
        Error::OverLimit { .. } => kinds::OVER_LIMIT,
        Error::Exists { .. } => kinds::EXISTS,
        Error::InUse { .. } => kinds::IN_USE,
        Error::Kept { .. } => kinds::KEPT,
        Error::LastAdmin => kinds::LAST_ADMIN,
        Error::QuotaExceeded { .. } => kinds::QUOTA_EXCEEDED,
        Error::RateLimited { .. } => kinds::RATE_LIMITED,
        Error::PreconditionRequired => kinds::PRECONDITION_REQUIRED,
        Error::PreconditionFailed => kinds::PRECONDITION_FAILED,
        Error::IdempotencyMismatch => kinds::IDEMPOTENCY_MISMATCH,
        Error::Busy { .. } => kinds::BUSY,
        Error::Internal { .. } => kinds::INTERNAL,
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let mut problem = Self::new(kind_of(&error), error.to_string());
        match &error {
            Error::Invalid { field, .. } => problem.body.field = Some(field.clone()),
            Error::BadText { field, line, column, .. } => {
                problem.body.field = Some(field.clone());
                (problem.body.line, problem.body.column) = (Some(*line), Some(*column));
            }
            Error::OverLimit { field, limit, actual, .. } => {
                problem.body.field = Some(field.clone());
                problem.body.limit = Some(*limit);
                problem.body.actual = Some(*actual);
            }
            Error::PreconditionRequired | Error::PreconditionFailed => {
                problem.body.field = Some("If-Match".to_owned());
            }
            Error::IdempotencyMismatch => {
                problem.body.field = Some("Idempotency-Key".to_owned());
            }
            Error::QuotaExceeded { resource, limit } => {
                problem.body.field = Some((*resource).to_owned());
                problem.body.limit = Some(*limit);
            }
            Error::Busy { retry_after_seconds, .. }
            | Error::RateLimited { retry_after_seconds, .. } => {
                problem.retry_after_seconds = Some(*retry_after_seconds);
            }
            _ => {}
        }
        if problem.status.is_server_error() {
            tracing::error!(error = %Chain(&error), "a request failed on our side");
        }
        problem
    }
}

/// An error with all its causes, for the log only.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // An internal error's own words are for strangers; its context is for us.
        write!(f, "{:?}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
