//! What comes with time: scheduled changes, sources of tenants, leftovers. See README.md.

use std::sync::Arc;

use flagforge_aws::events::clock::{Tick, tick};
use flagforge_aws::{Settings, Variable, hands};
use flagforge_platform::Caller;
use lambda_runtime::{LambdaEvent, service_fn};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().with_env_filter(EnvFilter::from_default_env()).init();
    // Two programs' worth of TLS would be no more secure, only larger; an error says that one is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = Settings::from_env(&[Variable::Table, Variable::OrgRole, Variable::Bucket])?;
    let platform = &hands(&settings);
    platform.fetch_with(Arc::new(settings.outbound()));
    let handler = service_fn(|event: LambdaEvent<Tick>| async move {
        let caller = Caller::system(event.payload.actor());
        tick(platform, &caller, event.payload).await.map_err(lambda_runtime::Error::from)
    });
    lambda_runtime::run(handler).await.map_err(anyhow::Error::from_boxed)
}
