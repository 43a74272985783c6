//! Inputs that nobody would write, made by seeded chance for as long as one likes: a second a target every
//! day, `FLAGFORGE_FUZZ_SECONDS=1800 cargo test --release -p flagforge-flags --test fuzz` in a campaign.
//! `FLAGFORGE_FUZZ_SEED` begins elsewhere. A failure prints its input and round.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and says with which input"
)]

mod chance;
mod everybody;
mod folding;

use std::path::{Path, PathBuf};

use chance::{Chance, run};
use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_flags::text_form::{parse, print};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagWire, SegmentWire, TenantWire};
use flagforge_flags::{
    Context, Revision, Snapshot, Value, View, compile, compile_json, evaluate, explain,
};
use serde_json::{Value as Json, json};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// Flags and segments that know one another, as in one file of vectors.
type Neighbours = (Vec<Json>, Vec<Json>);

fn corpus() -> Vec<Neighbours> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/evaluate");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: &PathBuf| {
        let vectors: Json = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let members = |of: &str| {
            let members = vectors["config"][of].as_object().into_iter().flatten();
            members.map(|(_, entry)| entry.clone()).collect()
        };
        (members("flags"), members("segments"))
    };
    files.iter().map(read).filter(|(flags, _): &Neighbours| !flags.is_empty()).collect()
}

/// Up to three changes somewhere in one of them.
fn mutate_one(chance: &mut Chance, of: &mut [Json]) {
    if of.is_empty() {
        return;
    }
    let place = chance.below(of.len());
    for _ in 0..chance.below(4) {
        chance.mutate_json(&mut of[place]);
    }
}

/// What of them the wire form takes.
fn taken<T: serde::de::DeserializeOwned>(from: &[Json]) -> Vec<T> {
    from.iter().filter_map(|json| serde_json::from_value(json.clone()).ok()).collect()
}

#[test]
fn the_wire_form() {
    let corpus = corpus();
    let words =
        ["\"", "{", "}", "[", "]", ",", ":", "null", "1e999", "\\u0000", "\\ud800", "-", "/"];
    run(
        |chance| {
            let flags = &corpus[chance.below(corpus.len())].0;
            let mut flag = [flags[chance.below(flags.len())].clone()];
            mutate_one(chance, &mut flag);
            let text = flag[0].to_string();
            if chance.one_in(3) { chance.mutate(&text, &words) } else { text }
        },
        |text| {
            let loose: Json = serde_json::from_str(text).unwrap_or_default();
            let key = loose["key"].as_str().unwrap_or("k");
            let Ok(flag) = compile_json(key, text) else { return false };
            let wire: FlagWire = serde_json::from_str(text).unwrap();
            // What was compiled from text is what is compiled from the wire form, and from its own text.
            assert_eq!(compile(&wire).unwrap().version(), flag.version());
            let again = serde_json::to_string(&wire).unwrap();
            assert_eq!(serde_json::from_str::<FlagWire>(&again).unwrap(), wire);
            assert!(compile_json(key, &again).is_ok());
            true
        },
    );
}

#[test]
fn the_text_form() {
    let words = [
        "user",
        ".",
        "x",
        " == ",
        "!=",
        "<",
        " && ",
        " || ",
        "!",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ", ",
        ":",
        "%",
        "1",
        "-2.5",
        "1e5",
        "\"a\"",
        "'b'",
        "r\"\\d\"",
        "\"\\u00e9",
        "true",
        "null",
        " in ",
        "now",
        "date(",
        "semver(",
        "has(",
        "size(",
        "in_network(",
        "in_segment(",
        "flag(",
        "rollout(",
        "all(",
        "attribute(",
        ".contains(",
        ".exists(element, ",
        ".test(\"less\", ",
        ".negated()",
        ".is_off()",
        "//",
        "\n",
        "\\",
        "é",
    ];
    let whole = [
        r#"tenant.plan in ["gold"] && user.app_version >= semver("2.3.0")"#,
        r#"(user.x == 1.5).negated().or_missing() || !rollout(user.key, "s", {"seed": 1, "until": 5})"#,
        r#"user["a b"].exists(element, element.n % 2 == 0 || element == {"a": [1, null]})"#,
        r#"flag("k") in ["a", "b"] && in_group("g") && !has(user.x) && size(user.y) >= 3"#,
    ];
    run(
        |chance| match chance.below(3) {
            0 => chance.soup(&words, 40),
            _ => {
                let text = chance.pick(&whole);
                chance.mutate(text, &words)
            }
        },
        |text| match parse(text) {
            Ok(tree) => {
                let canonical = print(&tree);
                assert_eq!(parse(&canonical).unwrap(), tree);
                true
            }
            Err(error) => {
                assert!(error.to_string().contains('^'));
                false
            }
        },
    );
}

