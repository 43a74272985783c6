//! flagd's published documents, accepted and refused as its schemas do; and what accepted targeting then answers.

#![expect(
    clippy::print_stderr,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says aloud what it skips"
)]

mod conformance;

use conformance::{Exception, Score, file, folder};
use flagforge_flags::time::Timestamp;
use flagforge_formats::{Config, Decision, Format, Request, check_flagd_targeting, import};
use serde_json::{Value as Json, json};

const EXCEPTIONS: [Exception; 0] = [];
/// Documents in the schemas' commit that the folder holds (its own description counts 36).
const DOCUMENTS: usize = 37;

#[test]
fn documents_are_accepted_and_refused_as_the_schemas_do() {
    let Some(folder) = folder("flagd-schemas") else { return };
    let mut score = Score::new("flagd documents", &EXCEPTIONS);
    for kind in ["flagd", "flags", "targeting"] {
        for verdict in ["positive", "negative"] {
            let Ok(entries) = std::fs::read_dir(folder.join("test").join(kind).join(verdict))
            else {
                continue;
            };
            for entry in entries {
                let path = entry.unwrap().path();
                let text = file(&path);
                let taken = if kind == "targeting" {
                    check_flagd_targeting(&serde_json::from_str(&text).unwrap())
                } else {
                    import(Format::Flagd, &text).map(|_| ())
                };
                let name = format!("{kind}/{verdict}: {}", path.display());
                score.case(&name, &(verdict == "positive").into(), &taken.is_ok().into(), &taken);
            }
        }
    }
    score.finish(DOCUMENTS);
}

fn ask(config: &Config, flag: &str, context: Json) -> Decision {
    let request = Request { flag: flag.to_owned(), tenant: None, context, default: None };
    config.decide(&request, Timestamp::from_seconds(1_000))
}

fn with(targeting: &Json) -> Config {
    let variants = json!({"on": "on", "off": "off", "true": "yes", "false": "no"});
    let flag = json!({
        "state": "ENABLED", "variants": variants, "defaultVariant": "off", "targeting": targeting,
    });
    let document = json!({"flags": {"f": flag}, "$evaluators": {"faas": {"in": ["@faas.com", {"var": ["email"]}]}}});
    Config::load(Format::Flagd, &document.to_string()).unwrap()
}

