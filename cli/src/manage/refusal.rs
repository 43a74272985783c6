//! How a command fails: what is said, and what the program ends with.

use std::fmt;
use std::process::ExitCode;

use serde_json::Value as Json;

/// What the program ends with. `--help` lists them, and scripts compare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something else, here or there.
    Failed = 1,
    /// The command line, or a value that the server does not take.
    Unacceptable = 2,
    NotFound = 3,
    /// No key, a key that does not count, or one that may not do this.
    Refused = 4,
    /// It is there already, is in use, or was changed meanwhile.
    Conflict = 5,
    /// Nobody answered, or the server is too busy.
    Unreachable = 6,
    /// It was done, and what it looked for was found: bad lines, a broken chain, differences.
    Found = 7,
}

/// For `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  something else went wrong, here or on the server
  2  the command line, or a value that the server does not take
  3  not there, or not yours
  4  refused: no key, one that does not count, or one that may not do this
  5  conflict: there already, in use, or changed meanwhile
  6  nobody answered, or the server was too busy for as long as was waited
  7  done, and found what it looks for: bad lines of an import, a broken chain, differences";

/// A failure whose exit code is known.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }

    /// The command line says too little, or what cannot be.
    pub(crate) fn usage(text: impl Into<String>) -> anyhow::Error {
        Self::new(Exit::Unacceptable, text).into()
    }

    /// A server's problem (RFC 9457), with what to do next.
    pub(crate) fn of_problem(status: u16, asked: &str, problem: &Json) -> Self {
        let text = |name: &str| problem[name].as_str();
        let kind = text("type").unwrap_or_default().rsplit(':').next().unwrap_or_default();
        let detail = ["detail", "errorDetails", "title"].iter().find_map(|name| text(name));
        let detail = detail.unwrap_or("the server does not say why");
        let name = if kind.is_empty() { String::new() } else { format!("{kind}, ") };
        let mut said = format!("{detail} ({name}{status})\n  asked: {asked}");
        if let Some(field) = text("field") {
            said.push_str(&format!("\n  field: {field}"));
            if let (Some(line), Some(column)) =
                (problem["line"].as_u64(), problem["column"].as_u64())
            {
                said.push_str(&format!(", line {line}, column {column}"));
            }
        }
        if let Some(limit) = problem["limit"].as_u64() {
            said.push_str(&format!("\n  limit: {limit}"));
            if let Some(actual) = problem["actual"].as_u64() {
                said.push_str(&format!(", and it was {actual}"));
            }
        }
        if let Some(next) = next_step(status, kind) {
            said.push_str(&format!("\n  next:  {next}"));
        }
        Self::new(exit_of(status), said)
    }

    pub(crate) fn is(error: &anyhow::Error, exit: Exit) -> bool {
        error.downcast_ref::<Self>().is_some_and(|failure| failure.exit == exit)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

/// What the program ends with after an error.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    let failure = error.downcast_ref::<Failure>();
    ExitCode::from(failure.map_or(Exit::Failed, |failure| failure.exit) as u8)
}

fn exit_of(status: u16) -> Exit {
    match status {
        400 | 405 | 413 | 415 | 422 => Exit::Unacceptable,
        401 | 403 => Exit::Refused,
        404 => Exit::NotFound,
        409 | 412 | 428 => Exit::Conflict,
        429 | 502..=504 => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

fn next_step(status: u16, kind: &str) -> Option<&'static str> {
    Some(match (status, kind) {
        (401, _) => {
            "the key is unknown, expired or revoked: `flagforge profile show` says which was used"
        }
        (403, "wrong-key-kind") => "use a key of kind mgmt; `flagforge key create` makes one",
        (403, "suspended") => "the installation's operator can resume it: `flagforge org resume`",
        (403, _) => "an admin can give you a key with a stronger role: `flagforge key create`",
        (404, _) => {
            "the noun's `list` shows what there is; `flagforge profile show` says who asks where"
        }
        (409, "kept") => {
            "`deleted restore` brings it back; `deleted purge` ends it once its time is over"
        }
        (409, "exists") => "choose another name, or change what is there",
        (409, "quota-exceeded") => {
            "delete some, or ask the operator for more: `flagforge org limits`"
        }
        (412, _) => "it was changed, made or removed meanwhile: look at it again, and repeat",
        (422, _) => "leave --idempotency-key out, or use a new one",
        (429 | 503, _) => "wait, and repeat: with an --idempotency-key of your own it is done once",
        (500, _) => "the server's log has it under the request's id",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_is_told_with_its_field_its_limit_and_what_to_do() {
        let problem = json!({
            "type": "urn:flagforge:problem:over-limit", "title": "Over a limit", "status": 400,
            "detail": "rules: the limit is 100 rules", "field": "rules", "limit": 100, "actual": 101,
        });
        let failure = Failure::of_problem(400, "PUT /v1/x", &problem);
        let wanted = "rules: the limit is 100 rules (over-limit, 400)\n  asked: PUT /v1/x\n  \
                      field: rules\n  limit: 100, and it was 101";
        assert_eq!(failure.to_string(), wanted);
        assert_eq!(failure.exit, Exit::Unacceptable);

        let problem = json!({"type": "urn:flagforge:problem:invalid", "detail": "no", "field": "when", "line": 2, "column": 7});
        let said = Failure::of_problem(400, "GET /", &problem).to_string();
        assert!(said.ends_with("field: when, line 2, column 7"), "{said}");
    }

    #[test]
    fn every_status_has_its_code_also_without_a_problem() {
        let codes = [(401, 4), (403, 4), (404, 3), (409, 5), (412, 5), (428, 5), (429, 6)];
        for (status, code) in codes.into_iter().chain([(503, 6), (500, 1), (413, 2), (422, 2)]) {
            let failure = Failure::of_problem(status, "GET /", &Json::Null);
            assert_eq!(failure.exit as u8, code, "{status}");
            let error = anyhow::Error::from(failure).context("while doing something");
            assert_eq!(exit_code(&error), ExitCode::from(code), "{status}");
        }
        assert_eq!(exit_code(&anyhow::anyhow!("else")), ExitCode::from(1));
    }
}
