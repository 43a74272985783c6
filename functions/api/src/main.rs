//! The management API under API Gateway. See README.md.

use std::sync::Arc;

use flagforge_aws::{Settings, Variable, hands};
use flagforge_platform::{app, cors, health};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().with_env_filter(EnvFilter::from_default_env()).init();
    // Two programs' worth of TLS would be no more secure, only larger; an error says that one is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let settings = Settings::from_env(&[
        Variable::Table,
        Variable::OrgRole,
        Variable::Bucket,
        Variable::OperatorKeyId,
        Variable::OperatorKeySha256,
    ])?;
    let platform = hands(&settings);
    platform.fetch_with(Arc::new(settings.outbound()));
    // Others do, by the same platform's code: functions/webhooks and functions/timer.
    platform.deliver_webhooks();
    platform.fire_schedules();
    let routes = cors(app(platform).merge(health()), settings.cors_origins())?;
    lambda_http::run(routes).await.map_err(anyhow::Error::from_boxed)
}
