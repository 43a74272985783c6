//! What browsers need before they let a page ask (Fetch standard, §3.2). Keys travel in headers, never in
//! cookies, so any page may ask, and needs a key to be answered.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

const ANYWHERE: HeaderValue = HeaderValue::from_static("*");
const EXPOSED: HeaderValue = HeaderValue::from_static("ETag, Retry-After");
const ALLOWED: [(HeaderName, &str); 3] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "Content-Type, Authorization, X-API-Key, If-None-Match, Last-Event-ID, FlagForge-Tenant, FlagForge-Environment",
    ),
    // An hour, so that not every evaluation is two requests.
    (header::ACCESS_CONTROL_MAX_AGE, "3600"),
];

/// `OPTIONS` on an address that pages ask.
pub(crate) async fn preflight() -> Response {
    let mut response = shown(StatusCode::NO_CONTENT.into_response());
    for (name, value) in ALLOWED {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// An answer that a page may read.
pub(crate) fn shown(mut response: Response) -> Response {
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANYWHERE);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    response
}
