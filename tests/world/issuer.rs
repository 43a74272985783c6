//! An issuer of people's tokens, in this process, that says whatever a test wants said.

use anyhow::Context as _;
use axum::routing::get;
use axum::{Json as Answer, Router};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use flagforge_flags::manifest::SecretKey;
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

/// Listens as long as it lives.
#[derive(Debug)]
pub struct Issuer {
    pub url: String,
    key: SecretKey,
    _task: JoinSet<()>,
}

impl Issuer {
    pub async fn start() -> anyhow::Result<Self> {
        let key = SecretKey::from_bytes(&[7; 32])?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("binding")?;
        let url = format!("http://{}", listener.local_addr()?);
        let about = json!({"issuer": url, "jwks_uri": format!("{url}/jwks")});
        let keys = json!({"keys": [serde_json::to_value(key.public())?]});
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(async move || Answer(about.clone())))
            .route("/jwks", get(async move || Answer(keys.clone())));
        let mut task = JoinSet::new();
        task.spawn(async move {
            // Ends with the issuer.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { url, key, _task: task })
    }

    /// A token that says this, and what every token has to say.
    pub fn token(&self, claims: &Json) -> anyhow::Result<String> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        let mut all = json!({"iss": self.url, "iat": now, "exp": now + 24 * 3_600});
        for (name, value) in claims.as_object().context("claims are an object")? {
            all[name] = value.clone();
        }
        let head = json!({"alg": "ES256", "typ": "JWT"}).to_string();
        let text = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
        let signed = format!("{}.{}", text(head.as_bytes()), text(all.to_string().as_bytes()));
        let signature = self.key.sign(signed.as_bytes());
        Ok(format!("{signed}.{}", text(&signature)))
    }
}
