//! An earlier root is published again, until it is released: what turns something off passes, all else waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flagforge_embedded::{Embedded, ManualTimer};
use flagforge_flags::manifest::{
    ChunkKind, PublicKey, RootClaims, Scope, ScopeId, SecretKey, Trust, TrustClaims, entries, load,
    sign_trust, verify_trust,
};
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::Signer as _;
use flagforge_platform::read::PageOf;
use flagforge_platform::{
    Change, Outcome, Platform, ROOTS_KEPT, Request, RootDifference, bootstrap, handle,
};
use serde_json::{Value as Json, json};

use crate::kit::{
    FAR, caller, commit, define, enable, env, flag, listed, org, platform, root, tenant, verified,
};

/// In the root that is kept: more than may end at once without a question.
const TENANTS: usize = 5;
const HOUR: Duration = Duration::from_secs(3_600);
const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

struct World {
    hands: Embedded,
    platform: Platform,
    timer: ManualTimer,
    root_key: SecretKey,
    trust: Trust,
    /// Of the root to which there is a way back.
    kept: String,
}

fn document(root: &SecretKey, online: PublicKey, number: u64, epoch: u64) -> String {
    let claims = TrustClaims {
        format: 1,
        number,
        epoch,
        issued: NOW,
        expires: NOW.plus(ROOTS_KEPT * 12),
        threshold: 1,
        roots: vec![root.public()],
        online: vec![online],
    };
    sign_trust(&claims, &[root]).unwrap()
}

impl World {
    /// In the root that is kept are the flags `f` and `g`, on, five tenants and the segment `s`. Then `f` was
    /// turned off, and `g`, `t-0` and `s` were deleted.
    async fn new() -> Self {
        let timer = ManualTimer::at(NOW);
        let hands = Embedded::memory_at(Arc::new(timer.clone())).unwrap();
        let platform = platform(&hands, hands.table.clone());
        let root_key = SecretKey::from_bytes(&[7; 32]).unwrap();
        let text = document(&root_key, hands.signer.public_key().await.unwrap(), 1, 1);
        let trust = verify_trust(text.as_bytes(), &[root_key.public().thumbprint()]).unwrap();
        platform.install_trust(&caller(), Bytes::from(text)).await.unwrap();
        let envs = [(env("dev"), "Dev"), (env("prod"), "Prod")];
        bootstrap::home(&platform, &org(), "Home", &envs).await.unwrap();
        for flag in ["f", "g"] {
            define(&platform, flag).await;
            commit(&platform, enable(flag, true)).await;
        }
        for number in 0..TENANTS {
            commit(&platform, tenant(&format!("t-{number}"))).await;
        }
        let kept = String::new();
        let mut world = Self { hands, platform, timer, root_key, trust, kept };
        world
            .make(json!({"change": "put-segment", "org": "home", "env": "prod", "segment": "s",
            "salt": "x", "definition": {"description": ""}, "excluded": null, "included": null}))
            .await;
        world.publish().await;
        world.timer.advance(HOUR);
        commit(&world.platform, enable("f", false)).await;
        commit(&world.platform, Change::DeleteFlag { org: org(), flag: flag("g") }).await;
        for gone in [
            json!({"change": "delete-tenant", "org": "home", "tenant": "t-0"}),
            json!({"change": "delete-segment", "org": "home", "env": "prod", "segment": "s"}),
        ] {
            world.make(gone).await;
        }
        world.publish().await;
        let env = env("prod");
        let found = world.platform.kept_roots(&caller(), (&org(), &env), &PageOf::default()).await;
        world.kept = found.unwrap().items[0].value.name.clone();
        world
    }

    async fn make(&self, change: Json) {
        let change: Change = serde_json::from_value(change).unwrap();
        let request = Request { reason: Some("so".to_owned()), ..Request::of(change, "test") };
        self.platform.commit(&caller(), &request).await.unwrap();
    }

    async fn publish(&self) -> RootClaims {
        handle::resign(&self.platform).await.unwrap();
        root(&self.hands, &self.trust, Scope::Environment).await
    }

