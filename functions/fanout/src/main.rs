//! The stream's only reader: it rings the doorbell. See README.md.

use flagforge_aws::events::stream::{StreamEvent, fanout};
use flagforge_aws::{Settings, Variable, hands};
use lambda_runtime::{LambdaEvent, service_fn};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().with_env_filter(EnvFilter::from_default_env()).init();
    let settings = Settings::from_env(&[Variable::ChangesTopic])?;
    let (platform, failures) = (&hands(&settings), settings.batch_failures());
    let handler = service_fn(|event: LambdaEvent<StreamEvent>| async move {
        let answer = fanout(platform, event.payload, failures).await;
        answer.map_err(lambda_runtime::Error::from)
    });
    lambda_runtime::run(handler).await.map_err(anyhow::Error::from_boxed)
}
