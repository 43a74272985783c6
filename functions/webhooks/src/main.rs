//! Deliveries of events: signed to the endpoints that organizations name, and on a topic. See README.md.

use std::convert::Infallible;

use flagforge_aws::events::queue::{QueueEvent, webhooks};
use flagforge_aws::{Settings, Variable, event_sink, hands};
use lambda_runtime::{LambdaEvent, service_fn};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().with_env_filter(EnvFilter::from_default_env()).init();
    // Two programs' worth of TLS would be no more secure, only larger; an error says that one is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = Settings::from_env(&[Variable::Table, Variable::OrgRole, Variable::Bucket])?;
    let (platform, outbound) = (&hands(&settings), &settings.outbound());
    let sink = event_sink(&settings);
    let sink = sink.as_ref().map(|sink| sink as _);
    let handler = service_fn(|event: LambdaEvent<QueueEvent>| async move {
        Ok::<_, Infallible>(webhooks(platform, outbound, sink, event.payload).await)
    });
    lambda_runtime::run(handler).await.map_err(anyhow::Error::from_boxed)
}
