//! What the vectors cannot say: tenancy, faults that are values of Rust, and that explaining is evaluating.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::explain::explain;
use crate::keys::{EnvKey, OrgKey, TenantKey};
use crate::manifest::{Scope, ScopeId};
use crate::pinned::FlagName;
use crate::revision::Revision;
use crate::value::Value;
use crate::wire::{FlagWire, TenantWire};

fn tenant(key: &str) -> TenantKey {
    TenantKey::new(key).unwrap()
}

fn scope() -> ScopeId {
    let (org, env) = (OrgKey::new("demo").unwrap(), EnvKey::new("prod").unwrap());
    ScopeId { org, env, scope: Scope::Environment }
}

fn snapshot(flags: Json, tenants: Json) -> Snapshot {
    let flags: Vec<FlagWire> = serde_json::from_value(flags).unwrap();
    let tenants: std::collections::BTreeMap<TenantKey, TenantWire> =
        serde_json::from_value(tenants).unwrap();
    Snapshot::from_parts(scope(), Revision { org: 17, env: 41 }, flags, tenants)
}

fn flag(key: &str, state: &Json) -> Json {
    json!({
        "key": key, "version": 3, "class": "release", "type": "boolean",
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
        "state": {
            "enabled": state.get("enabled").unwrap_or(&json!(true)),
            "off": state.get("off").unwrap_or(&json!({"variant": "off"})),
            "groupOverrides": state.get("groupOverrides").unwrap_or(&json!([])),
            "rules": state.get("rules").unwrap_or(&json!([])),
            "fallthrough": state.get("fallthrough").unwrap_or(&json!({"variant": "off"})),
        }
    })
}

fn when(attribute: &str, value: &Json) -> Json {
    json!([{"id": "r", "serve": {"variant": "on"},
            "when": {"test": {"attribute": attribute, "operator": "equals", "values": [value]}}}])
}

fn ask<'s>(snapshot: &'s Snapshot, flag: &str, context: &Context<'_>) -> Answer<'s> {
    let view = View { snapshot, confirmed: Timestamp::from_seconds(100) };
    evaluate(view, flag, None, context, Timestamp::from_seconds(103))
}

#[test]
fn an_answer_says_where_it_comes_from() {
    let snapshot = snapshot(json!([flag("f", &json!({}))]), json!({}));
    let view = View { snapshot: &snapshot, confirmed: Timestamp::from_seconds(100) };
    let pinned = view.pin(Context::for_tenant(tenant("acme")), Timestamp::from_seconds(103));
    let answer = pinned.answer(FlagName::new("f"), None);
    assert_eq!((answer.flag_version, pinned.revision().to_string()), (Some(3), "17.41".into()));
    assert_eq!(pinned.age(), Duration::from_secs(3));
    assert!(!pinned.tenant_known() && !answer.client_visible);
    assert_eq!(pinned.answers().collect::<Vec<_>>(), [("f", answer)]);
    // A clock that was set back makes nothing younger than new.
    let early = view.pin(Context::untenanted(), Timestamp::from_seconds(1));
    assert_eq!(early.age(), Duration::ZERO);
}

#[test]
fn tenant_attributes_come_from_the_directory_alone() {
    let flags = json!([flag("f", &json!({"rules": when("tenant.plan", &json!("gold"))}))]);
    let snapshot = snapshot(
        flags,
        json!({"acme": {"uid": "1", "attributes": {"plan": "gold"}},
                                          "globex": {"uid": "2", "attributes": {"plan": "free"}}}),
    );
    assert_eq!(ask(&snapshot, "f", &Context::for_tenant(tenant("acme"))).variant, Some("on"));
    // The user may call themselves what they like.
    let context =
        Context::for_tenant(tenant("globex")).attr("plan", "gold").attr("tenant.plan", "gold");
    assert_eq!(ask(&snapshot, "f", &context).variant, Some("off"));
    // A context that describes the tenant gets no answer at all, not even from a flag that would not read it.
    for context in [
        Context::for_tenant(tenant("globex")).entity_attr("tenant", "plan", "gold"),
        Context::for_tenant(tenant("globex")).entity("tenant", "acme"),
        Context::untenanted().entity("tenant", "acme"),
    ] {
        let answer = ask(&snapshot, "f", &context);
        assert_eq!((answer.value, answer.error), (None, Some(EvalError::TenantInContext)));
    }
    // A tenant that the directory does not know has no attributes, and is said to be unknown.
    let view = View { snapshot: &snapshot, confirmed: Timestamp::from_seconds(100) };
    let pinned = view.pin(Context::for_tenant(tenant("nobody")), Timestamp::from_seconds(103));
    let answer = pinned.answer(FlagName::new("f"), None);
    assert_eq!((answer.variant, pinned.tenant_known()), (Some("off"), false));
}

