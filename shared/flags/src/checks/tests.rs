//! Each mistake once, and what is no mistake.

use serde_json::{Value as Json, json};

use super::*;

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

fn rules(whens: &[Json]) -> Json {
    let rule = |(i, when): (usize, &Json)| json!({"id": format!("r{i}"), "when": when, "serve": {"variant": "on"}});
    json!({"rules": whens.iter().enumerate().map(rule).collect::<Vec<_>>()})
}

fn segment(key: &str, when: &Json) -> SegmentWire {
    serde_json::from_value(json!({"key": key, "version": 1, "when": when})).unwrap()
}

fn found(flags: &[FlagWire], segments: &[SegmentWire]) -> Vec<String> {
    check(flags, segments).iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_in_order_is_passed_over() {
    let user = json!({"test": {"attribute": "user.key", "operator": "equals", "values": ["u"]}});
    let state = rules(&[user.clone(), json!({"inSegment": "s"}), json!("always")]);
    assert_eq!(found(&[flag("f", &state)], &[segment("s", &user)]), Vec::<String>::new());
}

#[test]
fn rules_after_one_that_always_holds() {
    let state = rules(&[json!({"any": ["always", {"inGroup": "g"}]}), json!("always")]);
    assert_eq!(
        found(&[flag("f", &state)], &[]),
        ["f state.rules[1]: it is never asked: `r0` decides for everybody"]
    );
}

#[test]
fn conditions_that_nobody_stands() {
    let equals = |key: &str| json!({"test": {"attribute": "user.key", "operator": "equals", "values": [key]}});
    let rollout = json!({"rollout": {"unit": "user.key", "salt": "", "hash": "xxh3", "buckets": 9, "from": 3, "until": 3}});
    for never in [
        json!({"any": []}),
        json!({"not": "always"}),
        json!({"all": [equals("a"), equals("b")]}),
        json!({"test": {"attribute": "user.x", "operator": "one-of"}}),
        json!({"anyElement": {"attribute": "user.x", "when": {"any": []}}}),
        rollout,
    ] {
        let kinds: Vec<WarningKind> =
            check(&[flag("f", &rules(std::slice::from_ref(&never)))], &[])
                .iter()
                .map(|w| w.kind)
                .collect();
        assert_eq!(kinds.first(), Some(&WarningKind::NeverTrue), "{never}");
    }
    let maybe = json!({"test": {"attribute": "user.x", "operator": "one-of", "ifMissing": true}});
    assert!(check(&[flag("f", &rules(&[maybe]))], &[]).is_empty());
    assert!(
        check(&[flag("f", &rules(&[json!({"all": [equals("a"), equals("a")]})]))], &[]).is_empty()
    );
}

#[test]
fn what_is_asked_for_and_not_there() {
    let state = json!({
        "prerequisites": [{"flag": "gone", "is": "off"}, {"flag": "g", "is": {"variants": ["on", "blue"]}}],
        "rules": [{"id": "r", "when": {"inSegment": "absent"}, "serve": {"variant": "on"}}]
    });
    assert_eq!(
        found(&[flag("f", &state), flag("g", &json!({}))], &[segment("lonely", &json!("always"))]),
        [
            "f state.prerequisites[0]: there is no flag `gone`, so this never holds",
            "f state.prerequisites[1]: the flag `g` has no variant `blue`",
            "f state.rules[0].when: there is no segment `absent`, so this is an error",
            "lonely .: no flag asks for this segment",
        ]
    );
}

#[test]
fn ranges_and_variants() {
    let split = json!({"split": {"unit": "user.key", "salt": "", "hash": "xxh3", "buckets": 10,
        "ranges": [{"from": 2, "until": 5, "variant": "on"}, {"from": 6, "until": 9, "variant": "on"}]}});
    assert_eq!(
        found(&[flag("f", &json!({"fallthrough": split, "off": "callerDefault"}))], &[]),
        [
            "f state.fallthrough: buckets 0 to below 2 have no variant",
            "f state.fallthrough: buckets 5 to below 6 have no variant",
            "f state.fallthrough: buckets 9 to below 10 have no variant",
            "f variants[1]: nothing in this environment leads to `off`",
        ]
    );
}

#[test]
fn circles_of_flags_and_segments() {
    let needs = |other: &str| json!({"prerequisites": [{"flag": other, "is": "enabled"}]});
    let asks = |segment: &str| rules(&[json!({"inSegment": segment})]);
    let flags = [
        flag("a", &needs("b")),
        flag("b", &asks("s")),
        flag("c", &needs("a")),
        flag("d", &json!({})),
        flag("e", &needs("d")),
        flag("self", &needs("self")),
    ];
    let segments = [segment("s", &json!({"flag": {"flag": "a", "is": "enabled"}}))];
    let circles = check(&flags, &segments);
    let subjects: Vec<&str> = circles.iter().map(|warning| warning.subject.as_str()).collect();
    assert_eq!(subjects, ["a", "b", "c", "self", "s"]);
    assert!(circles.iter().all(|warning| warning.kind == WarningKind::Circle));
}
