//! What hostile regular expressions cost on the longest texts that they may search: every pair of an atom and a tail of
//! `tests/vectors/regex/hostile.json`. Run with `cargo bench -p flagforge-flags --bench regexes`.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement reads the clock and prints what it found"
)]

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use flagforge_flags::compile::MAX_ATTRIBUTE_BYTES;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::FlagWire;
use flagforge_flags::{Context, Revision, Snapshot, View, compile, evaluate};
use serde_json::{Value as Json, json};

/// What no answer may take.
const BOUND: Duration = Duration::from_millis(5);
/// Times that each is asked; the first makes the search's scratch space, the quickest of the others is what it takes.
const TIMES: usize = 5;

fn flag(pattern: &str) -> serde_json::Result<FlagWire> {
    let test = json!({"attribute": "user.x", "operator": "regex", "values": [pattern]});
    serde_json::from_value(json!({
        "key": "f", "version": 1, "class": "release", "type": "boolean",
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
        "state": {"enabled": true, "off": {"variant": "off"}, "fallthrough": {"variant": "off"},
                  "rules": [{"id": "r", "when": {"test": test}, "serve": {"variant": "on"}}]}
    }))
}

/// Texts that such expressions find hard, each as long as it may be.
fn texts() -> [String; 4] {
    let whole = |text: &str| text.repeat(MAX_ATTRIBUTE_BYTES / text.len());
    [whole("a"), whole("ab"), whole("é"), whole("xyz 0")]
}

fn main() -> Result<(), Box<dyn Error>> {
    let parts: Json =
        serde_json::from_str(include_str!("../../../tests/vectors/regex/hostile.json"))?;
    let part = |of: &str| parts[of].as_array().into_iter().flatten().filter_map(Json::as_str);
    let scope =
        ScopeId { org: OrgKey::new("demo")?, env: EnvKey::new("prod")?, scope: Scope::Environment };
    let (mut refused, mut first, mut later) = (0, Vec::new(), Vec::new());
    for pattern in
        part("atoms").flat_map(|atom| part("tails").map(move |tail| [atom, tail].concat()))
    {
        let wire = flag(&pattern)?;
        if compile(&wire).is_err() {
            refused += 1;
            continue;
        }
        let snapshot = Snapshot::from_parts(scope.clone(), Revision { org: 1, env: 1 }, [wire], []);
        let view = View { snapshot: &snapshot, confirmed: Timestamp::default() };
        for text in texts() {
            let context = Context::untenanted().attr("x", &text);
            let mut times = (0..TIMES).map(|_| {
                let start = Instant::now();
                black_box(evaluate(view, "f", None, black_box(&context), Timestamp::default()));
                start.elapsed()
            });
            first.extend(times.next().map(|time| (time, pattern.clone())));
            later.extend(times.min().map(|time| (time, pattern.clone())));
        }
    }
    println!("{} expressions, {refused} refused", refused + first.len() / texts().len());
    report("first", &mut first);
    report("later", &mut later);
    Ok(())
}

fn report(which: &str, times: &mut [(Duration, String)]) {
    times.sort();
    let over = times.iter().filter(|(time, _)| *time > BOUND).count();
    if let (Some((median, _)), Some((worst, pattern))) = (times.get(times.len() / 2), times.last())
    {
        println!(
            "  {which}: median {median:.1?}, worst {worst:.1?} ({pattern}), {over} over {BOUND:?}"
        );
    }
}