#[test]
fn flags_that_read_the_tenant_refuse_nobody() {
    let unit = json!({"split": {"unit": "tenant.key", "salt": "s", "hash": "xxh3", "buckets": 1,
                                "ranges": [{"from": 0, "until": 1, "variant": "on"}]}});
    let reading = [
        json!({"rules": when("tenant.plan", &json!("gold"))}),
        json!({"rules": when("tenant.key", &json!("acme"))}),
        json!({"groupOverrides": [{"group": "beta", "variant": "on"}]}),
        json!({"fallthrough": unit}),
        json!({"off": unit}),
        // Off or on: whether the answer is refused does not depend on a switch.
        json!({"enabled": false, "rules": when("tenant.plan", &json!("gold"))}),
    ];
    for state in reading {
        let snapshot = snapshot(json!([flag("f", &state)]), json!({}));
        let answer = ask(&snapshot, "f", &Context::untenanted());
        assert_eq!(answer.error, Some(EvalError::TenantRequired), "{state}");
        assert_eq!(answer.error.unwrap().code(), "INVALID_CONTEXT");
        assert!(ask(&snapshot, "f", &Context::for_tenant(tenant("x"))).error.is_none(), "{state}");
    }
    let snapshot =
        snapshot(json!([flag("f", &json!({"rules": when("user.x", &json!(1))}))]), json!({}));
    assert_eq!(ask(&snapshot, "f", &Context::untenanted()).variant, Some("off"));
}

#[test]
fn one_tenants_overrides_are_not_anothers() {
    let tenants = json!({"acme": {"uid": "1", "overrides": {"f": "on"}},
                         "acme2": {"uid": "2", "overrides": {"g": "on"}}});
    let flags = json!([flag("f", &json!({})), flag("g", &json!({}))]);
    let snapshot = snapshot(flags, tenants);
    let variant = |who: &str, which: &str| {
        ask(&snapshot, which, &Context::for_tenant(tenant(who))).variant.map(str::to_owned)
    };
    assert_eq!(variant("acme", "f").as_deref(), Some("on"));
    assert_eq!(variant("acme", "g").as_deref(), Some("off"));
    assert_eq!(variant("acme2", "f").as_deref(), Some("off"));
    assert_eq!(variant("acme3", "f").as_deref(), Some("off"));
}

#[test]
fn an_override_for_a_variant_that_is_gone_is_an_error_and_not_no_override() {
    let tenants = json!({"acme": {"uid": "1", "overrides": {"f": "gone"}}});
    let snapshot = snapshot(json!([flag("f", &json!({}))]), tenants);
    let answer = ask(&snapshot, "f", &Context::for_tenant(tenant("acme")));
    assert_eq!((answer.value, answer.error), (None, Some(EvalError::OverrideUnknownVariant)));
}

#[test]
fn the_type_asked_for_is_the_flags_or_there_is_no_answer() {
    let snapshot = snapshot(json!([flag("f", &json!({}))]), json!({}));
    let view = View { snapshot: &snapshot, confirmed: Timestamp::default() };
    let ask = |want| evaluate(view, "f", want, &Context::untenanted(), Timestamp::default());
    assert!(ask(Some(ValueType::Boolean)).error.is_none() && ask(None).error.is_none());
    let wanted = ValueType::String;
    let error = EvalError::TypeMismatch { wanted, actual: ValueType::Boolean };
    let answer = ask(Some(wanted));
    assert_eq!((answer.reason, answer.fine), (Reason::Error, FineReason::TypeMismatch));
    assert_eq!(error.to_string(), "the flag is of type boolean, not string");
    assert_eq!(answer.error, Some(error));
}