/// A flag that is on for whoever stands the test.
fn testing(operator: &str, operand: &str) -> Json {
    json!({
        "key": "k", "version": 1, "class": "release", "type": "boolean",
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
        "state": {
            "enabled": true, "off": {"variant": "off"}, "fallthrough": {"variant": "off"},
            "rules": [{"id": "r", "serve": {"variant": "on"}, "when": {"test": {
                "attribute": "user.x", "operator": operator, "values": [operand]}}}],
        }
    })
}

fn snapshot(flags: impl IntoIterator<Item = FlagWire>) -> Snapshot {
    let scope = ScopeId {
        org: OrgKey::new("fuzz").unwrap(),
        env: EnvKey::new("test").unwrap(),
        scope: Scope::Environment,
    };
    let acme: TenantWire = serde_json::from_value(
        json!({"uid": "t", "attributes": {"plan": "gold"}, "groups": ["g"]}),
    )
    .unwrap();
    let tenants = [(TenantKey::new("acme").unwrap(), acme)];
    Snapshot::from_parts(scope, Revision { org: 1, env: 1 }, flags, tenants)
}

/// Whether `x` stands the test; nothing when the operand is refused.
fn holds(operator: &str, operand: &str, x: &Json) -> Option<bool> {
    let wire: FlagWire = serde_json::from_value(testing(operator, operand)).unwrap();
    compile(&wire).ok()?;
    let snapshot = snapshot([wire]);
    let context =
        Context::for_tenant(TenantKey::new("acme").unwrap()).user("u").attr("x", x.clone());
    let answer = evaluate(View { snapshot: &snapshot, confirmed: NOW }, "k", None, &context, NOW);
    answer.value.and_then(Value::as_bool)
}

#[test]
fn semantic_versions() {
    let words = [
        "1",
        "0",
        "2",
        "10",
        ".",
        ".",
        ".",
        "-",
        "+",
        "a",
        "rc",
        "00",
        "v",
        "999999999999999999999",
        " ",
        "é",
    ];
    let made = |chance: &mut Chance| {
        if chance.one_in(2) {
            return chance.soup(&words, 9);
        }
        let numbers: Vec<String> = (0..3).map(|_| chance.below(3).to_string()).collect();
        let tail =
            chance.pick(&["", "", "-rc.1", "-rc", "-1", "-alpha", "+b", "-a.b.10", "-a.b.9"]);
        numbers.join(".") + tail
    };
    run(
        |chance| (made(chance), made(chance)),
        |(a, b)| {
            let mut compared = false;
            for prefix in ["semver", "lenient-semver"] {
                let ask = |operator, left: &str, right: &str| {
                    holds(&format!("{prefix}-{operator}"), right, &json!(left))
                };
                let Some(less) = ask("less", a, b) else { continue };
                let equal = ask("equals", a, b).unwrap();
                let greater = ask("greater", a, b).unwrap();
                assert!(u8::from(less) + u8::from(equal) + u8::from(greater) <= 1);
                assert_eq!(ask("less-or-equal", a, b).unwrap(), less || equal);
                assert_eq!(ask("greater-or-equal", a, b).unwrap(), greater || equal);
                assert_eq!(ask("equals", b, b), Some(true));
                // An `a` that can be an operand is a version, so one of the three holds.
                if let Some(mirrored) = ask("less", b, a) {
                    assert_eq!(mirrored, greater);
                    assert!(less || equal || greater);
                    compared = true;
                } else {
                    assert!(!(less || equal || greater));
                }
            }
            compared
        },
    );
}

