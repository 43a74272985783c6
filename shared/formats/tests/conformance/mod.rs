//! Where the published cases are, and how a suite is counted.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

/// A case that is not passed, and why.
pub(crate) struct Exception {
    pub(crate) case: &'static str,
    pub(crate) because: &'static str,
}

/// A folder of the cases; `None`, loudly, where they are not on this machine.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let unsaid = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let root = std::env::var_os("FLAGFORGE_CONFORMANCE").map_or_else(unsaid, PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {} is not there; FLAGFORGE_CONFORMANCE names the folder", folder.display());
    None
}

pub(crate) fn file(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A suite being counted.
pub(crate) struct Score {
    suite: &'static str,
    exceptions: &'static [Exception],
    met: Vec<&'static str>,
    passed: usize,
    failed: Vec<String>,
}

impl Score {
    pub(crate) fn new(suite: &'static str, exceptions: &'static [Exception]) -> Self {
        Self { suite, exceptions, met: Vec::new(), passed: 0, failed: Vec::new() }
    }

    pub(crate) fn case(&mut self, case: &str, expected: &Json, seen: &Json, answer: &dyn Debug) {
        let exception = self.exceptions.iter().find(|exception| exception.case == case);
        match (exception, expected == seen) {
            (None, true) => self.passed += 1,
            (None, false) => {
                self.failed.push(format!(
                    "{case}\n  expected {expected}\n  seen     {seen}\n  {answer:?}"
                ));
            }
            (Some(exception), true) => {
                self.failed.push(format!("{case}\n  passes now: take it off the list"));
                self.met.push(exception.case);
            }
            (Some(exception), false) => {
                assert!(!exception.because.is_empty());
                self.met.push(exception.case);
            }
        }
    }

    pub(crate) fn finish(self, cases: usize) {
        let (suite, passed, excepted) = (self.suite, self.passed, self.met.len());
        eprintln!(
            "{suite}: {passed} of {} pass, {excepted} excepted",
            passed + excepted + self.failed.len()
        );
        assert!(self.failed.is_empty(), "{} fail:\n{}", self.failed.len(), self.failed.join("\n"));
        let unmet = self.exceptions.iter().filter(|it| !self.met.contains(&it.case));
        assert_eq!(unmet.map(|it| it.case).collect::<Vec<_>>(), Vec::<&str>::new(), "no such case");
        assert_eq!(passed + excepted, cases, "cases were added or lost");
    }
}
