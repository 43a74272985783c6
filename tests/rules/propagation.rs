//! How soon a change goes out: its class decides.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flagforge_embedded::Works;
use flagforge_flags::Revision;
use flagforge_flags::manifest::Scope;
use flagforge_flags::propagation::Propagation;
use flagforge_flags::wire::{FlagClass, ValueType};
use flagforge_platform::input::DefinitionInput;
use flagforge_platform::ports::{Item, Notice};
use flagforge_platform::{Change, Outcome, Platform, Request};
use serde_json::{Value as Json, json};
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use crate::kit::{
    Rewritten, caller, commit, define, enable, env, flag, furnished, heads, log, org, platform,
    root,
};

async fn define_of(platform: &Platform, key: &str, class: FlagClass) {
    let mut definition = DefinitionInput::of(class, ValueType::Boolean);
    if class == FlagClass::Ops {
        let stale = json!({"afterSeconds": 60, "then": "lastKnown"});
        definition.stale = Some(serde_json::from_value(stale).unwrap());
    }
    let uid = format!("uid-of-{key}");
    commit(platform, Change::PutFlag { org: org(), flag: flag(key), uid, definition }).await;
}

async fn make(platform: &Platform, change: Json) -> u64 {
    let change: Change = serde_json::from_value(change).unwrap();
    let request = Request { reason: Some("so".to_owned()), ..Request::of(change, "test") };
    match platform.commit(&caller(), &request).await.unwrap() {
        Outcome::Committed(committed) => committed.number,
        Outcome::ChangeRequested(id) => panic!("{id} waits for approval"),
    }
}

/// The next revision that is published of `prod`.
async fn published(notices: &mut Receiver<Notice>) -> Revision {
    loop {
        let notice = timeout(Duration::from_secs(30), notices.recv()).await.unwrap().unwrap();
        if let Notice::Published { env: of, revision, .. } = notice
            && of == env("prod")
        {
            return revision.parse().unwrap();
        }
    }
}

#[tokio::test]
async fn an_entry_says_how_soon_it_has_to_be_everywhere() {
    let (_hands, platform, _) = furnished().await;
    define_of(&platform, "valve", FlagClass::Ops).await;
    define(&platform, "page").await;
    for (change, expected) in [
        (enable("valve", true), Propagation::Immediate),
        (enable("page", true), Propagation::NearRealTime),
        (enable("page", false), Propagation::Immediate),
    ] {
        commit(&platform, change).await;
        let entry = log(&platform, Some(env("prod"))).await.pop().unwrap();
        assert_eq!(entry.propagation, expected, "{:?}", entry.change);
    }
    let import = json!({"change": "upsert-tenants", "org": "home", "tenants": []});
    commit(&platform, serde_json::from_value(import).unwrap()).await;
    let entries = log(&platform, None).await;
    assert_eq!(entries.last().unwrap().propagation, Propagation::Eventual);
    let of = |key: &str| entries.iter().find(|e| e.change["flag"] == key).unwrap().propagation;
    assert_eq!((of("valve"), of("page")), (Propagation::Immediate, Propagation::NearRealTime));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_200_yields_few_roots_and_a_kill_among_them_does_not_wait() {
    let (hands, platform, _) = furnished().await;
    let hands = Arc::new(hands);
    let _works = Works::start(&platform, hands.clone()).await;
    let mut notices = hands.bus.subscribe();
    let mut counted = hands.bus.subscribe();
    let begun = Instant::now();
    let mut killed = Duration::MAX;
    for number in 0..200 {
        if number == 100 {
            let kill =
                json!({"change": "kill", "org": "home", "env": "prod", "scope": "environment"});
            let since = Instant::now();
            let kill = make(&platform, kill).await;
            while published(&mut notices).await.env < kill {}
            killed = since.elapsed();
        }
        commit(&platform, enable("f", true)).await;
    }
    let (last, burst) = (heads(&platform).await, begun.elapsed());
    while !published(&mut notices).await.includes(last) {}
    let mut roots = 0;
    while let Ok(notice) = counted.try_recv() {
        roots += usize::from(matches!(notice, Notice::Published { .. }));
    }
    // At its beginning and end, ten a second between, and the kill's.
    let most = 3 + burst.as_millis() / 100 + 1;
    assert!(roots as u128 <= most, "{roots} roots in {burst:?}");
    assert!(killed < Duration::from_secs(5), "{killed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flag_that_is_held_delays_nothing_else_by_a_second() {
    let (hands, writer, trust) = furnished().await;
    define(&writer, "g").await;
    // What asks for the attribute `mind` asks with an operator that this publisher does not know.
    let rewrite = |mut item: Item| {
        if item.body.contains(r#""user.mind""#) {
            item.body = item.body.replace(r#""operator":"equals""#, r#""operator":"telepathy""#);
        }
        item
    };
    let table = Arc::new(Rewritten { table: hands.table.clone(), rewrite });
    let publisher = platform(&hands, table);
    let hands = Arc::new(hands);
    let _works = Works::start(&publisher, hands.clone()).await;
    let mut notices = hands.bus.subscribe();
    let when = json!({"test": {"attribute": "user.mind", "operator": "equals", "values": ["a"]}});
    let rules = json!([{"id": "r", "when": when, "serve": {"variant": "on"}}]);
    let edit = json!({"change": "patch-state", "org": "home", "env": "prod", "flag": "f", "patch": {"rules": rules}});
    make(&writer, edit).await;
    let mut longest = Duration::ZERO;
    for number in 0..50 {
        let since = Instant::now();
        let flipped = commit(&writer, enable("g", number % 2 == 0)).await;
        while published(&mut notices).await.env < flipped {}
        longest = longest.max(since.elapsed());
    }
    let held = root(&hands, &trust, Scope::Environment).await.held;
    assert!(held.iter().any(|held| held.flag.as_str() == "f"), "{held:?}");
    println!("the longest of 50 changes beside a held flag: {longest:?}");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}