#[test]
fn an_explanation_reads_as_a_trace() {
    let rules = json!([
        {"id": "de", "serve": {"variant": "on"}, "when": {"all": [
            {"test": {"attribute": "user.country", "operator": "one-of", "values": ["DE", "AT"]}},
            {"not": {"test": {"attribute": "user.age", "operator": "equals", "values": [17]}}}]}},
        {"id": "half", "when": "always", "serve": {"split": {
            "unit": "user.key", "salt": "s", "hash": "xxh3", "buckets": 100_000,
            "ranges": [{"from": 0, "until": 50_000, "variant": "on"},
                       {"from": 50_000, "until": 100_000, "variant": "off"}]}}},
    ]);
    let state = json!({"rules": rules, "groupOverrides": [{"group": "beta", "variant": "on"}]});
    let snapshot = snapshot(json!([flag("f", &state)]), json!({"acme": {"uid": "1"}}));
    let context = Context::for_tenant(tenant("acme")).user("u-1").attr("country", "FR");
    let view = View { snapshot: &snapshot, confirmed: Timestamp::from_seconds(100) };
    let explanation = explain(view, "f", &context, Timestamp::from_seconds(103));
    let text = explanation.to_string();
    assert_eq!(
        text,
        "f = true (variant `on`) · SPLIT / RULE by rule `half`
flag version 3, revision 17.41, 3 s old
  + flag `f` is there
  + tenant `acme` is in the directory
  - no override for the tenant
  - override for group `beta`: the tenant is not in it
  - rule 1 `de`
    - all of
      - user.country = \"FR\", one-of [\"AT\", \"DE\"]
  + rule 2 `half`
    + always
  + split by user.key = \"u-1\": bucket 46004 of 100000 is `on`
"
    );
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["fineReason"], "RULE");
    assert_eq!(
        json["steps"][6],
        json!({"depth": 2, "step": "test", "subject": "user.country",
        "found": "FR", "held": false, "text": "user.country = \"FR\", one-of [\"AT\", \"DE\"]"})
    );
    let explanation = explain(view, &"x".repeat(10_000), &context, Timestamp::from_seconds(103));
    assert_eq!(explanation.error_code, Some("FLAG_NOT_FOUND"));
    assert!(explanation.to_string().len() < 2_000);
}

/// Flags of any shape that compiles, over a few attributes, groups and variants.
fn condition() -> impl Strategy<Value = Json> {
    let operand =
        prop::sample::select(vec![json!("a"), json!("b"), json!(1), json!(1.5), json!(true)]);
    let attribute =
        prop::sample::select(vec!["user.key", "user.x", "user.y.z", "tenant.key", "tenant.plan"]);
    let test = (attribute, prop::collection::vec(operand, 1..3), any::<bool>(), any::<bool>());
    let test = test.prop_map(|(attribute, values, negate, if_missing)| {
        json!({"test": {"attribute": attribute, "operator": "one-of", "values": values,
                        "negate": negate, "ifMissing": if_missing}})
    });
    let leaf = prop_oneof![1 => Just(json!("always")), 4 => test];
    leaf.prop_recursive(4, 16, 3, |inner| {
        let parts = prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            parts.clone().prop_map(|parts| json!({ "all": parts })),
            parts.prop_map(|parts| json!({ "any": parts })),
            inner.prop_map(|part| json!({ "not": part })),
        ]
    })
}

