//! Who is let in, who is told what, and who is forgotten.

#[path = "../../../../sdk/rust/tests/it/kit.rs"]
mod kit;
mod world;

use std::time::Duration;

use flagforge_flags::KeyKind;
use flagforge_platform::ports::ItemKey;
use serde_json::json;

use world::{World, bearer};

/// Longer than a connection may take to come to be.
const A_WHILE: Duration = Duration::from_secs(31);

#[tokio::test]
async fn whoever_may_read_a_manifest_may_hear_of_it_and_nobody_else() {
    let mut world = World::new();
    let client = world.publisher.key(KeyKind::Client, "k4", |_| {});
    let dev = world.publisher.key(KeyKind::Server, "k5", |key| {
        key.envs = Some(vec![flagforge_flags::keys::EnvKey::new("dev").unwrap()]);
    });
    let over = world.publisher.key(KeyKind::Server, "k6", |key| key.expires = Some(kit::now()));
    let relay = world.publisher.key(KeyKind::Relay, "k7", |_| {});
    world.publish(&[]);
    assert_eq!(world.connects_with("a", &world.server).await, 200);
    assert_eq!(world.connects_with("b", &relay).await, 200);
    let api_key = json!({"X-API-Key": world.server, "FlagForge-Environment": "prod"});
    assert_eq!(world.connects("c", api_key).await, 200);
    let wrong = world.server.replace("abcdef", "abcdeF");
    for (refused, status) in [(&client, 403), (&dev, 403), (&over, 401), (&wrong, 401)] {
        assert_eq!(world.connects_with("x", refused).await, status, "{refused}");
    }
    for nobody in [json!({}), json!({"Authorization": "Basic x"}), json!({"ü": "\u{0}"})] {
        assert_eq!(world.connects("x", nobody.clone()).await, 401, "{nobody}");
    }
    let no_env = json!({"Authorization": format!("Bearer {}", world.server)});
    assert_eq!(world.connects("x", no_env).await, 400);
    let mut elsewhere = bearer(&world.server);
    elsewhere["FlagForge-Environment"] = json!("nowhere");
    assert_eq!(world.connects("x", elsewhere).await, 401);
    assert_eq!(world.table.by_id(), ["a", "b", "c"]);
    let keys: String = format!("{:?}", world.table.items.lock().unwrap());
    assert!(!keys.contains(kit::SECRET), "no secret is kept");
}

#[tokio::test]
async fn a_tenants_key_hears_of_its_tenant_only_and_may_not_ask_for_another() {
    let world = World::new();
    let for_tenant = |key: &str, tenant: &str| {
        let mut headers = bearer(key);
        headers["FlagForge-Tenant"] = json!(tenant);
        headers
    };
    assert_eq!(world.connects("x", for_tenant(&world.acme, "globex")).await, 400);
    assert_eq!(world.connects("x", for_tenant(&world.server, "nobody")).await, 404);
    assert_eq!(world.connects_with("acme", &world.acme).await, 200);
    assert_eq!(world.connects("server", for_tenant(&world.server, "acme")).await, 200);
    let listed = world.table.listed("CONNECTION#");
    assert_eq!(listed, ["CONNECTION#tenant:acme#acme", "CONNECTION#tenant:acme#server"]);
}

#[tokio::test]
async fn what_is_told_is_the_scopes_own_root_and_told_once() {
    let mut world = World::new();
    for (id, key) in [("all", &world.server), ("acme", &world.acme), ("globex", &world.globex)] {
        assert_eq!(world.connects_with(id, key).await, 200);
    }
    world.announce().await;
    assert_eq!(world.lines.who_heard(), Vec::<String>::new(), "they began with what there is");
    // Something of globex's alone: the environment's manifest and globex's are others, acme's is the same.
    world.publish(&[("globex", 2)]);
    world.announce().await;
    let (serial, revision) = (world.publisher.serial, world.publisher.revision.to_string());
    let environment = json!({"scope": "environment", "revision": revision, "serial": serial});
    let globex = json!({"scope": "tenant:globex", "revision": "1.2", "serial": 2});
    assert_eq!(world.lines.heard(), [("all".into(), environment), ("globex".into(), globex)]);
    // The announcement of the tenants' slice, and one that came twice.
    world.announce().await;
    assert_eq!(world.lines.who_heard(), Vec::<String>::new());
    world.publish(&[("acme", 2)]);
    world.announce().await;
    assert_eq!(world.lines.who_heard(), ["acme", "all"]);
}

#[tokio::test]
async fn who_is_gone_is_forgotten_and_whose_line_is_broken_spoils_only_itself() {
    let mut world = World::new();
    for id in ["a", "broken", "gone", "z"] {
        assert_eq!(world.connects_with(id, &world.server).await, 200);
    }
    world.lines.gone.lock().unwrap().insert("gone".into());
    world.lines.broken.lock().unwrap().insert("broken".into());
    world.publish(&[]);
    world.announce().await;
    assert_eq!(world.lines.who_heard(), ["a", "z"]);
    // It was let in a moment ago: it may be gone because it is not there yet.
    assert_eq!(world.table.by_id(), ["a", "broken", "gone", "z"]);
    world.table.age(A_WHILE);
    world.publish(&[]);
    world.announce().await;
    assert_eq!(world.lines.who_heard(), ["a", "z"]);
    assert_eq!(world.table.by_id(), ["a", "broken", "z"]);
    let listed = world.table.listed("CONNECTION#");
    assert_eq!(listed.len(), 3, "{listed:?}");
}

