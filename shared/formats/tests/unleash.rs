//! The Unleash client specification, case by case.

#![expect(
    clippy::print_stderr,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says aloud what it skips"
)]

mod conformance;

use std::collections::BTreeMap;
use std::path::PathBuf;

use conformance::{Exception, Score, file, folder};
use flagforge_flags::time::Timestamp;
use flagforge_formats::{Config, Decision, Format, Request};
use serde_json::Value as Json;

/// Cases that are not passed, with the reason. The list may only shrink: an entry that passes fails the test.
const EXCEPTIONS: [Exception; 0] = [];

/// Flags that answer `false` with an error that names what could not be carried over, where Unleash's SDKs answer
/// `false` without a word: operands, operators and segments that are not there, and what RE2 does not have.
const ERRORS: [(&str, &str); 6] = [
    ("F7.invalid-operator", "NOT_A_VALID_OPERATOR"),
    ("F8.invalidSemverWithLeadingV", "SEMVER_EQ"),
    ("F9.withMissingSegment", "there is no segment 404"),
    ("R90.reject_lookahead", "REGEX"),
    ("R91.reject_backreference", "REGEX"),
    ("invalid-regex-defaults-to-false", "REGEX"),
];

/// Cases in the specification's commit that the folder holds.
const CASES: usize = 279;

#[test]
fn the_unleash_client_specification() {
    let Some(paths) = files("unleash") else { return };
    let mut errors = BTreeMap::new();
    let mut score = Score::new("Unleash client specification", &EXCEPTIONS);
    for path in paths {
        let document: Json = serde_json::from_str(&file(&path)).unwrap();
        let Some(state) = document.get("state") else { continue };
        let name = document["name"].as_str().unwrap();
        let config = Config::load(Format::Unleash, &state.to_string()).unwrap();
        for (kind, seen) in [("tests", enabled as fn(&Decision) -> Json), ("variantTests", variant)]
        {
            for case in document[kind].as_array().into_iter().flatten() {
                let request = Request {
                    flag: case["toggleName"].as_str().unwrap().to_owned(),
                    tenant: None,
                    context: case["context"].clone(),
                    default: None,
                };
                let decision = config.decide(&request, Timestamp::default());
                if decision.error_code.is_some_and(|code| code != "FLAG_NOT_FOUND") {
                    errors.insert(decision.flag.clone(), decision.error_details.clone().unwrap());
                }
                let title = format!("{name}: {}", case["description"].as_str().unwrap());
                score.case(&title, &case["expectedResult"], &seen(&decision), &decision);
            }
        }
    }
    score.finish(CASES);
    for (flag, error) in &errors {
        let known = ERRORS.iter().find(|(known, _)| known == flag);
        let (_, names) = known.unwrap_or_else(|| panic!("{flag}: {error}"));
        assert!(error.contains(names), "{flag}: {error}");
    }
    assert_eq!(errors.len(), ERRORS.len(), "{errors:#?}");
}

fn enabled(decision: &Decision) -> Json {
    decision.value.clone()
}

fn variant(decision: &Decision) -> Json {
    let on = decision.value == true;
    let name = decision.variant.as_deref().unwrap_or("disabled");
    let mut variant = serde_json::json!({
        "name": name,
        "enabled": on && name != "disabled",
        "feature_enabled": on,
    });
    if let Some(payload) = &decision.attachment {
        variant["payload"] = payload.clone();
    }
    variant
}

/// The JSON files of a folder, sorted.
fn files(name: &str) -> Option<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder(name)?).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|kind| kind == "json")).collect();
    paths.sort();
    Some(paths)
}
