//! Cross-origin requests, for consoles on another address. Off unless origins are named.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use crate::error::Error;

/// How long a browser may remember a preflight's answer: browsers cap it at two hours themselves.
const MAX_AGE_SECONDS: &str = "7200";
const METHODS: &str = "GET, PUT, POST, PATCH, DELETE";
const REQUEST_HEADERS: &str = "authorization, content-type, if-match, if-none-match, idempotency-key, flagforge-reason, x-request-id";
const EXPOSED: &str = "etag, flagforge-revision, idempotency-replayed, ratelimit, ratelimit-policy, retry-after, x-request-id";

/// Lets pages of these origins (`https://console.example.com`, exactly) call an API. Without origins it is as it was.
/// Credentials are keys in a header, so no cookie is ever allowed across.
pub fn cors(app: Router, origins: &[String]) -> Result<Router, Error> {
    let parsed = origins.iter().map(|origin| {
        let has_scheme = origin.starts_with("https://") || origin.starts_with("http://");
        let bare = has_scheme && origin.matches('/').count() == 2;
        let value = HeaderValue::from_str(origin).ok().filter(|_| bare);
        value.ok_or_else(|| {
            Error::invalid("the origin", format!("`{origin}` is not `https://<host>`"))
        })
    });
    let origins: Vec<HeaderValue> = parsed.collect::<Result<_, _>>()?;
    if origins.is_empty() {
        return Ok(app);
    }
    Ok(app.layer(middleware::from_fn_with_state(Arc::new(origins), across)))
}

async fn across(
    State(origins): State<Arc<Vec<HeaderValue>>>,
    request: Request,
    next: Next,
) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let allowed = origin.filter(|origin| origins.contains(origin));
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if preflight && allowed.is_some() {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed {
        allow(headers, origin, preflight);
    }
    response
}

fn allow(headers: &mut HeaderMap, origin: HeaderValue, preflight: bool) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let fixed: &[_] = if preflight {
        &[
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS),
        ]
    } else {
        &[(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED)]
    };
    for (name, value) in fixed {
        headers.insert(name.clone(), HeaderValue::from_static(value));
    }
}
