//! The same journeys, on the emulated cloud that `localstack/up` started. Without one they say that
//! they were skipped; the everyday test command always starts one.

mod notices;
mod pushes;

use flagforge_tests::{Rendered, Stack, for_each_journey, journeys};

macro_rules! on_cloud {
    ($journey:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $journey() {
            let stack = match Stack::running() {
                Ok(Some(stack)) => stack,
                Ok(None) => {
                    eprintln!("SKIPPED: no emulated cloud runs; start one with localstack/up");
                    return;
                }
                Err(error) => panic!("{error:#}"),
            };
            if let Err(error) = journeys::$journey(&stack).await {
                panic!("{error:#}");
            }
        }
    };
}

for_each_journey!(on_cloud);

/// The policies that tests ask about are those that Terraform applied: not an old copy of them.
#[test]
fn what_terraform_rendered_is_what_is_kept() {
    let rendered = concat!(env!("CARGO_MANIFEST_DIR"), "/../localstack/.run/policies.json");
    if Stack::running().expect("stack.json can be read").is_none() {
        eprintln!("SKIPPED: no emulated cloud runs; start one with localstack/up");
        return;
    }
    let text = std::fs::read_to_string(rendered).expect("localstack/up writes it");
    let rendered: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let kept = Rendered::read().expect("infra/policies.json can be read");
    assert!(rendered == kept.0, "cp localstack/.run/policies.json infra/policies.json");
}
