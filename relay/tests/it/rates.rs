//! Who asks too often is told when to come back, and nobody else notices.

use std::sync::Arc;

use axum::http::StatusCode;
use flagforge_flags::KeyKind;
use flagforge_relay::{Config, app};
use serde_json::json;

use crate::world::{Reply, World, relay};

/// Nothing drips while the test runs: a token comes back after seconds.
const BURST_SECONDS: u32 = 5;

fn bounded(edit: impl FnOnce(&mut Config)) -> (World, String) {
    let mut other = String::new();
    let mut world = World::with(|publisher| other = publisher.key(KeyKind::Server, "k2", |_| {}));
    world.relay = relay(&world.publisher, edit);
    world.app = app(Arc::clone(&world.relay));
    (world, other)
}

fn told(reply: &Reply, whose: &str) {
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    let seconds: u32 = reply.header("retry-after").parse().unwrap();
    assert_eq!(seconds, 1);
    let body = reply.json();
    assert_eq!(body["errorCode"], "GENERAL");
    let expected = format!("this {whose} asks more than 1 times a second here");
    assert_eq!(body["errorDetails"], expected);
}

#[tokio::test]
async fn one_tenant_has_its_share_and_others_theirs() {
    let (world, _) = bounded(|config| config.requests_per_second_of_a_tenant = 1);
    let context = json!({"targetingKey": "u-1"});
    for _ in 0..BURST_SECONDS {
        let reply = world.evaluate("theme", "acme", context.clone()).await;
        assert_eq!(reply.status, StatusCode::OK);
    }
    told(&world.evaluate("theme", "acme", context.clone()).await, "tenant");
    assert_eq!(world.evaluate("theme", "globex", context).await.status, StatusCode::OK);
    // What no tenant asks for is no tenant's.
    assert_eq!(world.get("trust", &world.server).await.status, StatusCode::OK);
}

#[tokio::test]
async fn one_key_has_its_share_whichever_address_it_asks() {
    let (world, other) = bounded(|config| config.requests_per_second_of_a_key = 1);
    for _ in 0..BURST_SECONDS {
        assert_eq!(world.get("trust", &world.server).await.status, StatusCode::OK);
    }
    told(&world.evaluate("theme", "acme", json!({})).await, "key");
    let refused = world.get("environment", &world.server).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.json()["type"], "urn:flagforge:problem:rate-limited");
    assert_eq!(world.get("environment", &other).await.status, StatusCode::OK);
    // A wrong secret takes nothing of the key's.
    let forged = world.server.replace(crate::kit::SECRET, "zzzzzzzzzzzzzzzzzzzzzz");
    for _ in 0..=BURST_SECONDS {
        assert_eq!(world.get("trust", &forged).await.status, StatusCode::UNAUTHORIZED);
    }
}
