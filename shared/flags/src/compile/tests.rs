//! Limits at the limit and one past it, and bytes of every kind.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::wire::ConditionWire;

fn flag() -> Json {
    json!({
        "key": "f", "version": 1, "class": "release", "type": "boolean",
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
        "state": {"enabled": true, "off": {"variant": "off"}, "fallthrough": {"variant": "on"}}
    })
}

fn with(pointer: &str, value: Json) -> Json {
    let mut flag = flag();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    flag.pointer_mut(parent).unwrap()[name] = value;
    flag
}

fn check(flag: &Json) -> Result<(), String> {
    compile_json("f", &flag.to_string()).map(|_| ()).map_err(|fault| {
        let text = fault.to_string();
        assert!(text.starts_with(fault.path()), "{text} names {}", fault.path());
        text
    })
}

fn rule(id: usize, when: &Json) -> Json {
    json!({"id": format!("r{id}"), "when": when, "serve": {"variant": "on"}})
}

fn test(values: &[Json]) -> Json {
    json!({"test": {"attribute": "user.x", "operator": "one-of", "values": values}})
}

/// Holds a list of `count` elements against its limit.
fn at_the_limit(limit: usize, what: &str, make: impl Fn(usize) -> Json) {
    assert_eq!(check(&make(limit)), Ok(()), "{what}");
    let fault = check(&make(limit + 1)).unwrap_err();
    assert!(
        fault.ends_with(&format!("{} {what} are over the limit of {limit}", limit + 1)),
        "{fault}"
    );
}

#[test]
fn counts_at_the_limit_and_one_past_it() {
    at_the_limit(MAX_VARIANTS, "variants", |count| {
        let extra = (2..count).map(|i| json!({"key": format!("v{i}"), "value": true}));
        let mut variants = flag()["variants"].as_array().unwrap().clone();
        variants.extend(extra);
        with("/variants", variants.into())
    });
    at_the_limit(MAX_RULES, "rules", |count| {
        with("/state/rules", (0..count).map(|i| rule(i, &json!("always"))).collect())
    });
    at_the_limit(MAX_GROUP_OVERRIDES, "group overrides", |count| {
        let one = |i| json!({"group": format!("g{i}"), "variant": "on"});
        with("/state/groupOverrides", (0..count).map(one).collect())
    });
    at_the_limit(MAX_OPERANDS, "operands", |count| {
        let values: Vec<Json> = (0..count).map(Json::from).collect();
        with("/state/rules", json!([rule(0, &test(&values))]))
    });
    at_the_limit(MAX_CONDITION_NODES, "conditions in all rules", |count| {
        // Two rules, each an `any` of as many parts as are left.
        let parts = vec![json!("always"); (count - 2) / 2];
        let more = vec![json!("always"); count - 2 - parts.len()];
        let rules = [parts, more].map(|parts| json!({ "any": parts }));
        with("/state/rules", json!([rule(0, &rules[0]), rule(1, &rules[1])]))
    });
    at_the_limit(MAX_CONDITION_DEPTH, "levels", |depth| {
        let deep = (1..depth).fold(json!("always"), |inner, _| json!({ "not": inner }));
        with("/state/rules", json!([rule(0, &deep)]))
    });
}

#[test]
fn sizes_at_the_limit_and_one_past_it() {
    let text = |bytes: usize| Json::from("x".repeat(bytes));
    at_the_limit(MAX_VALUE_BYTES, "bytes", |bytes| with("/variants/0/attachment", text(bytes - 2)));
    at_the_limit(MAX_VALUE_BYTES, "bytes", |bytes| {
        let mut flag = with("/type", json!("string"));
        flag["variants"] =
            json!([{"key": "on", "value": text(bytes - 2)}, {"key": "off", "value": ""}]);
        flag
    });
    at_the_limit(MAX_TEXT_BYTES, "bytes", |bytes| {
        let mut rule = rule(0, &json!("always"));
        rule["description"] = text(bytes);
        with("/state/rules", json!([rule]))
    });
    at_the_limit(MAX_TEXT_BYTES, "bytes", |bytes| {
        let mut test = test(&[]);
        test["test"]["attribute"] = format!("user.{}", "x".repeat(bytes - 5)).into();
        with("/state/rules", json!([rule(0, &test)]))
    });
    at_the_limit(MAX_FLAG_BYTES, "bytes", |bytes| {
        let mut flag = with("/later", text(0));
        let missing = bytes - flag.to_string().len();
        flag["later"] = text(missing);
        flag
    });
}

