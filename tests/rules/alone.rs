//! Manifests of single tenants: made by following they are those made from scratch, they answer as the environment's
//! does, and nothing in them moves when others do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flagforge_embedded::{Embedded, ManualTimer};
use flagforge_flags::keys::TenantKey;
use flagforge_flags::manifest::{Root, Scope, ScopeId, Trust, load, verify_root};
use flagforge_flags::time::Timestamp;
use flagforge_flags::{Context, Snapshot, View, evaluate};
use flagforge_platform::ports::Fetched;
use flagforge_platform::{Change, Platform, Request, handle};
use serde_json::json;

use crate::accepted::chance::Chance;
use crate::incremental::change;
use crate::kit::{
    self, FAR, caller, commit, enable, env, furnished, furnished_on, listed, org, platform,
};

/// Of the dozen that the changes are about.
const BOUND: [&str; 2] = ["t-3", "t-7"];
const ROUNDS: usize = 150;

fn id(tenant: &str) -> ScopeId {
    let scope = Scope::Tenant(TenantKey::new(tenant).unwrap());
    ScopeId { org: org(), env: env("prod"), scope }
}

fn bound_key(tenant: &str) -> Change {
    let key = json!({
        "id": format!("home.of-{tenant}"), "kind": "server", "name": tenant, "role": "reader",
        "envs": ["prod"], "tenant": tenant, "created": Timestamp::default(), "secretSha256": "0".repeat(64),
    });
    serde_json::from_value(json!({"change": "create-key", "org": "home", "key": key})).unwrap()
}

async fn text(hands: &Embedded, tenant: &str) -> Option<Bytes> {
    match hands.objects.get(&id(tenant).root_name(), None).await.unwrap() {
        Fetched::Found { bytes, .. } => Some(bytes),
        Fetched::Absent | Fetched::NotModified => None,
    }
}

fn verified(hands: &Embedded, trust: &Trust, tenant: &str, text: &[u8]) -> Root {
    verify_root(text, trust, &id(tenant), None, hands.timer.now()).unwrap()
}

async fn loaded(hands: &Embedded, root: Root) -> Snapshot {
    let (_, chunks) = listed(hands, &root).await;
    load(root, &mut |digest| chunks.get(digest), None).unwrap()
}

fn answers(snapshot: &Snapshot, tenant: &str) -> Vec<String> {
    let now = Timestamp::default();
    let mut answers = Vec::new();
    for flag in 0..6 {
        for user in 0..4 {
            let context = Context::for_tenant(TenantKey::new(tenant).unwrap());
            let context = context.user(format!("u-{user}"));
            let view = View { snapshot, confirmed: now };
            let answer = evaluate(view, &format!("f-{flag}"), None, &context, now);
            let (value, fine) = (answer.value, answer.fine);
            answers.push(format!("{value:?} {fine:?} {:?}", answer.rule));
        }
    }
    answers
}

#[tokio::test]
async fn what_follows_is_what_is_made_anew_and_answers_the_same() {
    for seed in 0..2 {
        let (hands, platform, trust) = furnished().await;
        for tenant in BOUND {
            commit(&platform, kit::tenant(tenant)).await;
            commit(&platform, bound_key(tenant)).await;
        }
        let mut chance = Chance::new(seed);
        let (mut same, mut other) = (0, 0);
        let mut before: [Option<Bytes>; 2] = [None, None];
        for number in 0..ROUNDS {
            let change = serde_json::from_value(change(&mut chance, number)).unwrap();
            let taken = platform.commit(&caller(), &Request::of(change, "test")).await.is_ok();
            handle::resign(&platform).await.unwrap();
            if number % 10 == 0 {
                // Who has followed nothing makes the very same, so it puts nothing.
                let fresh = kit::platform(&hands, hands.table.clone());
                let stood = [text(&hands, BOUND[0]).await, text(&hands, BOUND[1]).await];
                handle::resign(&fresh).await.unwrap();
                let stands = [text(&hands, BOUND[0]).await, text(&hands, BOUND[1]).await];
                assert_eq!(stood, stands, "seed {seed}, change {number}");
            }
            let whole = kit::verified(&hands, &trust, &environment()).await;
            let whole = loaded(&hands, whole).await;
            for (tenant, before) in BOUND.into_iter().zip(&mut before) {
                let now = text(&hands, tenant).await.unwrap();
                let there = whole.tenant(tenant).is_some();
                if before.as_ref() == Some(&now) {
                    same += usize::from(taken);
                } else {
                    other += 1;
                }
                if there {
                    let root = verified(&hands, &trust, tenant, &now);
                    let alone = loaded(&hands, root).await;
                    let all = alone.flags().count();
                    assert_eq!(all, whole.flags().count(), "seed {seed}, change {number}");
                    let (here, there) = (answers(&alone, tenant), answers(&whole, tenant));
                    assert_eq!(here, there, "seed {seed}, change {number}");
                }
                *before = Some(now);
            }
        }
        assert!(same > ROUNDS / 3 && other > ROUNDS / 5, "{same} same, {other} other");
    }
}

