//! Flags and segments to try: the vectors', and tangles.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::chance::Chance;

/// Flags that ask for one another.
pub(crate) const TANGLED: usize = 14;

/// The flags and segments of each file of vectors.
pub(crate) fn corpus() -> Vec<(Vec<Json>, Vec<Json>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/evaluate");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file| {
        let vectors: Json = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let members = |of: &str| {
            let members = vectors["config"][of].as_object().into_iter().flatten();
            members.map(|(_, entry)| entry.clone()).collect()
        };
        (members("flags"), members("segments"))
    };
    files.iter().map(read).filter(|(flags, _): &(Vec<Json>, _)| !flags.is_empty()).collect()
}

pub(crate) fn name(number: usize) -> String {
    format!("f-{number}")
}

pub(crate) fn segment(number: usize) -> String {
    format!("s-{number}")
}

fn boolean(number: usize, prerequisites: &Json, rules: &[Json]) -> Json {
    json!({
        "key": name(number), "class": "release", "type": "boolean",
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
        "state": {
            "enabled": true, "off": {"variant": "off"}, "fallthrough": {"variant": "on"},
            "prerequisites": prerequisites, "rules": rules,
        }
    })
}

fn asks(chance: &mut Chance) -> Json {
    let test = flag_test(chance);
    let key = segment(chance.below(4));
    match chance.below(5) {
        0 => json!({"inSegment": key}),
        1 => json!({"all": [{"flag": test}, {"not": {"inSegment": key}}]}),
        2 => json!({"any": ["always", {"flag": test}]}),
        _ => json!({"flag": test}),
    }
}

fn flag_test(chance: &mut Chance) -> Json {
    let is = match chance.below(4) {
        0 => json!("off"),
        1 => json!("enabled"),
        2 => json!({"variants": ["on", "off"]}),
        _ => json!({"variants": ["on"]}),
    };
    json!({"flag": name(chance.below(TANGLED)), "is": is})
}

/// A flag that asks for some others.
pub(crate) fn tangled_flag(chance: &mut Chance, number: usize) -> Json {
    let prerequisites: Vec<Json> = (0..chance.below(3)).map(|_| flag_test(chance)).collect();
    let rules: Vec<Json> = (0..chance.below(12))
        .map(|rule| {
            json!({"id": format!("r-{rule}"), "when": asks(chance), "serve": {"variant": "off"}})
        })
        .collect();
    boolean(number, &json!(prerequisites), &rules)
}

/// A segment that asks for flags and segments.
pub(crate) fn tangled_segment(chance: &mut Chance) -> Json {
    json!({"key": segment(chance.below(4)), "when": asks(chance)})
}

/// A flag that asks for one other.
pub(crate) fn link(number: usize, other: Option<usize>) -> Json {
    let test = other.map(|other| json!({"flag": name(other), "is": {"variants": ["on"]}}));
    boolean(number, &json!(test.into_iter().collect::<Vec<_>>()), &[])
}
