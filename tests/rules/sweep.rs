//! What manifests leave behind goes, and nothing that anybody may still read.

use std::sync::Arc;
use std::time::Duration;

use flagforge_embedded::{Embedded, ManualTimer};
use flagforge_flags::manifest::{Scope, ScopeId, Trust};
use flagforge_flags::time::Timestamp;
use flagforge_platform::read::PageOf;
use flagforge_platform::{KeptRoot, LEFT_ALONE, Platform, ROOTS_KEPT, handle};
use serde_json::json;

use crate::kit::{FAR, caller, commit, enable, env, furnished_on, listed, org, verified};

const HOUR: Duration = Duration::from_secs(3_600);
const MOMENT: Duration = Duration::from_millis(1);

struct World {
    hands: Embedded,
    platform: Platform,
    timer: ManualTimer,
    trust: Trust,
}

impl World {
    async fn new() -> Self {
        let timer = ManualTimer::at(Timestamp::from_seconds(1_800_000_000));
        let hands = Embedded::memory_at(Arc::new(timer.clone())).unwrap();
        let (hands, platform, trust) = furnished_on(hands).await;
        Self { hands, platform, timer, trust }
    }

    async fn flip(&self, on: bool) {
        commit(&self.platform, enable("f", on)).await;
        handle::resign(&self.platform).await.unwrap();
    }

    /// Sweeps, and answers how many chunks are left; every root that stands is whole.
    async fn swept(&self) -> usize {
        handle::sweep(&self.platform, FAR).await.unwrap();
        for scope in [Scope::Environment, Scope::Relay, Scope::Canary] {
            let id = ScopeId { org: org(), env: env("prod"), scope };
            listed(&self.hands, &verified(&self.hands, &self.trust, &id).await).await;
        }
        let chunks = self.hands.objects.list("home/chunks/", None).await.unwrap();
        chunks
            .iter()
            .filter(|chunk| chunk.name.matches('/').count() == 2 && !chunk.name.ends_with(".json"))
            .count()
    }

    /// The kept roots one at a time, the newest first.
    async fn kept(&self, cursor: Option<String>) -> (Vec<KeptRoot>, Option<String>) {
        let page = PageOf { limit: Some(1), cursor, search: None };
        let env = env("prod");
        let found = self.platform.kept_roots(&caller(), (&org(), &env), &page).await.unwrap();
        (found.items.into_iter().map(|item| item.value).collect(), found.next)
    }

    async fn kept_roots(&self) -> usize {
        self.hands.objects.list("home/prod/history/", None).await.unwrap().len()
    }
}

#[tokio::test]
async fn a_chunk_that_no_root_lists_goes_after_two_sweeps_an_hour_apart() {
    let world = World::new().await;
    world.flip(true).await;
    world.timer.advance(MOMENT);
    let before = world.swept().await;
    world.flip(false).await;
    world.flip(true).await;
    assert_eq!(world.swept().await, before + 2, "two are loose, and young");
    world.timer.advance(LEFT_ALONE + MOMENT);
    assert_eq!(world.swept().await, before + 2, "seen loose for the first time");
    world.timer.advance(LEFT_ALONE - MOMENT);
    assert_eq!(world.swept().await, before + 2, "not yet an hour ago");
    world.timer.advance(MOMENT);
    assert_eq!(world.swept().await, before);
}

#[tokio::test]
async fn a_chunk_that_is_used_again_stays() {
    let world = World::new().await;
    let furnish = async |plan: &str| {
        let tenant = json!({"change": "put-tenant", "org": "home", "tenant": "acme", "uid": "u", "name": "Acme", "attributes": {"plan": plan}});
        commit(&world.platform, serde_json::from_value(tenant).unwrap()).await;
        handle::resign(&world.platform).await.unwrap();
    };
    furnish("gold").await;
    let before = world.swept().await;
    furnish("free").await;
    world.timer.advance(LEFT_ALONE + MOMENT);
    assert_eq!(world.swept().await, before + 1, "gold is loose");
    world.timer.advance(LEFT_ALONE - MOMENT);
    furnish("gold").await;
    world.timer.advance(MOMENT);
    assert_eq!(world.swept().await, before + 1, "it was put again, and is listed");
    // The publisher that reads it finds it, whatever happens to what is loose now.
    for _ in 0..3 {
        world.timer.advance(LEFT_ALONE + MOMENT);
        world.swept().await;
    }
}

#[tokio::test]
async fn the_last_root_of_an_hour_is_kept_for_a_month_with_its_chunks() {
    let world = World::new().await;
    for on in [true, false, true] {
        world.flip(on).await;
    }
    assert_eq!(world.kept_roots().await, 0);
    world.timer.advance(HOUR);
    world.flip(false).await;
    assert_eq!(world.kept_roots().await, 1, "one of the three");
    world.flip(true).await;
    assert_eq!(world.kept_roots().await, 1, "this hour's is not over");
    let of = |root: &KeptRoot| (root.serial, root.counts.unwrap().flags, root.revision.clone());
    let (listed, next) = world.kept(None).await;
    assert_eq!((of(&listed[0]), next), ((3, 1, Some("4.3".to_owned())), None));
    let all = world.swept().await;
    for left in [all, all - 3, all - 3] {
        world.timer.advance(2 * LEFT_ALONE);
        assert_eq!(world.swept().await, left, "of five forms that of the kept root and the last");
    }
    world.timer.advance(ROOTS_KEPT - 6 * HOUR);
    assert_eq!((world.swept().await, world.kept_roots().await), (all - 3, 1));
    world.timer.advance(MOMENT);
    world.swept().await;
    world.timer.advance(LEFT_ALONE);
    assert_eq!((world.swept().await, world.kept_roots().await), (all - 4, 0));
}

#[tokio::test]
async fn kept_roots_are_listed_the_newest_first_and_the_damaged_with_them() {
    let world = World::new().await;
    for on in [true, false, true] {
        world.flip(on).await;
        world.timer.advance(HOUR);
    }
    world.flip(false).await;
    let damaged = bytes::Bytes::from_static(b"no root");
    let any = flagforge_platform::ports::PutIf::Any;
    let name = "home/prod/history/001700000000000-9.jws";
    world.hands.objects.put(name, damaged, "application/jose", any).await.unwrap();
    let (mut serials, mut cursor) = (Vec::new(), None);
    loop {
        let (roots, next) = world.kept(cursor).await;
        serials.extend(roots.iter().map(|root| (root.serial, root.revision.is_some())));
        match next {
            None => break,
            next => cursor = next,
        }
    }
    assert_eq!(serials, [(3, true), (2, true), (1, true), (9, false)]);
}

#[tokio::test]
async fn where_a_root_is_damaged_nothing_goes() {
    let world = World::new().await;
    world.flip(true).await;
    world.flip(false).await;
    let all = world.swept().await;
    let damaged = bytes::Bytes::from(json!("no root").to_string());
    let any = flagforge_platform::ports::PutIf::Any;
    let name = "home/prod/history/000001800000000-1.jws";
    world.hands.objects.put(name, damaged, "application/jose", any).await.unwrap();
    for _ in 0..4 {
        world.timer.advance(LEFT_ALONE + MOMENT);
        assert_eq!(world.swept().await, all);
    }
}
