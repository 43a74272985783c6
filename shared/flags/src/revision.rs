//! The revision of an environment's configuration: where the org's log and the env's log stand.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// `<org>.<env>`, say `17.41`: the numbers of the newest entries of the two logs that a configuration
/// holds. Both numbers only go up. It has no order of its own: of `17.41` and `18.40` neither is newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Revision {
    /// The newest entry of the organization's log (definitions, tenants, groups).
    pub org: u64,
    /// The newest entry of the environment's log (states, overrides).
    pub env: u64,
}

impl Revision {
    /// Whether this holds everything that `other` holds: neither number is lower.
    pub const fn includes(self, other: Self) -> bool {
        self.org >= other.org && self.env >= other.env
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.org, self.env)
    }
}

/// A text that is not a revision.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a revision is two whole numbers with a dot between, such as 17.41")]
pub struct RevisionError;

impl FromStr for Revision {
    type Err = RevisionError;
    fn from_str(text: &str) -> Result<Self, RevisionError> {
        let (org, env) = text.split_once('.').ok_or(RevisionError)?;
        Ok(Self { org: number(org)?, env: number(env)? })
    }
}

/// One form only: no sign, no leading zero, so that equal revisions are equal texts.
fn number(text: &str) -> Result<u64, RevisionError> {
    let canonical =
        text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if canonical { text.parse().map_err(|_| RevisionError) } else { Err(RevisionError) }
}

impl TryFrom<String> for Revision {
    type Error = RevisionError;
    fn try_from(text: String) -> Result<Self, RevisionError> {
        text.parse()
    }
}

impl From<Revision> for String {
    fn from(revision: Revision) -> Self {
        revision.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let revision = Revision { org: 17, env: 41 };
        assert_eq!(revision.to_string(), "17.41");
        assert_eq!("17.41".parse(), Ok(revision));
        assert_eq!(serde_json::to_string(&revision).unwrap(), "\"17.41\"");
        let most = format!("{0}.{0}", u64::MAX);
        assert_eq!(most.parse::<Revision>().unwrap().to_string(), most);
        for bad in
            ["", "17", "17.", ".41", "+1.2", "01.2", "1.2.3", "1.-2", "18446744073709551616.0"]
        {
            assert_eq!(bad.parse::<Revision>(), Err(RevisionError), "{bad}");
        }
    }

    #[test]
    fn neither_of_two_crossed_revisions_includes_the_other() {
        let (a, b) = (Revision { org: 17, env: 41 }, Revision { org: 18, env: 40 });
        assert!(!a.includes(b) && !b.includes(a) && a.includes(a));
    }
}
