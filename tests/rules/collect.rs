//! Collecting leftovers by the clock: what is still wanted stays to the last instant.

use std::sync::Arc;
use std::time::Duration;

use flagforge_embedded::{Embedded, ManualTimer};
use flagforge_flags::time::Timestamp;
use flagforge_platform::{Caller, IMPORT_KEPT, KEPT_DAYS, LEFT_ALONE, handle};
use flagforge_tests::{Org, World};
use serde_json::{Value as Json, json};

const MILLISECOND: Duration = Duration::from_millis(1);

async fn world() -> (World, ManualTimer, Org) {
    let timer = ManualTimer::at(Timestamp::from_seconds(1_800_000_000));
    let hands = Embedded::memory_at(Arc::new(timer.clone())).unwrap();
    let table = hands.table.clone();
    let world = World::on(hands, table).await.unwrap();
    let org = world.stack.found("swept").await.unwrap();
    (world, timer, org)
}

/// The hands' own clock may have been faster: what counts is what is left.
async fn collect(world: &World, org: &Org) {
    handle::collect(&world.platform, &Caller::system("collector")).await.unwrap();
    let left = org.api.get(&org.path("collection")).await.unwrap().expect(200).unwrap().body;
    for kind in ["states", "overrides", "members", "imports", "lists", "importFiles"] {
        assert_eq!(left[kind], 0, "{left}");
    }
}

/// How many objects there are below a folder of the organization.
async fn objects(world: &World, org: &Org, folder: &str) -> usize {
    let prefix = format!("{}/{folder}/", org.key);
    world.hands.objects.list(&prefix, None).await.unwrap().len()
}

async fn lists_left(world: &World, org: &Org) -> usize {
    collect(world, org).await;
    objects(world, org, "lists").await
}

async fn put_list(org: &Org, ids: &Json) {
    let path = org.path("environments/prod/segments/beta/lists/included");
    let put = org.api.put(&path, ids).await.unwrap();
    assert!(put.status.is_success(), "{}", put.body);
}

async fn list(org: &Org, segment: &str) -> Json {
    let path = org.path(&format!("environments/prod/segments/{segment}/lists/included"));
    org.api.get(&path).await.unwrap().expect(200).unwrap().body["ids"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_goes_when_nobody_has_named_it_for_an_hour() {
    let (world, timer, org) = world().await;
    let segment = org.path("environments/prod/segments/beta");
    org.api.put(&segment, &json!({})).await.unwrap().expect(201).unwrap();
    put_list(&org, &json!(["u-1"])).await;
    timer.advance(10 * LEFT_ALONE);
    put_list(&org, &json!(["u-2"])).await;
    assert_eq!(lists_left(&world, &org).await, 2, "somebody may be reading it");
    timer.advance(LEFT_ALONE);
    assert_eq!(lists_left(&world, &org).await, 2);
    timer.advance(MILLISECOND);
    assert_eq!(lists_left(&world, &org).await, 1);
    assert_eq!(list(&org, "beta").await, json!(["u-2"]));

    // A deleted segment keeps its lists as long as it can come back.
    org.api.delete(&segment).await.unwrap().expect(204).unwrap();
    timer.advance(Duration::from_secs(24 * 3_600) * KEPT_DAYS - MILLISECOND);
    assert_eq!(lists_left(&world, &org).await, 1);
    let restore = org.path("environments/prod/deleted-segments/beta/restore");
    org.api.post(&restore, &Json::Null).await.unwrap().expect(200).unwrap();
    assert_eq!(list(&org, "beta").await, json!(["u-2"]));
    org.api.delete(&segment).await.unwrap().expect(204).unwrap();
    timer.advance(Duration::from_secs(24 * 3_600) * KEPT_DAYS);
    collect(&world, &org).await;
    org.api.post(&restore, &Json::Null).await.unwrap().expect(404).unwrap();
    timer.advance(LEFT_ALONE + MILLISECOND);
    assert_eq!(lists_left(&world, &org).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_goes_with_its_files_when_its_month_is_over() {
    let (world, timer, org) = world().await;
    let begun = org.api.post(&org.path("imports"), &json!({"format": "ndjson"})).await.unwrap();
    let id = begun.expect(201).unwrap().body["id"].as_str().unwrap().to_owned();
    let import = org.path(&format!("imports/{id}"));
    let lines = "{\"key\": \"new\"}\n{\"key\": \"\"}\n".to_owned();
    let part = format!("{import}/parts/0");
    let headers = [("content-type", "application/x-ndjson")];
    let put = org.api.call(reqwest::Method::PUT, &part, &headers, Some(lines)).await.unwrap();
    assert!(put.status.is_success(), "{}", put.body);
    org.api.post(&format!("{import}/start"), &json!({"parts": 1})).await.unwrap();
    timer.advance(IMPORT_KEPT - MILLISECOND);
    collect(&world, &org).await;
    org.api.get(&format!("{import}/report")).await.unwrap().expect(200).unwrap();
    timer.advance(MILLISECOND);
    assert!(objects(&world, &org, "imports").await > 0);
    collect(&world, &org).await;
    org.api.get(&import).await.unwrap().expect(404).unwrap();
    assert_eq!(objects(&world, &org, "imports").await, 0, "they go in the same run");
}
