//! Calling our own routers without a socket: the page and the demo go through the front door like anybody else.

use anyhow::{Context as _, bail};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderName, Method, Request, StatusCode, header};
use serde_json::Value as Json;
use tower::ServiceExt as _;

/// Bytes of an answer that is read whole: a page of 500 flags of the largest size would be more, and is not asked for.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// A router and the key to call it with.
#[derive(Clone)]
pub(crate) struct Inside {
    router: Router,
    key: String,
}

/// An answer: its status, and its body as JSON (null when it has none).
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Json,
}

impl Answer {
    /// The body, or an error that carries what the answer said.
    pub(crate) fn expect_success(self, what: &str) -> anyhow::Result<Json> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        bail!("{what}: {} {}", self.status, self.body)
    }
}

impl Inside {
    pub(crate) fn new(router: Router, key: impl Into<String>) -> Self {
        Self { router, key: key.into() }
    }

    /// The same router with another key.
    pub(crate) fn with_key(&self, key: impl Into<String>) -> Self {
        Self { router: self.router.clone(), key: key.into() }
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.call(Method::GET, path, &[], None).await
    }

    /// Creates what is not there; what is there stays as it is, and that is a success.
    pub(crate) async fn create(&self, path: &str, body: &Json) -> anyhow::Result<()> {
        let absent = [(header::IF_NONE_MATCH, "*")];
        let answer = self.call(Method::PUT, path, &absent, Some(body)).await?;
        if answer.status == StatusCode::PRECONDITION_FAILED {
            return Ok(());
        }
        answer.expect_success(path).map(drop)
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: Option<&Json>,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.key));
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        let request = request.with_context(|| format!("making a request for {path}"))?;
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let status = response.status();
        let bytes = to_bytes(response.into_body(), MAX_ANSWER_BYTES).await?;
        let body = if bytes.is_empty() { Json::Null } else { serde_json::from_slice(&bytes)? };
        Ok(Answer { status, body })
    }
}

/// A key as one segment of a path. Keys may hold anything but `/ ? # %` and a few others.
pub(crate) fn segment(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[test]
fn a_segment_keeps_what_is_plain_and_encodes_the_rest() {
    assert_eq!(segment("new-dashboard.v2"), "new-dashboard.v2");
    assert_eq!(segment("With spaces/é"), "With%20spaces%2F%C3%A9");
}
