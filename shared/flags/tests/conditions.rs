//! What `docs/conditions.md` says a text means is what evaluation answers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_flags::text_form::parse;
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagWire, SegmentWire, TenantWire};
use flagforge_flags::{Context, Revision, Snapshot, Value, View, evaluate, explain};
use serde_json::{Value as Json, json};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn from<T: serde::de::DeserializeOwned>(json: Json) -> T {
    serde_json::from_value(json).unwrap()
}

fn flag(key: &str, enabled: bool, when: &Json) -> FlagWire {
    from(json!({
        "key": key, "version": 1, "class": "release", "type": "boolean",
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
        "state": {
            "enabled": enabled, "off": {"variant": "off"}, "fallthrough": {"variant": "off"},
            "rules": [{"id": "r", "serve": {"variant": "on"}, "when": when}],
        }
    }))
}

/// Whether the condition holds for a user of acme, which is on the plan gold and among the friends, with these attributes.
fn holds(text: &str, attributes: &Json) -> bool {
    let when = parse(text).map_err(|error| error.to_string()).unwrap();
    let flags = [
        flag("k", true, &json!(when)),
        flag("lit", true, &json!("always")),
        flag("dark", false, &json!("always")),
    ];
    let scope = ScopeId {
        org: OrgKey::new("demo").unwrap(),
        env: EnvKey::new("prod").unwrap(),
        scope: Scope::Environment,
    };
    let acme: TenantWire =
        from(json!({"uid": "t", "attributes": {"plan": "gold"}, "groups": ["friends"]}));
    let tenants = [(TenantKey::new("acme").unwrap(), acme)];
    let segment: SegmentWire =
        from(json!({"key": "beta", "version": 1, "included": {"keys": ["u-7"]}}));
    let snapshot = Snapshot::from_parts(scope, Revision { org: 1, env: 1 }, flags, tenants)
        .with_segments([segment]);
    let mut context = Context::for_tenant(TenantKey::new("acme").unwrap()).user("u-7");
    for (name, value) in attributes.as_object().unwrap() {
        context = context.attr(name.as_str(), value.clone());
    }
    let view = View { snapshot: &snapshot, confirmed: NOW };
    let answer = evaluate(view, "k", None, &context, NOW);
    let trace = explain(view, "k", &context, NOW);
    answer.value.and_then(Value::as_bool).ok_or_else(|| trace.to_string()).unwrap()
}

#[test]
fn every_kind_of_condition_holds_and_fails() {
    for (text, yes, no) in [
        ("user.x == 17", json!(17.0), json!("17")),
        ("user.x != \"a\"", json!("b"), json!("a")),
        ("user.x in [\"a\", 1, true]", json!(true), json!("true")),
        ("user.x in [\"a\"]", json!(["b", "a"]), json!(["b"])),
        ("user.x.deep_equals({\"a\": [1]})", json!({"a": [1]}), json!({"a": [2]})),
        ("user.x.contains(\"b\", \"c\")", json!("abx"), json!("ax")),
        ("user.x.startsWith(\"a\")", json!("ab"), json!("ba")),
        ("user.x.endsWith(\"@x.org\").ignore_case()", json!("A@X.ORG"), json!("a@x.orgs")),
        (r#"user.x.matches(r"^\d+$")"#, json!("123"), json!("12a")),
        ("user.x < 3", json!(2.5), json!(3)),
        ("user.x >= \"m\"", json!("n"), json!("l")),
        ("user.x % 10 == 3", json!(23), json!(24)),
        ("user.x >= semver(\"2.3.0\")", json!("2.10.0"), json!("2.3.0-rc.1")),
        ("user.x >= lenient_semver(\"2.3\")", json!("v2.3"), json!("2.2.9")),
        ("user.x < date(\"2026-01-01\")", json!("2025-12-31T23:59:59Z"), json!("2026-01-01")),
        (
            "user.x > date(1700000000000)",
            json!(1_700_000_000_001_i64),
            json!(1_700_000_000_000_i64),
        ),
        ("user.x < now", json!("2026-11-20"), json!("2037-01-01")),
        ("in_network(user.x, [\"10.0.0.0/8\", \"::1\"])", json!("10.1.2.3"), json!("11.1.2.3")),
        ("user.x.is_type(\"list\")", json!([]), json!("list")),
        ("size(user.x) >= 3", json!("äöü"), json!([1, 2])),
        ("user.x.hash_prefix(\"ba7816bf\")", json!("abc"), json!("abd")),
        ("user.x.exists(element, element > 2)", json!([1, 3]), json!([1, 2])),
        (
            "user.x.all(element, element.n == 1)",
            json!([{"n": 1}, {"n": 1}]),
            json!([{"n": 1}, {"n": 2}]),
        ),
        ("(user.x == \"17\").as_text()", json!(17), json!(18)),
        ("(user.x > 3).as_number()", json!("3.5"), json!("x")),
        ("(user.x in [\"a\"]).negated()", json!("b"), json!("a")),
        ("user.x", json!(true), json!(false)),
        ("\"vip\" in user.x", json!(["vip"]), json!(["x"])),
        ("user.x == 1 || user.x == 2 && false", json!(1), json!(2)),
        ("!(user.x == 1)", json!(2), json!(1)),
    ] {
        assert!(holds(text, &json!({"x": yes})), "{text} with {yes}");
        assert!(!holds(text, &json!({"x": no})), "{text} with {no}");
    }
}

#[test]
fn a_missing_attribute_holds_where_the_page_says_so() {
    for (text, expected) in [
        ("user.x == \"a\"", false),
        ("user.x != \"a\"", false),
        ("!(user.x == \"a\")", true),
        ("(user.x == \"a\").or_missing()", true),
        ("(user.x != \"a\").or_missing()", true),
        ("has(user.x)", false),
        ("!has(user.x)", true),
        ("user.x == null", true),
        ("user.x != null", false),
    ] {
        assert_eq!(holds(text, &json!({})), expected, "{text}");
        assert_eq!(holds(text, &json!({"x": null})), expected, "{text} with null");
    }
}

#[test]
fn what_is_no_attribute_holds_too() {
    for (text, expected) in [
        ("true", true),
        ("false", false),
        ("tenant.plan == \"gold\"", true),
        ("in_segment(\"beta\")", true),
        ("in_group(\"friends\")", true),
        ("in_group(\"foes\")", false),
        ("flag(\"lit\") == \"on\"", true),
        ("flag(\"lit\") in [\"off\"]", false),
        ("flag(\"lit\") != \"off\"", true),
        ("flag(\"dark\").is_off()", true),
        ("flag(\"lit\").is_enabled()", true),
        ("rollout(user.key, \"s\", 1.0)", true),
        ("rollout(user.key, \"s\", 0.0)", false),
        ("rollout(user.none, \"s\", {\"missing\": \"bucket-zero\", \"until\": 1})", true),
        ("rollout(user.none, \"s\", 1.0)", false),
    ] {
        assert_eq!(holds(text, &json!({})), expected, "{text}");
    }
}
