//! A flag that cannot be published as it is goes on as it was, names itself, and holds up nothing else; a kill passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flagforge_embedded::Embedded;
use flagforge_flags::manifest::{ChunkKind, Scope, ScopeId, Trust};
use flagforge_platform::ports::Item;
use flagforge_platform::{Change, Platform, Request, handle};
use serde_json::{Value as Json, json};

use crate::kit::{
    Rewritten, caller, commit, define, enable, env, furnished, listed, org, platform, root,
    verified,
};

struct World {
    hands: Embedded,
    /// Whoever edits.
    writer: Platform,
    newer: Arc<AtomicBool>,
    trust: Trust,
}

impl World {
    /// `f` and `g` are on.
    async fn new() -> (Self, Platform) {
        let (hands, writer, trust) = furnished().await;
        define(&writer, "g").await;
        for flag in ["f", "g"] {
            commit(&writer, enable(flag, true)).await;
        }
        let world = Self { hands, writer, newer: Arc::default(), trust };
        let publisher = world.publisher();
        (world, publisher)
    }

    /// Once `newer` is set, what asks for the attribute `mind` asks with an operator that this version does not know.
    fn publisher(&self) -> Platform {
        let newer = self.newer.clone();
        let rewrite = move |mut item: Item| {
            if newer.load(Ordering::SeqCst) && item.body.contains(r#""user.mind""#) {
                item.body =
                    item.body.replace(r#""operator":"equals""#, r#""operator":"telepathy""#);
            }
            item
        };
        platform(&self.hands, Arc::new(Rewritten { table: self.hands.table.clone(), rewrite }))
    }

    async fn make(&self, change: Json) {
        let change: Change = serde_json::from_value(change).unwrap();
        let request = Request { reason: Some("so".to_owned()), ..Request::of(change, "test") };
        self.writer.commit(&caller(), &request).await.unwrap();
    }

    async fn patch(&self, flag: &str, patch: Json) {
        self.make(json!({"change": "patch-state", "org": "home", "env": "prod", "flag": flag, "patch": patch})).await;
    }

    /// A rule that a newer publisher reads otherwise.
    async fn edit(&self, flag: &str) {
        let when =
            json!({"test": {"attribute": "user.mind", "operator": "equals", "values": ["a"]}});
        let rules = json!([{"id": "r", "when": when, "serve": {"variant": "on"}}]);
        self.patch(flag, json!({ "rules": rules })).await;
    }

    /// The entry of a flag in the manifest that stands.
    async fn published(&self, flag: &str) -> Option<Json> {
        let id = ScopeId { org: org(), env: env("prod"), scope: Scope::Environment };
        let root = verified(&self.hands, &self.trust, &id).await;
        let (listing, bytes) = listed(&self.hands, &root).await;
        let of_flags = listing.chunks().filter(|chunk| chunk.kind == ChunkKind::Flags);
        of_flags.into_iter().find_map(|chunk| {
            let json: Json = serde_json::from_slice(&bytes[&chunk.sha256]).unwrap();
            json["flags"].get(flag).cloned()
        })
    }

    /// The flags that the root says are held, and since which number of the environment's log.
    async fn held(&self) -> Vec<(String, u64)> {
        let claims = root(&self.hands, &self.trust, Scope::Environment).await;
        claims.held.iter().map(|held| (held.flag.to_string(), held.since.env)).collect()
    }
}

#[tokio::test]
async fn a_flag_that_cannot_be_read_is_held_and_others_and_kills_pass() {
    let (world, publisher) = World::new().await;
    handle::resign(&publisher).await.unwrap();
    let good = world.published("f").await.unwrap();
    assert_eq!((&good["state"]["enabled"], world.held().await), (&json!(true), vec![]));

    world.newer.store(true, Ordering::SeqCst);
    world.edit("f").await;
    commit(&world.writer, enable("g", false)).await;
    handle::resign(&publisher).await.unwrap();
    assert_eq!(world.published("f").await, Some(good.clone()), "as it was");
    assert_eq!(world.published("g").await.unwrap()["state"]["enabled"], false);
    assert_eq!(world.held().await, [("f".to_owned(), 4)]);

    // A kill of that very flag, and its end.
    for on in [false, true] {
        commit(&world.writer, enable("f", on)).await;
        handle::resign(&publisher).await.unwrap();
        assert_eq!(world.published("f").await.unwrap()["state"]["enabled"], on);
    }
    // A kill of everything, seen by a publisher that knows nothing but what stands.
    let kill = json!({"change": "kill", "org": "home", "env": "prod", "scope": "environment"});
    world.make(kill).await;
    let other = world.publisher();
    handle::resign(&other).await.unwrap();
    let killed = world.published("f").await.unwrap();
    assert_eq!(
        (&killed["state"]["enabled"], &killed["version"]),
        (&json!(false), &good["version"])
    );
    assert_eq!(world.held().await.len(), 1);

    // A publisher that understands it publishes it as it is.
    let end = json!({"change": "end-kill", "org": "home", "env": "prod", "scope": "environment"});
    world.make(end).await;
    world.newer.store(false, Ordering::SeqCst);
    handle::resign(&world.publisher()).await.unwrap();
    assert_eq!(world.published("f").await.unwrap()["state"]["rules"][0]["id"], "r");
    assert_eq!(world.held().await, []);
    // And one that held it, once it reads it anew.
    world.patch("f", json!({"rules": []})).await;
    handle::resign(&other).await.unwrap();
    assert_eq!(world.published("f").await.unwrap()["state"].get("rules"), None);
    assert_eq!(world.held().await, []);
}

#[tokio::test]
async fn a_publisher_that_starts_holds_what_stands() {
    let (world, publisher) = World::new().await;
    handle::resign(&publisher).await.unwrap();
    let good = world.published("f").await.unwrap();
    world.newer.store(true, Ordering::SeqCst);
    world.edit("f").await;
    let started = world.publisher();
    handle::resign(&started).await.unwrap();
    assert_eq!(world.published("f").await, Some(good));
    assert_eq!(world.held().await.len(), 1);
    // A definition of another flag under the key: no earlier form will do.
    let delete = json!({"change": "delete-flag", "org": "home", "flag": "f"});
    world.make(delete).await;
    handle::resign(&started).await.unwrap();
    assert_eq!((world.published("f").await, world.held().await), (None, vec![]));
}

#[tokio::test]
async fn a_flag_that_was_never_good_waits_outside() {
    let (world, publisher) = World::new().await;
    handle::resign(&publisher).await.unwrap();
    world.newer.store(true, Ordering::SeqCst);
    define(&world.writer, "late").await;
    world.edit("late").await;
    handle::resign(&world.publisher()).await.unwrap();
    assert_eq!(world.published("late").await, None);
    assert_eq!(world.held().await.len(), 1);
    assert!(world.published("g").await.is_some());
}
