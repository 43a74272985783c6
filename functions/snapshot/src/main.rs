//! The publisher: signed manifests to S3, and word of them. See README.md.

use std::convert::Infallible;

use flagforge_aws::events::queue::{QueueEvent, snapshot};
use flagforge_aws::{Settings, Variable, hands};
use lambda_runtime::{LambdaEvent, service_fn};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().with_env_filter(EnvFilter::from_default_env()).init();
    let settings = Settings::from_env(&[
        Variable::Table,
        Variable::OrgRole,
        Variable::Bucket,
        Variable::Key,
        Variable::RootsTopic,
    ])?;
    let platform = &hands(&settings);
    let handler = service_fn(|event: LambdaEvent<QueueEvent>| async move {
        Ok::<_, Infallible>(snapshot(platform, event.payload).await)
    });
    lambda_runtime::run(handler).await.map_err(anyhow::Error::from_boxed)
}
