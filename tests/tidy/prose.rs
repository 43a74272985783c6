//! Documents keep step: a path that prose names exists, a decision says what became of it.

use std::path::{Component, Path, PathBuf};

use crate::Complaint;
use crate::repo::Repo;

/// Endings by which a word in prose is a file of the repository even when its folder is gone.
const SOURCE_ENDINGS: [&str; 8] = [".rs", ".md", ".toml", ".tf", ".py", ".sh", ".html", ".js"];
/// The headings that a decision has, in this order.
const DECISION_HEADINGS: [&str; 4] =
    ["## Context", "## Decision", "## Rejected", "## Consequences"];
const STATUSES: [&str; 4] = ["proposed", "accepted", "superseded", "rejected"];

pub(crate) fn paths_exist(repo: &Repo) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (document, text) in repo.with_extension(&["md"]) {
        for (number, line) in text.lines().enumerate() {
            let named = words_of_code(line).chain(link_targets(line));
            for path in named.filter(|path| is_missing(repo, document, path)) {
                let place = format!("{document}:{}", number + 1);
                complaints
                    .push(Complaint::new(place, format!("names `{path}`, which is not there")));
            }
        }
    }
    complaints
}

/// Words that could be paths: those in backticks, and all of an indented or fenced line is prose's own business.
fn words_of_code(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    let command = (!line.contains('`')).then_some(line);
    quoted.chain(command).flat_map(str::split_whitespace).filter(|word| word.chars().all(in_a_path))
}

fn in_a_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '*')
}

/// Targets of Markdown links into the repository.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    (line.split("](").skip(1))
        .filter_map(|rest| rest.split(')').next())
        .filter_map(|target| target.split('#').next())
        .filter(|target| !target.is_empty() && !target.contains(':'))
}

/// Whether `word` names something of the repository that is not there, seen from the root or from the document's folder.
fn is_missing(repo: &Repo, document: &str, word: &str) -> bool {
    // A sentence may end in a path.
    let word = word.trim_end_matches('.');
    let stem = word.split('*').next().unwrap_or_default();
    let first = word.split('/').next().unwrap_or_default();
    let ours = word.contains('/') && repo.has(first) && !first.is_empty();
    let named_like_a_source = SOURCE_ENDINGS.iter().any(|ending| {
        word.len() > ending.len() && word.ends_with(ending) && !word.starts_with(['/', '.', '*'])
    });
    if is_generated(repo, word) {
        return false;
    }
    if !(ours || named_like_a_source || word.starts_with("../") || word.starts_with("./")) {
        return false;
    }
    let folder = Path::new(document).parent().unwrap_or(Path::new(""));
    ![folder.join(stem), PathBuf::from(stem)].iter().any(|path| repo.has(&straightened(path)))
}

/// Whether git ignores it: a folder that programs make, which prose may name.
fn is_generated(repo: &Repo, word: &str) -> bool {
    let word = word.trim_start_matches("./");
    let ignored = repo.text(".gitignore").unwrap_or_default().lines();
    let mut folders = ignored.filter_map(|line| line.strip_prefix('/')?.strip_suffix('/'));
    folders.any(|folder| {
        word.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// `a/b/../c` as `a/c`.
fn straightened(path: &Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.extend(part.to_str()),
            Component::ParentDir => _ = parts.pop(),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    parts.join("/")
}

pub(crate) fn decisions_are_whole(repo: &Repo) -> Vec<Complaint> {
    let decisions =
        repo.with_extension(&["md"]).filter(|(path, _)| path.starts_with("docs/decisions/"));
    let mut complaints = Vec::new();
    for (path, text) in decisions.filter(|(path, _)| !path.ends_with("/README.md")) {
        let status = text.lines().find_map(|line| line.strip_prefix("Status: "));
        let known = |status: &str| STATUSES.iter().any(|known| status.starts_with(known));
        if !status.is_some_and(known) {
            complaints.push(Complaint::new(path, format!("has no `Status:` of {STATUSES:?}")));
        }
        let headings = text.lines().filter(|line| line.starts_with("## "));
        if !headings.eq(DECISION_HEADINGS) {
            complaints
                .push(Complaint::new(path, format!("has not the headings {DECISION_HEADINGS:?}")));
        }
    }
    complaints
}

#[test]
fn a_path_that_is_gone_is_seen() {
    let text = "\
`shared/flags` and `shared/flags/src/keys.rs` and [this](docs/b.md) and `functions/*`
`shared/gone` and `old/place.rs`
    shared/flags/run --fast
    shared/flags/gone --fast
a b/c d, `GET /healthz`, `demo-data/admin.key`, https://example.com/shared/x
[that](docs/c.md) and [there](https://example.com/x.md)
See `docs/b.md`, `./made`, `made/x.md` and `mader/x.md`.
";
    let repo = Repo::made_of(&[
        ("README.md", text),
        ("docs/b.md", "[up](../README.md) [gone](../ARCHITECTURE.md) `b.md`"),
        ("shared/flags/src/keys.rs", ""),
        ("shared/flags/run", ""),
        (".gitignore", "*.tmp\n/made/\n"),
        ("functions/api/README.md", ""),
    ]);
    let places =
        ["README.md:2", "README.md:2", "README.md:4", "README.md:6", "README.md:7", "docs/b.md:1"];
    crate::complains(paths_exist, &repo, &places);
}

#[test]
fn a_decision_without_a_status_is_seen() {
    let headings = DECISION_HEADINGS.join("\n\n");
    let whole = format!("# A\n\nStatus: accepted, 2026-11-20\n\n{headings}\n");
    let repo = Repo::made_of(&[
        ("docs/decisions/001-a.md", &whole),
        ("docs/decisions/002-b.md", &headings),
        ("docs/decisions/003-c.md", "Status: accepted\n\n## Context\n"),
        ("docs/decisions/README.md", "what this is"),
    ]);
    let places = ["docs/decisions/002-b.md", "docs/decisions/003-c.md"];
    crate::complains(decisions_are_whole, &repo, &places);
}
