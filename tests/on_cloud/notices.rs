//! A queue of SQS that is subscribed to the topic of published roots rings at an SDK which hardly polls. The queue is one that
//! `infra/modules/notices` made, as whoever runs a service would have one.

use std::time::{Duration, Instant};

use flagforge::origin::SqsQueue;
use flagforge::{Client, Flag, Status};
use flagforge_tests::{Stack, eventually};
use serde_json::json;

const RUNG: Flag<bool> = Flag::new("rung", false);
/// Nothing that is seen within a test's time came of a poll.
const POLL: Duration = Duration::from_secs(3_600);
/// Longer than the queue hides a message that somebody took and did not delete: a process that ended while it asked, as this test
/// did when it last ran, may be given one more. It comes again after 30 s.
const RUNG_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_rings_long_before_a_poll() {
    let Some(stack) = Stack::running().unwrap() else {
        eprintln!("SKIPPED: no emulated cloud runs; start one with localstack/up");
        return;
    };
    let (org, queue) = stack.notified().unwrap();
    // It is all there already where this runs on the same stack again.
    let made = [
        org.api.post(&org.path("environments"), &json!({"key": "prod"})).await.unwrap(),
        org.api.put(&org.path("tenants/acme"), &json!({"attributes": {}})).await.unwrap(),
        org.api
            .put(&org.path("flags/rung"), &json!({"class": "release", "type": "boolean"}))
            .await
            .unwrap(),
    ];
    for made in made {
        // 428: what stands is replaced only by who names its version.
        let there = [201, 409, 428].contains(&made.status.as_u16());
        assert!(there, "{} {}", made.status, made.body);
    }
    org.flip("rung", false).await.unwrap();
    let key = org.server_key().await.unwrap();
    org.sees(&key, "rung", "acme", &json!(false)).await.unwrap();

    let queue = SqsQueue::from_env(queue).unwrap();
    let client = Client::connect(&org.connection(&key, "prod"))
        .start_within(org.patience())
        .poll_every(POLL)
        .notified_by(&queue)
        .await
        .unwrap();
    assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());
    let acme = client.tenant("acme").unwrap();
    for on in [true, false, true] {
        let began = Instant::now();
        org.flip("rung", on).await.unwrap();
        eventually(RUNG_WITHIN, || async {
            let seen = acme.user("u-1").flags().get(&RUNG) == on;
            anyhow::ensure!(seen, "{:?} {:?}", queue.seen(), client.trouble());
            Ok(Some(()))
        })
        .await
        .unwrap();
        println!("rung for, fetched and applied {:?} after the request began", began.elapsed());
    }
    let seen = queue.seen();
    assert!(seen.rung >= 3 && seen.malformed == 0, "{seen:?}");
}
