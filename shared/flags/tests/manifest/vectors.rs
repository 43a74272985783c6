//! The vectors of `tests/vectors/manifest`: written here, read here and by every other SDK. With
//! `FLAGFORGE_WRITE_VECTORS=1` this test writes them, and the example of `docs/manifest.md`; else what is stale fails.

use std::path::{Path, PathBuf};

use flagforge_flags::Snapshot;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::author::{Given, ONLINE, ROOTS, SIGNING, part, read};
use crate::{refused, written};

/// A file: what a reader is given, and cases that change some of it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    description: String,
    given: Map<String, Json>,
    cases: Vec<Case>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// Members that replace those of `given`; of `chunks` each by itself, and `null` takes one away.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    change: Map<String, Json>,
    expect: Json,
}

impl File {
    /// Each case as it differs from `base`, with what the reader makes of it.
    pub(crate) fn new<'n>(
        about: &str,
        base: &Given,
        cases: impl IntoIterator<Item = (&'n str, Given)>,
    ) -> Self {
        let base = object(base);
        let case = |(name, given): (&str, Given)| Case {
            name: name.into(),
            change: difference(&base, &object(&given)),
            expect: outcome(&given),
        };
        let cases = cases.into_iter().map(case).collect();
        Self { description: about.into(), cases, given: base }
    }
}

fn object(given: &Given) -> Map<String, Json> {
    serde_json::to_value(given).unwrap().as_object().unwrap().clone()
}

fn difference(base: &Map<String, Json>, other: &Map<String, Json>) -> Map<String, Json> {
    let mut change = Map::new();
    for (name, value) in other.iter().filter(|(name, value)| base.get(*name) != Some(*value)) {
        let value = match (name.as_str(), base.get(name), value) {
            ("chunks", Some(Json::Object(base)), Json::Object(value)) => {
                let mut change = difference(base, value);
                let gone = base.keys().filter(|digest| !value.contains_key(*digest));
                change.extend(gone.map(|digest| (digest.clone(), Json::Null)));
                Json::Object(change)
            }
            _ => value.clone(),
        };
        change.insert(name.clone(), value);
    }
    change
}

fn applied(given: &Map<String, Json>, change: &Map<String, Json>) -> Given {
    let mut whole = given.clone();
    for (name, value) in change {
        if name == "chunks" {
            let chunks = whole["chunks"].as_object_mut().unwrap();
            chunks.extend(value.as_object().unwrap().clone());
            chunks.retain(|_, text| !text.is_null());
        } else {
            whole.insert(name.clone(), value.clone());
        }
    }
    serde_json::from_value(Json::Object(whole)).unwrap()
}

/// What a reader makes of it: what it loads, or the name of the refusal.
fn outcome(given: &Given) -> Json {
    match read(given) {
        Ok(snapshot) => json!({"loads": loaded(&snapshot, given)}),
        Err(refusal) => json!({"refused": refused::name(&refusal)}),
    }
}

