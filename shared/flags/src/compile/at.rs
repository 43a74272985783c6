//! Where in a flag or segment something is, and the limits that are held there.

use std::fmt;

use crate::fault::FlagFault;

/// Where the compiler is: written out only when something is wrong there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At<'p> {
    /// The flag or segment itself.
    Whole,
    Field(&'p At<'p>, &'static str),
    Element(&'p At<'p>, usize),
}

impl At<'_> {
    pub(crate) fn field<'p>(&'p self, name: &'static str) -> At<'p> {
        At::Field(self, name)
    }

    pub(crate) fn element(&self, index: usize) -> At<'_> {
        At::Element(self, index)
    }

    pub(crate) fn path(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("."),
            Self::Field(Self::Whole, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Element(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

pub(crate) fn limit(
    at: &At<'_>,
    what: &'static str,
    limit: usize,
    actual: usize,
) -> Result<(), FlagFault> {
    if actual <= limit { Ok(()) } else { Err(over(at, what, limit, actual)) }
}

#[cold]
pub(crate) fn over(at: &At<'_>, what: &'static str, limit: usize, actual: usize) -> FlagFault {
    FlagFault::OverLimit { path: at.path(), what, limit, actual }
}

/// A key that none before it has. They are few: a list of some hundreds costs less so than a hash of each.
pub(crate) fn unique<'k>(
    mut before: impl Iterator<Item = &'k str>,
    key: &str,
    at: &At<'_>,
) -> Result<(), FlagFault> {
    if before.all(|other| other != key) {
        return Ok(());
    }
    Err(FlagFault::Twice { path: at.path(), key: key.into() })
}

/// The bytes of a value as JSON, counted without writing them anywhere.
pub(crate) fn json_bytes(value: &impl serde::Serialize) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, value) {
        Ok(()) => counter.0,
        // What cannot be written as JSON is over every limit.
        Err(_) => usize::MAX,
    }
}