#[tokio::test]
async fn a_key_that_is_revoked_or_bound_elsewhere_hears_no_more() {
    let mut world = World::new();
    for (id, key) in [("all", &world.server), ("acme", &world.acme), ("globex", &world.globex)] {
        assert_eq!(world.connects_with(id, key).await, 200);
    }
    world.publisher.keys.retain(|(id, _)| !id.ends_with("k1"));
    let globex = world.publisher.keys.iter_mut().find(|(id, _)| id.ends_with("k3")).unwrap();
    globex.1.tenant = Some(kit::tenant("acme"));
    world.publish(&[("acme", 2), ("globex", 2)]);
    world.announce().await;
    assert_eq!(world.lines.who_heard(), ["acme"]);
    let ended: Vec<_> = world.lines.ended.lock().unwrap().iter().cloned().collect();
    assert_eq!(ended, ["all", "globex"]);
    assert_eq!(world.table.by_id(), ["acme"]);
}

#[tokio::test]
async fn whoever_leaves_is_forgotten_and_whoever_says_something_is_answered_if_known() {
    let world = World::new();
    assert_eq!(world.connects_with("a", &world.server).await, 200);
    assert_eq!(world.connects_with("b", &world.server).await, 200);
    let answer = world.says("a").await;
    assert_eq!((answer.status_code, answer.body.as_deref()), (200, Some(r#"{"action":"pong"}"#)));
    assert_eq!(world.leaves("a").await, 200);
    assert_eq!(world.leaves("a").await, 200, "a second farewell is none");
    assert_eq!(world.table.by_id(), ["b"]);
    assert_eq!(world.table.listed("CONNECTION#"), ["CONNECTION#environment#b"]);
    let answer = world.says("a").await;
    assert_eq!((answer.status_code, answer.body), (410, None));
    assert!(world.lines.ended.lock().unwrap().contains("a"));
    // An item that DynamoDB has not removed yet is over all the same.
    world.table.age(Duration::from_secs(2 * 3_600));
    assert_eq!(world.says("b").await.status_code, 410);
}

#[tokio::test]
async fn many_are_told_a_bounded_number_at_once_over_pages() {
    let mut world = World::new();
    *world.table.page.lock().unwrap() = 70;
    for number in 0..200 {
        assert_eq!(world.connects_with(&format!("c{number:03}"), &world.server).await, 200);
    }
    world.publish(&[]);
    world.announce().await;
    assert_eq!(world.lines.who_heard().len(), 200);
    assert_eq!(world.lines.at_once.lock().unwrap().1, crate::tell::AT_ONCE);
}

#[tokio::test]
async fn a_key_at_its_limit_is_let_in_no_more_until_it_is_counted_again() {
    let mut world = World::new();
    assert_eq!(world.connects_with("a", &world.server).await, 200);
    let item = |id: &str| {
        let items = world.table.items.lock().unwrap();
        let key = ItemKey::new("demo#env#prod", "CONNECTION#environment#a");
        let mut item = items[&key].clone();
        item.key.sk = format!("CONNECTION#environment#{id}");
        item
    };
    let more: Vec<_> = (2..crate::tell::MAX_CONNECTIONS_OF_A_KEY)
        .map(|number| item(&format!("b{number:05}")))
        .collect();
    let keep = |items: Vec<flagforge_platform::ports::Item>| {
        let mut kept = world.table.items.lock().unwrap();
        kept.extend(items.into_iter().map(|item| (item.key.clone(), item)));
    };
    keep(more);
    world.announce().await;
    assert_eq!(world.connects_with("c", &world.server).await, 200, "one below the limit");
    world.announce().await;
    assert_eq!(world.connects_with("d", &world.server).await, 429);
    assert_eq!(world.connects_with("e", &world.acme).await, 200, "another key has its own");
    world.table.age(Duration::from_secs(10 * 60));
    assert_eq!(world.connects_with("d", &world.server).await, 200);
    world.publish(&[]);
}

#[tokio::test]
async fn a_table_that_is_away_lets_nobody_in_and_an_announcement_comes_again() {
    let mut world = World::new();
    assert_eq!(world.connects_with("a", &world.server).await, 200);
    *world.table.away.lock().unwrap() = true;
    assert_eq!(world.connects_with("b", &world.server).await, 503);
    assert_eq!(world.says("a").await.status_code, 503);
    assert_eq!(world.leaves("a").await, 503);
    world.publish(&[]);
    assert!(world.connect.handle(World::announced()).await.is_err());
    *world.table.away.lock().unwrap() = false;
    world.announce().await;
    assert_eq!(world.lines.who_heard(), ["a"]);
}