#[test]
fn targeting_that_decides_answers_as_jsonlogic_does() {
    let cases = [
        (
            json!({"if": [{"==": [{"var": ["color"]}, "yellow"]}, "on", "off"]}),
            json!({"color": "yellow"}),
            "on",
        ),
        (json!({"if": [{"$ref": "faas"}, "on", null]}), json!({"email": "a@faas.com"}), "on"),
        (json!({"if": [{"$ref": "faas"}, "on", null]}), json!({"email": ["@faas.com"]}), "on"),
        (json!({"if": [{"$ref": "faas"}, "on"]}), json!({"email": ["a@faas.com"]}), "off"),
        (json!({"if": [{"==": [{"var": "n"}, 17]}, "on"]}), json!({"n": "17"}), "on"),
        (json!({"if": [{"===": [{"var": "n"}, 17]}, "on"]}), json!({"n": "17"}), "off"),
        (json!({"if": [{"!=": [{"var": "n"}, 17]}, "on"]}), json!({}), "on"),
        (json!({"if": [{"<": [1, {"var": "n"}, 3]}, "on"]}), json!({"n": 2}), "on"),
        (json!({"if": [{"<": [1, {"var": "n"}, 3]}, "on"]}), json!({"n": 3}), "off"),
        (json!({"if": [{"<": [{"var": "n"}, 3]}, "on"]}), json!({}), "on"),
        (json!({"if": [{"in": [{"var": "c"}, ["DE", "FR"]]}, "on"]}), json!({"c": "FR"}), "on"),
        (json!({"if": [{"ends_with": [{"var": "id"}, "z"]}, "on"]}), json!({"id": "xyz"}), "on"),
        (
            json!({"if": [{"sem_ver": [{"var": "v"}, "^", "3.0.0"]}, "on"]}),
            json!({"v": "v3.9"}),
            "on",
        ),
        (
            json!({"if": [{"sem_ver": [{"var": "v"}, "~", "3.0.0"]}, "on"]}),
            json!({"v": "3.1.0"}),
            "off",
        ),
        (json!({"if": [{"var": "x"}, "on"]}), json!({"x": ""}), "off"),
        (json!({"if": [{"!": {"var": "x"}}, "on"]}), json!({"x": 0}), "on"),
        (
            json!({"if": [{"some": [{"var": "p"}, {"==": [{"var": "f"}, "apple"]}]}, "on"]}),
            json!({"p": [{"f": "apple"}]}),
            "on",
        ),
        (
            json!({"if": [{"all": [{"var": "p"}, {">": [{"var": ""}, 0]}]}, "on"]}),
            json!({"p": []}),
            "off",
        ),
        (json!({"==": [{"var": "x"}, 1]}), json!({"x": 1}), "yes"),
        (json!({"==": [{"var": "x"}, 1]}), json!({"x": 2}), "no"),
        (json!({"if": [false, "on", {"var": "x"}, "on", "off"]}), json!({"x": true}), "on"),
        (json!({"if": [{">": [{"var": "$flagd.timestamp"}, 999]}, "on"]}), json!({}), "on"),
        (json!({"var": "variant"}), json!({"variant": "on"}), "on"),
        (json!({}), json!({}), "off"),
    ];
    for (targeting, context, expected) in cases {
        let config = with(&targeting);
        let decision = ask(&config, "f", context.clone());
        assert_eq!(decision.value, expected, "{targeting} of {context}: {decision:?}");
    }
}

/// Where murmur3_32 of `f` and the user, by an independent program (Python's mmh3 5.3.1), puts them in halves.
const SHARES: [(&str, &str); 6] = [
    ("user-1", "on"),
    ("user-2", "on"),
    ("user-3", "off"),
    ("ann", "on"),
    ("bob", "off"),
    ("x", "off"),
];

#[test]
fn shares_fall_where_flagd_lets_them_fall() {
    let shares = json!({"fractional": [["on", 50], ["off", 50]]});
    for (user, expected) in SHARES {
        assert_eq!(
            ask(&with(&shares), "f", json!({"targetingKey": user})).value,
            expected,
            "{user}"
        );
        let by_email = json!({"fractional": [{"var": "email"}, ["on", 50], ["off", 50]]});
        let context = json!({"email": format!("f{user}"), "targetingKey": "x"});
        assert_eq!(ask(&with(&by_email), "f", context).value, expected, "{user}");
        let joined = json!({"cat": [{"var": "$flagd.flagKey"}, {"var": "email"}]});
        let joined = json!({"fractional": [joined, ["on", 1], ["off", 1]]});
        assert_eq!(ask(&with(&joined), "f", json!({"email": user})).value, expected, "{user}");
    }
    // Without a targeting key targeting answers null, and so the default.
    assert_eq!(ask(&with(&shares), "f", json!({})).value, "off");
}

#[test]
fn targeting_that_computes_is_refused_by_name_in_its_flag_only() {
    let targeting = json!({"if": [{"==": [{"%": [{"var": "n"}, 2]}, 0]}, "on", "off"]});
    let config = with(&targeting);
    let decision = ask(&config, "f", json!({"n": 2}));
    assert_eq!(decision.value, Json::Null);
    assert!(decision.error_code.is_some());
    assert!(decision.error_details.unwrap().contains("`%` computes"));
    let weights =
        json!({"fractional": [["on", {"-": [{"var": "$flagd.timestamp"}, 5]}], ["off", 1]]});
    let decision = ask(&with(&weights), "f", json!({"targetingKey": "u"}));
    assert!(decision.error_details.unwrap().contains("computed weight of `on`"));
}
