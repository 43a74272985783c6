//! The publisher: idempotent, safe in company, and true to the logs.

use std::sync::Arc;

use flagforge_embedded::{Embedded, FaultPlan, FaultTable};
use flagforge_flags::manifest::{ChunkKind, Digest, Position, RootClaims, Scope, ScopeId, Trust};
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{Fetched, Item, Timer};
use flagforge_platform::{Change, Platform, RESIGN_AFTER, handle};

use crate::kit::{
    self, FAR, commit, define, enable, env, flag, furnished, heads, org, platform, root, tenant,
};

/// A platform that remembers nothing: what another process would publish.
fn fresh(hands: &Embedded) -> Platform {
    platform(hands, hands.table.clone())
}

async fn chunks(hands: &Embedded, trust: &Trust) -> Vec<Digest> {
    let chunks = kit::chunks(hands, trust, Scope::Relay).await;
    chunks.iter().map(|chunk| chunk.sha256).collect()
}

#[tokio::test]
async fn publishing_again_changes_nothing_and_following_the_log_equals_reading_everything() {
    let (hands, platform, trust) = furnished().await;
    handle::resign(&platform).await.unwrap();
    let first = root(&hands, &trust, Scope::Environment).await;
    assert_eq!((first.revision, first.serial), (heads(&platform).await, 1));
    handle::resign(&platform).await.unwrap();
    assert_eq!(root(&hands, &trust, Scope::Environment).await, first, "nothing had changed");
    for number in 0..30 {
        commit(&platform, tenant(&format!("t-{number}"))).await;
        define(&platform, &format!("f-{number}")).await;
        commit(&platform, enable(&format!("f-{number}"), true)).await;
        if number % 7 == 0 {
            handle::resign(&platform).await.unwrap();
        }
    }
    let gone = Change::DeleteFlag { org: org(), flag: flag("f-3") };
    commit(&platform, gone).await;
    handle::resign(&platform).await.unwrap();
    let followed = chunks(&hands, &trust).await;
    handle::resign(&fresh(&hands)).await.unwrap();
    assert_eq!(chunks(&hands, &trust).await, followed, "a full rebuild finds another state");
    assert_eq!(root(&hands, &trust, Scope::Relay).await.revision, heads(&platform).await);
}

#[tokio::test]
async fn in_a_large_environment_a_flip_is_one_chunk_one_index_and_the_roots() {
    let (hands, platform, trust) = furnished().await;
    define(&platform, "f").await;
    for number in 0..200 {
        let note = "x".repeat(16_000);
        let json = serde_json::json!({"change": "put-tenant", "org": "home", "tenant": format!("t-{number}"),
            "uid": format!("u-{number}"), "name": "T", "attributes": {"note": note}});
        commit(&platform, serde_json::from_value(json).unwrap()).await;
    }
    handle::resign(&platform).await.unwrap();
    let before = root(&hands, &trust, Scope::Environment).await;
    assert!(before.indexes.len() > 1 && before.chunks.is_empty(), "{before:?}");
    let stored = async || hands.objects.list("home/chunks/", None).await.unwrap().len();
    let count = stored().await;
    commit(&platform, enable("f", true)).await;
    handle::resign(&platform).await.unwrap();
    assert_eq!(stored().await, count + 2, "a chunk and an index");
    let after = root(&hands, &trust, Scope::Environment).await;
    let same = after.indexes.iter().filter(|index| before.indexes.contains(index)).count();
    assert_eq!(same, before.indexes.len() - 1);
    let relays = root(&hands, &trust, Scope::Relay).await;
    assert_eq!(relays.indexes, after.indexes, "scopes share them");
    // Another publisher, which does not know what was put, finds nothing to do.
    handle::resign(&fresh(&hands)).await.unwrap();
    assert_eq!(stored().await, count + 2);
    assert_eq!(root(&hands, &trust, Scope::Environment).await, after);
}

