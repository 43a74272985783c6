//! What rules see of a context.

use flagforge::testing::Fixed;
use flagforge_openfeature::Provider;
use open_feature::{EvaluationContext, EvaluationContextFieldValue as Field, StructValue, Value};
use serde_json::{Value as Json, json};
use time::OffsetDateTime;

use crate::ask::ask;

/// Whether a condition holds for a context, or the error's code.
async fn holds(when: Json, context: EvaluationContext) -> Result<bool, String> {
    let flag = json!({
        "key": "asks", "version": 1, "class": "release", "type": "boolean",
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
        "state": {
            "enabled": true, "off": {"variant": "off"}, "fallthrough": {"variant": "off"},
            "rules": [{"id": "r", "when": when, "serve": {"variant": "on"}}],
        },
    });
    let client = Fixed::new().define(flag).client().unwrap();
    let provider = Provider::for_tenant(client.tenant("acme").unwrap());
    let answer = ask(&provider, "boolean", "asks", &context).await;
    answer.map(|answer| answer.value == true).map_err(|(code, _)| code)
}

fn equals(attribute: &str, value: impl Into<Json>) -> Json {
    let value: Json = value.into();
    json!({"test": {"attribute": attribute, "operator": "equals", "values": [value]}})
}

fn there(attribute: &str) -> Json {
    json!({"test": {"attribute": attribute, "operator": "exists"}})
}

fn with(name: &str, value: impl Into<Field>) -> EvaluationContext {
    EvaluationContext::default().with_custom_field(name, value)
}

fn structure(value: impl std::any::Any + Send + Sync) -> Field {
    Field::new_struct(value)
}

#[tokio::test]
async fn attributes_of_every_type_are_the_users() {
    let cases = [
        (equals("user.key", "u-7"), EvaluationContext::default().with_targeting_key("u-7")),
        (equals("user.key", "u-7"), with("targetingKey", "u-7")),
        (equals("user.country", "DE"), with("country", "DE")),
        (equals("user.on", true), with("on", true)),
        (equals("user.n", i64::MAX), with("n", i64::MAX)),
        (equals("user.x", 0.1), with("x", 0.1)),
        (equals("user.deep.er", 5), with("deep", structure(json!({"er": 5})))),
        (
            equals("user.deep.er", 5),
            with("deep", structure(StructValue::default().with_field("er", 5))),
        ),
        (
            json!({"test": {"attribute": "user.tags", "operator": "deep-equals", "values": [["a", "b"]]}}),
            with("tags", structure(Value::Array(vec!["a".into(), "b".into()]))),
        ),
    ];
    for (when, context) in cases {
        let said = format!("{when} of {context:?}");
        assert_eq!(holds(when, context).await, Ok(true), "{said}");
    }
    assert_eq!(holds(equals("user.n", i64::MAX), with("n", i64::MAX - 1)).await, Ok(false));
}

#[tokio::test]
async fn what_is_not_finite_is_missing() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(holds(there("user.x"), with("x", number)).await, Ok(false), "{number}");
        let deep = StructValue::default().with_field("x", number);
        assert_eq!(holds(there("user.deep.x"), with("deep", structure(deep))).await, Ok(false));
    }
    assert_eq!(holds(there("user.x"), with("x", 1.5)).await, Ok(true));
}

#[tokio::test]
async fn a_datetime_is_its_instant() {
    let instant = OffsetDateTime::from_unix_timestamp_nanos(1_795_167_000_123_456_789).unwrap();
    assert_eq!(
        holds(equals("user.at", "2026-11-20T09:30:00.123456789Z"), with("at", instant)).await,
        Ok(true)
    );
    let before = |limit: &str| json!({"test": {"attribute": "user.at", "operator": "before", "values": [limit]}});
    let east = instant.to_offset(time::UtcOffset::from_hms(5, 30, 0).unwrap());
    assert_eq!(holds(before("2026-11-20T09:30:01Z"), with("at", east)).await, Ok(true));
    assert_eq!(holds(before("2026-11-20T09:30:00Z"), with("at", east)).await, Ok(false));
}

#[tokio::test]
async fn further_entities_are_as_in_ofrep() {
    let phone = json!({"device": {"key": "d-1", "os": "ios"}, "order": {"key": null, "total": 5}});
    let context = || with("entities", structure(phone.clone()));
    for (attribute, value) in
        [("device.key", json!("d-1")), ("device.os", json!("ios")), ("order.total", json!(5))]
    {
        assert_eq!(holds(equals(attribute, value), context()).await, Ok(true), "{attribute}");
    }
    assert_eq!(holds(there("order.key"), context()).await, Ok(false));
}

#[tokio::test]
async fn what_cannot_be_read_is_an_invalid_context() {
    struct Opaque;
    let entities = |json: Json| with("entities", structure(json));
    let contexts = [
        with("deep", structure(Opaque)),
        with("entities", "d-1"),
        with("entities", structure(Opaque)),
        entities(json!(["d-1"])),
        entities(json!({"device": "d-1"})),
        entities(json!({"device": {"key": 7}})),
        entities(json!({"tenant": {"plan": "gold"}})),
        entities(json!({"tenant": {"key": "globex"}})),
        with("tenant", 7),
        with("tenant", structure(json!("acme"))),
        with("targetingKey", 7),
        with("targetingKey", "u-8").with_targeting_key("u-7"),
    ];
    for context in contexts {
        let said = format!("{context:?}");
        let seen = holds(there("user.x"), context).await;
        assert_eq!(seen, Err("INVALID_CONTEXT".to_owned()), "{said}");
    }
    let same = with("targetingKey", "u-7").with_targeting_key("u-7");
    assert_eq!(holds(equals("user.key", "u-7"), same).await, Ok(true));
}
