//! The installation that `localstack/up` started, as who has AWS's own API finds it.

#![allow(dead_code, reason = "each test has what it needs")]

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_sdk_sns::config::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use serde_json::{Value as Json, json};

/// A function that starts, and a stream that is polled.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn unique(purpose: &str) -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("{purpose}-{:x}", nanos % 0xff_ffff_ffff)
}

/// What `localstack/up` wrote; `None` where nobody named an emulator.
pub(crate) fn stack() -> Option<Json> {
    if std::env::var_os("AWS_ENDPOINT_URL").is_none_or(|endpoint| endpoint.is_empty()) {
        let said = "\n\nSKIPPED: nothing was asked of an installation. That needs an emulator: `localstack/up`.\n\n";
        // Straight to the terminal: the test harness would keep what a test prints.
        let _ = std::io::stderr().write_all(said.as_bytes());
        return None;
    }
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../localstack/.run/stack.json");
    Some(serde_json::from_str(&std::fs::read_to_string(place).unwrap()).unwrap())
}

pub(crate) struct Api {
    url: String,
    pub(crate) endpoint: String,
    operator_key: String,
    http: reqwest::Client,
}

impl Api {
    pub(crate) fn of(stack: &Json) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let text = |name: &str| stack[name].as_str().unwrap().to_owned();
        let (url, endpoint, operator_key) = (text("url"), text("endpoint"), text("operatorKey"));
        Self { url, endpoint, operator_key, http: reqwest::Client::new() }
    }

    /// Founds an organization with two environments; answers its admin's key.
    pub(crate) async fn found(&self, org: &str) -> String {
        let founded = self.send("POST", "/v1/orgs", &self.operator_key, &json!({"key": org})).await;
        let admin = founded["adminKey"].as_str().unwrap().to_owned();
        for env in ["dev", "prod"] {
            let path = format!("/v1/orgs/{org}/environments");
            self.send("POST", &path, &admin, &json!({"key": env})).await;
        }
        admin
    }

    /// Invokes a function and waits for what it answers.
    pub(crate) async fn invoke(&self, function: &str, event: &Json) -> Json {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.endpoint);
        let text = self.signed("lambda", "POST", &url, &event.to_string()).await;
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// A call of AWS's own API, for which there is no client here.
    pub(crate) async fn signed(
        &self,
        service: &str,
        method: &str,
        url: &str,
        body: &str,
    ) -> String {
        let variable = |name: &str| std::env::var(name).unwrap();
        let (id, secret) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
        let identity = Credentials::new(id, secret, None, None, "environment").into();
        let region = variable("AWS_REGION");
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&region)
            .name(service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let bytes = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new(method, url, std::iter::empty(), bytes).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, url).body(body.to_owned());
        for (name, value) in instructions.headers() {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        let failed = answer.headers().get("x-amz-function-error").cloned();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success() && failed.is_none(), "{status} {failed:?} {text}");
        text
    }

    /// The same until the data plane knows the key.
    pub(crate) async fn eventually(&self, method: &str, path: &str, key: &str) -> Json {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.answer(method, path, key, &Json::Null).await {
                (status, text) if status.is_success() => {
                    return serde_json::from_str(&text).unwrap_or_default();
                }
                (status, text) => assert!(Instant::now() < until, "{path}: {status} {text}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What OFREP answers in `prod` for a tenant; `None` where it answers nothing.
    pub(crate) async fn evaluate(&self, key: &str, flag: &str, tenant: &str) -> Option<Json> {
        let url = format!("{}/ofrep/v1/evaluate/flags/{flag}", self.url);
        let request = self.http.post(url).bearer_auth(key).body(r#"{"context":{}}"#);
        let request = request.header("content-type", "application/json");
        let request = request.header("flagforge-environment", "prod");
        let answer = request.header("flagforge-tenant", tenant).send().await.ok()?;
        let body: Json = serde_json::from_str(&answer.text().await.ok()?).ok()?;
        body.get("value").cloned()
    }

    pub(crate) async fn send(&self, method: &str, path: &str, key: &str, body: &Json) -> Json {
        let (status, text) = self.answer(method, path, key, body).await;
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(crate) async fn answer(
        &self,
        method: &str,
        path: &str,
        key: &str,
        body: &Json,
    ) -> (reqwest::StatusCode, String) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(key);
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }
}