fn outcome_json() -> impl Strategy<Value = Json> {
    let unit = prop::sample::select(vec!["user.key", "user.x", "tenant.key"]);
    prop_oneof![
        Just(json!({"variant": "on"})),
        Just(json!("callerDefault")),
        (unit, 1..10_u32).prop_map(|(unit, cut)| json!({"split": {
        "unit": unit, "salt": "s", "hash": "xxh3", "buckets": 10,
        "ranges": if cut == 10 { json!([{"from": 0, "until": 10, "variant": "on"}]) } else {
            json!([{"from": 0, "until": cut, "variant": "on"},
                   {"from": cut, "until": 10, "variant": "off"}])
        }}})),
    ]
}

fn state() -> impl Strategy<Value = Json> {
    let rules = prop::collection::vec((condition(), outcome_json()), 0..4);
    (any::<bool>(), outcome_json(), rules, outcome_json(), any::<bool>()).prop_map(
        |(off, off_outcome, rules, fallthrough, groups)| {
            let rules = rules.into_iter().enumerate();
            let rule =
                |(i, (when, serve))| json!({"id": format!("r{i}"), "when": when, "serve": serve});
            let groups =
                if groups { json!([{"group": "beta", "variant": "on"}]) } else { json!([]) };
            json!({"enabled": !off, "off": off_outcome, "groupOverrides": groups,
                   "rules": rules.map(rule).collect::<Vec<_>>(), "fallthrough": fallthrough})
        },
    )
}

fn who() -> impl Strategy<Value = Context<'static>> {
    let value = prop::sample::select(vec![
        json!("a"),
        json!(1),
        json!(1.0),
        json!(1.5),
        json!(null),
        json!(["b", 1]),
        json!({"z": "a"}),
        json!(true),
    ]);
    let tenants = prop::sample::select(vec![None, Some("acme"), Some("globex"), Some("nobody")]);
    let user = prop::sample::select(vec![None, Some("a"), Some("u-1")]);
    (tenants, user, prop::option::of(value.clone()), prop::option::of(value)).prop_map(
        |(tenant_key, user, x, y)| {
            let mut context = match tenant_key {
                Some(key) => Context::for_tenant(tenant(key)),
                None => Context::untenanted(),
            };
            if let Some(user) = user {
                context = context.user(user);
            }
            if let Some(x) = x {
                context = context.attr("x", x);
            }
            if let Some(y) = y {
                context = context.attr("y", y);
            }
            context
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Explaining gives the answer that evaluating gives, and its last steps fit the answer.
    #[test]
    fn explaining_is_evaluating(state in state(), context in who()) {
        let tenants = json!({"acme": {"uid": "1", "attributes": {"plan": "a"}, "groups": ["beta"]},
                             "globex": {"uid": "2", "overrides": {"f": "off"}}});
        let snapshot = snapshot(json!([flag("f", &state)]), tenants);
        let answer = ask(&snapshot, "f", &context);
        let view = View { snapshot: &snapshot, confirmed: Timestamp::from_seconds(100) };
        let explained = explain(view, "f", &context, Timestamp::from_seconds(103));
        prop_assert_eq!(explained.value, answer.value.map(Value::to_json));
        prop_assert_eq!(explained.variant.as_deref(), answer.variant);
        prop_assert_eq!(explained.reason, answer.reason.as_str());
        prop_assert_eq!(explained.fine_reason, answer.fine.as_str());
        prop_assert_eq!(explained.rule.as_deref(), answer.rule);
        prop_assert_eq!(explained.error_code, answer.error.as_ref().map(EvalError::code));
        // A rule that decided is the last rule asked, and held.
        let asked = explained.steps.iter().rev().find(|s| s.step == crate::StepKind::Rule);
        if let Some(rule) = answer.rule {
            prop_assert_eq!(asked.unwrap().subject.as_deref(), Some(rule));
            prop_assert_eq!(asked.unwrap().held, Some(true));
        }
        // An error means the caller's default, and nothing else than an error is called one.
        prop_assert_eq!(answer.error.is_some(), answer.reason == Reason::Error);
        prop_assert!(answer.error.is_none() || answer.value.is_none());
        prop_assert_eq!(answer.value.is_some(), answer.variant.is_some());
    }
}