fn loaded(snapshot: &Snapshot, given: &Given) -> Json {
    let fault = |path: &str| json!({"fault": path});
    let flags = snapshot.flags().map(|(key, flag)| {
        let said = flag.map_or_else(|f| fault(f.path()), |f| json!({"version": f.version()}));
        (key.to_owned(), said)
    });
    let tenants = snapshot.tenants().map(|(key, tenant)| {
        let said = tenant.map_or_else(
            |f| fault(&f.path),
            |t| {
                let overrides: Map<String, Json> =
                    t.overrides().map(|(flag, on)| (flag.to_string(), json!(on))).collect();
                json!({"uid": t.uid(), "groups": t.groups(), "overrides": overrides})
            },
        );
        (key.to_owned(), said)
    });
    let segments = snapshot.segments().map(|(key, segment)| {
        let said = segment.map_or_else(|f| fault(f.path()), |s| json!({"version": s.version()}));
        (key.to_owned(), said)
    });
    let keys = snapshot
        .keys()
        .map(|(id, key)| (id.to_owned(), key.map_or_else(|f| fault(&f.path), |key| json!(key))));
    json!({
        "position": snapshot.root().position(),
        "expired": snapshot.expired(given.now),
        "held": snapshot.root().held,
        "flags": flags.collect::<Map<_, _>>(),
        "tenants": tenants.collect::<Map<_, _>>(),
        "segments": segments.collect::<Map<_, _>>(),
        "keys": keys.collect::<Map<_, _>>(),
    })
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn folder() -> PathBuf {
    repository().join("tests/vectors/manifest")
}

fn files() -> Vec<(&'static str, File)> {
    let mut files = written::files();
    files.push(("refused.json", refused::file()));
    files
}

fn is_writing() -> bool {
    std::env::var_os("FLAGFORGE_WRITE_VECTORS").is_some()
}

#[test]
fn the_files_are_what_their_writer_writes_today() {
    let mut names = Vec::new();
    for (name, file) in files() {
        let (path, text) =
            (folder().join(name), serde_json::to_string_pretty(&file).unwrap() + "\n");
        if is_writing() {
            std::fs::create_dir_all(folder()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let stands = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(stands == text, "{name} is stale: FLAGFORGE_WRITE_VECTORS=1 writes it");
        names.push(name.to_owned());
    }
    let there = std::fs::read_dir(folder()).unwrap();
    let mut there: Vec<_> =
        there.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    there.sort();
    names.sort();
    assert_eq!(there, names, "files that nobody writes");
}

#[test]
fn the_files_are_read_as_they_say() {
    let (mut loads, mut refusals) = (0, 0);
    for (name, _) in files() {
        let text = std::fs::read_to_string(folder().join(name)).unwrap();
        let file: File = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        for case in &file.cases {
            let outcome = outcome(&applied(&file.given, &case.change));
            assert_eq!(outcome, case.expect, "{name}: {}", case.name);
            if outcome.get("loads").is_some() {
                loads += 1
            } else {
                refusals += 1
            }
            let should_load = name != "refused.json";
            assert_eq!(outcome.get("loads").is_some(), should_load, "{name}: {}", case.name);
        }
    }
    assert!(loads >= 19 && refusals >= 60, "{loads} load, {refusals} are refused");
}

const FROM: &str =
    "<!-- The worked example: written by shared/flags/tests/manifest/vectors.rs. -->\n";
const UNTIL: &str = "<!-- The end of the worked example. -->\n";

/// The example as the specification prints it.
fn example() -> String {
    let given = written::example().given();
    let pretty = |json: &Json| serde_json::to_string_pretty(json).unwrap();
    let block = |kind: &str, text: &str| format!("```{kind}\n{text}\n```\n");
    let mut text = String::from("\nSecret keys are 32 bytes, all the same here:\n\n");
    text.push_str("| key | each byte | `x` | `y` | thumbprint |\n|---|---|---|---|---|\n");
    for (what, byte) in [
        ("root 1", ROOTS[0]),
        ("root 2", ROOTS[1]),
        ("root 3", ROOTS[2]),
        ("online", ONLINE),
        ("signing", SIGNING),
    ] {
        let jwk = json!(crate::author::public(byte));
        let [x, y] = ["x", "y"].map(|member| jwk[member].as_str().unwrap().to_owned());
        let print = crate::author::print(byte);
        text.push_str(&format!("| {what} | `{byte:02x}` | `{x}` | `{y}` | `{print}` |\n"));
    }
    let trust: Json = serde_json::from_str(&given.trust).unwrap();
    let header = |jws: &Json| part(&format!("{}.", jws.as_str().unwrap()), 0);
    text.push_str("\n`trust.json`, which root 1 and root 2 signed:\n\n");
    text.push_str(&block("json", &given.trust));
    text.push_str("\nThe protected header of its first signature, and its payload:\n\n");
    text.push_str(&block("json", &pretty(&header(&trust["signatures"][0]["protected"]))));
    text.push_str(&block("json", &pretty(&header(&trust["payload"]))));
    let root_header = part(&given.root, 0);
    let certificate = root_header["cert"].as_str().unwrap();
    text.push_str("\n`demo/prod/environment.jws`:\n\n");
    text.push_str(&block("text", &given.root));
    text.push_str("\nIts header, and its claims:\n\n");
    text.push_str(&block("json", &pretty(&root_header)));
    text.push_str(&block("json", &pretty(&part(&given.root, 1))));
    text.push_str("\nThe header and the claims of the certificate in that header:\n\n");
    text.push_str(&block("json", &pretty(&part(certificate, 0))));
    text.push_str(&block("json", &pretty(&part(certificate, 1))));
    for (digest, chunk) in &given.chunks {
        text.push_str(&format!("\n`demo/chunks/{digest}`, {} bytes:\n\n", chunk.len()));
        text.push_str(&block("json", chunk));
    }
    text.push('\n');
    text
}

#[test]
fn the_specification_tells_the_example_as_it_is() {
    let path = repository().join("docs/manifest.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(FROM).unwrap();
    let (told, after) = rest.split_once(UNTIL).unwrap();
    if is_writing() {
        std::fs::write(&path, format!("{before}{FROM}{}{UNTIL}{after}", example())).unwrap();
        return;
    }
    assert!(told == example(), "docs/manifest.md is stale: FLAGFORGE_WRITE_VECTORS=1 writes it");
}
