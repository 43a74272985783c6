//! The same journeys, on the emulated cloud that `localstack/up` started. Without one they say that
//! they were skipped; the everyday test command always starts one.

use flagforge_tests::{Delivery, Stack, for_each_journey, journeys};
use serde::Deserialize;
use std::time::Duration;

/// What `localstack/up` wrote for us.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    url: String,
    operator_key: String,
    roots: Vec<String>,
    bucket: String,
    region: String,
    endpoint: String,
}

/// The stack that `FLAGFORGE_STACK` names, or the one in its usual place.
fn stack() -> Option<Stack> {
    let place = std::env::var("FLAGFORGE_STACK").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../localstack/.run/stack.json").to_owned()
    });
    let text = std::fs::read_to_string(&place).ok()?;
    let running: Running = serde_json::from_str(&text).expect("stack.json has another form");
    Some(Stack {
        url: running.url,
        operator_key: running.operator_key,
        roots: running.roots,
        delivery: Delivery::S3 {
            bucket: running.bucket,
            region: running.region,
            endpoint: running.endpoint,
        },
        patience: Duration::from_secs(30),
    })
}

macro_rules! on_cloud {
    ($journey:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $journey() {
            let Some(stack) = stack() else {
                eprintln!("SKIPPED: no emulated cloud runs; start one with localstack/up");
                return;
            };
            if let Err(error) = journeys::$journey(&stack).await {
                panic!("{error:#}");
            }
        }
    };
}

for_each_journey!(on_cloud);