#[test]
fn a_flag_that_is_large_only_in_its_wire_form_is_refused_too() {
    let variants: Vec<Json> =
        (0..5).map(|i| json!({"key": format!("v{i}"), "value": "x".repeat(60_000)})).collect();
    let flag = json!({
        "key": "f", "version": 1, "class": "ops", "type": "string", "variants": variants,
        "state": {"enabled": true, "off": "callerDefault", "fallthrough": "callerDefault"}
    });
    let wire: FlagWire = serde_json::from_value(flag).unwrap();
    assert!(matches!(compile(&wire), Err(FlagFault::OverLimit { limit: MAX_FLAG_BYTES, .. })));
}

#[test]
fn splits_are_held_against_their_buckets() {
    let split = |buckets: u64, until: u64| {
        with(
            "/state/fallthrough",
            json!({"split": {
                "unit": "user.key", "salt": "s", "hash": "xxh3", "buckets": buckets,
                "ranges": [{"from": 0, "until": until, "variant": "on"}]
            }}),
        )
    };
    let most = u64::from(MAX_BUCKETS);
    assert_eq!(check(&split(most, most)), Ok(()));
    assert!(check(&split(most + 1, most + 1)).unwrap_err().ends_with("1 to 1000000 buckets"));
    assert!(check(&split(0, 0)).is_err() && check(&split(10, 9)).is_err());
    let mut unknown = split(10, 10);
    unknown["state"]["fallthrough"]["split"]["ranges"][0]["variant"] = json!("gone");
    let fault = "state.fallthrough.split.ranges[0].variant: the flag has no variant `gone`";
    assert_eq!(check(&unknown), Err(fault.into()));
    unknown["state"]["fallthrough"]["split"]["hash"] = json!("md5");
    assert!(check(&unknown).unwrap_err().contains("unknown variant `md5`"));
}

#[test]
fn what_names_one_thing_occurs_once() {
    let twice = |pointer: &str, item: Json, path: &str| {
        let fault = check(&with(pointer, json!([item, item]))).unwrap_err();
        assert!(fault.starts_with(path) && fault.ends_with("occurs twice"), "{fault}");
    };
    twice("/variants", json!({"key": "on", "value": true}), "variants[1].key");
    twice("/state/rules", rule(0, &json!("always")), "state.rules[1].id");
    let group = json!({"group": "g", "variant": "on"});
    twice("/state/groupOverrides", group, "state.groupOverrides[1].group");
    assert_eq!(
        check(&with("/variants", json!([]))),
        Err("variants: a flag needs a variant".into())
    );
}

#[test]
fn attribute_paths_have_an_entity_and_a_name() {
    let check = |attribute: &str| {
        let mut test = test(&[]);
        test["test"]["attribute"] = attribute.into();
        check(&with("/state/rules", json!([rule(0, &test)])))
    };
    for good in ["user.key", "tenant.plan", "device.os.name", "user.a b", "user.os.key", "ü.ü"] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for bad in ["", "user", ".", "user.", ".key", "user..x", "user. .x", "user.key.x"] {
        let fault = check(bad).unwrap_err();
        assert!(
            fault.starts_with("state.rules[0].when.test.attribute: an attribute is"),
            "{fault}"
        );
    }
}

#[test]
fn operands_are_scalars_and_equals_takes_one() {
    let check = |operator: &str, values: Json| {
        let test = json!({"attribute": "user.x", "operator": operator, "values": values});
        check(&with("/state/rules", json!([rule(0, &json!({ "test": test }))])))
    };
    assert_eq!(check("one-of", json!([])), Ok(()));
    assert_eq!(check("one-of", json!(["a", 1, 0.5, true, u64::MAX])), Ok(()));
    assert_eq!(check("equals", json!([false])), Ok(()));
    assert!(check("equals", json!([])).unwrap_err().contains("needs an operand"));
    assert!(check("equals", json!([1, 2])).unwrap_err().contains("limit of 1"));
    for bad in [json!(null), json!([1]), json!({})] {
        let fault = check("one-of", json!([1, bad])).unwrap_err();
        assert!(fault.starts_with("state.rules[0].when.test.values[1]: "), "{fault}");
    }
    for operator in ["Equals", "matches", ""] {
        assert!(check(operator, json!([1])).is_err(), "{operator}");
    }
}

