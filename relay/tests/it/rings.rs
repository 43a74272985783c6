//! A relay among the canaries answers as they do, and no kill waits for them.

use std::sync::Arc;

use axum::Router;
use flagforge_flags::KeyKind;
use flagforge_relay::{Relay, Ring, app};
use serde_json::json;

use crate::kit::{Publisher, directory, flag};
use crate::world::{call, relay};

const CANARY: &str = "demo/prod/canary.jws";

struct World {
    publisher: Publisher,
    _folder: tempfile::TempDir,
    key: String,
    canary: Arc<Relay>,
    all: Arc<Relay>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut publisher = Publisher::new(folder.path());
        let key = publisher.key(KeyKind::Server, "k1", |_| {});
        let canary = relay(&publisher, |config| {
            config.ring = Ring::Canary;
            config.cache_dir = Some(folder.path().join("cache"));
        });
        let all = relay(&publisher, |_| {});
        Self { publisher, _folder: folder, key, canary, all }
    }

    /// For all the flag is off; canaries have it on, where `tried` says so.
    fn publish(&mut self, tried: Option<bool>) {
        let flags = [flag("tried", "boolean", true, false)];
        self.publisher.publish(&flags, &[directory("acme", &[])]);
        match tried {
            Some(tried) => {
                let on: &[&str] = if tried { &["tried"] } else { &[] };
                self.publisher.publish_canary(&flags, &[directory("acme", on)]);
            }
            None => drop(std::fs::remove_file(self.publisher.folder.join(CANARY))),
        }
    }

    async fn answers(&self, relay: &Arc<Relay>) -> bool {
        relay.notify(&self.publisher.org, &self.publisher.env).await;
        let one = self.asked(&app(Arc::clone(relay)), "/tried").await;
        let all = self.asked(&app(Arc::clone(relay)), "").await;
        assert_eq!(one["value"], all["flags"][0]["value"], "{one} {all}");
        one["value"].as_bool().unwrap()
    }

    async fn asked(&self, app: &Router, flag: &str) -> serde_json::Value {
        let bearer = format!("Bearer {}", self.key);
        let headers = [
            ("authorization", bearer.as_str()),
            ("flagforge-environment", "prod"),
            ("flagforge-tenant", "acme"),
            ("content-type", "application/json"),
        ];
        let path = format!("/ofrep/v1/evaluate/flags{flag}");
        let body = json!({"context": {"targetingKey": "u"}}).to_string();
        call(app, "POST", &path, &headers, body).await.json()
    }
}

#[tokio::test]
async fn what_is_tried_out_is_answered_by_relays_of_the_ring() {
    let mut world = World::new();
    world.publish(Some(true));
    assert!(world.answers(&world.canary).await && !world.answers(&world.all).await);
    // It is taken back.
    world.publish(Some(false));
    assert!(!world.answers(&world.canary).await && !world.answers(&world.all).await);
    world.publish(Some(true));
    assert!(world.answers(&world.canary).await);
    // Theirs cannot be had any more, and something has changed since.
    world.publish(None);
    assert!(!world.answers(&world.canary).await);
    world.publish(Some(true));
    assert!(world.answers(&world.canary).await && !world.answers(&world.all).await);
}

#[tokio::test]
async fn a_relay_of_the_ring_begins_without_it_and_with_what_it_kept() {
    let mut world = World::new();
    world.publish(None);
    assert!(!world.answers(&world.canary).await);
    world.publish(Some(true));
    assert!(world.answers(&world.canary).await);
    // Another process on the same disk, whose origin is gone.
    let cache = world.publisher.folder.join("cache");
    for gone in ["canary.jws", "relay.jws", "environment.jws"] {
        std::fs::remove_file(world.publisher.folder.join("demo/prod").join(gone)).unwrap();
    }
    let later = relay(&world.publisher, |config| {
        config.ring = Ring::Canary;
        config.cache_dir = Some(cache);
    });
    assert!(world.answers(&later).await);
}
