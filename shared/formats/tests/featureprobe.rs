//! FeatureProbe's server SDK specification, case by case.

#![expect(
    clippy::print_stderr,
    clippy::panic,
    reason = "a test fails by panicking, and says aloud what it skips"
)]

mod conformance;

use conformance::{Exception, Score, file, folder};
use flagforge_flags::time::Timestamp;
use flagforge_formats::{Config, Format, Request};
use serde_json::{Value as Json, json};

const EXCEPTIONS: [Exception; 0] = [];
/// Cases in the specification's commit that the folder holds.
const CASES: usize = 41;

#[test]
fn the_featureprobe_specification() {
    let Some(folder) = folder("featureprobe") else { return };
    let document: Json =
        serde_json::from_str(&file(&folder.join("toggle_simple_spec.json"))).unwrap();
    let mut score = Score::new("FeatureProbe specification", &EXCEPTIONS);
    for scenario in document["tests"].as_array().unwrap() {
        let name = scenario["scenario"].as_str().unwrap();
        let config = Config::load(Format::FeatureProbe, &scenario["fixture"].to_string()).unwrap();
        for case in scenario["cases"].as_array().unwrap() {
            let function = &case["function"];
            let request = Request {
                flag: function["toggle"].as_str().unwrap().to_owned(),
                tenant: None,
                context: case["user"].clone(),
                default: Some(function["default"].clone()),
            };
            let decision = config.decide(&request, Timestamp::default());
            let expect = &case["expectResult"];
            let mut expected = json!({"value": expect["value"]});
            let mut seen = json!({"value": decision.value});
            if let Some(index) = expect.get("ruleIndex") {
                expected["rule"] = format!("rule {index}").into();
                seen["rule"] = decision.rule.clone().into();
            }
            if expect["noRuleIndex"] == true {
                expected["rule"] = Json::Null;
                seen["rule"] = decision.rule.clone().into();
            }
            if let Some(why) = expect["reason"].as_str().and_then(reason) {
                expected["why"] = why.into();
                seen["why"] = decision.error_code.unwrap_or(decision.reason).into();
            }
            let title = format!("{name}: {}", case["name"].as_str().unwrap());
            score.case(&title, &expected, &seen, &decision);
        }
    }
    score.finish(CASES);
}

/// FeatureProbe's words in OpenFeature's; a cycle has none, and is an error here.
fn reason(theirs: &str) -> Option<&'static str> {
    match theirs.trim_end_matches('.') {
        "not exist" => Some("FLAG_NOT_FOUND"),
        "type mismatch" => Some("TYPE_MISMATCH"),
        "disabled" | "prerequisite not exist" => Some("DISABLED"),
        "default" => Some("DEFAULT"),
        _ => None,
    }
}
