//! One Lambda = one IAM role = one trigger: a page of main, a README, a Terraform module.

use std::collections::BTreeSet;

use crate::Complaint;
use crate::repo::Repo;

/// Lines of a function's main.rs. What does not fit is a rule, and rules live in a crate that can be tested.
const MAX_MAIN_LINES: usize = 40;

pub(crate) fn are_complete(repo: &Repo) -> Vec<Complaint> {
    let names: BTreeSet<&str> = (repo.files.keys())
        .filter_map(|path| path.strip_prefix("functions/")?.split_once('/'))
        .map(|(name, _)| name)
        .collect();
    let mut complaints = Vec::new();
    for name in names {
        let folder = format!("functions/{name}");
        if repo.text(&format!("{folder}/README.md")).is_none_or(str::is_empty) {
            complaints.push(Complaint::new(&folder, "has no README.md"));
        }
        match repo.text(&format!("{folder}/src/main.rs")).map(|main| main.lines().count()) {
            None => complaints.push(Complaint::new(&folder, "has no src/main.rs")),
            Some(lines) if lines >= MAX_MAIN_LINES => {
                let what = format!("main.rs has {lines} lines, not under {MAX_MAIN_LINES}");
                complaints.push(Complaint::new(&folder, what));
            }
            Some(_) => {}
        }
        let module = format!("module \"{name}\" {{");
        if !repo.with_extension(&["tf"]).any(|(_, text)| text.contains(&module)) {
            complaints.push(Complaint::new(&folder, format!("has no `{module}` in infra/")));
        }
        if !repo.text("ARCHITECTURE.md").is_some_and(|map| map.contains(&folder)) {
            complaints.push(Complaint::new(&folder, "is not named in ARCHITECTURE.md"));
        }
    }
    complaints
}

#[test]
fn an_incomplete_function_is_seen() {
    let long = "// one line\n".repeat(MAX_MAIN_LINES);
    let short = "// one line\n".repeat(MAX_MAIN_LINES - 1);
    let mut files = vec![("infra/main.tf", "module \"whole\" {\nmodule \"long\" {\n")];
    files.push(("ARCHITECTURE.md", "functions/whole, functions/long, functions/bare"));
    files.extend([("functions/whole/README.md", "x"), ("functions/whole/src/main.rs", &short)]);
    files.extend([("functions/long/README.md", "x"), ("functions/long/src/main.rs", &long)]);
    files.push(("functions/bare/Cargo.toml", ""));
    let places = ["functions/bare", "functions/bare", "functions/bare", "functions/long"];
    crate::complains(are_complete, &Repo::made_of(&files), &places);
}
