//! An address of somebody else on this machine: an issuer of people's tokens, and a customer database.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use flagforge_flags::manifest::SecretKey;
use serde_json::json;
use tokio::task::JoinSet;

/// The example of RFC 7517, appendix A.2: its private half.
const SECRET: &str = "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE";
/// Its public half (A.1).
const KEYS: &str = r#"{"keys": [{"kty": "EC", "crv": "P-256", "kid": "1", "use": "sig",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

#[derive(Debug, Default)]
struct Said {
    url: String,
    tenants: Mutex<String>,
    bearers: Mutex<Vec<String>>,
}

/// Answers as long as it lives.
#[derive(Debug)]
pub struct Elsewhere {
    pub url: String,
    said: Arc<Said>,
    _task: JoinSet<()>,
}

impl Elsewhere {
    pub async fn start() -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("binding")?;
        let url = format!("http://{}", listener.local_addr()?);
        let said = Arc::new(Said { url: url.clone(), ..Said::default() });
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(about))
            .route("/jwks", get(|| async { KEYS }))
            .route("/tenants", get(tenants))
            .with_state(said.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { url, said, _task: task })
    }

    /// What it says of somebody, for ten minutes.
    pub fn token(&self, subject: &str, groups: &[&str]) -> anyhow::Result<String> {
        let mut secret = [0; 32];
        Base64UrlUnpadded::decode(SECRET, &mut secret).ok().context("no base64")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let head = json!({"alg": "ES256", "kid": "1", "typ": "JWT"}).to_string();
        let claims = json!({"iss": self.url, "sub": subject, "aud": "flagforge", "iat": now,
            "exp": now + 600, "groups": groups});
        let text = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
        let signed = format!("{}.{}", text(head.as_bytes()), text(claims.to_string().as_bytes()));
        let key = SecretKey::from_bytes(&secret)?;
        Ok(format!("{signed}.{}", text(&key.sign(signed.as_bytes()))))
    }

    /// The tenants of the customer database, from now on.
    pub fn has_tenants(&self, keys: &[&str]) {
        let lines = keys.iter().map(|key| format!("{}\n", json!({"key": key, "attributes": {}})));
        *self.said.tenants.lock().unwrap_or_else(PoisonError::into_inner) = lines.collect();
    }

    /// What it was shown each time that tenants were asked for.
    pub fn bearers(&self) -> Vec<String> {
        self.said.bearers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn about(State(said): State<Arc<Said>>) -> String {
    json!({"issuer": said.url, "jwks_uri": format!("{}/jwks", said.url)}).to_string()
}

async fn tenants(State(said): State<Arc<Said>>, headers: HeaderMap) -> String {
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok());
    let mut bearers = said.bearers.lock().unwrap_or_else(PoisonError::into_inner);
    bearers.push(bearer.unwrap_or_default().to_owned());
    said.tenants.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
