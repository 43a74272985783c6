//! Evaluation allocates nothing, whatever the flag asks and however it ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagWire, SegmentWire, TenantWire, ValueType};
use flagforge_flags::{Answer, Context, Revision, Snapshot, View, evaluate, hashed_ids};
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

fn test(attribute: &str, operator: &str, values: &Json, options: &Json) -> Json {
    let mut test = json!({"attribute": attribute, "operator": operator, "values": values});
    test.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    json!({ "test": test })
}

/// A flag whose rules ask with every operator and every way to compare, and then decide by the fallthrough.
fn operators() -> Json {
    let (none, folded) = (json!({}), json!({"ignoreCase": true}));
    let (text, number) = (json!({"compare": "text"}), json!({"compare": "number"}));
    let hash = "00".repeat(32);
    let tests = [
        ("equals", json!(["ÄÖ"]), &folded),
        ("one-of", json!(["x", 1, 0.5, true]), &text),
        ("one-of", json!(["1", 2]), &number),
        ("deep-equals", json!([{"a": [1, {"b": 2}]}]), &none),
        ("contains", json!(["none", "such"]), &none),
        ("contains", json!(["NONE", "SUCH"]), &folded),
        ("starts-with", json!(["none"]), &folded),
        ("ends-with", json!(["none"]), &folded),
        ("text-less", json!(["\u{0}"]), &text),
        ("text-less-or-equal", json!(["\u{0}"]), &folded),
        ("text-greater", json!(["\u{10ffff}"]), &none),
        ("text-greater-or-equal", json!(["\u{10ffff}"]), &none),
        ("less", json!([-1e300]), &none),
        ("less-or-equal", json!([-1e300]), &number),
        ("greater", json!([1e300]), &number),
        ("greater-or-equal", json!([1e300]), &none),
        ("modulo", json!([1_000, 999]), &number),
        ("semver-equals", json!(["9.9.9-none"]), &text),
        ("semver-less", json!(["0.0.0-0"]), &none),
        ("semver-less-or-equal", json!(["0.0.0-0"]), &none),
        ("semver-greater", json!(["99999999999999999999.0.0"]), &none),
        ("semver-greater-or-equal", json!(["99999999999999999999.0.0"]), &none),
        ("lenient-semver-equals", json!(["v9999"]), &text),
        ("lenient-semver-less", json!(["0-0"]), &none),
        ("lenient-semver-less-or-equal", json!(["0-0"]), &none),
        ("lenient-semver-greater", json!(["99999999999999999999"]), &none),
        ("lenient-semver-greater-or-equal", json!(["99999999999999999999"]), &none),
        ("before", json!(["0000-01-01", "0000-01-01T00:00:00.5+00:00"]), &none),
        ("after", json!(["9999-12-31"]), &none),
        ("in-network", json!(["203.0.113.0/24", "2001:db8::/32"]), &none),
        ("size-equals", json!([999]), &none),
        ("size-less", json!([0]), &none),
        ("size-greater", json!([999_999]), &none),
        ("hash-equals", json!([hash]), &text),
        ("hash-prefix", json!([hash]), &text),
    ];
    let attributes = ["user.x", "user.key", "user.tags"];
    let each = tests.iter().flat_map(|(operator, values, options)| {
        attributes.map(|attribute| test(attribute, operator, values, options))
    });
    let mut conditions: Vec<Json> = each.collect();
    conditions.extend([
        json!({"test": {"attribute": "user.x", "operator": "exists"}}),
        json!({"test": {"attribute": "user.tags", "operator": "is-null"}}),
        test("user.x", "is-type", &json!(["list", "object", "boolean", "integer", "number", "string"]), &none),
        json!({"inSegment": "hashed"}),
        json!({"inSegment": "condition"}),
        json!({"inGroup": "friends"}),
        json!({"flag": {"flag": "boolean", "is": {"variants": ["none"]}}}),
        json!({"flag": {"flag": "off", "is": "enabled"}}),
        json!({"anyElement": {"attribute": "user.tags", "when": test("element", "equals", &json!(["none"]), &none)}}),
        json!({"not": {"allElements": {"attribute": "user.tags", "when": {"not": "always"}}}}),
    ]);
    let hashes = [
        "xxh3",
        "unleash",
        "launchdarkly",
        "configcat",
        "eppo",
        "flagsmith",
        "growthbook-1",
        "growthbook-2",
        "split",
        "flagd",
        "flipt",
        "featureprobe",
        "statsig",
        "posthog",
        "devcycle",
        "confidence",
    ];
    conditions.extend(hashes.map(|hash| {
        json!({"rollout": {"unit": "user.none", "fallbacks": ["user.x", "user.key"], "salt": "s", "hash": hash,
                           "buckets": 10_000, "from": 0, "until": 0}})
    }));
    let rules: Vec<Json> = conditions.iter().enumerate().map(|(i, when)| {
        // Whether it holds or not, the next rule is asked: the split has no unit.
        json!({"id": format!("r{i}"), "when": when, "serve": {"split": {"unit": "user.none", "salt": "s",
            "hash": "xxh3", "buckets": 1, "ranges": [{"from": 0, "until": 1, "variant": "a"}]}}})
    }).collect();
    let ramp = json!({"ramp": {"unit": "user.key", "salt": "s", "hash": "xxh3", "buckets": 1_000, "variant": "a",
        "rest": "b", "from": 0, "until": 1_000, "start": "1970-01-01T00:00:00Z", "end": "1970-01-01T00:00:09Z"}});
    json!({
        "key": "operators", "version": 1, "class": "release", "type": "boolean",
        "variants": [{"key": "a", "value": true}, {"key": "b", "value": false}],
        "state": {"enabled": true, "off": {"variant": "a"}, "rules": rules, "fallthrough": ramp,
                  "prerequisites": [{"flag": "string", "is": "enabled"}],
                  "targets": [{"variant": "a", "keys": ["targeted"]}]}
    })
}

