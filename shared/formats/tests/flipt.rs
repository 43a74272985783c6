//! Flipt's client cases.
//!
//! The cases ask a namespace `venus`, and the repository that they come from does not hold its flags: `features.yml`
//! there has two other flags. So the namespace is written out here from what the cases say of it: names of
//! segments and variants are in the expectations, constraints in the flags' names and contexts, and the bounds of
//! the distributions are narrowed by the four and three entities that the cases place (crc32 of flag and entity).

#![expect(
    clippy::print_stderr,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says aloud what it skips"
)]

mod conformance;

use conformance::{Exception, Score, file, folder};
use flagforge_flags::time::Timestamp;
use flagforge_formats::{Config, Decision, Format, Request};
use serde_json::{Value as Json, json};

const EXCEPTIONS: [Exception; 0] = [];
/// Cases in the repository's commit that the folder holds; the batch is one of them, of three questions.
const CASES: usize = 22;

const VENUS: &str = include_str!("venus.yml");

#[test]
fn the_flipt_cases() {
    let Some(folder) = folder("flipt") else { return };
    let cases = flagforge_formats::yaml_as_json(&file(&folder.join("cases.yaml"))).unwrap();
    let config = Config::load(Format::Flipt, VENUS).unwrap();
    assert_eq!(config.warnings(), []);
    let mut score = Score::new("Flipt cases", &EXCEPTIONS);
    for case in cases.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        if case["type"] == "batch" {
            let requests = case["requests"].as_array().unwrap();
            let answers = requests.iter().map(|request| ask(&config, request));
            let answers: Vec<Decision> = answers.collect();
            let seen = answers.iter().map(seen).collect::<Json>();
            let expected = case["expected"]["responses"].as_array().unwrap().iter();
            let expected = expected.map(|response| {
                let kinds = ["variantResponse", "booleanResponse", "errorResponse"];
                let kind = kinds.into_iter().find(|kind| !response[*kind].is_null()).unwrap();
                expected_of(&response[kind])
            });
            score.case(name, &expected.collect(), &seen, &answers);
        } else {
            let decision = ask(&config, &case["request"]);
            score.case(name, &expected_of(&case["expected"]), &seen(&decision), &decision);
        }
    }
    score.finish(CASES);
}

/// The published file is read whole, though no case asks it.
#[test]
fn the_published_features_are_read() {
    let Some(folder) = folder("flipt") else { return };
    let config = Config::load(Format::Flipt, &file(&folder.join("features.yml"))).unwrap();
    assert_eq!(config.warnings(), []);
    let context = json!({"entityId": "e", "context": {"fizz": "buzz"}});
    let ask = |flag: &str, context: &Json| {
        let (flag, context) = (flag.to_owned(), context.clone());
        let request = Request { flag, tenant: None, context, default: None };
        config.decide(&request, Timestamp::default())
    };
    let decision = ask("flag1", &context);
    assert_eq!((decision.value, decision.reason), (json!("variant1"), "TARGETING_MATCH"));
    assert_eq!(ask("flag_boolean", &context).value, true);
    let nobody = ask("flag1", &json!({"entityId": "e"}));
    assert_eq!((nobody.value, nobody.reason), (Json::Null, "DEFAULT"));
}

fn ask(config: &Config, request: &Json) -> Decision {
    let request = Request {
        flag: request["flag_key"].as_str().unwrap().to_owned(),
        tenant: None,
        context: json!({"entityId": request["entity_id"], "context": request["context"]}),
        default: None,
    };
    config.decide(&request, Timestamp::default())
}

fn seen(decision: &Decision) -> Json {
    match decision.error_code {
        Some(code) => json!({"value": null, "why": code}),
        // A rule's percentage is a match to Flipt.
        None if decision.reason == "SPLIT" => {
            json!({"value": decision.value, "why": "TARGETING_MATCH"})
        }
        None => json!({"value": decision.value, "why": decision.reason}),
    }
}

/// The value, and the reason in OpenFeature's words.
fn expected_of(expected: &Json) -> Json {
    let value =
        ["variant_key", "variantKey", "enabled"].into_iter().find_map(|name| expected.get(name));
    let why = match expected["reason"].as_str().unwrap() {
        "MATCH_EVALUATION_REASON" => "TARGETING_MATCH",
        "DEFAULT_EVALUATION_REASON" => "DEFAULT",
        "FLAG_DISABLED_EVALUATION_REASON" => "DISABLED",
        "NOT_FOUND_ERROR_EVALUATION_REASON" => "FLAG_NOT_FOUND",
        other => panic!("{other}"),
    };
    json!({"value": value, "why": why})
}
