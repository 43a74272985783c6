//! Documents that are broken in one place: never a panic, and in most formats only that flag is spoiled.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use flagforge_flags::time::Timestamp;
use flagforge_formats::{Config, Format, Request, import};
use serde_json::{Value as Json, json};

fn samples() -> [(Format, Json, &'static str); 5] {
    let strategy = json!({
        "name": "flexibleRollout",
        "parameters": {"rollout": "50", "stickiness": "default", "groupId": "g"},
        "constraints": [
            {"contextName": "plan", "operator": "IN", "values": ["gold"], "inverted": false},
            {"contextName": "age", "operator": "NUM_GT", "value": "17"}],
        "segments": [1],
        "variants": [{"name": "a", "weight": 1, "payload": {"type": "string", "value": "x"}}],
    });
    let unleash = json!({
        "segments": [{"id": 1, "constraints": [{"contextName": "x", "operator": "REGEX", "value": "^a"}]}],
        "features": [
            {"name": "bad", "enabled": true, "strategies": [strategy], "dependencies": [{"feature": "good"}],
             "variants": [{"name": "v", "weight": 2, "overrides": [{"contextName": "userId", "values": ["u"]}]}]},
            {"name": "good", "enabled": true, "strategies": [{"name": "default"}]}],
    });
    let toggle = json!({
        "key": "bad", "enabled": true, "version": 3, "variations": ["a", "b"],
        "disabledServe": {"select": 0},
        "defaultServe": {"split": {"distribution": [[[0, 5000]], [[5000, 10000]]], "salt": "s", "bucketBy": "name"}},
        "prerequisites": [{"key": "good", "value": true}],
        "rules": [{"serve": {"select": 1}, "conditions": [
            {"type": "number", "subject": "n", "predicate": "!=", "objects": ["1"]},
            {"type": "segment", "predicate": "is in", "objects": ["s"]}]}],
    });
    let good = json!({
        "key": "good", "enabled": true, "version": 1, "variations": [false, true], "rules": [],
        "disabledServe": {"select": 0}, "defaultServe": {"select": 1},
    });
    let featureprobe = json!({
        "segments": {"s": {"rules": [{"conditions": [
            {"type": "string", "subject": "c", "predicate": "is one of", "objects": ["1"]}]}]}},
        "toggles": {"bad": toggle, "good": good},
    });
    let flipt = json!({
        "segments": [{"key": "s", "match_type": "ANY_MATCH_TYPE", "constraints": [
            {"type": "DATETIME_COMPARISON_TYPE", "property": "d", "operator": "eq", "value": "2025-01-01T00:00:00Z"}]}],
        "flags": [
            {"key": "bad", "type": "VARIANT_FLAG_TYPE", "enabled": true, "variants": [{"key": "a"}, {"key": "b", "default": true}],
             "rules": [{"segment": {"keys": ["s"], "operator": "AND_SEGMENT_OPERATOR"},
                        "distributions": [{"variant": "a", "rollout": 50}, {"variant": "b", "rollout": 50}]}]},
            {"key": "good", "type": "BOOLEAN_FLAG_TYPE", "enabled": true}],
    });
    let flagd = json!({
        "$evaluators": {"e": {"==": [{"var": "x"}, 1]}},
        "flags": {
            "bad": {"state": "ENABLED", "variants": {"a": 1, "b": 2}, "defaultVariant": "a", "targeting": {"if": [
                {"and": [{"$ref": "e"}, {"in": ["q", {"var": "y"}]}]}, "b",
                {"fractional": [{"var": "z"}, ["a", 1], ["b", 3]]}]}},
            "good": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"}},
    });
    let own = |key: &str| {
        json!({"key": key, "version": 1, "class": "release", "type": "boolean",
            "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
            "state": {"enabled": true, "off": {"variant": "off"}, "fallthrough": {"variant": "on"}, "rules": [
                {"id": "r", "when": {"inSegment": "s"}, "serve": {"variant": "on"}}]}})
    };
    let flagforge = json!({
        "flags": [own("bad"), own("good")],
        "segments": [{"key": "s", "version": 1, "included": {"keys": ["u"]}}],
        "tenants": {"acme": {"uid": "t-1", "groups": ["friends"]}},
    });
    [
        (Format::Unleash, unleash, "/features/0"),
        (Format::FeatureProbe, featureprobe, "/toggles/bad"),
        (Format::Flipt, flipt, "/flags/0"),
        (Format::Flagd, flagd, "/flags/bad"),
        (Format::FlagForge, flagforge, "/flags/0"),
    ]
}

/// Every place of a document, as a pointer.
fn places(json: &Json, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match json {
        Json::Object(members) => {
            for (name, inner) in members {
                places(
                    inner,
                    &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")),
                    found,
                );
            }
        }
        Json::Array(items) => {
            for (place, inner) in items.iter().enumerate() {
                places(inner, &format!("{at}/{place}"), found);
            }
        }
        _ => {}
    }
}

fn wrong_values() -> Vec<Json> {
    vec![
        Json::Null,
        json!(""),
        json!(" "),
        json!("é🚀"),
        json!(true),
        json!(0),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!([]),
        json!({}),
        json!([[[null]]]),
        json!({"$ref": "e"}),
    ]
}

fn good(config: &Config) -> Json {
    let context = Json::Null;
    let request = Request { flag: "good".into(), tenant: None, context, default: None };
    config.decide(&request, Timestamp::default()).value
}

#[test]
fn a_wrong_value_anywhere_spoils_its_flag_at_most() {
    let mut tried = 0;
    for (format, sample, spoiled) in samples() {
        assert!(
            import(format, &sample.to_string())
                .unwrap()
                .warnings
                .iter()
                .all(|warning| !warning.left_out)
        );
        assert_eq!(good(&Config::load(format, &sample.to_string()).unwrap()), true, "{format}");
        let mut pointers = Vec::new();
        places(&sample, "", &mut pointers);
        for pointer in pointers {
            for wrong in wrong_values() {
                let mut broken = sample.clone();
                *broken.pointer_mut(&pointer).unwrap() = wrong.clone();
                tried += 1;
                // Somewhere else it may be refused as a whole; a panic fails the test by itself.
                let read = Config::load(format, &broken.to_string());
                let within = pointer.starts_with(spoiled) && pointer != spoiled;
                // flagd's schema refuses documents. A name may be made the other flag's.
                if within && format != Format::Flagd {
                    let config =
                        read.unwrap_or_else(|error| unreachable_at(format, &pointer, &error));
                    assert_eq!(good(&config), true, "{format} {pointer} = {wrong}");
                }
            }
        }
    }
    assert!(tried > 2_000, "{tried}");
}

fn unreachable_at(format: Format, pointer: &str, error: &dyn std::fmt::Display) -> Config {
    assert_eq!("", format!("{format} {pointer}: {error}"), "a broken flag spoiled the document");
    Config::load(Format::FlagForge, "{}").unwrap()
}

#[test]
fn any_text_is_read_or_refused() {
    let deep = |open: &str, close: &str| open.repeat(10_000) + &close.repeat(10_000);
    let texts = [
        String::new(),
        "null".into(),
        "\u{feff}{}".into(),
        "{\"flags\":".into(),
        deep("[", "]"),
        deep("{\"a\":", "}"),
        "- ".repeat(10_000),
        "? ".repeat(10_000),
        "&a ".repeat(1_000),
        "{flags: [{key: a, rules: [{segment: s}]}]}".into(),
    ];
    for format in Format::ALL {
        for text in &texts {
            if let Ok(imported) = import(format, text) {
                assert!(imported.flags.len() < 2, "{format}");
            }
        }
    }
}

#[test]
fn what_depends_on_dice_or_the_clock_says_so_only_where_it_matters() {
    let strategies = json!([
        {"name": "flexibleRollout", "parameters": {"rollout": "50", "stickiness": "default", "groupId": "g"},
         "constraints": [{"contextName": "plan", "operator": "IN", "values": ["gold"]}]},
        {"name": "userWithId", "parameters": {"userIds": "ann"}}]);
    let document = json!({"features": [{"name": "f", "enabled": true, "strategies": strategies}]});
    let config = Config::load(Format::Unleash, &document.to_string()).unwrap();
    let ask = |context: Json| {
        let request = Request { flag: "f".into(), tenant: None, context, default: None };
        config.decide(&request, Timestamp::default())
    };
    let drawn = ask(json!({"properties": {"plan": "gold"}}));
    assert_eq!((drawn.value, drawn.reason), (json!(false), "ERROR"));
    assert!(drawn.error_details.unwrap().contains("drawn at random"));
    let elsewhere = ask(json!({"properties": {"plan": "silver"}}));
    assert_eq!((elsewhere.value, elsewhere.error_code), (json!(false), None));
    assert_eq!(ask(json!({"userId": "ann"})).value, true);
    assert_eq!(config.warnings().len(), 1);
}

#[test]
fn a_dependency_on_what_dice_decide_says_so() {
    let drawn = json!([{"name": "gradualRolloutRandom", "parameters": {"percentage": "30"}}]);
    let variants = json!([{"name": "a", "weight": 1}, {"name": "b", "weight": 1}]);
    let document = json!({"features": [
        {"name": "dice", "enabled": true, "strategies": drawn},
        {"name": "halves", "enabled": true, "strategies": [], "variants": variants},
        {"name": "on dice", "enabled": true, "strategies": [], "dependencies": [{"feature": "dice"}]},
        {"name": "not dice", "enabled": true, "strategies": [], "dependencies": [{"feature": "dice", "enabled": false}]},
        {"name": "a", "enabled": true, "strategies": [], "dependencies": [{"feature": "halves", "variants": ["a"]}]},
        {"name": "any", "enabled": true, "strategies": [], "dependencies": [{"feature": "halves"}]}]});
    let config = Config::load(Format::Unleash, &document.to_string()).unwrap();
    let ask = |flag: &str, context: Json| {
        let request = Request { flag: flag.into(), tenant: None, context, default: None };
        let decision = config.decide(&request, Timestamp::default());
        (decision.value == true, decision.error_code.is_some())
    };
    for flag in ["on dice", "not dice", "a"] {
        assert_eq!(ask(flag, json!({})), (false, true), "{flag}");
    }
    assert_eq!(ask("any", json!({})), (true, false));
    let halves: Vec<_> = (1..=20).map(|user| ask("a", json!({"userId": user}))).collect();
    assert!(halves.contains(&(true, false)) && halves.contains(&(false, false)), "{halves:?}");
}
