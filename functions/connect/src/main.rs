//! Announcements over WebSocket: lets in, tells, and forgets. See README.md.

mod connections;
mod handle;
mod line;
mod tell;
#[cfg(test)]
mod tests;

use std::env;
use std::sync::Arc;

use anyhow::Context as _;
use flagforge::origin::S3Origin;
use flagforge_aws::{Connection, Settings, Socket, Variable, tables};
use flagforge_relay::{Config, Relay};
use lambda_runtime::{LambdaEvent, service_fn};
use tracing_subscriber::EnvFilter;

use crate::connections::Connections;
use crate::handle::Connect;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().with_env_filter(EnvFilter::from_default_env()).init();
    // Two programs' worth of TLS would be no more secure, only larger; an error says that one is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = Settings::from_env(&[Variable::Table, Variable::OrgRole])?;
    let connection = Connection::new(&settings);
    let bucket = env::var("FLAGFORGE_BUCKET").context("FLAGFORGE_BUCKET is not set")?;
    let origin = Arc::new(S3Origin::from_env(&bucket, None, None)?);
    let relay = Relay::new(origin, Config::for_function_from_env()?);
    let connections = Connections::new(tables(&connection, &settings));
    let line = Arc::new(Socket::new(&connection, &settings)?);
    let connect = &Connect { relay, connections, line };
    let handler = service_fn(|event: LambdaEvent<_>| connect.handle(event.payload));
    lambda_runtime::run(handler).await.map_err(anyhow::Error::from_boxed)
}
