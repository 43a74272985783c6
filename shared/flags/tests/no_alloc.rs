//! Evaluation allocates nothing, whatever the flag asks and however it ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagWire, TenantWire, ValueType};
use flagforge_flags::{Answer, Context, Revision, Snapshot, View, evaluate};
use serde_json::{Value as Json, json};

fn tenant(key: &str) -> TenantKey {
    TenantKey::new(key).unwrap()
}

/// A flag whose outcomes are of every kind, with 50 rules before the one that decides.
fn flag(key: &str, value_type: &str, values: &[Json; 2]) -> Json {
    let passed = (0..50).map(|i| {
        json!({"id": format!("pass-{i}"), "serve": {"variant": "a"}, "when": {"all": [
            {"any": [{"not": "always"}, {"test": {
                "attribute": "user.tags", "operator": "one-of", "values": ["x", 1, 0.5, true]}}]},
            {"test": {"attribute": "tenant.plan", "operator": "equals", "values": ["none"]}}
        ]}})
    });
    let split = |unit: &str| {
        json!({"split": {
        "unit": unit, "salt": "s", "hash": "xxh3", "buckets": 100_000,
        "ranges": [{"from": 0, "until": 50_000, "variant": "a"},
                   {"from": 50_000, "until": 100_000, "variant": "b"}]}})
    };
    let by = |id: &str, unit: &str| json!({"id": id, "when": "always", "serve": split(unit)});
    let mut rules: Vec<Json> = passed.collect();
    rules.extend([by("n", "user.number"), by("yes", "user.yes"), by("text", "user.text")]);
    json!({
        "key": key, "version": 1, "class": "release", "type": value_type,
        "variants": [{"key": "a", "value": values[0]}, {"key": "b", "value": values[1]}],
        "state": {"enabled": true, "off": {"variant": "a"}, "rules": rules,
                  "groupOverrides": [{"group": "beta", "variant": "b"}],
                  "fallthrough": split("user.key")}
    })
}

fn snapshot() -> Snapshot {
    let mut off = flag("off", "boolean", &[json!(true), json!(false)]);
    off["state"]["enabled"] = json!(false);
    let mut bad = flag("bad", "boolean", &[json!(true), json!(false)]);
    bad["variants"][0]["value"] = json!("no boolean");
    let flags = json!([
        flag("boolean", "boolean", &[json!(true), json!(false)]),
        flag("string", "string", &[json!("one"), json!("two")]),
        flag("integer", "integer", &[json!(1), json!(2)]),
        flag("number", "number", &[json!(0.5), json!(1.5)]),
        flag("object", "object", &[json!({"deep": [1, 2, 3]}), json!([])]),
        off,
        bad,
    ]);
    let flags: Vec<FlagWire> = serde_json::from_value(flags).unwrap();
    let wire = |json| serde_json::from_value::<TenantWire>(json).unwrap();
    let tenants = [
        (tenant("acme"), wire(json!({"uid": "1", "attributes": {"plan": "gold"}}))),
        (tenant("member"), wire(json!({"uid": "2", "groups": ["alpha", "beta"]}))),
        (tenant("own"), wire(json!({"uid": "3", "overrides": {"string": "b", "boolean": "gone"}}))),
    ];
    let (org, env) = (OrgKey::new("demo").unwrap(), EnvKey::new("prod").unwrap());
    let scope = ScopeId { org, env, scope: Scope::Environment };
    Snapshot::from_parts(scope, Revision { org: 1, env: 1 }, flags, tenants)
}

#[test]
fn no_evaluation_allocates() {
    let snapshot = snapshot();
    let view = View { snapshot: &snapshot, confirmed: Timestamp::from_seconds(0) };
    let of =
        |who: &str| Context::for_tenant(tenant(who)).user("u-1").attr("tags", json!(["y", "z"]));
    let contexts = [
        of("acme"),
        of("member"),
        of("own"),
        of("unknown"),
        of("acme").attr("number", i64::MIN),
        of("acme").attr("number", u64::MAX),
        of("acme").attr("number", 0.5).attr("yes", true),
        of("acme").attr("text", "a text of more than a few bytes, to be hashed as it is"),
        of("acme").entity("tenant", "globex"),
        Context::for_tenant(tenant("acme")),
        Context::untenanted(),
    ];
    let keys = ["boolean", "string", "integer", "number", "object", "off", "bad", "absent"];
    let mut reasons = std::collections::BTreeSet::new();
    for context in &contexts {
        for key in keys {
            for want in [None, Some(ValueType::Boolean)] {
                let now = Timestamp::from_seconds(3);
                let mut kept: Option<Answer<'_>> = None;
                let counted = allocation_counter::measure(|| {
                    // Whoever asks twice also drops an answer inside.
                    let _first = evaluate(view, key, want, context, now);
                    kept = Some(evaluate(view, key, want, context, now));
                });
                let answer = kept.unwrap();
                reasons.insert((answer.reason.as_str(), answer.fine.as_str()));
                assert_eq!(counted.count_total, 0, "{key} for {context:?}: {answer:?}");
            }
        }
    }
    // The cases above reach what there is to reach.
    let fine: std::collections::BTreeSet<_> = reasons.iter().map(|(_, fine)| *fine).collect();
    let all = [
        "FLAG_NOT_FOUND",
        "TYPE_MISMATCH",
        "MALFORMED",
        "TENANT_REQUIRED",
        "TENANT_IN_CONTEXT",
        "UNIT_MISSING",
        "OFF",
        "TENANT_OVERRIDE",
        "GROUP_OVERRIDE",
        "RULE",
        "FALLTHROUGH",
    ];
    assert_eq!(fine, all.into_iter().collect(), "{reasons:?}");
}

#[test]
fn the_counter_counts() {
    assert_eq!(
        allocation_counter::measure(|| drop(std::hint::black_box(vec![1, 2, 3]))).count_total,
        1
    );
}
