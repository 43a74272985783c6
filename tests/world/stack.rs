//! An installation to test, wherever it runs.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::json;

use crate::api::Api;

/// The web origin whose pages may call an installation that is tested.
pub const CONSOLE: &str = "https://console.example";

/// How an SDK reaches manifests.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", tag = "delivery")]
pub enum Delivery {
    /// From the server's data plane, which announces new roots.
    Http,
    /// From a bucket, by polling.
    #[serde(rename_all = "camelCase")]
    S3 { bucket: String, region: String, endpoint: String },
}

/// An organization that a queue rings for, as whoever follows its environment `prod` would have one.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notified {
    pub org: String,
    pub admin_key: String,
    /// The queue's URL.
    pub queue: String,
}

/// A running installation.
#[derive(Debug, Clone)]
pub struct Stack {
    /// `http://127.0.0.1:<port>`, with the path before `/v1` if there is one.
    pub url: String,
    pub operator_key: String,
    /// The thumbprints that SDKs pin.
    pub roots: Vec<String>,
    pub delivery: Delivery,
    /// How long a change may take to be seen before a journey calls it lost.
    pub patience: Duration,
    /// On the cloud only: in one process there are no queues.
    pub notified: Option<Notified>,
    /// Where SDKs listen by WebSocket, on the cloud.
    pub push_url: Option<String>,
}

/// An organization that a journey has to itself.
#[derive(Debug, Clone)]
pub struct Org {
    pub key: String,
    pub admin_key: String,
    /// The management API with the admin key.
    pub api: Api,
    stack: Stack,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// What `localstack/up` writes for us.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    url: String,
    operator_key: String,
    roots: Vec<String>,
    bucket: String,
    region: String,
    endpoint: String,
    notified: Notified,
    push_url: String,
}

impl Stack {
    /// The emulated cloud: where `FLAGFORGE_STACK` says, or in its usual place. `None` when none runs.
    pub fn running() -> anyhow::Result<Option<Self>> {
        let usual = concat!(env!("CARGO_MANIFEST_DIR"), "/../localstack/.run/stack.json");
        let place = std::env::var("FLAGFORGE_STACK").unwrap_or_else(|_| usual.to_owned());
        let text = match std::fs::read_to_string(&place) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(place),
        };
        let running: Running = serde_json::from_str(&text).context(place)?;
        let Running { url, operator_key, roots, bucket, region, endpoint, .. } = running;
        let delivery = Delivery::S3 { bucket, region, endpoint };
        let (notified, push_url) = (Some(running.notified), Some(running.push_url));
        let patience = Duration::from_secs(30);
        Ok(Some(Self { url, operator_key, roots, delivery, patience, notified, push_url }))
    }

    pub fn api(&self, key: Option<&str>) -> Api {
        Api::new(&self.url, key)
    }

    /// Founds an organization of a name nobody used, with environments `dev` and `prod`, tenants `acme` and `globex`.
    pub async fn found(&self, purpose: &str) -> anyhow::Result<Org> {
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let key = format!("{purpose}-{:x}-{number}", nanos % 0xff_ffff_ffff);
        let operator = self.api(Some(&self.operator_key));
        let founded = operator.post("/v1/orgs", &json!({"key": key})).await?.expect(201)?;
        let admin_key = founded.body["adminKey"].as_str().context("no admin key")?.to_owned();
        let api = self.api(Some(&admin_key));
        for env in ["dev", "prod"] {
            let path = format!("/v1/orgs/{key}/environments");
            api.post(&path, &json!({"key": env})).await?.expect(201)?;
        }
        for (tenant, plan) in [("acme", "gold"), ("globex", "free")] {
            let path = format!("/v1/orgs/{key}/tenants/{tenant}");
            api.put(&path, &json!({"attributes": {"plan": plan}})).await?.expect(201)?;
        }
        Ok(Org { key, admin_key, api, stack: self.clone() })
    }

    /// The organization that the queue rings for; it is there from the beginning, and stays.
    pub fn notified(&self) -> Option<(Org, &str)> {
        let Notified { org, admin_key, queue } = self.notified.as_ref()?;
        let (key, admin_key) = (org.clone(), admin_key.clone());
        let api = self.api(Some(&admin_key));
        Some((Org { key, admin_key, api, stack: self.clone() }, queue))
    }
}