    /// The entries of the manifest that stands; it loads.
    async fn published(&self, kind: ChunkKind) -> BTreeMap<String, Json> {
        let id = ScopeId { org: org(), env: env("prod"), scope: Scope::Environment };
        let root = verified(&self.hands, &self.trust, &id).await;
        let (listing, bytes) = listed(&self.hands, &root).await;
        load(root, &mut |digest| bytes.get(digest), None).unwrap();
        let chunks = listing.chunks().filter(|chunk| chunk.kind == kind);
        let found = chunks.flat_map(|chunk| entries(&bytes[&chunk.sha256], kind).unwrap());
        found.map(|(key, entry)| (key, serde_json::from_str(entry.get()).unwrap())).collect()
    }

    /// The flags that are on.
    async fn on(&self) -> Vec<String> {
        let flags = self.published(ChunkKind::Flags).await.into_iter();
        flags.filter(|(_, flag)| flag["state"]["enabled"] == true).map(|(key, _)| key).collect()
    }

    async fn tenants(&self) -> usize {
        self.published(ChunkKind::Tenants).await.len()
    }

    async fn compared(&self) -> RootDifference {
        self.platform.kept_root(&caller(), (&org(), &env("prod")), &self.kept).await.unwrap()
    }

    async fn restore(&self, root: &str) -> Result<(), String> {
        let place = (org(), env("prod"));
        let restored =
            self.platform.restore_manifest(&caller(), place, root.to_owned(), because).await;
        told(restored)
    }

    async fn release(&self) -> Result<(), String> {
        told(self.platform.release_manifest(&caller(), (org(), env("prod")), because).await)
    }
}

fn because(change: Change) -> Request {
    Request { reason: Some("all went wrong".to_owned()), ..Request::of(change, "test") }
}

