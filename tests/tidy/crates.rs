//! Walls between crates (DESIGN §3, "Edges").

use std::collections::BTreeSet;

use crate::Complaint;
use crate::repo::{Package, Repo};

/// Who may depend on whom, of ours. `tests` may depend on anything and is not listed.
///
/// The heart's words are in the signatures of everything, so whoever may reach it may name it.
const EDGES: [(&str, &[&str]); 17] = [
    ("flagforge-flags", &[]),
    ("flagforge-formats", &["flagforge-flags"]),
    ("flagforge-sdk", &["flagforge-flags"]),
    ("flagforge-platform", &["flagforge-flags", "flagforge-formats"]),
    ("flagforge-aws", &["flagforge-flags", "flagforge-platform"]),
    ("flagforge-embedded", &["flagforge-flags", "flagforge-platform"]),
    ("flagforge-relay", &["flagforge-flags", "flagforge-sdk"]),
    ("api", &["flagforge-flags", "flagforge-platform", "flagforge-aws"]),
    ("evaluate", &["flagforge-flags", "flagforge-relay", "flagforge-sdk", "flagforge-aws"]),
    (
        "connect",
        &[
            "flagforge-flags",
            "flagforge-platform",
            "flagforge-relay",
            "flagforge-sdk",
            "flagforge-aws",
        ],
    ),
    ("fanout", &["flagforge-flags", "flagforge-platform", "flagforge-aws"]),
    ("snapshot", &["flagforge-flags", "flagforge-platform", "flagforge-aws"]),
    ("timer", &["flagforge-flags", "flagforge-platform", "flagforge-aws"]),
    ("webhooks", &["flagforge-flags", "flagforge-platform", "flagforge-aws"]),
    (
        "flagforge-cli",
        &[
            "flagforge-flags",
            "flagforge-platform",
            "flagforge-embedded",
            "flagforge-relay",
            "flagforge-sdk",
            "flagforge-formats",
        ],
    ),
    ("flagforge-openfeature", &["flagforge-flags", "flagforge-sdk"]),
    ("flagforge-ofrep", &["flagforge-flags", "flagforge-sdk"]),
];

/// Crates that only the hands for the cloud may use, by the beginning of their name.
const AWS_ONLY: [&str; 3] = ["aws-config", "aws-sdk-", "aws-smithy-"];
/// Crates that only the functions may use, by the beginning of their name.
const LAMBDA_ONLY: [&str; 2] = ["lambda_", "aws_lambda_"];
/// What would make the heart impure: runtimes, dice, clients. Its own clippy.toml refuses the clock.
const NOT_IN_THE_HEART: [&str; 8] = [
    "tokio",
    "getrandom",
    "rand",
    "rand_core",
    "reqwest",
    "async-trait",
    "futures-util",
    "tracing",
];

pub(crate) fn edges(repo: &Repo) -> Vec<Complaint> {
    let ours: BTreeSet<&str> = repo.packages.iter().map(|package| package.name.as_str()).collect();
    let mut complaints = Vec::new();
    for package in repo.packages.iter().filter(|package| package.folder != "tests") {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name) else {
            let what = "is a new crate: give it its edges in the design and in EDGES";
            complaints.push(Complaint::new(&package.folder, what));
            continue;
        };
        let ours_needed = package.needs.iter().filter(|need| ours.contains(need.as_str()));
        for need in ours_needed.filter(|need| !allowed.contains(&need.as_str())) {
            complaints.push(Complaint::new(&package.folder, format!("may not depend on {need}")));
        }
    }
    complaints
}

pub(crate) fn cloud_stays_in_its_rooms(repo: &Repo) -> Vec<Complaint> {
    let begins = |need: &str, list: &[&str]| list.iter().any(|prefix| need.starts_with(prefix));
    let misplaced = |package: &Package, need: &str| {
        (begins(need, &AWS_ONLY) && package.folder != "shared/aws")
            || (begins(need, &LAMBDA_ONLY) && !package.folder.starts_with("functions/"))
            || (NOT_IN_THE_HEART.contains(&need) && package.folder == "shared/flags")
    };
    let mut complaints = Vec::new();
    for package in repo.packages.iter().filter(|package| package.folder != "tests") {
        for need in package.needs.iter().filter(|need| misplaced(package, need)) {
            complaints.push(Complaint::new(&package.folder, format!("may not depend on {need}")));
        }
    }
    complaints
}