/// Flags that end in every way that the first ones do not.
fn endings() -> Vec<Json> {
    let with = |key: &str, state: Json| {
        let mut whole =
            json!({"enabled": true, "off": {"variant": "a"}, "fallthrough": {"variant": "b"}});
        whole.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
        json!({"key": key, "version": 1, "class": "release", "type": "boolean", "state": whole,
               "variants": [{"key": "a", "value": true}, {"key": "b", "value": false}]})
    };
    let stale = |then: Json| json!({"stale": {"afterSeconds": 2, "then": then}});
    let segment = |key: &str| json!({"rules": [{"id": "r", "when": {"inSegment": key}, "serve": {"variant": "a"}}]});
    vec![
        with("blocked", json!({"prerequisites": [{"flag": "off", "is": "enabled"}]})),
        {
            let mut killed = with("killed", json!({}));
            killed["killedGroups"] = json!(["gamma", "beta"]);
            killed
        },
        with("circle", json!({"prerequisites": [{"flag": "circle", "is": "enabled"}]})),
        with("told", json!({"fallthrough": {"error": "a message"}})),
        with("stale", stale(json!({"serve": {"variant": "a"}}))),
        with("last-known", stale(json!("lastKnown"))),
        with("pause", stale(json!("pause"))),
        with("other-bad", json!({"prerequisites": [{"flag": "bad", "is": "enabled"}]})),
        with("segment-bad", segment("bad")),
        with("segment-absent", segment("absent")),
    ]
}

fn segments() -> Vec<SegmentWire> {
    let hashed = hashed_ids("s", ["other", "another"].into_iter());
    let segments = json!([
        {"key": "hashed", "version": 1, "included": hashed, "excluded": {"keys": ["nobody", "somebody"]}},
        {"key": "condition", "version": 1, "when": {"inSegment": "hashed"}},
        {"key": "bad", "version": 1, "when": {"test": {"attribute": "bad", "operator": "equals"}}},
    ]);
    serde_json::from_value(segments).unwrap()
}

