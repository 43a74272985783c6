//! Every reason and error code, of every type.

use std::time::Duration;

use flagforge::testing::Fixed;
use flagforge::{Client, Hook, Question, Refused};
use flagforge_openfeature::Provider;
use open_feature::EvaluationContext;
use serde_json::{Value as Json, json};

use crate::ask::{Seen, TYPES, ask};
use crate::kit::{Publisher, tenant};

/// The values `on` and `off` of a type.
fn values(kind: &str) -> (Json, Json) {
    match kind {
        "boolean" => (json!(true), json!(false)),
        "string" => (json!("größer"), json!("")),
        "integer" => (json!(i64::MAX), json!(i64::MIN)),
        "number" => (json!(1.0), json!(-0.25)),
        _ => (json!({"rows": 7, "deep": {"list": [1, 2.5, "x", {}]}}), json!({})),
    }
}

fn define(kind: &str, name: &str, state: &Json) -> Json {
    let (on, off) = values(kind);
    let mut flag = json!({
        "key": format!("{kind}.{name}"), "version": 7, "class": "release", "type": kind,
        "variants": [{"key": "on", "value": on}, {"key": "off", "value": off}],
        "state": {"enabled": true, "off": {"variant": "off"}, "fallthrough": {"variant": "on"}},
    });
    for (field, value) in state.as_object().unwrap() {
        flag["state"][field] = value.clone();
    }
    flag
}

fn test(attribute: &str, value: &str) -> Json {
    json!({"test": {"attribute": attribute, "operator": "equals", "values": [value]}})
}

fn split(unit: &str) -> Json {
    json!({"split": {
        "unit": unit, "salt": "s", "hash": "xxh3", "buckets": 100,
        "ranges": [{"from": 0, "until": 100, "variant": "on"}],
    }})
}

/// A flag's name, its state, and what the user `u-7` of acme sees in Germany: the variant, the reason and the finer one.
fn answered() -> Vec<(&'static str, Json, [&'static str; 3])> {
    let rule = |country: &str| json!([{"id": "de", "when": test("user.country", country), "serve": {"variant": "on"}}]);
    let off = json!({"variant": "off"});
    vec![
        ("static", json!({}), ["on", "STATIC", "FALLTHROUGH"]),
        ("off", json!({"enabled": false}), ["off", "DISABLED", "OFF"]),
        (
            "no-rule",
            json!({"rules": rule("FR"), "fallthrough": off}),
            ["off", "DEFAULT", "FALLTHROUGH"],
        ),
        (
            "rule",
            json!({"rules": rule("DE"), "fallthrough": off}),
            ["on", "TARGETING_MATCH", "RULE"],
        ),
        (
            "target",
            json!({"targets": [{"variant": "off", "keys": ["u-7"]}]}),
            ["off", "TARGETING_MATCH", "TARGET"],
        ),
        ("split", json!({"fallthrough": split("user.key")}), ["on", "SPLIT", "FALLTHROUGH"]),
        ("overridden", json!({}), ["off", "TARGETING_MATCH", "TENANT_OVERRIDE"]),
        (
            "group",
            json!({"groupOverrides": [{"group": "g1", "variant": "off"}]}),
            ["off", "TARGETING_MATCH", "GROUP_OVERRIDE"],
        ),
        (
            "needs",
            json!({"prerequisites": [{"flag": "boolean.off", "is": {"variants": ["on"]}}]}),
            ["off", "DISABLED", "PREREQUISITE_FAILED"],
        ),
        (
            "stale",
            json!({"stale": {"afterSeconds": 60, "then": {"serve": off}}}),
            ["off", "STALE", "STALE"],
        ),
    ]
}

/// What is an error, or the caller's own default.
fn refused() -> Vec<(&'static str, Json, &'static str)> {
    let segment = json!([{"id": "r", "when": {"inSegment": "gone"}, "serve": {"variant": "on"}}]);
    let circle =
        |kind: &str| json!([{"flag": format!("{kind}.circle"), "is": {"variants": ["on"]}}]);
    vec![
        ("own", json!({"fallthrough": "callerDefault"}), "the caller's default, DEFAULT"),
        (
            "own-off",
            json!({"enabled": false, "off": "callerDefault"}),
            "the caller's default, DISABLED",
        ),
        ("outcome", json!({"fallthrough": {"error": "not carried over"}}), "GENERAL"),
        ("unit", json!({"fallthrough": split("device.key")}), "TARGETING_KEY_MISSING"),
        ("segment", json!({"rules": segment}), "PARSE_ERROR"),
        ("unknown-variant", json!({}), "PARSE_ERROR"),
        ("malformed", json!({"fallthrough": {"variant": "no-such"}}), "PARSE_ERROR"),
        ("circle", json!({"prerequisites": circle("boolean")}), "GENERAL"),
    ]
}