#[test]
fn a_depth_bomb_is_refused_whatever_its_form() {
    let bombs = [
        ("{\"not\":", "\"always\"", "}"),
        ("{\"all\":[", "", "]}"),
        ("{\"any\":[{\"not\":", "\"always\"", "}]}"),
        ("[", "", "]"),
    ];
    for (open, middle, close) in bombs {
        for depth in [33, 129, 10_000] {
            let when = format!("{}{middle}{}", open.repeat(depth), close.repeat(depth));
            let text = with("/state/rules", json!([rule(0, &json!("HERE"))])).to_string();
            assert!(compile_json("f", &text.replace("\"HERE\"", &when)).is_err(), "{open} {depth}");
            let text = with("/variants/0/attachment", json!("HERE")).to_string();
            let result = compile_json("f", &text.replace("\"HERE\"", &when));
            // An attachment may nest as deep as the parser lets it, and no deeper.
            assert!(depth == 33 || result.is_err(), "{open} {depth}");
        }
    }
    let deep =
        (0..100_000).fold(ConditionWire::Always, |inner, _| ConditionWire::Not(inner.into()));
    let mut wire: FlagWire = serde_json::from_value(flag()).unwrap();
    let rules: Vec<crate::wire::RuleWire> =
        serde_json::from_value(json!([rule(0, &json!("always"))])).unwrap();
    wire.state.rules = rules;
    wire.state.rules[0].when = deep;
    assert!(matches!(compile(&wire), Err(FlagFault::OverLimit { what: "levels", .. })));
    // Dropping the bomb would recurse as deep as it is; a parser can never make one.
    std::mem::forget(wire);
}

#[test]
fn a_fault_never_repeats_much_of_what_it_was_given() {
    let huge = "é".repeat(100_000);
    let mut flag = flag();
    flag["class"] = json!(huge);
    assert!(check(&flag).unwrap_err().len() < 1_000);
    flag["class"] = json!("ops");
    assert!(compile_json(&huge, &flag.to_string()).unwrap_err().to_string().len() < 1_000);
    let operator = json!({"test": {"attribute": "user.x", "operator": huge, "values": []}});
    assert!(check(&with("/state/rules", json!([rule(0, &operator)]))).unwrap_err().len() < 1_000);
}

#[test]
fn what_is_compiled_says_what_it_is() {
    let mut json = with("/clientVisible", json!(true));
    json["variants"][0]["attachment"] = json!({"note": 1});
    let flag = compile_json("f", &json.to_string()).unwrap();
    assert_eq!((flag.key().as_str(), flag.version()), ("f", 1));
    assert_eq!(flag.class(), crate::wire::FlagClass::Release);
    assert_eq!(flag.value_type(), crate::wire::ValueType::Boolean);
    assert!(flag.client_visible() && flag.enabled() && !flag.reads_tenant());
    let on = &flag.variants()[0];
    assert_eq!((on.key().as_str(), on.value().as_bool()), ("on", Some(true)));
    assert_eq!(on.attachment(), Some(&json!({"note": 1})));
    let reads = |json: Json| compile_json("f", &json.to_string()).unwrap().reads_tenant();
    assert!(reads(with("/state/groupOverrides", json!([{"group": "g", "variant": "on"}]))));
    let tenant = json!({"test": {"attribute": "tenant.plan", "operator": "equals", "values": [1]}});
    assert!(reads(with("/state/rules", json!([rule(0, &json!({"not": {"any": [tenant]}}))]))));
}

/// A flag's JSON with pieces cut out, doubled, or replaced by other JSON.
fn mutated() -> impl Strategy<Value = String> {
    let base = with("/state/rules", json!([rule(0, &test(&[json!("a"), json!(1)]))])).to_string();
    let pieces = prop::sample::select(vec![
        "",
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "null",
        "1e999",
        "-",
        "\\u0000",
        "\\ud800",
        "0.1",
        "é",
        "18446744073709551616",
        "\"always\"",
        "{\"all\":[]}",
        "\u{0}",
    ]);
    let edit = (any::<prop::sample::Index>(), 0..8_usize, pieces);
    prop::collection::vec(edit, 1..4).prop_map(move |edits| {
        let mut text = base.clone();
        for (place, length, piece) in edits {
            let from = text.floor_char_boundary(place.index(text.len().max(1)));
            let until = text.floor_char_boundary((from + length).min(text.len())).max(from);
            text.replace_range(from..until, piece);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(key in ".*", text in ".*") {
        prop_assert!(compile_json(&key, &text).is_err());
    }

    #[test]
    fn a_mutated_flag_is_answered(text in mutated()) {
        let _either = compile_json("f", &text);
    }
}
