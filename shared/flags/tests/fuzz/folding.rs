//! A configuration folded for one tenant answers that tenant as the whole one does, and tells nothing of others.

use flagforge_flags::keys::{EnvKey, GroupKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_flags::wire::{FlagWire, IdsWire, SegmentWire, TenantWire};
use flagforge_flags::{
    Context, EvalError, Folded, FoldedList, Folding, Revision, Snapshot, View, digested_ids,
    evaluate,
};
use serde_json::{Value as Json, json};

use crate::chance::{Chance, run};
use crate::{NOW, Neighbours, corpus, mutate_one, taken};

/// The tenants, whose every word is a canary.
pub(crate) const TENANTS: [(&str, &str, &str); 3] = [
    ("acme", "gold", "acme-friends"),
    ("globex", "canary-plan-globex", "globex-friends"),
    ("initech", "canary-plan-initech", "initech-friends"),
];

pub(crate) fn directory() -> Vec<(TenantKey, TenantWire)> {
    let tenant = |(key, plan, group): (&str, &str, &str)| {
        let wire = TenantWire {
            uid: format!("uid-of-{key}"),
            attributes: json!({"plan": plan, "seats": key.len(), "tags": [plan, "beta"]})
                .as_object()
                .cloned()
                .unwrap(),
            groups: vec![GroupKey::new(group).unwrap()],
            ..TenantWire::default()
        };
        (TenantKey::new(key).unwrap(), wire)
    };
    TENANTS.into_iter().map(tenant).collect()
}

/// A condition of a few levels, on tenants and on users.
fn condition(chance: &mut Chance, depth: usize) -> Json {
    let (tenant, plan, group) = TENANTS[chance.below(TENANTS.len())];
    let other = TENANTS[chance.below(TENANTS.len())].0;
    let test = |attribute: &str, operator: &str, values: Json| json!({"test": {"attribute": attribute, "operator": operator, "values": values}});
    let rollout = |unit: &str, until: usize| json!({"rollout": {"unit": unit, "salt": "s", "hash": "xxh3", "buckets": 100, "from": 0, "until": until}});
    let parts = |chance: &mut Chance| {
        let parts = chance.below(4);
        (0..parts).map(|_| condition(chance, depth + 1)).collect::<Vec<Json>>()
    };
    match chance.below(if depth < 3 { 16 } else { 12 }) {
        0 => test("tenant.key", "one-of", json!([tenant, other])),
        1 => test("tenant.plan", "equals", json!([plan])),
        2 => json!({"inGroup": group}),
        3 => test("tenant.seats", "greater", json!([chance.below(9)])),
        4 => test("user.key", "one-of", json!([format!("u-of-{tenant}"), "u-1", "u-2"])),
        5 => test("user.country", "equals", json!(["DE"])),
        6 => rollout("tenant.key", chance.below(101)),
        7 => {
            let mut rollout = rollout("user.key", chance.below(101));
            if chance.one_in(2) {
                rollout["rollout"]["fallbacks"] = json!(["tenant.key"]);
            }
            rollout
        }
        8 => json!({"inSegment": if chance.one_in(2) { "users" } else { "tenants" }}),
        9 => {
            json!({"anyElement": {"attribute": "tenant.tags", "when": test("element", "equals", json!([plan]))}})
        }
        10 => {
            let parts = [
                test("element", "equals", json!(["beta"])),
                test("user.country", "equals", json!(["DE"])),
                test("tenant.key", "equals", json!([tenant])),
            ];
            json!({"anyElement": {"attribute": "tenant.tags", "when": {"all": parts}}})
        }
        11 => json!("always"),
        12 => json!({"not": condition(chance, depth + 1)}),
        13 | 14 => json!({"all": parts(chance)}),
        _ => json!({"any": parts(chance)}),
    }
}

/// A flag that says something of everybody.
pub(crate) fn flag(chance: &mut Chance, number: usize) -> Json {
    let split = |unit: &str| json!({"split": {"unit": unit, "salt": "s", "hash": "xxh3", "buckets": 10, "ranges": [{"from": 0, "until": 5, "variant": "on"}, {"from": 5, "until": 10, "variant": "off"}]}});
    let rules: Vec<Json> = (0..chance.below(5))
        .map(|rule| {
            let serve = match chance.below(4) {
                0 => split("tenant.key"),
                1 => split("user.key"),
                2 => json!({"variant": "special"}),
                _ => json!({"variant": "on"}),
            };
            json!({"id": format!("r{rule}"), "description": "told of globex", "when": condition(chance, 0), "serve": serve})
        })
        .collect();
    let group = TENANTS[chance.below(TENANTS.len())].2;
    let killed = if chance.one_in(6) { json!([group]) } else { json!([]) };
    let tenant = TENANTS[chance.below(TENANTS.len())].0;
    let targets = json!([
        {"variant": "on", "keys": ["u-1", format!("u-of-{tenant}")]},
        {"variant": "special", "entity": "tenant", "keys": [tenant]},
    ]);
    json!({
        "key": format!("made-{number}"), "version": chance.below(1_000), "class": "release", "type": "boolean",
        "variants": [{"key": "off", "value": false}, {"key": "on", "value": true}, {"key": "special", "value": true}],
        "killedGroups": killed,
        "state": {
            "enabled": !chance.one_in(8), "off": {"variant": "off"},
            "groupOverrides": if chance.one_in(4) { json!([{"group": group, "variant": "on"}]) } else { json!([]) },
            "targets": if chance.one_in(3) { targets } else { json!([]) },
            "rules": rules, "fallthrough": {"variant": "off"},
        },
    })
}

pub(crate) fn segments(chance: &mut Chance) -> Vec<Json> {
    let tenants: Vec<&str> =
        TENANTS.iter().map(|(key, ..)| *key).filter(|_| chance.one_in(2)).collect();
    vec![
        json!({"key": "users", "version": 7, "included": {"keys": ["u-1", "u-of-globex"]}, "excluded": {"keys": ["u-3"]}, "when": condition(chance, 2)}),
        json!({"key": "tenants", "version": 9, "entity": "tenant", "included": {"keys": tenants}}),
    ]
}

fn lists(folding: &Folding, wire: &SegmentWire) -> [FoldedList; 2] {
    [("excluded", &wire.excluded), ("included", &wire.included)].map(|(name, ids)| {
        let keys: &[String] = match ids {
            IdsWire::Keys(keys) => keys,
            IdsWire::Hashed { .. } | IdsWire::Digests(_) => &[],
        };
        if wire.entity == "tenant" {
            let me = folding.tenant().0.as_str();
            return FoldedList::OfTenants(keys.iter().any(|key| key == me));
        }
        let salt = format!("{}:{name}", wire.key);
        FoldedList::OfOthers(digested_ids(&salt, keys.iter().map(String::as_str)))
    })
}

pub(crate) fn whole(flags: Vec<FlagWire>, segments: Vec<SegmentWire>) -> Snapshot {
    let (org, env) = (OrgKey::new("demo").unwrap(), EnvKey::new("test").unwrap());
    let scope = ScopeId { org, env, scope: Scope::Environment };
    Snapshot::from_parts(scope, Revision::default(), flags, directory()).with_segments(segments)
}

/// The snapshot of one tenant's scope, and its bytes.
fn folded(folding: &Folding, flags: &[FlagWire], segments: &[SegmentWire]) -> (Snapshot, String) {
    let flags: Vec<Folded<FlagWire>> = flags.iter().map(|flag| folding.flag(flag)).collect();
    let segments: Vec<SegmentWire> = segments
        .iter()
        .map(|segment| folding.segment(segment, lists(folding, segment)).wire)
        .collect();
    let flags: Vec<FlagWire> = flags.into_iter().map(|folded| folded.wire).collect();
    let (key, tenant) = folding.tenant();
    let text = json!([flags, segments, tenant]).to_string();
    let (org, env) = (OrgKey::new("demo").unwrap(), EnvKey::new("test").unwrap());
    let scope = ScopeId { org, env, scope: Scope::Tenant(key.clone()) };
    let directory = [(key.clone(), tenant.clone())];
    let snapshot = Snapshot::from_parts(scope, Revision::default(), flags, directory);
    (snapshot.with_segments(segments), text)
}

#[test]
fn folding() {
    let corpus: Vec<Neighbours> = corpus();
    run(
        |chance| {
            let (mut flags, mut around) = corpus[chance.below(corpus.len())].clone();
            mutate_one(chance, &mut flags);
            let made = chance.one_in(2);
            if made {
                flags = (0..3).map(|number| flag(chance, number)).collect();
                around = segments(chance);
            }
            (flags, around, made, chance.below(TENANTS.len()), chance.below(6))
        },
        |(flags, segments, made, who, user)| {
            let flags: Vec<FlagWire> = taken(flags);
            // Long lists are the publisher's to digest; it has their keys.
            let segments: Vec<SegmentWire> = taken(segments);
            let (key, wire) = directory().swap_remove(*who);
            let (org, env) = (OrgKey::new("demo").unwrap(), EnvKey::new("test").unwrap());
            let folding = Folding::new(org, env, key.clone(), wire);
            let hashed = |wire: &SegmentWire| {
                [&wire.excluded, &wire.included]
                    .into_iter()
                    .any(|ids| matches!(ids, IdsWire::Hashed { .. }))
            };
            if segments.iter().any(hashed) {
                return false;
            }
            let (alone, text) = folded(&folding, &flags, &segments);
            if *made {
                for (other, plan, group) in
                    TENANTS.iter().filter(|(other, ..)| *other != key.as_str())
                {
                    assert!(!text.contains(other), "{other} is in {text}");
                    assert!(!text.contains(plan) && !text.contains(group), "{other} in {text}");
                }
            }
            let keys: Vec<String> = flags.iter().map(|flag| flag.key.to_string()).collect();
            let all = whole(flags, segments);
            let user = ["u-1", "u-2", "u-3", "u-of-acme", "u-of-globex", ""][*user];
            let context = Context::for_tenant(key)
                .user(user)
                .attr("country", if user.len() > 3 { "DE" } else { "FR" });
            let mut answered = false;
            for flag in &keys {
                let view = |snapshot| View { snapshot, confirmed: NOW };
                let before = evaluate(view(&all), flag, None, &context, NOW);
                let after = evaluate(view(&alone), flag, None, &context, NOW);
                if before.error.is_some() {
                    continue;
                }
                assert_eq!(before.value, after.value, "{flag}: {text}");
                assert_eq!(
                    (before.variant, before.reason, before.fine, before.rule),
                    (after.variant, after.reason, after.fine, after.rule),
                    "{flag}"
                );
                answered |= before.value.is_some();
                let stranger = Context::for_tenant(TenantKey::new("initrode").unwrap());
                for asks in [stranger, Context::untenanted()] {
                    let refused = evaluate(view(&alone), flag, None, &asks, NOW);
                    assert_eq!(
                        (refused.value, refused.error),
                        (None, Some(EvalError::OtherTenant))
                    );
                }
            }
            answered
        },
    );
}