/// All of them, published and loaded, for acme.
async fn provider() -> Provider {
    let states = || {
        let refused = refused().into_iter().map(|(name, state, _)| (name, state));
        answered().into_iter().map(|(name, state, _)| (name, state)).chain(refused)
    };
    let flags = TYPES.iter().flat_map(|kind| {
        states().map(|(name, state)| serde_json::from_value(define(kind, name, &state)).unwrap())
    });
    let overrides = TYPES.iter().flat_map(|kind| {
        let own = [("overridden", "off"), ("unknown-variant", "no-such")];
        own.map(|(name, variant)| (format!("{kind}.{name}"), json!(variant)))
    });
    let overrides: serde_json::Map<_, _> = overrides.collect();
    let acme = json!({"uid": "uid-acme", "groups": ["g1"], "overrides": overrides});
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    let acme = (tenant("acme"), serde_json::from_value(acme).unwrap());
    publisher.publish(&flags.collect::<Vec<_>>(), &[acme]);
    let client = Client::connect(&publisher.connection()).await.unwrap();
    Provider::for_tenant(client.tenant("acme").unwrap())
}

fn german() -> EvaluationContext {
    EvaluationContext::default().with_targeting_key("u-7").with_custom_field("country", "DE")
}

fn code(seen: &Seen) -> &str {
    seen.as_ref().map_or_else(|(code, _)| code.as_str(), |_| "no error")
}

#[tokio::test(flavor = "current_thread")]
async fn every_reason_of_every_type() {
    let provider = provider().await;
    flagforge::testing::later(Duration::from_secs(90));
    for kind in TYPES {
        let (on, off) = values(kind);
        for (name, state, [variant, reason, fine]) in answered() {
            let key = format!("{kind}.{name}");
            let answer = ask(&provider, kind, &key, &german()).await.unwrap();
            let value = if variant == "on" { &on } else { &off };
            assert_eq!((&answer.key, &answer.value), (&key, value), "{key}");
            assert_eq!(
                (answer.reason.as_str(), answer.variant.as_deref()),
                (reason, Some(variant)),
                "{key}"
            );
            let metadata = &answer.metadata;
            assert_eq!(metadata["fineReason"], fine, "{key}");
            assert_eq!(metadata.get("rule"), (name == "rule").then(|| json!("de")).as_ref());
            assert_eq!(metadata.get("stale"), state.get("stale").map(|_| json!(true)).as_ref());
            assert_eq!(
                (&metadata["flagVersion"], &metadata["revision"]),
                (&json!(7), &json!("1.1"))
            );
            assert_eq!(metadata["tenantKnown"], true);
            assert!(metadata["ageSeconds"].as_i64().unwrap() >= 90, "{metadata:?}");
        }
    }
}

#[tokio::test]
async fn every_error_of_every_type_leaves_the_callers_default() {
    let provider = provider().await;
    for kind in TYPES {
        for (name, _, expected) in refused() {
            let seen = ask(&provider, kind, &format!("{kind}.{name}"), &german()).await;
            assert_eq!(code(&seen), expected, "{kind}.{name}: {seen:?}");
        }
        for missing in ["gone", "", "no/such key", &"x".repeat(4_000)] {
            assert_eq!(code(&ask(&provider, kind, missing, &german()).await), "FLAG_NOT_FOUND");
        }
        for other in TYPES.into_iter().filter(|other| *other != kind) {
            let seen = ask(&provider, kind, &format!("{other}.static"), &german()).await;
            assert_eq!(code(&seen), "TYPE_MISMATCH", "{other} as {kind}");
        }
        let (split, nobody) = (format!("{kind}.split"), EvaluationContext::default());
        let seen = ask(&provider, kind, &split, &nobody).await;
        assert_eq!(code(&seen), "TARGETING_KEY_MISSING");
    }
}

#[tokio::test]
async fn a_message_says_what_is_wrong() {
    let (_, message) =
        ask(&provider().await, "string", "integer.static", &german()).await.unwrap_err();
    assert_eq!(message, "the flag is of type integer, not string");
    let (_, message) =
        ask(&provider().await, "number", "number.outcome", &german()).await.unwrap_err();
    assert_eq!(message, "not carried over");
}

#[tokio::test]
async fn a_list_is_no_structure_and_null_has_no_place() {
    let fixed = Fixed::new().flag("list", json!([1, 2])).flag("holes", json!({"list": [null]}));
    let client = fixed.flag("null", json!({"gone": null, "big": u64::MAX})).client().unwrap();
    let provider = Provider::for_tenant(client.tenant("acme").unwrap());
    for key in ["list", "holes"] {
        assert_eq!(code(&ask(&provider, "object", key, &german()).await), "TYPE_MISMATCH", "{key}");
    }
    let null = ask(&provider, "object", "null", &german()).await.unwrap();
    assert_eq!(null.value, json!({"big": 18_446_744_073_709_551_615.0}));
}

struct Refusing;

impl Hook for Refusing {
    fn before(&self, question: &Question<'_>) -> Result<(), Refused> {
        if question.flag() == "dark" { Err(Refused("not today")) } else { Ok(()) }
    }
}

#[tokio::test]
async fn hooks_of_the_client_hear_of_it() {
    let fixed = Fixed::new().flag("dark", true).flag("light", true).hook(Refusing);
    let provider = Provider::for_tenant(fixed.client().unwrap().tenant("acme").unwrap());
    let (code, message) = ask(&provider, "boolean", "dark", &german()).await.unwrap_err();
    assert_eq!((code.as_str(), message.as_str()), ("GENERAL", "a hook refused: not today"));
    assert_eq!(ask(&provider, "boolean", "light", &german()).await.unwrap().value, true);
}
