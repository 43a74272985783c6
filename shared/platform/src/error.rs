//! The domain's one error. It knows nothing of HTTP; `http/problem.rs` alone maps it.

use flagforge_flags::time::Timestamp;
use thiserror::Error;

use crate::caller::Permission;
use crate::ports::{BusError, ObjectError, SignerError, TableError};

/// Why something was not done. `Display` is what a stranger may read; sources are for the log.
#[derive(Debug, Error)]
pub enum Error {
    /// No key, or not a valid one.
    #[error("a valid access key or token is required; send it as `Authorization: Bearer <key>`")]
    Unauthenticated,
    /// It does not exist, or it is not the caller's: the two are not told apart.
    #[error("there is no such {what}")]
    NotFound { what: &'static str },
    /// It is the caller's organization, but not its right.
    #[error("this needs the permission `{needed}` here")]
    Forbidden { needed: Permission },
    /// A kind of key that may not manage.
    #[error("a key of kind `{kind}` cannot manage; use one of kind `mgmt`")]
    WrongKeyKind { kind: &'static str },
    /// Only what serves flags says how far it is.
    #[error("only a key of kind `server` or `relay` may say how far a process is")]
    NotAService,
    /// An input is not acceptable; `field` is its path in the request.
    #[error("{field}: {message}")]
    Invalid { field: String, message: String },
    /// A text in a language of ours that is none; the place is counted from 1.
    #[error("{field}: {message}")]
    BadText { field: String, line: usize, column: usize, message: String },
    /// More of something than a named limit allows.
    #[error("{field}: the limit is {limit} {unit}, this would be {actual}")]
    OverLimit { field: String, unit: &'static str, limit: u64, actual: u64 },
    /// Creation of what exists.
    #[error("{what} `{key}` exists already")]
    Exists { what: &'static str, key: String },
    /// It was deleted and can still be restored.
    #[error(
        "{what} `{key}` was deleted and can be restored until {until} at least; from then on it can be purged, which frees its key"
    )]
    Kept { what: &'static str, key: String, until: Timestamp },
    /// There are as many as the organization may have.
    #[error(
        "the organization may have {limit} {resource}, and has them (what was deleted counts until it is purged); delete some, or ask the operator for more"
    )]
    QuotaExceeded { resource: &'static str, limit: u64 },
    /// More requests in a time than its rate.
    #[error("too many {what}; wait {retry_after_seconds} s and repeat the request")]
    RateLimited { what: &'static str, retry_after_seconds: u32 },
    /// The platform's operator suspended the organization.
    #[error(
        "this organization is suspended; its flags are served as they were. Ask the operator of the installation"
    )]
    Suspended,
    /// Something still refers to it.
    #[error("{what} `{key}` is in use: {by}")]
    InUse { what: &'static str, key: String, by: String },
    /// Nobody would be left who can do everything.
    #[error("the organization would be left without an admin among its people; make another first")]
    LastAdmin,
    /// A full replacement without the version it replaces.
    #[error(
        "replacing needs the header If-Match with the ETag you last read (or If-None-Match: * to create)"
    )]
    PreconditionRequired,
    /// The item moved on, or exists already.
    #[error("the version you hold is not current; read it again and repeat the change")]
    PreconditionFailed,
    /// The same idempotency key came with another request.
    #[error("this Idempotency-Key was used for another request; choose a new one")]
    IdempotencyMismatch,
    /// Too much contention, or a store that does not answer. Nothing was written, or what was written is found by repeating.
    #[error("the store is busy; repeat the request")]
    Busy {
        retry_after_seconds: u32,
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A stored thing that the code does not understand: a defect, or a newer writer.
    #[error("something is wrong on our side")]
    Internal {
        context: &'static str,
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

/// Seconds a client is asked to wait when the store is busy: longer than all our own retries together.
const BUSY_RETRY_SECONDS: u32 = 2;

impl Error {
    #[expect(clippy::needless_pass_by_value, reason = "takes errors and texts alike, at their end")]
    pub fn invalid(field: impl Into<String>, message: impl ToString) -> Self {
        Self::Invalid { field: field.into(), message: message.to_string() }
    }

    pub fn internal(
        context: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Internal { context, source: Some(source.into()) }
    }

    pub(crate) fn busy(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Busy { retry_after_seconds: BUSY_RETRY_SECONDS, source: Some(source.into()) }
    }
}

impl From<TableError> for Error {
    fn from(error: TableError) -> Self {
        match error {
            TableError::TooLarge { what, limit, actual } => Self::OverLimit {
                field: "the change".to_owned(),
                unit: what,
                limit: limit as u64,
                actual: actual as u64,
            },
            TableError::Conflict { .. } | TableError::Contended | TableError::Unavailable(_) => {
                Self::busy(error)
            }
        }
    }
}

impl From<ObjectError> for Error {
    fn from(error: ObjectError) -> Self {
        Self::busy(error)
    }
}

impl From<SignerError> for Error {
    fn from(error: SignerError) -> Self {
        Self::busy(error)
    }
}

impl From<BusError> for Error {
    fn from(error: BusError) -> Self {
        Self::busy(error)
    }
}
