//! The data plane under API Gateway. See README.md.

mod grants;

use std::env;
use std::sync::Arc;

use anyhow::Context as _;
use flagforge::origin::S3Origin;
use flagforge_relay::{Config, Relay, app_without_streams};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().with_env_filter(EnvFilter::from_default_env()).init();
    // Two programs' worth of TLS would be no more secure, only larger; an error says that one is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = Config::for_function_from_env()?;
    config.grants = grants::from_env()?;
    let bucket = env::var("FLAGFORGE_BUCKET").context("FLAGFORGE_BUCKET is not set")?;
    let origin = S3Origin::from_env(&bucket, None, None)?;
    let routes = app_without_streams(Relay::new(Arc::new(origin), config));
    lambda_http::run(routes).await.map_err(anyhow::Error::from_boxed)
}