#[tokio::test]
async fn what_was_followed_wrongly_is_found_and_published_as_it_is() {
    let (hands, platform, trust) = furnished().await;
    // A log that does not tell of the tenant `acme`, as a defect of a commit or a publisher would leave it.
    let rewrite = |mut item: Item| {
        if item.key.sk.starts_with("LOG#") {
            item.body = item.body.replace(r#""sk":"TENANT#acme""#, r#""sk":"LOST#acme""#);
        }
        item
    };
    let table = kit::Rewritten { table: hands.table.clone(), rewrite };
    let publisher = kit::platform(&hands, Arc::new(table));
    handle::resign(&publisher).await.unwrap();
    commit(&platform, tenant("globex")).await;
    handle::resign(&publisher).await.unwrap();
    let right = chunks(&hands, &trust).await;
    handle::reconcile(&publisher, FAR).await.unwrap();
    assert_eq!(chunks(&hands, &trust).await, right, "nothing to mend");
    commit(&platform, tenant("acme")).await;
    handle::resign(&publisher).await.unwrap();
    assert_eq!(chunks(&hands, &trust).await, right, "it does not know of it");
    let before = root(&hands, &trust, Scope::Relay).await;
    handle::reconcile(&publisher, FAR).await.unwrap();
    let mended = root(&hands, &trust, Scope::Relay).await;
    assert!(before.position().allows(&mended.position()) && before.serial < mended.serial);
    handle::resign(&fresh(&hands)).await.unwrap();
    assert_eq!(root(&hands, &trust, Scope::Relay).await, mended, "as one that reads everything");
    assert_ne!(chunks(&hands, &trust).await, right);
}

#[tokio::test]
async fn keys_are_for_relays_only() {
    let (hands, platform, trust) = furnished().await;
    handle::resign(&platform).await.unwrap();
    let kinds =
        |claims: RootClaims| claims.chunks.iter().any(|chunk| chunk.kind == ChunkKind::Keys);
    assert!(kinds(root(&hands, &trust, Scope::Relay).await));
    assert!(!kinds(root(&hands, &trust, Scope::Environment).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_publishers_and_a_writer_end_at_the_logs() {
    let (hands, platform, trust) = furnished().await;
    let hands = Arc::new(hands);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let publisher = fresh(&hands);
        tasks.spawn(async move {
            for _ in 0..40 {
                // The loser of five races in a row says that it is busy; its notice would come again.
                let _ = handle::resign(&publisher).await;
            }
        });
    }
    let writer = platform.clone();
    tasks.spawn(async move {
        for number in 0..40 {
            commit(&writer, enable("f", number % 2 == 0)).await;
        }
    });
    let watcher = (hands.clone(), trust.clone());
    tasks.spawn(async move {
        let (hands, trust) = watcher;
        let mut seen: Option<Position> = None;
        for _ in 0..60 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            let name = "home/prod/environment.jws";
            if matches!(hands.objects.get(name, None).await.unwrap(), Fetched::Absent) {
                continue;
            }
            let position = root(&hands, &trust, Scope::Environment).await.position();
            assert!(seen.is_none_or(|seen| seen.allows(&position)), "{seen:?}, then {position}");
            seen = Some(position);
        }
    });
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    handle::resign(&platform).await.unwrap();
    assert_eq!(root(&hands, &trust, Scope::Environment).await.revision, heads(&platform).await);
}

#[tokio::test]
async fn a_table_that_fails_half_the_time_publishes_nothing_half() {
    let (hands, platform, trust) = furnished().await;
    for seed in 0..10 {
        let plan = FaultPlan { fail_before_per_mille: 300, ..FaultPlan::default() };
        let table = FaultTable::new(hands.table.clone(), hands.timer.clone(), seed, plan);
        let shaky = crate::kit::platform(&hands, Arc::new(table));
        for number in 0..10 {
            commit(&platform, enable("f", number % 2 == 0)).await;
            let _ = handle::resign(&shaky).await;
        }
    }
    handle::resign(&platform).await.unwrap();
    let claims = root(&hands, &trust, Scope::Environment).await;
    assert_eq!(claims.revision, heads(&platform).await);
    let id = ScopeId { org: org(), env: env("prod"), scope: Scope::Environment };
    let (_, bytes) = kit::listed(&hands, &kit::verified(&hands, &trust, &id).await).await;
    assert!(bytes.iter().all(|(digest, bytes)| Digest::of(bytes) == *digest));
}

#[tokio::test]
async fn an_old_root_is_signed_again_before_it_expires() {
    let timer = flagforge_embedded::ManualTimer::at(Timestamp::from_seconds(1_800_000_000));
    let hands = Embedded::memory_at(Arc::new(timer.clone())).unwrap();
    let trust = hands.ensure_trust().await.unwrap().trust;
    let platform = platform(&hands, hands.table.clone());
    let envs = [(env("prod"), "Prod")];
    flagforge_platform::bootstrap::home(&platform, &org(), "Home", &envs).await.unwrap();
    handle::resign(&platform).await.unwrap();
    let first = root(&hands, &trust, Scope::Environment).await;
    timer.advance(RESIGN_AFTER);
    handle::resign(&platform).await.unwrap();
    let second = root(&hands, &trust, Scope::Environment).await;
    assert_eq!((second.serial, second.revision), (first.serial + 1, first.revision));
    assert_eq!(second.issued, timer.now());
    // Days later the signing key is another one, and readers still verify.
    timer.advance(RESIGN_AFTER * 12);
    handle::resign(&platform).await.unwrap();
    assert_eq!(root(&hands, &trust, Scope::Environment).await.serial, second.serial + 1);
}
