//! So much gone at once that it is asked about: it goes on, all else passes, and somebody says that it is meant.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flagforge_embedded::{Embedded, ManualTimer};
use flagforge_flags::manifest::{ChunkKind, RootClaims, Scope, ScopeId, Trust, entries};
use flagforge_flags::time::Timestamp;
use flagforge_platform::{
    ACCEPTED_FOR, Change, MAY_END_AT_ONCE, MAY_GO_AT_ONCE, ManifestState, Platform, Request, handle,
};
use serde_json::{Value as Json, json};

use crate::kit::{
    FAR, caller, commit, define, enable, env, flag, furnished_on, listed, org, platform, root,
    tenant, verified,
};

const MOMENT: Duration = Duration::from_millis(1);

struct World {
    hands: Embedded,
    platform: Platform,
    timer: ManualTimer,
    trust: Trust,
}

impl World {
    /// With these flags besides `f`, all on, and published.
    async fn new(flags: u64) -> Self {
        let timer = ManualTimer::at(Timestamp::from_seconds(1_800_000_000));
        let hands = Embedded::memory_at(Arc::new(timer.clone())).unwrap();
        let (hands, platform, trust) = furnished_on(hands).await;
        let world = Self { hands, platform, timer, trust };
        commit(&world.platform, enable("f", true)).await;
        for number in 0..flags {
            define(&world.platform, &format!("g-{number}")).await;
            commit(&world.platform, enable(&format!("g-{number}"), true)).await;
        }
        world.publish().await;
        world
    }

    async fn publish(&self) -> RootClaims {
        handle::resign(&self.platform).await.unwrap();
        let claims = root(&self.hands, &self.trust, Scope::Environment).await;
        assert_eq!(
            claims.counts.unwrap().flags,
            self.published(ChunkKind::Flags).await.len() as u64
        );
        claims
    }

    async fn delete(&self, flags: impl Iterator<Item = u64>) {
        for number in flags {
            let flag = flag(&format!("g-{number}"));
            commit(&self.platform, Change::DeleteFlag { org: org(), flag }).await;
        }
    }

    async fn make(&self, change: Json) -> Result<(), String> {
        let change: Change = serde_json::from_value(change).unwrap();
        let request = Request { reason: Some("so".to_owned()), ..Request::of(change, "test") };
        self.platform.commit(&caller(), &request).await.map(drop).map_err(|e| e.to_string())
    }

    /// What the manifest has of a kind.
    async fn published(&self, kind: ChunkKind) -> BTreeMap<String, Json> {
        let id = ScopeId { org: org(), env: env("prod"), scope: Scope::Environment };
        let root = verified(&self.hands, &self.trust, &id).await;
        let (listing, bytes) = listed(&self.hands, &root).await;
        let chunks = listing.chunks().filter(|chunk| chunk.kind == kind);
        let found = chunks.flat_map(|chunk| entries(&bytes[&chunk.sha256], kind).unwrap());
        found.map(|(key, entry)| (key, serde_json::from_str(entry.get()).unwrap())).collect()
    }

    async fn flags(&self) -> usize {
        self.published(ChunkKind::Flags).await.len()
    }

    async fn state(&self) -> ManifestState {
        self.platform.manifest(&caller(), &org(), &env("prod")).await.unwrap().value
    }

    async fn accept(&self, down_to: Option<u64>) -> Result<(), String> {
        let down_to =
            down_to.map(|flags| serde_json::from_value(json!({ "flags": flags })).unwrap());
        let request =
            |change| Request { reason: Some("meant".to_owned()), ..Request::of(change, "test") };
        let place = (org(), env("prod"));
        let accepted = self.platform.accept_shrinkage(&caller(), place, down_to, request).await;
        accepted.map(drop).map_err(|error| error.to_string())
    }
}

#[tokio::test]
async fn what_is_gone_by_the_dozen_goes_on_and_all_else_passes() {
    let world = World::new(29).await;
    world.delete(0..25).await;
    commit(&world.platform, enable("g-25", false)).await;
    define(&world.platform, "new").await;
    let claims = world.publish().await;
    let published = world.published(ChunkKind::Flags).await;
    assert_eq!(published.len(), 31, "all that were, and the new one");
    assert_eq!(published["g-25"]["state"]["enabled"], false);
    assert_eq!(published["g-0"]["state"]["enabled"], true);
    let withheld = &claims.withheld[0];
    assert_eq!((withheld.kind, withheld.there), (ChunkKind::Flags, 6));
    let state = world.state().await;
    assert_eq!((state.withheld[0].published, state.withheld[0].there), (31, 6));
    assert!(state.withheld[0].remedy.contains("accept"));

    // Whoever publishes without a memory, and whoever compares, comes to the same.
    handle::resign(&platform(&world.hands, world.hands.table.clone())).await.unwrap();
    assert_eq!(root(&world.hands, &world.trust, Scope::Environment).await, claims);
    handle::reconcile(&world.platform, FAR).await.unwrap();
    assert_eq!(root(&world.hands, &world.trust, Scope::Environment).await, claims);

    // A kill of everything is one of these, too, and its end.
    for (change, on) in [("kill", false), ("end-kill", true)] {
        let change =
            json!({"change": change, "org": "home", "env": "prod", "scope": "environment"});
        world.make(change).await.unwrap();
        world.publish().await;
        assert_eq!(world.published(ChunkKind::Flags).await["g-0"]["state"]["enabled"], on);
    }
    // More that goes waits as well.
    world.delete(26..28).await;
    let claims = world.publish().await;
    assert_eq!((world.flags().await, claims.withheld[0].there), (31, 4));

    world.accept(None).await.unwrap();
    let claims = world.publish().await;
    assert_eq!((world.flags().await, claims.withheld), (4, vec![]));
    assert!(world.accept(None).await.unwrap_err().contains("nothing is withheld"));
}