pub(crate) fn lints_are_inherited(repo: &Repo) -> Vec<Complaint> {
    let inherits = |package: &&Package| {
        let manifest = repo.text(&format!("{}/Cargo.toml", package.folder)).unwrap_or_default();
        let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]");
        lines.nth(1) == Some("workspace = true")
    };
    (repo.packages.iter().filter(|package| !inherits(package)))
        .map(|package| Complaint::new(&package.folder, "does not say `[lints] workspace = true`"))
        .collect()
}

pub(crate) fn libraries_open_with_their_readme(repo: &Repo) -> Vec<Complaint> {
    let opening = "#![doc = include_str!(\"../README.md\")]";
    let opens = |path: &&str| repo.text(path).is_some_and(|text| text.starts_with(opening));
    // Nobody depends on the tests; what they stand on is described where it is.
    let packages = repo.packages.iter().filter(|package| package.folder != "tests");
    (packages.filter_map(|package| package.library.as_deref()))
        .filter(|path| !opens(path))
        .map(|path| Complaint::new(path, format!("does not begin with `{opening}`")))
        .collect()
}

pub(crate) fn one_registry(repo: &Repo) -> Vec<Complaint> {
    let home = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let lock = repo.text("Cargo.lock").unwrap_or_default();
    (lock.lines().filter(|line| line.starts_with("source = ") && *line != home))
        .map(|line| Complaint::new("Cargo.lock", line))
        .collect()
}

#[test]
fn a_wrong_edge_is_seen() {
    let repo = Repo::default()
        .with("flagforge-flags", "shared/flags", &["serde"])
        .with("flagforge-sdk", "sdk/rust", &["flagforge-flags", "flagforge-aws"])
        .with("flagforge-aws", "shared/aws", &["flagforge-platform"])
        .with("flagforge-platform", "shared/platform", &["flagforge-relay"])
        .with("flagforge-relay", "relay", &["flagforge-sdk"])
        .with("flagforge-extra", "shared/extra", &[])
        .with("flagforge-tests", "tests", &["flagforge-aws", "flagforge-platform"]);
    crate::complains(edges, &repo, &["sdk/rust", "shared/platform", "shared/extra"]);
}

#[test]
fn the_clouds_crates_are_seen_outside_their_rooms() {
    let repo = Repo::default()
        .with("flagforge-aws", "shared/aws", &["aws-sdk-s3", "aws-config"])
        .with("api", "functions/api", &["lambda_http", "aws-sdk-kms"])
        .with("flagforge-cli", "cli", &["lambda_runtime"])
        .with("flagforge-flags", "shared/flags", &["tokio"]);
    let places = ["functions/api", "cli", "shared/flags"];
    crate::complains(cloud_stays_in_its_rooms, &repo, &places);
}

#[test]
fn a_crate_with_lints_of_its_own_is_seen() {
    let repo = Repo::made_of(&[
        ("a/Cargo.toml", "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"),
        ("b/Cargo.toml", "[package]\nname = \"b\"\n\n[lints.rust]\nunsafe_code = \"allow\"\n"),
    ]);
    crate::complains(lints_are_inherited, &repo.with("a", "a", &[]).with("b", "b", &[]), &["b"]);
}

#[test]
fn a_library_without_its_readme_is_seen() {
    let repo = Repo::made_of(&[
        ("a/src/lib.rs", "#![doc = include_str!(\"../README.md\")]\npub mod x;"),
        ("b/src/lib.rs", "//! Not the README.\n"),
    ]);
    let repo = repo.with("a", "a", &[]).with("b", "b", &[]);
    crate::complains(libraries_open_with_their_readme, &repo, &["b/src/lib.rs"]);
}

#[test]
fn another_registry_is_seen() {
    let repo = Repo::made_of(&[(
        "Cargo.lock",
        "source = \"registry+https://github.com/rust-lang/crates.io-index\"\nsource = \"git+https://example.com/x\"\n",
    )]);
    crate::complains(one_registry, &repo, &["Cargo.lock"]);
}
