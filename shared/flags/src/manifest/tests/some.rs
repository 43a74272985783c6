//! Directories of which some shards are loaded.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::*;
use crate::{Context, EvalError, FineReason, Snapshot, View, evaluate};

const SHARDS: u32 = 8;

fn edited(key: &str, edit: impl FnOnce(&mut Json)) -> FlagWire {
    let mut wire = serde_json::to_value(flag(key)).unwrap();
    edit(&mut wire);
    serde_json::from_value(wire).unwrap()
}

/// Flags that look at the tenant in each way that there is, and some that do not.
fn flags() -> Vec<FlagWire> {
    let by_plan = json!([{
        "id": "gold",
        "when": {"test": {"attribute": "tenant.plan", "operator": "equals", "values": ["p-1"]}},
        "serve": {"variant": "off"},
    }]);
    let in_group = json!([{"id": "b", "when": {"inGroup": "beta"}, "serve": {"variant": "off"}}]);
    let told = json!([{"flag": "plain", "is": {"variants": ["on"]}}]);
    vec![
        flag("plain"),
        edited("off", |wire| wire["state"]["enabled"] = false.into()),
        edited("by-plan", |wire| wire["state"]["rules"] = by_plan),
        edited("in-group", |wire| wire["state"]["rules"] = in_group),
        edited("killed", |wire| wire["killedGroups"] = json!(["beta"])),
        edited("told", |wire| wire["state"]["prerequisites"] = told),
        edited("stale", |wire| {
            let serve = json!({"serve": {"variant": "off"}});
            wire["state"]["stale"] = json!({"afterSeconds": 0, "then": serve});
        }),
        edited("last-known", |wire| {
            wire["state"]["stale"] = json!({"afterSeconds": 0, "then": "lastKnown"});
        }),
    ]
}

fn tenants() -> Vec<(TenantKey, TenantWire)> {
    let tenant = |n: u32| {
        let wire = json!({
            "uid": format!("uid-{n}"), "attributes": {"plan": format!("p-{}", n % 3)},
            "groups": if n.is_multiple_of(2) { json!(["beta"]) } else { json!([]) },
            "overrides": if n.is_multiple_of(5) { json!({"plain": "off"}) } else { json!({}) },
        });
        (TenantKey::new(&format!("t-{n}")).unwrap(), serde_json::from_value(wire).unwrap())
    };
    (0..40).map(tenant).collect()
}

fn load_only(
    store: &Store,
    claims: &RootClaims,
    wanted: &BTreeSet<u32>,
    previous: Option<&Snapshot>,
) -> (Snapshot, usize) {
    let (root, listing) = (verified(claims).unwrap(), store.listing(claims));
    let wanted = TenantShards::Only(wanted);
    let missing: Vec<Digest> = missing_some(&root, wanted, &listing, previous)
        .into_iter()
        .map(|listed| listed.sha256)
        .collect();
    let mut fetched = 0;
    let mut chunk = |digest: &Digest| {
        let index = claims.indexes.iter().any(|index| index.sha256 == *digest);
        fetched += usize::from(!index);
        assert!(index || missing.contains(digest), "it asks for more than it said");
        store.0.get(digest).cloned()
    };
    (load_some(root, wanted, &mut chunk, previous).unwrap(), fetched)
}

/// Holds every answer of a part against those of the whole.
fn check(whole: &Snapshot, part: &Snapshot, wanted: &BTreeSet<u32>) {
    let view = |snapshot| View { snapshot, confirmed: at(0) };
    let mut not_loaded = 0;
    for key in tenants().into_iter().map(|(key, _)| key).chain([TenantKey::new("who").unwrap()]) {
        let loaded = wanted.contains(&tenant_shard(key.as_str(), SHARDS));
        assert_eq!(part.has_loaded(&key), loaded);
        let context = Context::for_tenant(key.clone()).user("u");
        for flag in flags() {
            let flag = flag.key.as_str();
            let expected = evaluate(view(whole), flag, None, &context, at(9));
            let actual = evaluate(view(part), flag, None, &context, at(9));
            // What is so for every tenant needs none.
            if loaded || matches!(flag, "off" | "stale") {
                assert_eq!(actual, expected, "{flag} for {key}");
                continue;
            }
            not_loaded += 1;
            assert_eq!(actual.error, Some(EvalError::TenantNotLoaded), "{flag} for {key}");
            assert_eq!((actual.value, actual.fine), (None, FineReason::TenantNotLoaded));
            assert_eq!(EvalError::TenantNotLoaded.code(), "PROVIDER_NOT_READY");
        }
        let pinned = view(part).pin(context, at(9));
        assert_eq!(pinned.tenant_known(), loaded && key.as_str() != "who");
    }
    assert!(not_loaded > 0 || wanted.len() == SHARDS as usize);
}

#[test]
fn a_tenant_whose_shard_is_not_loaded_is_never_taken_for_one_without_overrides() {
    let mut store = Store::default();
    let claims = store.publish(SHARDS, &flags(), &tenants());
    let whole = store.load(&claims, None).unwrap();
    let mut previous: Option<Snapshot> = None;
    for wanted in [vec![], vec![3], vec![3, 5], vec![5, 6, 7], (0..SHARDS).collect()] {
        let wanted: BTreeSet<u32> = wanted.into_iter().collect();
        let (alone, all) = load_only(&store, &claims, &wanted, None);
        assert_eq!(all, SHARDS as usize + wanted.len(), "flags, and what is wanted");
        check(&whole, &alone, &wanted);
        if let Some(held) = &previous {
            let (after, fetched) = load_only(&store, &claims, &wanted, Some(held));
            let new = claims
                .chunks
                .iter()
                .filter(|chunk| wanted.contains(&chunk.shard) && !held.has_loaded_chunk(chunk));
            assert_eq!(fetched, new.count());
            check(&whole, &after, &wanted);
        }
        previous = Some(alone);
    }
}

#[test]
fn a_shard_that_the_root_does_not_list_is_empty_and_loaded() {
    let mut store = Store::default();
    let mut claims = store.publish(SHARDS, &flags(), &tenants());
    let acme = TenantKey::new("acme").unwrap();
    let shard = tenant_shard("acme", SHARDS);
    claims.chunks.retain(|chunk| chunk.kind != ChunkKind::Tenants || chunk.shard != shard);
    let (snapshot, _) = load_only(&store, &claims, &BTreeSet::new(), None);
    assert!(snapshot.has_loaded(&acme) && snapshot.tenant("acme").is_none());
    let other = (0..40).map(|n| TenantKey::new(&format!("t-{n}")).unwrap());
    let other = other.filter(|key| tenant_shard(key.as_str(), SHARDS) != shard);
    for key in other {
        assert!(matches!(snapshot.tenant(key.as_str()), Some(Err(None))));
    }
}

#[test]
fn a_subscription_hears_of_a_tenant_that_is_loaded() {
    let mut store = Store::default();
    let claims = store.publish(SHARDS, &flags(), &tenants());
    let key = TenantKey::new("t-10").unwrap();
    let of = |wanted: &[u32]| {
        let wanted = wanted.iter().copied().collect();
        load_only(&store, &claims, &wanted, None).0.inputs("plain", Some(&key))
    };
    let shard = tenant_shard("t-10", SHARDS);
    assert_ne!(of(&[]), of(&[shard]));
    assert_eq!(of(&[]), of(&[(shard + 1) % SHARDS]));
}
