//! How a file looks (STYLE.md, habit 12 and "What we avoid").

use std::collections::BTreeMap;
use std::path::Path;

use crate::Complaint;
use crate::repo::Repo;

/// Lines of a file that people read and write.
const MAX_LINES: usize = 400;
/// Files over the limit. This list may only shrink.
const LONG_FILES: [&str; 0] = [];
/// What people write by hand. Data and lock files are as long as they are.
const WRITTEN: [&str; 8] = ["rs", "tf", "py", "js", "css", "html", "sh", "md"];

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 5] = ["utils", "helpers", "common", "types", "misc"];

/// Words of work that is put off, cut so that this file does not complain of itself.
const PUT_OFF: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX:"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[", "ignore"),
];

/// Folders of somebody's machine. Nothing that works elsewhere names one.
const WORKPLACES: [&str; 5] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("index", "-url"),
];

pub(crate) fn status_codes_stay_in_http(repo: &Repo) -> Vec<Complaint> {
    let rules = |path: &str| {
        path.starts_with("shared/platform/src/") && !path.starts_with("shared/platform/src/http/")
    };
    (repo.with_extension(&["rs"]))
        .filter(|(path, text)| rules(path) && text.contains("StatusCode"))
        .map(|(path, _)| Complaint::new(path, "names StatusCode outside http/"))
        .collect()
}

pub(crate) fn files_are_short(repo: &Repo) -> Vec<Complaint> {
    let long = |text: &str| text.lines().count() > MAX_LINES;
    let mut complaints: Vec<Complaint> = (repo.with_extension(&WRITTEN))
        .filter(|(path, text)| long(text) && !LONG_FILES.contains(path))
        .map(|(path, text)| {
            Complaint::new(path, format!("has {} lines, over {MAX_LINES}", text.lines().count()))
        })
        .collect();
    let shrunk = LONG_FILES.iter().filter(|path| !repo.text(path).is_some_and(long));
    complaints.extend(shrunk.map(|path| Complaint::new(*path, "is no longer an exception")));
    complaints
}

pub(crate) fn modules_have_names(repo: &Repo) -> Vec<Complaint> {
    let empty = |part: &str| EMPTY_NAMES.contains(&part);
    let unnamed = |path: &str| {
        let stem = Path::new(path).file_stem().and_then(|stem| stem.to_str());
        stem.is_some_and(empty) || path.split('/').any(empty)
    };
    (repo.with_extension(&["rs"]))
        .filter(|(path, _)| unnamed(path))
        .map(|(path, _)| Complaint::new(path, "is named for no noun"))
        .collect()
}

pub(crate) fn nothing_is_put_off(repo: &Repo) -> Vec<Complaint> {
    lines_with(repo, &PUT_OFF)
}

pub(crate) fn no_workplace(repo: &Repo) -> Vec<Complaint> {
    lines_with(repo, &WORKPLACES)
}

/// Two types of one name would be one schema in the API's description, and silently the wrong one for one of them.
pub(crate) fn schemas_have_names_of_their_own(repo: &Repo) -> Vec<Complaint> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    let mut complaints = Vec::new();
    for (path, text) in repo.with_extension(&["rs"]).filter(|(path, _)| path.starts_with("shared/"))
    {
        for derived in text.split("ToSchema)").skip(1) {
            let Some(name) = schema_of(derived) else { continue };
            if let Some(other) = seen.insert(name.clone(), path) {
                complaints
                    .push(Complaint::new(path, format!("its schema `{name}` is in {other}, too")));
            }
        }
    }
    complaints
}

/// The schema's name of a type, from what follows its derive.
fn schema_of(derived: &str) -> Option<String> {
    let kind =
        ["struct ", "enum "].iter().filter_map(|word| Some((derived.find(word)?, word.len())));
    let (at, length) = kind.min()?;
    let (before, after) = derived.split_at(at);
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric()).collect::<String>();
    match before.split_once("schema(as = ") {
        Some((_, named)) => Some(word(named)),
        // Of a generic type each use has a name.
        None => Some(word(&after[length..]))
            .filter(|name| !after[length + name.len()..].starts_with('<')),
    }
}

/// Every line of every file that has one of `words`. Cargo.lock is not written by us.
fn lines_with(repo: &Repo, words: &[&str]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (path, text) in repo.files.iter().filter(|(path, _)| *path != "Cargo.lock") {
        for (number, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                let place = format!("{path}:{}", number + 1);
                complaints.push(Complaint::new(place, format!("has `{word}`")));
            }
        }
    }
    complaints
}

#[test]
fn a_status_code_among_the_rules_is_seen() {
    let repo = Repo::made_of(&[
        ("shared/platform/src/http/problem.rs", "use axum::http::StatusCode;"),
        ("shared/platform/src/commit.rs", "use axum::http::StatusCode;"),
        ("relay/src/lib.rs", "use axum::http::StatusCode;"),
    ]);
    crate::complains(status_codes_stay_in_http, &repo, &["shared/platform/src/commit.rs"]);
}

#[test]
fn two_schemas_of_one_name_are_seen() {
    let plain = "#[derive(ToSchema)]\nstruct Report {}\n#[derive(ToSchema)]\npub struct Page<T> {}";
    let named = "#[derive(ToSchema)]\n#[schema(as = Other)]\nenum Report {}";
    let twice = "#[cfg_attr(f, derive(utoipa::ToSchema))]\npub enum Report {}";
    let files = [
        ("shared/a.rs", plain),
        ("shared/b.rs", named),
        ("shared/c.rs", twice),
        ("cli/d.rs", twice),
    ];
    crate::complains(schemas_have_names_of_their_own, &Repo::made_of(&files), &["shared/c.rs"]);
}

#[test]
fn one_line_too_many_is_seen() {
    let full = "x\n".repeat(MAX_LINES);
    let over = "x\n".repeat(MAX_LINES + 1);
    let repo = Repo::made_of(&[("a.rs", &full), ("b.rs", &over), ("c.json", &over)]);
    crate::complains(files_are_short, &repo, &["b.rs"]);
}

#[test]
fn an_empty_name_is_seen() {
    let files = ["a/src/utils.rs", "a/src/types/mod.rs", "a/src/keys.rs", "a/src/commons.rs"];
    let repo = Repo::made_of(&files.map(|path| (path, "")));
    crate::complains(modules_have_names, &repo, &["a/src/types/mod.rs", "a/src/utils.rs"]);
}

#[test]
fn work_put_off_is_seen() {
    let bad = [concat!("// TO", "DO: later"), concat!("#[", "ignore]"), "// done"].join("\n");
    let repo = Repo::made_of(&[("a.rs", &bad)]);
    crate::complains(nothing_is_put_off, &repo, &["a.rs:1", "a.rs:2"]);
}

#[test]
fn a_folder_of_this_machine_is_seen() {
    let repo = Repo::made_of(&[("a.sh", concat!("cd /ho", "me/me\ncd home\n"))]);
    crate::complains(no_workplace, &repo, &["a.sh:1"]);
}
