//! Refusals as RFC 9457 problems, under the names that the platform and the relay have for them.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

/// 400: the request contradicts itself, or lacks what it needs.
pub(super) fn invalid(detail: &str) -> Response<String> {
    problem(StatusCode::BAD_REQUEST, "invalid", "Invalid request", detail)
}

/// 404: it is not there, for this tenant.
pub(super) fn not_found() -> Response<String> {
    problem(StatusCode::NOT_FOUND, "not-found", "Not found", "there is nothing here")
}

fn problem(status: StatusCode, name: &str, title: &str, detail: &str) -> Response<String> {
    let body = json!({
        "type": format!("urn:flagforge:problem:{name}"), "title": title,
        "status": status.as_u16(), "detail": detail,
    });
    let mut response = Response::new(body.to_string());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    // Another tenant's request to the same address may fare otherwise.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}
