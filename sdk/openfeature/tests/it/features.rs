//! The specification's own scenarios. The data is not in this repository: `FLAGFORGE_CONFORMANCE` names the folder.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};

use crate::gherkin::scenarios;
use crate::steps::World;

/// Scenarios that do not apply, by how their name begins. Each is run all the same, and is to fail.
const NOT_APPLICABLE: [(&str, &str); 12] = [
    (
        "Flag Evaluations - Complete OpenFeature Specification Coverage: Provider in fatal state error",
        "the Rust SDK has no code PROVIDER_FATAL, and a client of ours never ends in an error: bad configuration makes none",
    ),
    (
        "Flag Evaluations - Complete OpenFeature Specification Coverage: Provider status accessibility [error ",
        "a client of ours has no status of error: it answers from what it has, or from nothing",
    ),
    (
        "Flag Evaluations - Complete OpenFeature Specification Coverage: Provider status accessibility [fatal ",
        "the Rust SDK has no such status",
    ),
    (
        "Flag Evaluations - Complete OpenFeature Specification Coverage: Null context values",
        "a context of the Rust SDK has no null",
    ),
    (
        "Flag Evaluations - Complete OpenFeature Specification Coverage: CACHED reason",
        "evaluation stays in the process: there is nothing to keep answers in",
    ),
    (
        "Flag Evaluations - Complete OpenFeature Specification Coverage: Flag metadata in evaluation details",
        "our flags have no metadata of their own: it says how the answer came about",
    ),
    (
        "Metadata: Returns metadata",
        "our flags have no metadata of their own: it says how the answer came about",
    ),
    ("Metadata: Returns no metadata", "every answer says its revision and age"),
    (
        "Evaluation details through hooks: Flag not found",
        "the Rust SDK tells its finally hooks neither the caller's default nor the error's code",
    ),
    (
        "Evaluation details through hooks: Type error",
        "the Rust SDK tells its finally hooks neither the caller's default nor the error's code",
    ),
    ("Context merging precedence: A context entry is added to a single level [Transaction]", NONE),
    ("Context merging precedence: For a transaction", NONE),
];

/// Outlines whose first example, the API's level alone, applies all the same.
const BUT_THE_FIRST: &str = "from preceding levels [API]";
const NONE: &str = "the Rust SDK has no transactions";

/// Features that are not run. `evaluation.feature` is deprecated, asks what the second one asks, and wants a flag that is not in
/// the published data.
const LEFT_OUT: [&str; 1] = ["evaluation.feature"];

fn folder() -> Option<PathBuf> {
    let unsaid = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let root = std::env::var_os("FLAGFORGE_CONFORMANCE").map_or_else(unsaid, PathBuf::from);
    let folder = root.join("openfeature");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {} is not there; FLAGFORGE_CONFORMANCE names the folder", folder.display());
    None
}

#[tokio::test]
async fn the_specifications_scenarios() {
    let Some(folder) = folder() else { return };
    let read = |name: &Path| std::fs::read_to_string(name).unwrap();
    let flags: Map<String, Json> =
        serde_json::from_str(&read(&folder.join("test-flags.json"))).unwrap();
    let (mut passed, mut failed, mut excepted) = (0, Vec::new(), [0; NOT_APPLICABLE.len()]);
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let features = entries.filter(|path| path.extension().is_some_and(|it| it == "feature"));
    for path in features.filter(|path| !LEFT_OUT.iter().any(|name| path.ends_with(name))) {
        for scenario in scenarios(&read(&path)) {
            let name = &scenario.name;
            let outcome = World::run(&flags, &scenario.steps).await;
            let begins = |(begin, _): &(&str, &str)| name.starts_with(begin);
            let exception = NOT_APPLICABLE.iter().position(begins);
            let exception = exception.filter(|_| !name.ends_with(BUT_THE_FIRST));
            match (exception, outcome) {
                (None, Ok(())) => passed += 1,
                (None, Err(why)) => failed.push(format!("{name}\n  {why}")),
                (Some(at), Err(_)) => excepted[at] += 1,
                (Some(_), Ok(())) => failed.push(format!("{name}\n  passes: take it off the list")),
            }
        }
    }
    eprintln!("{passed} pass, {} do not apply", excepted.iter().sum::<usize>());
    assert!(failed.is_empty(), "{} fail:\n{}", failed.len(), failed.join("\n"));
    for ((name, because), met) in NOT_APPLICABLE.iter().zip(excepted) {
        assert!(met > 0 && !because.is_empty(), "no such scenario: {name}");
    }
    // Scenarios that are added, or are no longer found, are to be looked at.
    assert_eq!((passed, excepted.iter().sum::<usize>()), (86, 33));
}
