//! Every door of the data plane, tried with every key that must not open it.

use axum::http::StatusCode;
use flagforge_flags::{AccessKey, KeyKind};

use crate::kit::{Publisher, SECRET, ago, directory, flag};
use crate::world::{Reply, World, call, relay};

/// Every route, and which kinds of keys it admits. The stream is last, because its answer has no end.
const ROUTES: [(&str, &str, &[KeyKind]); 8] = [
    ("POST", "/ofrep/v1/evaluate/flags/theme", &KeyKind::ALL),
    ("POST", "/ofrep/v1/evaluate/flags", &KeyKind::ALL),
    ("POST", "/data/v1/explain/theme", &[KeyKind::Management, KeyKind::Server, KeyKind::Relay]),
    ("GET", "/data/v1/demo/prod/trust", &[KeyKind::Server, KeyKind::Relay]),
    ("GET", "/data/v1/demo/prod/trust/1", &[KeyKind::Server, KeyKind::Relay]),
    ("GET", "/data/v1/demo/prod/environment", &[KeyKind::Server, KeyKind::Relay]),
    ("GET", "/data/v1/demo/prod/relay", &[KeyKind::Relay]),
    ("GET", "/data/v1/demo/prod/stream", &[KeyKind::Server, KeyKind::Relay]),
];

async fn ask(world: &World, method: &str, path: &str, key: &str) -> Reply {
    let headers =
        [("authorization", key), ("flagforge-environment", "prod"), ("flagforge-tenant", "acme")];
    world.call(method, path, &headers, "{\"context\":{}}").await
}

fn key(kind: KeyKind, org: &str, id: &str, secret: &str) -> String {
    let org = flagforge_flags::keys::OrgKey::new(org).unwrap();
    AccessKey::new(kind, org, None, id, secret).unwrap().expose()
}

#[tokio::test]
async fn a_key_that_is_not_good_learns_nothing_not_even_why() {
    let world = World::with(|publisher| {
        publisher.key(KeyKind::Server, "old", |wire| {
            wire.expires = Some(ago(std::time::Duration::from_secs(1)));
        });
    });
    let other_secret = "zzzzzzzzzzzzzzzzzzzzzz";
    let bad = [
        String::new(),
        "Bearer".to_owned(),
        "Bearer nonsense".to_owned(),
        format!("Basic {}", world.server),
        format!("Bearer {}", key(KeyKind::Server, "no-such-org", "k1", SECRET)),
        format!("Bearer {}", key(KeyKind::Server, "demo", "no1such1key", SECRET)),
        format!("Bearer {}", key(KeyKind::Server, "demo", "k1", other_secret)),
        format!("Bearer {}", key(KeyKind::Relay, "demo", "k1", SECRET)),
        format!("Bearer {}", key(KeyKind::Server, "demo", "old", SECRET)),
    ];
    for (method, path, _) in ROUTES {
        let mut bodies = Vec::new();
        for key in &bad {
            let reply = ask(&world, method, path, key).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{method} {path} {key}");
            assert_eq!(reply.header("www-authenticate"), "Bearer");
            bodies.push((reply.bytes, reply.headers));
        }
        assert!(
            bodies.windows(2).all(|pair| pair[0] == pair[1]),
            "{method} {path}: answers differ"
        );
    }
}

#[tokio::test]
async fn every_route_admits_the_kinds_of_keys_it_is_for() {
    for kind in KeyKind::ALL {
        let mut key = String::new();
        let world = World::with(|publisher| key = publisher.key(kind, "kind", |_| {}));
        let bearer = format!("Bearer {key}");
        for (method, path, admitted) in ROUTES {
            if path.ends_with("/stream") && admitted.contains(&kind) {
                continue;
            }
            let reply = ask(&world, method, path, &bearer).await;
            // A client's key does not see `theme`, so not being there is being admitted.
            let hidden = kind == KeyKind::Client && reply.status == StatusCode::NOT_FOUND;
            let expected =
                if admitted.contains(&kind) { StatusCode::OK } else { StatusCode::FORBIDDEN };
            assert!(
                reply.status == expected || hidden,
                "{method} {path} as {kind}: {}",
                reply.status
            );
        }
    }
}