impl Org {
    /// How long a change may take to be seen.
    pub fn patience(&self) -> Duration {
        self.stack.patience
    }

    /// A path below the organization.
    pub fn path(&self, rest: &str) -> String {
        format!("/v1/orgs/{}/{rest}", self.key)
    }

    /// A boolean flag, on in `prod` for everybody unless `state` says otherwise.
    pub async fn boolean_flag(&self, flag: &str) -> anyhow::Result<()> {
        let definition = json!({"class": "release", "type": "boolean"});
        self.api.put(&self.path(&format!("flags/{flag}")), &definition).await?.expect(201)?;
        Ok(())
    }

    /// Turns a flag on or off in `prod`.
    pub async fn flip(&self, flag: &str, on: bool) -> anyhow::Result<()> {
        let verb = if on { "enable" } else { "kill" };
        let path = self.path(&format!("environments/prod/flags/{flag}/{verb}"));
        let answer = self.api.post(&path, &serde_json::Value::Null).await?;
        anyhow::ensure!(answer.status.is_success(), "{verb}: {} {}", answer.status, answer.body);
        Ok(())
    }

    /// A new key, and its id.
    pub async fn issue(&self, spec: &serde_json::Value) -> anyhow::Result<(String, String)> {
        let issued = self.api.post(&self.path("keys"), spec).await?.expect(201)?;
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let key = text(&issued.body["key"]).context("no key")?;
        Ok((key, text(&issued.body["record"]["id"]).context("no id")?))
    }

    /// A server key for `prod`.
    pub async fn server_key(&self) -> anyhow::Result<String> {
        Ok(self.issue(&json!({"kind": "server", "envs": ["prod"]})).await?.0)
    }

    /// What an SDK connects with.
    pub fn connection(&self, key: &str, env: &str) -> String {
        let (org, roots) = (&self.key, self.stack.roots.join(","));
        match &self.stack.delivery {
            Delivery::Http => {
                let host = self.stack.url.trim_start_matches("http://");
                format!("flagforge+http://{key}@{host}/{org}/{env}?roots={roots}")
            }
            Delivery::S3 { bucket, region, endpoint } => format!(
                "flagforge+s3://{bucket}/{org}/{env}?region={region}&endpoint={endpoint}&roots={roots}"
            ),
        }
    }

    /// What OFREP answers in `prod` for a tenant and user.
    pub async fn evaluate(
        &self,
        key: &str,
        flag: &str,
        tenant: &str,
        user: &str,
    ) -> anyhow::Result<crate::Answer> {
        let api = self.stack.api(Some(key));
        let headers = [("flagforge-tenant", tenant), ("flagforge-environment", "prod")];
        let body = json!({"context": {"targetingKey": user}}).to_string();
        let path = format!("/ofrep/v1/evaluate/flags/{flag}");
        api.call(reqwest::Method::POST, &path, &headers, Some(body)).await
    }

    /// Waits until OFREP answers this value for a tenant.
    pub async fn sees(
        &self,
        key: &str,
        flag: &str,
        tenant: &str,
        value: &serde_json::Value,
    ) -> anyhow::Result<crate::Answer> {
        eventually(self.stack.patience, || async {
            let answer = self.evaluate(key, flag, tenant, "u-1").await?;
            if answer.body["value"] == *value {
                return Ok(Some(answer));
            }
            bail!("{tenant} still gets {} {}", answer.status, answer.body)
        })
        .await
    }
}

/// Tries until there is an answer or time is up; then says what the last try said.
pub async fn eventually<T, F>(within: Duration, mut attempt: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let started = Instant::now();
    loop {
        let last = match attempt().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => anyhow::anyhow!("not yet"),
            Err(error) => error,
        };
        if started.elapsed() > within {
            return Err(last.context(format!("nothing within {within:?}")));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