#[tokio::test]
async fn at_the_limit_it_passes_and_one_past_it_not() {
    let world = World::new(MAY_GO_AT_ONCE + 1).await;
    world.delete(0..MAY_GO_AT_ONCE).await;
    assert_eq!(world.publish().await.withheld, []);
    assert_eq!(world.flags().await, 2);
    let world = World::new(MAY_GO_AT_ONCE + 1).await;
    world.delete(0..=MAY_GO_AT_ONCE).await;
    assert_eq!(world.publish().await.withheld[0].there, 1);
    // To nothing.
    for (flags, withheld) in [(MAY_END_AT_ONCE, 0), (MAY_END_AT_ONCE + 1, 1)] {
        let world = World::new(flags - 1).await;
        world.delete(0..flags - 1).await;
        commit(&world.platform, Change::DeleteFlag { org: org(), flag: flag("f") }).await;
        assert_eq!(world.publish().await.withheld.len(), withheld, "{flags}");
    }
}

#[tokio::test]
async fn what_is_accepted_is_what_was_seen_and_for_an_hour() {
    let world = World::new(30).await;
    world.delete(0..22).await;
    assert_eq!(world.publish().await.withheld[0].there, 9);
    world.accept(None).await.unwrap();
    // More goes before it is published.
    world.delete(22..23).await;
    assert_eq!(world.publish().await.withheld[0].there, 8);
    world.accept(Some(8)).await.unwrap();
    world.timer.advance(ACCEPTED_FOR);
    assert_eq!(world.publish().await.withheld[0].there, 8, "an hour ago");
    world.accept(Some(8)).await.unwrap();
    world.timer.advance(ACCEPTED_FOR - MOMENT);
    assert_eq!(world.publish().await.withheld, []);
    // Beforehand.
    world.accept(Some(0)).await.unwrap();
    world.delete(23..30).await;
    commit(&world.platform, Change::DeleteFlag { org: org(), flag: flag("f") }).await;
    assert_eq!(world.publish().await.withheld, []);
    assert_eq!(world.flags().await, 0);
    // Without a reason nothing is accepted.
    let change = json!({"change": "accept-shrinkage", "org": "home", "env": "prod", "downTo": {}});
    let request = Request::of(serde_json::from_value(change).unwrap(), "test");
    assert!(world.platform.commit(&caller(), &request).await.is_err());
}

#[tokio::test]
async fn what_comes_back_is_withheld_no_more() {
    let world = World::new(4).await;
    world.delete(0..4).await;
    commit(&world.platform, Change::DeleteFlag { org: org(), flag: flag("f") }).await;
    assert_eq!(world.publish().await.withheld.len(), 1);
    let restore = json!({"change": "restore-flag", "org": "home", "flag": "f"});
    world.make(restore).await.unwrap();
    assert_eq!(world.publish().await.withheld, [], "one is left, and four are few");
    assert_eq!(world.flags().await, 1);
}

#[tokio::test]
async fn tenants_and_segments_are_asked_about_by_themselves() {
    let world = World::new(0).await;
    for number in 0..5 {
        commit(&world.platform, tenant(&format!("t-{number}"))).await;
        let segment = json!({"change": "put-segment", "org": "home", "env": "prod", "segment": format!("s-{number}"),
            "salt": "x", "definition": {"description": ""}, "excluded": null, "included": null});
        world.make(segment).await.unwrap();
    }
    world.publish().await;
    for number in 0..5 {
        let tenant =
            json!({"change": "delete-tenant", "org": "home", "tenant": format!("t-{number}")});
        world.make(tenant).await.unwrap();
        let segment = json!({"change": "delete-segment", "org": "home", "env": "prod", "segment": format!("s-{number}")});
        world.make(segment).await.unwrap();
    }
    for fresh in [false, true] {
        if fresh {
            handle::resign(&platform(&world.hands, world.hands.table.clone())).await.unwrap();
        }
        let claims = world.publish().await;
        let kinds: Vec<ChunkKind> = claims.withheld.iter().map(|withheld| withheld.kind).collect();
        assert_eq!(kinds, [ChunkKind::Tenants, ChunkKind::Segments]);
        assert_eq!(world.published(ChunkKind::Tenants).await.len(), 5);
        assert_eq!(world.published(ChunkKind::Segments).await.len(), 5);
    }
    world.accept(None).await.unwrap();
    assert_eq!(world.publish().await.withheld, []);
    assert_eq!(world.published(ChunkKind::Tenants).await.len(), 0);
    assert_eq!(world.published(ChunkKind::Segments).await.len(), 0);
}