#[tokio::test]
async fn what_is_another_organizations_is_not_there() {
    let world = World::new();
    let mut other = Publisher::of(world.folder.path(), "rival", "prod");
    let rivals = other.key(KeyKind::Relay, "k1", |_| {});
    other.publish(&[flag("theme", "string", "rival-on", "rival-off")], &[directory("acme", &[])]);
    let chunk = {
        let reply =
            world.call("GET", "/data/v1/rival/prod/relay", &[("x-api-key", &rivals)], "").await;
        assert_eq!(reply.status, StatusCode::OK);
        std::fs::read_dir(world.folder.path().join("rival/chunks")).unwrap().flatten().next()
    };
    let chunk = chunk.unwrap().file_name().into_string().unwrap();
    for path in ["trust", "trust/1", "environment", "relay", "stream", &format!("chunks/{chunk}")] {
        let theirs = format!("/data/v1/rival/prod/{path}");
        let nowhere = format!("/data/v1/no-such-org/prod/{path}");
        let key = [("x-api-key", world.server.as_str())];
        let theirs = world.call("GET", &theirs, &key, "").await;
        let nowhere = world.call("GET", &nowhere, &key, "").await;
        assert_eq!(theirs.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(theirs.bytes, nowhere.bytes, "{path}: existence shows");
        assert_eq!(theirs.header("content-type"), "application/problem+json");
    }
    // Nor is their chunk ours under our own name.
    let ours = world.get(&format!("chunks/{chunk}"), &world.server).await;
    assert_eq!(ours.status, StatusCode::NOT_FOUND);
    // One flag key, two organizations.
    let ask = async |key: &str| ask(&world, "POST", ROUTES[0].1, &format!("Bearer {key}")).await;
    assert_eq!(ask(&rivals).await.json()["value"], "rival-off");
    assert_eq!(ask(&world.server).await.json()["value"], "dark");
}

#[tokio::test]
async fn a_key_of_some_environments_is_forbidden_in_the_others() {
    let mut dev_only = String::new();
    let world = World::with(|publisher| {
        dev_only = publisher.key(KeyKind::Server, "dev", |wire| {
            wire.envs = Some(vec![flagforge_flags::keys::EnvKey::new("dev").unwrap()]);
        });
    });
    let reply = world.get("environment", &dev_only).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_revoked_key_is_refused_as_soon_as_the_relay_is_told() {
    let mut world = World::new();
    assert_eq!(world.get("environment", &world.server).await.status, StatusCode::OK);
    world.publisher.keys.clear();
    crate::world::publish(&mut world.publisher, "dark");
    world.relay.notify(&world.publisher.org, &world.publisher.env).await;
    assert_eq!(world.get("environment", &world.server).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn no_other_path_answers() {
    let world = World::new();
    let health = world.call("GET", "/healthz", &[], "").await;
    assert_eq!(
        (health.status, health.json()),
        (StatusCode::OK, serde_json::json!({"status": "ok"}))
    );
    for path in
        ["/", "/v1/orgs", "/openapi.json", "/login", "/demo/x", "/ofrep/v1/evaluate", "/data"]
    {
        assert_eq!(world.call("GET", path, &[], "").await.status, StatusCode::NOT_FOUND, "{path}");
    }
    // And a function has no streams.
    let function = flagforge_relay::app_without_streams(relay(&world.publisher, |_| {}));
    let key = [("x-api-key", world.server.as_str())];
    let stream = call(&function, "GET", "/data/v1/demo/prod/stream", &key, "").await;
    assert_eq!(stream.status, StatusCode::NOT_FOUND);
}
