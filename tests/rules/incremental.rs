//! A publisher that follows the logs publishes, byte for byte, what one that reads everything would.

use std::collections::BTreeMap;

use flagforge_embedded::Embedded;
use flagforge_flags::manifest::{ChunkKind, ChunkRef, Scope, Trust};
use flagforge_flags::propagation::Propagation;
use flagforge_platform::ports::Notice;
use flagforge_platform::{Change, Platform, Request, handle};
use serde_json::{Value as Json, json};

use crate::accepted::chance::Chance;
use crate::kit::{
    self, caller, commit, define, enable, env, furnished, heads, org, platform, root, tenant,
};

const ROUNDS: usize = 50;

/// Few enough keys that each is often made, changed, deleted and made again under another uid.
fn key(chance: &mut Chance, what: &str, count: usize) -> String {
    format!("{what}-{}", chance.below(count))
}

pub(crate) fn change(chance: &mut Chance, number: usize) -> Json {
    let (tenant, flag) = (key(chance, "t", 12), key(chance, "f", 6));
    let group = key(chance, "g", 3);
    let plan = ["free", "gold"][chance.below(2)];
    let on = chance.one_in(2);
    let mut change = match chance.below(19) {
        0..=3 => {
            json!({"change": "put-tenant", "tenant": tenant, "uid": format!("u{number}"), "name": tenant, "attributes": {"plan": plan, "note": "x".repeat(chance.below(9_000))}})
        }
        4 => json!({"change": "delete-tenant", "tenant": tenant}),
        5 => {
            let when = json!({"test": {"attribute": "tenant.plan", "operator": "equals", "values": [plan]}});
            let when = if on { when } else { Json::Null };
            json!({"change": "put-group", "group": group, "uid": format!("u{number}"), "description": plan, "when": when})
        }
        6 => json!({"change": "delete-group", "group": group}),
        7 | 8 => json!({"change": "add-member", "group": group, "tenant": tenant}),
        9 => json!({"change": "remove-member", "group": group, "tenant": tenant}),
        10 => {
            json!({"change": "put-flag", "flag": flag, "uid": format!("u{number}"), "definition": {"class": "release", "type": "boolean", "description": plan, "domain": if on { "shop" } else { "mail" }}})
        }
        11 => json!({"change": "delete-flag", "flag": flag}),
        12 => json!({"change": "set-enabled", "env": "prod", "flag": flag, "enabled": on}),
        13 => {
            let overrides = json!([{"group": group, "variant": "on", "reason": plan}]);
            json!({"change": "patch-state", "env": "prod", "flag": flag, "patch": {"groupOverrides": overrides}})
        }
        14 | 15 => {
            json!({"change": "set-override", "env": "prod", "flag": flag, "tenant": tenant, "variant": if on { "on" } else { "off" }})
        }
        18 => {
            // As an import writes them: all twelve at once.
            let tenants: Vec<Json> = (0..12).map(|n| json!({"key": format!("t-{n}"), "uid": format!("of-t-{n}"), "name": plan, "attributes": {"plan": plan}})).collect();
            json!({"change": "upsert-tenants", "tenants": tenants})
        }
        16 => json!({"change": "clear-override", "env": "prod", "flag": flag, "tenant": tenant}),
        _ => {
            let change = if on { "kill" } else { "end-kill" };
            let scope = ["environment", "domain:shop"][chance.below(2)];
            let group = if chance.one_in(2) { json!(group) } else { Json::Null };
            json!({"change": change, "env": "prod", "scope": scope, "group": group})
        }
    };
    change["org"] = json!("home");
    change
}

fn of_organization() -> Notice {
    let (change, propagation) = ("by-chance".to_owned(), Propagation::default());
    Notice::Changed { org: org(), env: None, number: 0, change, propagation }
}

async fn chunks(hands: &Embedded, trust: &Trust) -> (u32, Vec<ChunkRef>) {
    let claims = root(hands, trust, Scope::Relay).await;
    (claims.tenant_shards, kit::chunks(hands, trust, Scope::Relay).await)
}