#[test]
fn dates() {
    let words = [
        "2026", "-", "01", "02", "29", "T", ":", "00", "23", "60", "Z", "+", "14:00", ".",
        "999999", "9999", "0000", " ", "now", "1", "t", "z", "é",
    ];
    let made = |chance: &mut Chance| {
        let (month, day) = (chance.below(13), chance.below(33));
        let tail = chance.pick(&[
            "",
            "T00:00:00Z",
            "T23:59:59.999999Z",
            "T12:00:00+02:00",
            "T12:00:00-14:00",
            "t1:2:3z",
            "T24:00:00Z",
        ]);
        match chance.below(4) {
            0 => chance.soup(&words, 10),
            1 => {
                let date = format!("2026-{month:02}-{day:02}{tail}");
                chance.mutate(&date, &words)
            }
            _ => format!("{:04}-{month:02}-{day:02}{tail}", 1969 + chance.below(3)),
        }
    };
    run(
        |chance| (made(chance), made(chance)),
        |(a, b)| {
            let Some(before) = holds("before", b, &json!(a)) else { return false };
            let after = holds("after", b, &json!(a)).unwrap();
            assert!(!(before && after));
            assert_eq!(holds("before", b, &json!(b)), Some(false));
            // `now` is an operand, and no value of an attribute.
            if a != "now"
                && b != "now"
                && let Some(mirrored) = holds("after", a, &json!(b))
            {
                assert_eq!(mirrored, before);
            }
            before || after
        },
    );
}

#[test]
fn networks() {
    let words = [
        "10", "0", "255", "256", ".", ".", ".", ":", "::", "ffff", "/", "8", "32", "33", "128",
        "129", "1", "%eth0", " ", "é", "-1",
    ];
    let made = |chance: &mut Chance| {
        let four: Vec<String> = (0..4).map(|_| chance.below(256).to_string()).collect();
        let eight: Vec<String> = (0..8).map(|_| format!("{:x}", chance.below(65_536))).collect();
        match chance.below(4) {
            0 => chance.soup(&words, 12),
            1 => {
                let text = four.join(".");
                chance.mutate(&text, &words)
            }
            2 => four.join("."),
            _ => eight.join(":"),
        }
    };
    run(
        |chance| (made(chance), made(chance), chance.below(140)),
        |(a, b, bits)| {
            let network = format!("{b}/{bits}");
            let inside = holds("in-network", &network, &json!(a));
            let Some(same) = holds("in-network", b, &json!(b)) else {
                assert!(inside.is_none() || b.contains('/') || b.is_empty());
                return false;
            };
            // A network is no address; every address is in itself and in all networks around it.
            assert_eq!(same, !b.contains('/'), "{b}");
            if same && let Some(own) = holds("in-network", &network, &json!(b)) {
                assert!(own);
            }
            inside.is_some()
        },
    );
}

#[test]
fn evaluation() {
    let corpus = corpus();
    run(
        |chance| {
            let (mut flags, mut segments) = corpus[chance.below(corpus.len())].clone();
            mutate_one(chance, &mut flags);
            mutate_one(chance, &mut segments);
            let mut attributes = json!({"country": "DE", "age": 17, "plan": "gold", "x": [1, "a", null], "y": {"z": 1.5}});
            chance.mutate_json(&mut attributes);
            (flags, segments, attributes, chance.below(4))
        },
        |(flags, segments, attributes, who)| {
            let wires: Vec<FlagWire> = taken(flags);
            let keys: Vec<String> = wires.iter().map(|wire| wire.key.to_string()).collect();
            let snapshot = snapshot(wires).with_segments(taken::<SegmentWire>(segments));
            let mut context = match who {
                0 => Context::untenanted(),
                1 => Context::for_tenant(TenantKey::new("unknown").unwrap()),
                _ => Context::for_tenant(TenantKey::new("acme").unwrap()).user("u-1"),
            };
            for (name, value) in attributes.as_object().into_iter().flatten() {
                context = context.attr(name.as_str(), value.clone());
            }
            let view = View { snapshot: &snapshot, confirmed: NOW };
            let mut answered = false;
            for key in &keys {
                let answer = evaluate(view, key, None, &context, NOW);
                let explained = explain(view, key, &context, NOW);
                assert_eq!(answer.value.map(Value::to_json), explained.value);
                assert_eq!(answer.variant, explained.variant.as_deref());
                assert_eq!(answer.fine.as_str(), explained.fine_reason);
                assert_eq!(answer.error.map(|error| error.code()), explained.error_code);
                assert!(!explained.to_string().is_empty());
                answered |= explained.value.is_some();
            }
            answered
        },
    );
}
