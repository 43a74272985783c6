//! Why a flag, or another entry of a chunk, is malformed. Each names the field's path.

use thiserror::Error;

use crate::split::SplitError;
use crate::text::clipped;
use crate::wire::{OperatorName, ValueType};

/// Why a flag is malformed. `Display` names the path of the field, and the limit where one is broken. It
/// is for the flag's author; a caller of evaluation sees `PARSE_ERROR` and may see this.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FlagFault {
    /// Not JSON, or not of a flag's shape: a field is missing, of another type, or has an unknown value.
    #[error("{path}: {message}")]
    Shape {
        /// The field's path; `.` is the flag itself.
        path: String,
        /// What is wrong, in the parser's words.
        message: String,
    },
    /// Over a limit.
    #[error("{path}: {actual} {what} are over the limit of {limit}")]
    OverLimit {
        /// The field's path.
        path: String,
        /// What is counted.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// The count.
        actual: usize,
    },
    /// Something that needs at least one has none.
    #[error("{path}: {wanted}")]
    Missing {
        /// The field's path.
        path: String,
        /// What should be there.
        wanted: &'static str,
    },
    /// A key that occurs twice where it names one thing.
    #[error("{path}: `{key}` occurs twice")]
    Twice {
        /// The path of the second.
        path: String,
        /// The key.
        key: String,
    },
    /// A variant that the flag does not have.
    #[error("{path}: the flag has no variant `{variant}`")]
    NoSuchVariant {
        /// The field's path.
        path: String,
        /// The variant named.
        variant: String,
    },
    /// A value of another type than the flag's.
    #[error("{path}: {actual} where the flag's type asks for a value of type {wanted}")]
    ValueType {
        /// The field's path.
        path: String,
        /// The flag's type.
        wanted: ValueType,
        /// What is there.
        actual: &'static str,
    },
    /// A text that is not an attribute path.
    #[error("{path}: an attribute is <entity>.<name>, deeper with further dots; none may be empty")]
    Attribute {
        /// The field's path.
        path: String,
    },
    /// An operand that its operator cannot be held against.
    #[error("{path}: {actual} is no operand; booleans, numbers and strings are")]
    Operand {
        /// The operand's path.
        path: String,
        /// What is there.
        actual: &'static str,
    },
    /// An operand that is not of the kind that its operator takes.
    #[error("{path}: {actual} is no operand of `{operator}`, which takes {wanted}", operator = .operator.as_str())]
    NoOperand {
        /// The operand's path.
        path: String,
        /// The operator.
        operator: OperatorName,
        /// What it takes.
        wanted: &'static str,
        /// What is there, cut when it is long.
        actual: String,
    },
    /// An option that its operator would pass over.
    #[error("{path}: `{operator}` does not take the option `{option}`, or not this value", operator = .operator.as_str())]
    Option {
        /// The option's path.
        path: String,
        /// The operator.
        operator: OperatorName,
        /// The option.
        option: &'static str,
    },
    /// A regular expression that is malformed, too large, or needs what cannot be done in linear time.
    #[error("{path}: {message}")]
    Regex {
        /// The expression's path.
        path: String,
        /// What is wrong, in the regular expressions' own words.
        message: String,
    },
    /// A list of hashes that is not what it should be.
    #[error("{path}: {wanted}")]
    Hashes {
        /// The list's path.
        path: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// Buckets or ranges that make no split.
    #[error("{path}: {fault}")]
    Split {
        /// The split's path.
        path: String,
        /// What is wrong.
        fault: SplitError,
    },
    /// A flag or segment that calls itself otherwise than the place it stands in.
    #[error("key: what stands under `{expected}` calls itself `{actual}`")]
    OtherKey {
        /// The key it stands under.
        expected: String,
        /// The key it says.
        actual: String,
    },
}

impl FlagFault {
    /// The path of the field that is malformed, say `state.rules[2].when.test.operator`.
    pub fn path(&self) -> &str {
        match self {
            Self::Shape { path, .. }
            | Self::OverLimit { path, .. }
            | Self::Missing { path, .. }
            | Self::Twice { path, .. }
            | Self::NoSuchVariant { path, .. }
            | Self::ValueType { path, .. }
            | Self::Attribute { path }
            | Self::Operand { path, .. }
            | Self::NoOperand { path, .. }
            | Self::Option { path, .. }
            | Self::Regex { path, .. }
            | Self::Hashes { path, .. }
            | Self::Split { path, .. } => path,
            Self::OtherKey { .. } => "key",
        }
    }
}

/// Why a tenant or an access key in a manifest is malformed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {message}")]
pub struct EntryFault {
    /// The path of the field that is malformed; `.` is the entry itself.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl EntryFault {
    pub(crate) fn too_large(bytes: usize, limit: usize) -> Self {
        let message = format!("{bytes} bytes are over the limit of {limit}");
        Self { path: ".".into(), message }
    }
}

impl From<EntryFault> for FlagFault {
    fn from(EntryFault { path, message }: EntryFault) -> Self {
        Self::Shape { path, message }
    }
}

/// Parses JSON, and names the path of the field that did not fit.
pub(crate) fn parse<'j, T: serde::Deserialize<'j>>(json: &'j str) -> Result<T, EntryFault> {
    // Following the path takes half as long again, and is wanted only where something did not fit.
    serde_json::from_str(json).or_else(|_| parse_following(json))
}

fn parse_following<'j, T: serde::Deserialize<'j>>(json: &'j str) -> Result<T, EntryFault> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|e| EntryFault {
        path: clipped(&e.path().to_string()),
        message: clipped(&e.into_inner().to_string()),
    })?;
    // Text after the value makes it another text than the one that was meant.
    deserializer
        .end()
        .map_err(|e| EntryFault { path: ".".into(), message: clipped(&e.to_string()) })?;
    Ok(parsed)
}
