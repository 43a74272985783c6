//! The journeys, on a whole platform in this process. Its table is held to the policies of the cloud's `api` function:
//! what IAM would refuse there fails here.

use std::sync::Arc;

use flagforge_embedded::Embedded;
use flagforge_tests::{HeldTables, World, for_each_journey, journeys};

/// A world behind the policies, and what was asked of them.
async fn held() -> anyhow::Result<(World, Arc<HeldTables>)> {
    let hands = Embedded::memory()?;
    let tables = Arc::new(HeldTables::new(hands.table.clone(), "api")?);
    Ok((World::within(hands, tables.clone()).await?, tables))
}

macro_rules! on_world {
    ($journey:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $journey() {
            let (world, tables) = held().await.expect("the world starts");
            let outcome = journeys::$journey(&world.stack).await;
            let calls = tables.calls();
            assert_eq!(calls.refused, [""; 0], "calls that IAM refuses");
            assert!(calls.at_the_door > 0 && calls.in_sessions > 0, "{calls:?}");
            if let Err(error) = outcome {
                panic!("{error:#}");
            }
        }
    };
}

for_each_journey!(on_world);
on_world!(a_page_of_a_named_origin_is_let_write);
