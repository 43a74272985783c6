//! The same journeys, on the emulated cloud that `localstack/up` started. Without one they say that
//! they were skipped; the everyday test command always starts one.

use flagforge_tests::{Stack, for_each_journey, journeys};

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
