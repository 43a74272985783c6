//! The management API under API Gateway. See README.md.

use flagforge_aws::{Settings, Variable, hands};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().with_env_filter(EnvFilter::from_default_env()).init();
    let settings = Settings::from_env(&[
        Variable::Table,
        Variable::Bucket,
        Variable::OperatorKeyId,
        Variable::OperatorKeySha256,
    ])?;
    let routes = flagforge_platform::app(hands(&settings)).merge(flagforge_platform::health());
    lambda_http::run(routes).await.map_err(anyhow::Error::from_boxed)
}
