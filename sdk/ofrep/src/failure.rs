//! Why a request came to nothing.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::http::MAX_ANSWER_BYTES;

/// Why a request came to nothing.
#[derive(Debug, Clone, Error)]
pub enum Failure {
    /// There was none yet.
    #[error("nothing has been answered yet")]
    NotAsked,
    /// The relay wants to be left alone for so long, and was not asked.
    #[error("the relay asked to be left alone for {0:?} more")]
    Wait(Duration),
    /// The key is none, or no longer.
    #[error("the relay does not know the key")]
    Unauthenticated,
    /// The key is not for this.
    #[error("the key is not for this: {0}")]
    Forbidden(String),
    /// The relay refuses the request, in OpenFeature's words.
    #[error("{details}")]
    Refused {
        /// OpenFeature's error code.
        code: String,
        /// What is wrong.
        details: String,
    },
    /// The relay answers with another status.
    #[error("the relay answers with the status {0}")]
    Status(u16),
    /// The relay cannot be reached, or not within the time.
    #[error("the relay cannot be reached")]
    Unreachable(#[source] Arc<reqwest::Error>),
    /// The relay takes the request, and says nothing within the time.
    #[error("the relay says nothing")]
    Silent,
    /// The answer is over the limit.
    #[error("the answer has over {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
    /// The answer is not OFREP's.
    #[error("the answer cannot be read")]
    Malformed(#[source] Arc<serde_json::Error>),
}

impl Failure {
    /// OpenFeature's error code.
    pub fn code(&self) -> &str {
        match self {
            Self::NotAsked => "PROVIDER_NOT_READY",
            Self::Refused { code, .. } => code,
            Self::Malformed(_) => "PARSE_ERROR",
            _ => "GENERAL",
        }
    }

    /// Whether asking the same again cannot help.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Unauthenticated | Self::Forbidden(_) => true,
            Self::Refused { code, .. } => code == "INVALID_CONTEXT",
            _ => false,
        }
    }
}

impl From<reqwest::Error> for Failure {
    /// Without the address, whose query may be a leave to listen: failures are logged.
    fn from(error: reqwest::Error) -> Self {
        Self::Unreachable(Arc::new(error.without_url()))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(Arc::new(error))
    }
}