fn environment() -> ScopeId {
    ScopeId { scope: Scope::Environment, ..id("t-3") }
}

#[tokio::test]
async fn numbers_move_with_the_content_and_go_on_after_a_key_is_made_again() {
    let timer = ManualTimer::at(Timestamp::from_seconds(1_800_000_000));
    let hands = Embedded::memory_at(Arc::new(timer.clone())).unwrap();
    let (hands, platform, trust) = furnished_on(hands).await;
    let claims = async |tenant: &str| {
        let text = text(&hands, tenant).await?;
        Some(verified(&hands, &trust, tenant, &text).claims().clone())
    };
    let publish = async || handle::resign(&platform).await.unwrap();
    for tenant in ["acme", "globex"] {
        commit(&platform, kit::tenant(tenant)).await;
    }
    commit(&platform, bound_key("acme")).await;
    publish().await;
    assert!(claims("globex").await.is_none(), "nobody has a key of its own there");
    let first = claims("acme").await.unwrap();
    // Others' affairs: nothing moves, not even when it was signed.
    timer.advance(Duration::from_secs(60));
    let over = json!({"change": "set-override", "org": "home", "env": "prod", "flag": "f", "tenant": "globex", "variant": "on"});
    commit(&platform, serde_json::from_value(over).unwrap()).await;
    publish().await;
    assert_eq!(claims("acme").await.unwrap(), first);
    // Its own: one number, and when that was.
    commit(&platform, enable("f", true)).await;
    publish().await;
    let second = claims("acme").await.unwrap();
    assert_eq!(second.revision.env, first.revision.env + 1);
    assert_eq!((second.revision.org, second.serial), (0, first.serial + 1));
    assert!(second.committed > first.committed);
    // Signed again, it says the same.
    timer.advance(Duration::from_secs(7 * 3_600));
    publish().await;
    let third = claims("acme").await.unwrap();
    assert_eq!((third.revision, third.committed), (second.revision, second.committed));
    assert_eq!(third.serial, second.serial + 1);

    // Without its key there is no manifest of it after the next sweep; with a new one its readers go on.
    let revoke = Change::RevokeKey { org: org(), id: "home.of-acme".to_owned() };
    commit(&platform, revoke).await;
    publish().await;
    timer.advance(Duration::from_secs(1));
    handle::sweep(&platform, FAR).await.unwrap();
    assert!(claims("acme").await.is_none());
    timer.advance(Duration::from_secs(1));
    commit(&platform, bound_key("acme")).await;
    publish().await;
    let fourth = claims("acme").await.unwrap();
    assert!(third.position().allows(&fourth.position()), "{fourth:?} after {third:?}");
    // Nothing that it lists is swept, by whoever sweeps.
    let fresh: Platform = self::platform(&hands, hands.table.clone());
    for _ in 0..3 {
        timer.advance(Duration::from_secs(2 * 3_600));
        handle::sweep(&fresh, FAR).await.unwrap();
        let text = text(&hands, "acme").await.unwrap();
        listed(&hands, &verified(&hands, &trust, "acme", &text)).await;
    }
}
