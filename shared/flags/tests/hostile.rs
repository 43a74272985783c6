//! What nobody sends in good faith: chains and circles, trees that multiply, values of the wrong type in every place,
//! and regular expressions made to be slow. Costs are counted, not timed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use flagforge_flags::compile::{
    MAX_ATTRIBUTE_BYTES, MAX_NESTED_EVALUATIONS, MAX_PREREQUISITE_DEPTH, MAX_REGEXES, MAX_STEPS,
};
use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagWire, SegmentWire};
use flagforge_flags::{Context, Revision, Snapshot, View, compile_json, evaluate, explain};
use serde_json::{Value as Json, json};

fn flag(key: &str, state: &Json) -> FlagWire {
    let mut whole =
        json!({"enabled": true, "off": {"variant": "off"}, "fallthrough": {"variant": "on"}});
    whole.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "key": key, "version": 1, "class": "release", "type": "boolean", "state": whole,
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
    }))
    .unwrap()
}

fn when(condition: &Json) -> Json {
    json!({"rules": [{"id": "r", "when": condition, "serve": {"variant": "on"}}]})
}

fn needs(others: &[String]) -> Json {
    let test = |other: &String| json!({"flag": other, "is": {"variants": ["on"]}});
    json!({"prerequisites": others.iter().map(test).collect::<Vec<_>>()})
}

fn snapshot(flags: Vec<FlagWire>, segments: Vec<SegmentWire>) -> Snapshot {
    let (org, env) = (OrgKey::new("demo").unwrap(), EnvKey::new("prod").unwrap());
    let scope = ScopeId { org, env, scope: Scope::Environment };
    Snapshot::from_parts(scope, Revision { org: 1, env: 1 }, flags, []).with_segments(segments)
}

