//! The journeys, on a whole platform in this process.

use flagforge_tests::{World, for_each_journey, journeys};

macro_rules! on_world {
    ($journey:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $journey() {
            let world = World::start().await.expect("the world starts");
            let outcome = journeys::$journey(&world.stack).await;
            if let Err(error) = outcome {
                panic!("{error:#}");
            }
        }
    };
}

for_each_journey!(on_world);
on_world!(a_page_of_a_named_origin_is_let_write);
