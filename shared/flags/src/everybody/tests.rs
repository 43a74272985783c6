//! What counts as the tenant's, and what as somebody's own. That the answers are the same is a matter of chance elsewhere.

use serde_json::{Value as Json, json};

use super::*;
use crate::evaluate::View;
use crate::keys::{EnvKey, OrgKey, TenantKey};
use crate::manifest::{Scope, ScopeId};
use crate::revision::Revision;
use crate::time::Timestamp;
use crate::wire::{FlagWire, SegmentWire, TenantWire};

fn read<T: serde::de::DeserializeOwned>(json: Json) -> T {
    serde_json::from_value(json).unwrap()
}

fn flag(key: &str, state: &Json) -> FlagWire {
    let mut flag = json!({
        "key": key, "version": 1, "class": "release", "type": "boolean",
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
        "state": {"enabled": true, "off": {"variant": "off"}, "rules": [], "fallthrough": {"variant": "off"}},
    });
    for (name, value) in state.as_object().unwrap() {
        flag["state"][name] = value.clone();
    }
    read(flag)
}

/// The variant that all of `acme` get, and whether it moves.
fn of_all(state: &Json) -> (Option<Option<String>>, bool) {
    let (org, env) = (OrgKey::new("demo").unwrap(), EnvKey::new("prod").unwrap());
    let scope = ScopeId { org, env, scope: Scope::Environment };
    let acme = TenantKey::new("acme").unwrap();
    let wire: TenantWire = read(json!({
        "uid": "u", "groups": ["g"],
        "attributes": {"plan": "gold", "tags": ["a"], "since": "2026-01-01T00:00:00Z"},
    }));
    let other = flag("by-user", &json!({"rules": rule(&test("user.plan"))}));
    let flags = [flag("f", state), flag("plain", &json!({})), other];
    let segments: [SegmentWire; 3] = [
        read(json!({"key": "users", "version": 1, "included": {"keys": ["u-1"]}})),
        read(
            json!({"key": "tenants", "version": 1, "entity": "tenant", "included": {"keys": ["acme"]}}),
        ),
        read(json!({
            "key": "elements", "version": 1, "entity": "tenant", "included": {"keys": ["globex"]},
            "when": test("element.plan"),
        })),
    ];
    let snapshot = Snapshot::from_parts(scope, Revision::default(), flags, [(acme.clone(), wire)])
        .with_segments(segments);
    let now = Timestamp::from_seconds(1_800_000_000);
    let (_, place) =
        snapshot.places().into_iter().find(|(key, _)| *key == "f").expect("the flag is there");
    let view = View { snapshot: &snapshot, confirmed: now };
    let Alike { answer, moves } = view.everybody(&acme, now).ask(place).unwrap();
    let variant = answer.map(|answer| {
        assert_eq!(answer.error, None, "{state}");
        answer.variant.map(str::to_owned)
    });
    (variant, moves)
}

fn test(attribute: &str) -> Json {
    json!({"test": {"attribute": attribute, "operator": "one-of", "values": ["gold", "a"]}})
}

fn rule(when: &Json) -> Json {
    json!([{"id": "r", "when": when, "serve": {"variant": "on"}}])
}

fn by(unit: &str, fallbacks: &[&str]) -> Json {
    json!({
        "unit": unit, "fallbacks": fallbacks, "salt": "s", "hash": "xxh3", "buckets": 100,
        "from": 0, "until": 100,
    })
}