#[tokio::test]
async fn what_is_published_by_following_is_what_is_published_from_scratch() {
    let mut taken = BTreeMap::new();
    let mut most_shards = 0;
    for seed in 1..=2 {
        let (hands, follows, trust) = furnished().await;
        let mut chance = Chance::new(seed);
        for round in 0..ROUNDS {
            for number in 0..=chance.below(12) {
                let json = change(&mut chance, 100 * round + number);
                let name = json["change"].to_string();
                let change: Change = serde_json::from_value(json).unwrap();
                // Some are refused: a member of no group, an override of no flag.
                let reason = Some("by chance".to_owned());
                let request = Request { reason, ..Request::of(change, "test") };
                let outcome = follows.commit(&caller(), &request).await;
                *taken.entry(name).or_default() += usize::from(outcome.is_ok());
            }
            // At once, or in slices.
            if chance.one_in(2) {
                handle::resign(&follows).await.unwrap();
            } else {
                while handle::snapshot_some(&follows, &of_organization()).await.unwrap() {}
            }
            let followed = chunks(&hands, &trust).await;
            let whole = platform(&hands, hands.table.clone());
            handle::resign(&whole).await.unwrap();
            assert_eq!(chunks(&hands, &trust).await, followed, "seed {seed}, round {round}");
            most_shards = most_shards.max(followed.0);
        }
    }
    // The test is worth what it tried.
    assert!(taken.len() == 15 && taken.values().all(|times: &usize| *times > 0), "{taken:?}");
    assert!(most_shards > 1, "the tenants were never cut");
}

/// Tenants as an import writes them, fifty to an entry.
async fn import(platform: &Platform, tenants: usize, letter: &str) {
    for from in (0..tenants).step_by(50) {
        let batch: Vec<Json> = (from..from + 50)
            .map(|n| json!({"key": format!("tenant-{n}"), "uid": format!("u{n}"), "name": letter, "attributes": {"note": letter.repeat(700)}}))
            .collect();
        let json = json!({"change": "upsert-tenants", "org": "home", "tenants": batch});
        commit(platform, serde_json::from_value(json).unwrap()).await;
    }
}

#[tokio::test]
async fn a_kill_passes_between_two_slices_of_an_import() {
    let (hands, platform, trust) = furnished().await;
    define(&platform, "f").await;
    import(&platform, 3_000, "x").await;
    handle::resign(&platform).await.unwrap();
    let before = root(&hands, &trust, Scope::Environment).await;
    let before_chunks = kit::chunks(&hands, &trust, Scope::Environment).await;
    assert!(before.tenant_shards >= 64, "{} shards", before.tenant_shards);
    import(&platform, 3_000, "y").await;
    let imported = of_organization();
    assert!(handle::snapshot_some(&platform, &imported).await.unwrap(), "all in one slice");
    let slice = kit::chunks(&hands, &trust, Scope::Environment).await;
    let stands = |chunk: &&ChunkRef| before_chunks.contains(chunk);
    assert_eq!(slice.len() - slice.iter().filter(stands).count(), 32);
    commit(&platform, enable("f", true)).await;
    commit(&platform, tenant("by-hand")).await;
    let (env, change) = (Some(env("prod")), "set-enabled".to_owned());
    let propagation = Propagation::Immediate;
    let kill = Notice::Changed { org: org(), env, number: 0, change, propagation };
    assert!(!handle::snapshot_some(&platform, &kill).await.unwrap());
    let between = root(&hands, &trust, Scope::Environment).await;
    let between_chunks = kit::chunks(&hands, &trust, Scope::Environment).await;
    let stands = |chunk: &&ChunkRef| slice.contains(chunk);
    let mut others: Vec<ChunkKind> =
        between_chunks.iter().filter(|chunk| !stands(chunk)).map(|chunk| chunk.kind).collect();
    others.sort();
    assert_eq!(others, [ChunkKind::Flags, ChunkKind::Tenants], "the flag, and one tenant by hand");
    let now = heads(&platform).await;
    assert_eq!(between.revision.env, now.env);
    assert_eq!(between.revision.org, before.revision.org, "not yet whole");
    while handle::snapshot_some(&platform, &imported).await.unwrap() {}
    assert_eq!(root(&hands, &trust, Scope::Environment).await.revision, now);
}
