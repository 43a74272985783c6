//! Answers while manifests are swapped. The campaign asks more, with `swaps` of the measures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flagforge::{Client, Flag, Tenant};
use flagforge_flags::wire::FlagWire;
use serde_json::json;

use crate::kit::{Publisher, directory, edited};

const NAME: Flag<&str> = Flag::new("name", "-");
const AGAIN: Flag<&str> = Flag::new("again", "-");
const TASKS: usize = 64;
const TENANTS: usize = 16;
const EVALUATIONS: u64 = 20_000;

/// A flag with a variant for each tenant, whose value names the tenant and the number.
fn named(key: &str, number: u64) -> FlagWire {
    edited(key, "string", "", "", |wire| {
        let variant = |i| json!({"key": format!("v{i}"), "value": format!("tenant-{i} {number}")});
        wire["variants"] = (0..TENANTS).map(variant).collect();
        wire["state"]["off"] = json!("callerDefault");
        wire["state"]["fallthrough"] = json!("callerDefault");
    })
}

fn publish(publisher: &mut Publisher, number: u64) {
    let tenants = (0..TENANTS).map(|i| {
        let (key, mut wire) = directory(&format!("tenant-{i}"), &["name", "again"]);
        for entry in wire.overrides.values_mut() {
            *entry = serde_json::from_value(json!(format!("v{i}"))).unwrap();
        }
        (key, wire)
    });
    let tenants: Vec<_> = tenants.collect();
    publisher.publish(&[named("name", number), named("again", number)], &tenants);
}

/// Asks for two flags in each request: a mixed answer would be another tenant's, or of two revisions, or an older
/// one than before. Answers the newest number that it saw.
async fn ask(tenant: Tenant) -> u64 {
    let mut newest = 0;
    for asked in 0..EVALUATIONS / 2 {
        let flags = tenant.user("u").flags();
        let (first, second) = (flags.get(&NAME), flags.get(&AGAIN));
        assert_eq!(first, second, "two revisions in one request");
        let (name, number) = first.split_once(' ').unwrap_or_else(|| panic!("told {first}"));
        assert_eq!(name, tenant.key().as_str());
        let number: u64 = number.parse().unwrap();
        assert!(number >= newest, "{number} after {newest}");
        newest = number;
        drop(flags);
        if asked % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    newest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_tasks_under_constant_swaps_are_never_mixed_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    publish(&mut publisher, 1);
    let client = Client::connect(&publisher.connection())
        .poll_every(Duration::from_millis(10))
        .await
        .unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let finished = Arc::clone(&done);
    let publishing = std::thread::spawn(move || {
        let mut number = 1;
        while !finished.load(Ordering::Relaxed) {
            number += 1;
            publish(&mut publisher, number);
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let tasks: Vec<_> = (0..TASKS)
        .map(|i| tokio::spawn(ask(client.tenant(format!("tenant-{}", i % TENANTS)).unwrap())))
        .collect();
    let mut newest = 0;
    for task in tasks {
        newest = newest.max(task.await.unwrap());
    }
    done.store(true, Ordering::Relaxed);
    publishing.join().unwrap();
    assert!(newest > 5, "only {newest} manifests were seen");
}
