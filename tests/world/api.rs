//! Calling an installation as a customer's script would: HTTP, a key, JSON.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value as Json;

/// An address and a key.
#[derive(Debug, Clone)]
pub struct Api {
    client: reqwest::Client,
    base: String,
    key: Option<String>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Null when the answer has no body.
    pub body: Json,
}

impl Answer {
    /// The answer, if it has this status; else an error that shows it.
    pub fn expect(self, status: u16) -> anyhow::Result<Self> {
        anyhow::ensure!(
            self.status.as_u16() == status,
            "not {status} but {}: {}",
            self.status,
            self.body
        );
        Ok(self)
    }

    /// The last word of a problem's type, say `not-found`.
    pub fn problem(&self) -> &str {
        let kind = self.body["type"].as_str().unwrap_or_default();
        kind.strip_prefix("urn:flagforge:problem:").unwrap_or(kind)
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Api {
    pub fn new(base: &str, key: Option<&str>) -> Self {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build();
        Self {
            client: client.unwrap_or_default(),
            base: base.trim_end_matches('/').to_owned(),
            key: key.map(str::to_owned),
        }
    }

    /// The same address with another key.
    pub fn with_key(&self, key: Option<&str>) -> Self {
        Self { key: key.map(str::to_owned), ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.call(Method::GET, path, &[], None).await
    }

    pub async fn put(&self, path: &str, body: &Json) -> anyhow::Result<Answer> {
        self.call(Method::PUT, path, &[], Some(body.to_string())).await
    }

    pub async fn post(&self, path: &str, body: &Json) -> anyhow::Result<Answer> {
        let body = (!body.is_null()).then(|| body.to_string());
        self.call(Method::POST, path, &[], body).await
    }

    pub async fn patch(&self, path: &str, body: &Json) -> anyhow::Result<Answer> {
        self.call(Method::PATCH, path, &[], Some(body.to_string())).await
    }

    pub async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.call(Method::DELETE, path, &[], None).await
    }

    /// Any call; the body is sent as it is.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> anyhow::Result<Answer> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            if headers.iter().all(|(name, _)| *name != "content-type") {
                request = request.header("content-type", "application/json");
            }
            request = request.body(body);
        }
        let response = request.send().await.with_context(|| format!("calling {path}"))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let body = if text.is_empty() {
            Json::Null
        } else {
            serde_json::from_str(&text).unwrap_or(Json::String(text))
        };
        Ok(Answer { status, headers, body })
    }
}