fn snapshot() -> Snapshot {
    let mut off = flag("off", "boolean", &[json!(true), json!(false)]);
    off["state"]["enabled"] = json!(false);
    let mut bad = flag("bad", "boolean", &[json!(true), json!(false)]);
    bad["variants"][0]["value"] = json!("no boolean");
    let mut flags = json!([
        flag("boolean", "boolean", &[json!(true), json!(false)]),
        flag("string", "string", &[json!("one"), json!("two")]),
        flag("integer", "integer", &[json!(1), json!(2)]),
        flag("number", "number", &[json!(0.5), json!(1.5)]),
        flag("object", "object", &[json!({"deep": [1, 2, 3]}), json!([])]),
        off,
        bad,
        operators(),
    ]);
    flags.as_array_mut().unwrap().extend(endings());
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
        .with_segments(segments())
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
        of("acme").user("targeted"),
        of("acme").attr("x", "2026-11-20T09:30:00.125+01:00"),
        of("acme").attr("x", "1.2.3-rc.1+build"),
        of("acme").attr("x", "ÄÖÜ ß İ 2001:db8::1"),
        of("acme").attr("x", "10.0.0.1"),
        of("acme").attr("x", -17),
        of("acme").attr("x", 0.1).attr("tags", json!([1.5e300, "v1.2", null, [1], {"a": 1}, true])),
        of("acme").attr("x", json!({"a": [1, {"b": 3}]})),
        Context::untenanted(),
    ];
    let mut keys = vec!["boolean", "string", "integer", "number", "object", "off", "bad", "absent"];
    keys.extend(["operators", "blocked", "circle", "told", "stale", "last-known", "pause"]);
    keys.extend(["other-bad", "segment-bad", "segment-absent", "killed"]);
    let mut reasons = std::collections::BTreeSet::new();
    for context in &contexts {
        for &key in &keys {
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
        "GROUP_KILL",
        "TENANT_OVERRIDE",
        "GROUP_OVERRIDE",
        "TARGET",
        "PREREQUISITE_FAILED",
        "STALE",
        "PAUSE",
        "NESTED_TOO_DEEP",
        "ERROR_OUTCOME",
        "RULE",
        "FALLTHROUGH",
    ];
    assert_eq!(fine, all.into_iter().collect(), "{reasons:?}");
}

/// A regular expression's search needs memory of its own, which it makes at its first use in a thread and keeps;
/// a text that needs more of it may make it grow once.
#[test]
fn regular_expressions_allocate_at_first_and_then_no_more() {
    let mut flag = flag("regex", "boolean", &[json!(true), json!(false)]);
    flag["state"]["rules"] = json!([{"id": "r", "serve": {"variant": "a"},
        "when": test("user.text", "regex", &json!(["^(a|b)*c$", "x{3,5}\\d"]), &json!({}))}]);
    let (org, env) = (OrgKey::new("demo").unwrap(), EnvKey::new("prod").unwrap());
    let scope = ScopeId { org, env, scope: Scope::Environment };
    let flags: [FlagWire; 1] = [serde_json::from_value(flag).unwrap()];
    let snapshot = Snapshot::from_parts(scope, Revision { org: 1, env: 1 }, flags, []);
    let view = View { snapshot: &snapshot, confirmed: Timestamp::from_seconds(0) };
    for text in ["ababc", "ababd", "xxxx7"] {
        let context = Context::for_tenant(tenant("acme")).user("u").attr("text", text);
        let ask = || _ = evaluate(view, "regex", None, &context, Timestamp::from_seconds(3));
        ask();
        assert_eq!(allocation_counter::measure(ask).count_total, 0, "{text}");
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(
        allocation_counter::measure(|| drop(std::hint::black_box(vec![1, 2, 3]))).count_total,
        1
    );
}