fn told<E: std::fmt::Display>(outcome: Result<(Change, Outcome), E>) -> Result<(), String> {
    outcome.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn what_an_earlier_root_has_is_published_until_it_is_released() {
    let world = World::new().await;
    assert_eq!((world.on().await, world.tenants().await), (vec![], TENANTS - 1));
    let RootDifference { flags, tenants, segments, .. } = world.compared().await;
    assert_eq!(
        (flags.only_then, flags.changed, flags.count),
        (vec!["g".into()], vec!["f".into()], 2)
    );
    assert_eq!((tenants.only_then, tenants.count), (vec!["t-0".into()], 1));
    assert_eq!((segments.only_then, segments.count), (vec!["s".into()], 1));

    let before = world.publish().await;
    world.restore(&world.kept).await.unwrap();
    let claims = world.publish().await;
    assert!(claims.revision.includes(before.revision) && claims.serial > before.serial);
    assert_eq!(claims.restored.unwrap().issued, NOW);
    assert_eq!((world.on().await, world.tenants().await), (vec!["f".into(), "g".into()], TENANTS));
    assert_eq!(world.published(ChunkKind::Segments).await.len(), 1);
    assert_eq!(world.compared().await.flags.count, 0, "what is published is what was kept");
    let state = world.platform.manifest(&caller(), &org(), &env("prod")).await.unwrap().value;
    assert_eq!(state.said.restored.unwrap().root, world.kept);

    // Whoever publishes without a memory, and whoever compares, comes to the same.
    handle::resign(&platform(&world.hands, world.hands.table.clone())).await.unwrap();
    assert_eq!(root(&world.hands, &world.trust, Scope::Environment).await, claims);
    handle::reconcile(&world.platform, FAR).await.unwrap();
    assert_eq!(root(&world.hands, &world.trust, Scope::Environment).await, claims);

    // Changes wait, whatever they are of.
    define(&world.platform, "new").await;
    commit(&world.platform, enable("new", true)).await;
    commit(&world.platform, tenant("t-9")).await;
    world.publish().await;
    assert_eq!((world.on().await, world.tenants().await), (vec!["f".into(), "g".into()], TENANTS));

    world.release().await.unwrap();
    let claims = world.publish().await;
    assert_eq!((claims.restored, claims.withheld), (None, vec![]));
    assert_eq!((world.on().await, world.tenants().await), (vec!["new".to_owned()], TENANTS));
    assert_eq!(world.published(ChunkKind::Segments).await.len(), 0);
    assert!(world.release().await.unwrap_err().contains("nothing is restored"));
}

#[tokio::test]
async fn what_turns_flags_off_passes() {
    let world = World::new().await;
    world.restore(&world.kept).await.unwrap();
    commit(&world.platform, enable("f", true)).await;
    world.publish().await;
    assert_eq!(world.on().await, ["f", "g"]);
    commit(&world.platform, enable("f", false)).await;
    world.publish().await;
    assert_eq!(world.on().await, ["g"], "it was turned off after the restoring");
    let kill = |change: &str| json!({"change": change, "org": "home", "env": "prod", "scope": "environment"});
    world.make(kill("kill")).await;
    world.publish().await;
    assert!(world.on().await.is_empty());
    world.make(kill("end-kill")).await;
    world.publish().await;
    assert_eq!(world.on().await, ["g"]);
}

#[tokio::test]
async fn a_release_that_would_take_much_away_is_asked_about() {
    let world = World::new().await;
    world.restore(&world.kept).await.unwrap();
    world.publish().await;
    for tenant in 1..TENANTS {
        let gone =
            json!({"change": "delete-tenant", "org": "home", "tenant": format!("t-{tenant}")});
        world.make(gone).await;
    }
    assert_eq!(
        world.publish().await.withheld,
        [],
        "while an earlier root is published nothing is asked"
    );
    world.release().await.unwrap();
    for fresh in [false, true] {
        if fresh {
            handle::resign(&platform(&world.hands, world.hands.table.clone())).await.unwrap();
        }
        let withheld = world.publish().await.withheld;
        assert_eq!((withheld.len(), withheld[0].kind), (1, ChunkKind::Tenants));
        assert_eq!(world.tenants().await, TENANTS);
        assert!(world.on().await.is_empty(), "flags are released all the same");
    }
}

#[tokio::test]
async fn the_root_in_use_outlives_its_month() {
    let world = World::new().await;
    world.restore(&world.kept).await.unwrap();
    world.publish().await;
    world.timer.advance(ROOTS_KEPT + HOUR);
    handle::sweep(&world.platform, FAR).await.unwrap();
    // A publisher that begins now reads it again.
    handle::resign(&platform(&world.hands, world.hands.table.clone())).await.unwrap();
    assert_eq!(world.on().await, ["f", "g"]);
    world.release().await.unwrap();
    world.publish().await;
    handle::sweep(&world.platform, FAR).await.unwrap();
    assert!(world.restore(&world.kept).await.unwrap_err().contains("no such root that is kept"));
}

#[tokio::test]
async fn keys_that_were_replaced_signed_well_and_those_of_an_earlier_epoch_did_not() {
    let world = World::new().await;
    for missing in ["", "x", "1-1", "../../trust"] {
        let refused = world.restore(missing).await.unwrap_err();
        assert!(refused.contains("no such root that is kept"), "{missing}: {refused}");
    }
    let next = SecretKey::from_bytes(&[9; 32]).unwrap().public();
    let install = async |number, epoch| {
        let text = document(&world.root_key, next, number, epoch);
        world.platform.install_trust(&caller(), Bytes::from(text)).await.unwrap();
    };
    install(2, 1).await;
    install(3, 1).await;
    world.restore(&world.kept).await.unwrap();
    install(4, 2).await;
    let refused = world.restore(&world.kept).await.unwrap_err();
    assert!(refused.contains("cannot be trusted any more"), "{refused}");
}

#[tokio::test]
async fn a_root_whose_chunks_are_gone_is_refused_when_it_is_asked_for() {
    let world = World::new().await;
    let request = Request::of(Change::ReleaseManifest { org: org(), env: env("prod") }, "test");
    let refused = world.platform.commit(&caller(), &request).await.unwrap_err().to_string();
    assert!(refused.contains("reason"), "{refused}");
    for chunk in world.hands.objects.list("home/chunks/", None).await.unwrap() {
        world.hands.objects.delete(&chunk.name, FAR).await.unwrap();
    }
    assert!(world.restore(&world.kept).await.is_err());
    let state = world.platform.manifest(&caller(), &org(), &env("prod")).await.unwrap().value;
    assert_eq!(state.said.restored, None);
}
