//! The newcomer's first build stays small (issue 2, DESIGN §3): `cargo run --release` at the root builds the cli and what it needs.

use std::collections::BTreeSet;
use std::process::Command;

use crate::repo::root;

/// Crates in the newcomer's build, on Linux: 168 when this was set (2026-11-20), and room for 12 more. With them
/// the build took 298 s of processor time, two and a half minutes of two idle cores; a crate of others costs about a second.
const MAX_CRATES: usize = 180;

/// What must not be among them, whoever brings it in.
const FORBIDDEN: [&str; 6] =
    ["aws-", "aws_lambda", "lambda_", "openssl", "tree-sitter", "opentelemetry"];

fn crates_of_the_newcomers_build() -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--package", "flagforge-cli", "--edges", "normal,build"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(root())
        .output()
        .expect("cargo shows the tree");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    // A line is `name v1.2.3 (*)`, or `name v1.2.3 (path)`.
    (tree.lines().filter_map(|line| line.split(" (").next()))
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

fn forbidden<'c>(crates: impl IntoIterator<Item = &'c String>) -> Vec<&'c str> {
    let is_forbidden = |name: &&str| FORBIDDEN.iter().any(|prefix| name.starts_with(prefix));
    crates.into_iter().map(String::as_str).filter(is_forbidden).collect()
}

#[test]
fn the_first_build_is_small_and_has_no_cloud_in_it() {
    let crates = crates_of_the_newcomers_build();
    assert_eq!(forbidden(&crates), Vec::<&str>::new());
    let count = crates.len();
    assert!(count <= MAX_CRATES, "{count} crates, over {MAX_CRATES}:\n{crates:#?}");
    // Set from a count, the bound must not drift so far above it that it guards nothing.
    assert!(
        count * 10 >= MAX_CRATES * 8,
        "only {count} crates: lower MAX_CRATES to a tenth above it"
    );
}

#[test]
fn a_cloud_crate_in_the_first_build_is_seen() {
    let crates = ["aws-sdk-s3 v1.0.0", "serde v1.0.0", "lambda_http v1.0.0"].map(String::from);
    assert_eq!(forbidden(&crates), ["aws-sdk-s3 v1.0.0", "lambda_http v1.0.0"]);
}
