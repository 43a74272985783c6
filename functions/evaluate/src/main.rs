//! The data plane under API Gateway. See README.md.

mod grants;

use std::env;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use flagforge::origin::S3Origin;
use flagforge_flags::manifest::Thumbprint;
use flagforge_relay::{Config, Relay, app_without_streams};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().with_env_filter(EnvFilter::from_default_env()).init();
    // Two programs' worth of TLS would be no more secure, only larger; an error says that one is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let roots = setting("FLAGFORGE_ROOTS")?;
    let pinned: Result<Vec<Thumbprint>, _> = roots.split(',').map(str::parse).collect();
    let mut config =
        Config::for_function(pinned.context("FLAGFORGE_ROOTS is no list of thumbprints")?);
    if let Ok(milliseconds) = setting("FLAGFORGE_POLL_MILLISECONDS") {
        let number = milliseconds.parse().context("FLAGFORGE_POLL_MILLISECONDS is no number")?;
        config.poll = Duration::from_millis(number);
    }
    config.grants = grants::from_env()?;
    let origin = S3Origin::from_env(&setting("FLAGFORGE_BUCKET")?, None, None)?;
    let routes = app_without_streams(Relay::new(Arc::new(origin), config));
    lambda_http::run(routes).await.map_err(anyhow::Error::from_boxed)
}

fn setting(name: &str) -> anyhow::Result<String> {
    let set = env::var(name).ok().filter(|value| !value.is_empty());
    set.with_context(|| format!("the environment variable {name} is not set"))
}