/// The fine reason, and that explaining says the same.
fn reason(snapshot: &Snapshot, flag: &str, context: &Context<'_>) -> &'static str {
    let (view, now) = (View { snapshot, confirmed: Timestamp::default() }, Timestamp::default());
    let fine = evaluate(view, flag, None, context, now).fine.as_str();
    let explained = explain(view, flag, context, now);
    assert_eq!(explained.fine_reason, fine);
    assert!(explained.steps.len() <= 10_000, "{} steps", explained.steps.len());
    fine
}

#[test]
fn chains_of_prerequisites_end() {
    let chain = (0..10_000).map(|i| flag(&format!("f{i}"), &needs(&[format!("f{}", i + 1)])));
    let mut flags: Vec<FlagWire> = chain.collect();
    flags.push(flag("f10000", &json!({})));
    let snapshot = snapshot(flags, vec![]);
    let asked =
        |depth: usize| reason(&snapshot, &format!("f{}", 10_000 - depth), &Context::untenanted());
    assert_eq!(asked(MAX_PREREQUISITE_DEPTH), "FALLTHROUGH");
    assert_eq!(asked(MAX_PREREQUISITE_DEPTH + 1), "NESTED_TOO_DEEP");
    assert_eq!(asked(10_000), "NESTED_TOO_DEEP");
}

#[test]
fn the_deepest_conditions_of_the_deepest_chain_fit_the_stack() {
    // 32 levels of conditions, at whose end another flag or segment is asked, as often as may be.
    let deep = |end: Json| (1..32).fold(end, |inner, _| json!({ "all": [inner] }));
    let count = MAX_PREREQUISITE_DEPTH / 2;
    let flags = (0..=count).map(|i| {
        let end = if i == count { json!("always") } else { json!({"inSegment": format!("s{i}")}) };
        flag(&format!("f{i}"), &when(&deep(end)))
    });
    let segments = (0..count).map(|i| {
        let test = json!({"flag": {"flag": format!("f{}", i + 1), "is": {"variants": ["on"]}}});
        let segment = json!({"key": format!("s{i}"), "version": 1, "when": deep(test)});
        serde_json::from_value(segment).unwrap()
    });
    let snapshot = snapshot(flags.collect(), segments.collect());
    assert_eq!(reason(&snapshot, "f0", &Context::untenanted()), "RULE");
}

#[test]
fn trees_of_prerequisites_that_multiply_end() {
    // Two each, twelve levels: 4,094 flags to ask.
    let level = |i: usize| {
        let below = [format!("a{}", i + 1), format!("b{}", i + 1)];
        [flag(&format!("a{i}"), &needs(&below)), flag(&format!("b{i}"), &needs(&below))]
    };
    let mut flags: Vec<FlagWire> = (0..12).flat_map(level).collect();
    flags.extend([flag("a12", &json!({})), flag("b12", &json!({}))]);
    let wide: Vec<Json> = (0..MAX_NESTED_EVALUATIONS)
        .map(|_| json!({"flag": {"flag": "a12", "is": "enabled"}}))
        .collect();
    flags.push(flag("wide", &when(&json!({ "all": wide }))));
    let mut wider = wide;
    wider.push(json!({"flag": {"flag": "a12", "is": "enabled"}}));
    flags.push(flag("wider", &when(&json!({ "all": wider }))));
    let snapshot = snapshot(flags, vec![]);
    let nobody = Context::untenanted();
    assert_eq!(reason(&snapshot, "a0", &nobody), "OVER_BUDGET");
    assert_eq!(reason(&snapshot, "a5", &nobody), "FALLTHROUGH");
    assert_eq!(reason(&snapshot, "wide", &nobody), "RULE");
    assert_eq!(reason(&snapshot, "wider", &nobody), "OVER_BUDGET");
}

#[test]
fn lists_that_are_asked_for_each_of_their_elements_end() {
    let never = json!({"test": {"attribute": "element", "operator": "equals", "values": ["x"]}});
    let nested = (0..8)
        .fold(never, |inner, _| json!({"anyElement": {"attribute": "user.list", "when": inner}}));
    let flat = json!({"test": {"attribute": "user.list", "operator": "one-of", "values": ["x"]}});
    let flags = vec![flag("nested", &when(&nested)), flag("flat", &when(&flat))];
    let snapshot = snapshot(flags, vec![]);
    let of = |count: usize| Context::untenanted().attr("list", vec![0; count]);
    assert_eq!(reason(&snapshot, "nested", &of(3)), "FALLTHROUGH");
    assert_eq!(reason(&snapshot, "nested", &of(100)), "OVER_BUDGET");
    // One step is the condition's own.
    assert_eq!(reason(&snapshot, "flat", &of(MAX_STEPS - 1)), "FALLTHROUGH");
    assert_eq!(reason(&snapshot, "flat", &of(MAX_STEPS)), "OVER_BUDGET");
}

#[test]
fn conditions_of_ten_thousand_levels_are_refused() {
    for (open, close) in [
        (r#"{"not":"#, "}"),
        (r#"{"all":["#, "]}"),
        (r#"{"anyElement":{"attribute":"user.x","when":"#, "}}"),
    ] {
        let deep = format!("{}\"always\"{}", open.repeat(10_000), close.repeat(10_000));
        let flag = serde_json::to_string(&flag("f", &when(&json!("always")))).unwrap();
        let flag = flag.replacen("\"always\"", &deep, 1);
        let fault = compile_json("f", &flag).unwrap_err().to_string();
        let known = fault.contains("recursion limit") || fault.contains("bytes are over the limit");
        assert!(known, "{fault}");
    }
    let value = (0..40).fold(json!(1), |inner, _| json!([inner]));
    let deep =
        json!({"test": {"attribute": "user.x", "operator": "deep-equals", "values": [value]}});
    let wire = flag("f", &when(&deep));
    let fault = flagforge_flags::compile(&wire).unwrap_err().to_string();
    assert!(fault.ends_with("which takes a value of at most 32 levels"), "{fault}");
}

fn rich() -> Json {
    let unit = json!({"unit": "user.key", "fallbacks": ["user.x"], "missing": "bucket-zero", "salt": "s",
                      "hash": "unleash", "seed": 7, "buckets": 10});
    let with = |more: Json| {
        let mut unit = unit.clone();
        unit.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        unit
    };
    let split = with(json!({"ranges": [{"from": 0, "until": 10, "variant": "on"}]}));
    let ramp = with(json!({"variant": "on", "rest": "off", "from": 0, "until": 9, "steps": 3,
                           "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}));
    let rollout = with(json!({"from": 1, "until": 2}));
    let test = json!({"attribute": "user.x", "operator": "one-of", "values": ["a", 1], "negate": true,
                      "ifMissing": true, "ignoreCase": true, "compare": "text"});
    let hash =
        json!({"attribute": "user.x", "operator": "hash-prefix", "values": ["ab"], "salt": "s"});
    let conditions = json!([{"test": test}, {"test": hash}, {"inSegment": "s"}, {"inGroup": "g"}, "always",
        {"flag": {"flag": "g", "is": {"variants": ["on"]}}}, {"rollout": rollout}, {"not": {"any": []}},
        {"anyElement": {"attribute": "user.x", "when": {"test": {"attribute": "element.y", "operator": "exists"}}}}]);
    json!({
        "key": "f", "version": 1, "class": "release", "type": "boolean", "clientVisible": true,
        "variants": [{"key": "on", "value": true, "attachment": {"a": 1}}, {"key": "off", "value": false}],
        "state": {"enabled": true, "off": {"variant": "off"},
            "stale": {"afterSeconds": 1, "then": {"serve": {"variant": "off"}}},
            "prerequisites": [{"flag": "g", "is": "off"}],
            "targets": [{"variant": "on", "entity": "device", "keys": ["d"]}],
            "groupOverrides": [{"group": "g", "variant": "on", "expires": "2026-01-01T00:00:00Z"}],
            "rules": [{"id": "r", "description": "d", "when": {"all": conditions}, "serve": {"split": split}},
                      {"id": "t", "when": "always", "serve": {"error": "e"}}],
            "fallthrough": {"ramp": ramp}}
    })
}

fn places(json: &Json, at: &str, places: &mut Vec<String>) {
    places.push(at.to_owned());
    match json {
        Json::Array(elements) => {
            for (i, element) in elements.iter().enumerate() {
                self::places(element, &format!("{at}/{i}"), places);
            }
        }
        Json::Object(members) => {
            for (name, member) in members {
                self::places(member, &format!("{at}/{name}"), places);
            }
        }
        _ => {}
    }
}

#[test]
fn any_value_in_any_place_is_a_flag_or_a_fault_with_a_path() {
    let rich = rich();
    compile_json("f", &rich.to_string()).unwrap();
    let mut all = Vec::new();
    places(&rich, "", &mut all);
    let strange = [
        json!(null),
        json!(""),
        json!(" "),
        json!("x"),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(u64::MAX),
        json!([]),
        json!([null]),
        json!({}),
        json!({"x": null}),
        json!("\u{0}"),
        json!("a.b.c"),
    ];
    let (mut compiled, mut refused) = (0, 0);
    let contexts = [
        Context::untenanted(),
        Context::for_tenant(TenantKey::new("t").unwrap())
            .user("u")
            .attr("x", json!([{"y": 1}, null])),
    ];
    for place in &all {
        for value in &strange {
            let mut flag = rich.clone();
            *flag.pointer_mut(place).unwrap() = value.clone();
            match compile_json("f", &flag.to_string()) {
                Ok(_) => compiled += 1,
                Err(fault) => {
                    refused += 1;
                    assert!(fault.to_string().starts_with(fault.path()), "{fault}");
                }
            }
            let Ok(wire) = serde_json::from_value::<FlagWire>(flag) else { continue };
            let snapshot = snapshot(vec![wire], vec![]);
            for context in &contexts {
                for (key, _) in snapshot.flags() {
                    reason(&snapshot, key, context);
                }
            }
        }
    }
    assert!(compiled > 100 && refused > 1_000, "{compiled} compiled, {refused} refused");
}

#[test]
fn regular_expressions_are_bounded_or_refused() {
    let parts: Json =
        serde_json::from_str(include_str!("../../../tests/vectors/regex/hostile.json")).unwrap();
    let part = |of: &str| parts[of].as_array().unwrap().iter().filter_map(Json::as_str);
    let (mut count, mut refused) = (0, 0);
    let long = Context::untenanted().attr("x", "a".repeat(MAX_ATTRIBUTE_BYTES));
    for atom in part("atoms") {
        for tail in part("tails") {
            let pattern = format!("{atom}{tail}");
            let test =
                json!({"test": {"attribute": "user.x", "operator": "regex", "values": [pattern]}});
            let flag = flag("f", &when(&test));
            count += 1;
            if let Err(fault) = flagforge_flags::compile(&flag) {
                refused += 1;
                let text = fault.to_string();
                assert!(text.starts_with("state.rules[0].when.test.values[0]: "), "{text}");
                let named = match tail {
                    "(?=b)" | "(?!b)" | "(?<=b)" | "(?<!b)" => "look-around",
                    "(b)\\1" => "backreferences are not supported",
                    _ => "",
                };
                assert!(text.contains(named), "{pattern}: {text}");
                continue;
            }
            assert!(!matches!(tail, "(?=b)" | "(?<!b)" | "(b)\\1" | "{99999999999}"), "{pattern}");
            let snapshot = snapshot(vec![flag], vec![]);
            let reason = reason(&snapshot, "f", &long);
            // What repeats so often may search shorter texts only.
            let much = ["99", "122", "244", "{9}{9}"].iter().any(|often| tail.contains(often));
            let wanted = matches!(reason, "RULE" | "FALLTHROUGH");
            assert!(wanted || much && reason == "ATTRIBUTE_TOO_LONG", "{pattern}: {reason}");
        }
    }
    assert!(count >= 500 && (200..400).contains(&refused), "{refused} of {count} were refused");
}

#[test]
fn many_regular_expressions_on_long_texts_end() {
    let of = |count: usize| {
        let patterns: Vec<String> = (0..count).map(|i| format!("(a*)*b{i}")).collect();
        let test =
            json!({"test": {"attribute": "user.x", "operator": "regex", "values": patterns}});
        flag("f", &when(&json!({"any": vec![test; 1]})))
    };
    let fault = flagforge_flags::compile(&of(MAX_REGEXES + 1)).unwrap_err().to_string();
    assert!(
        fault.ends_with("51 regular expressions in all rules are over the limit of 50"),
        "{fault}"
    );
    let snapshot = snapshot(vec![of(MAX_REGEXES)], vec![]);
    let text = |bytes: usize| Context::untenanted().attr("x", vec!["a".repeat(bytes); 3]);
    assert_eq!(reason(&snapshot, "f", &text(4_000)), "FALLTHROUGH");
    assert_eq!(reason(&snapshot, "f", &text(MAX_ATTRIBUTE_BYTES)), "OVER_BUDGET");
}