#[test]
fn what_hangs_on_the_tenant_alone_is_everybodys() {
    let in_list = |when: Json| json!({"anyElement": {"attribute": "tenant.tags", "when": when}});
    let ruled = |when: Json| json!({"rules": rule(&when)});
    let on = Some("on");
    for (state, wanted) in [
        (json!({}), Some("off")),
        (json!({"enabled": false, "rules": rule(&test("user.plan"))}), Some("off")),
        (json!({"fallthrough": "callerDefault"}), None),
        (
            json!({"groupOverrides": [{"group": "g", "variant": "on"}], "rules": rule(&test("user.plan"))}),
            on,
        ),
        (json!({"targets": [{"variant": "on", "entity": "tenant", "keys": ["acme"]}]}), on),
        (
            json!({"stale": {"afterSeconds": 0, "then": "lastKnown"}, "fallthrough": {"variant": "on"}}),
            on,
        ),
        (json!({"prerequisites": [{"flag": "plain", "is": {"variants": ["on"]}}]}), Some("off")),
        (ruled(test("tenant.plan")), on),
        (ruled(json!({"inGroup": "g"})), on),
        (ruled(json!({"inSegment": "tenants"})), on),
        (ruled(in_list(test("element"))), on),
        (ruled(in_list(json!({"all": [{"inSegment": "tenants"}, test("element")]}))), on),
        (ruled(json!({"rollout": by("tenant.key", &[])})), on),
        // What stands after a decision is nobody's business.
        (ruled(json!({"any": [test("tenant.plan"), test("user.plan")]})), on),
        (ruled(json!({"all": [{"not": test("tenant.plan")}, test("user.plan")]})), Some("off")),
    ] {
        assert_eq!(of_all(&state), (Some(wanted.map(str::to_owned)), false), "{state}");
    }
}

#[test]
fn what_hangs_on_more_is_not() {
    let in_list = |when: Json| json!({"anyElement": {"attribute": "tenant.tags", "when": when}});
    let split = |unit: &str| {
        json!({"split": {
            "unit": unit, "salt": "s", "hash": "xxh3", "buckets": 2,
            "ranges": [{"from": 0, "until": 1, "variant": "on"}, {"from": 1, "until": 2, "variant": "off"}],
        }})
    };
    let ruled = |when: Json| json!({"rules": rule(&when)});
    for state in [
        json!({"targets": [{"variant": "on", "keys": ["u-1"]}]}),
        json!({"fallthrough": split("user.key")}),
        json!({"rules": [{"id": "r", "when": "always", "serve": split("device.key")}]}),
        json!({"prerequisites": [{"flag": "by-user", "is": {"variants": ["on"]}}]}),
        ruled(test("user.plan")),
        ruled(json!({"inSegment": "users"})),
        // An entity that is called so, where there is no list, and in a segment that is asked from within one.
        ruled(test("element.plan")),
        ruled(in_list(json!({"inSegment": "elements"}))),
        ruled(json!({"any": [{"not": in_list(test("element"))}, test("element.plan")]})),
        ruled(json!({"anyElement": {"attribute": "user.tags", "when": test("element")}})),
        ruled(json!({"rollout": by("user.key", &[])})),
        ruled(json!({"rollout": by("user.key", &["tenant.key"])})),
        ruled(json!({"rollout": by("tenant.region", &["user.key", "tenant.key"])})),
    ] {
        assert_eq!(of_all(&state), (None, false), "{state}");
    }
}

#[test]
fn what_moves_with_time_is_said_to() {
    let ramp = |unit: &str| {
        json!({"ramp": {
            "unit": unit, "salt": "s", "hash": "xxh3", "buckets": 100, "variant": "on", "rest": "off",
            "from": 0, "until": 100, "start": "2026-01-01T00:00:00Z", "end": "2028-01-01T00:00:00Z",
        }})
    };
    let before = |attribute: &str| json!({"test": {"attribute": attribute, "operator": "before", "values": ["now"]}});
    for (state, moves) in [
        (json!({"fallthrough": ramp("tenant.key")}), true),
        (json!({"rules": rule(&before("tenant.since"))}), true),
        // May become everybody's, and may cease to be.
        (
            json!({"rules": rule(&json!({"any": [{"not": before("tenant.since")}, test("user.plan")]}))}),
            true,
        ),
        (json!({"fallthrough": ramp("user.key")}), false),
        (json!({"rules": rule(&before("user.since"))}), false),
        (
            json!({"rules": rule(&json!({"any": [test("user.plan"), before("tenant.since")]}))}),
            false,
        ),
    ] {
        assert_eq!(of_all(&state).1, moves, "{state}");
    }
}
