//! What a key is exchanged for: credentials that read one scope's objects for a while.

use std::fmt;

use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What signs requests. `Debug` hides the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: String,
    /// `AWS_SESSION_TOKEN`, which temporary credentials have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.access_key_id)
    }
}

/// What a client asks for its key, as the connection string says it after `grant=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantKind {
    /// `s3`: credentials that read the bucket.
    #[default]
    S3,
    /// `cloudfront`: signed requests to a distribution in front of the bucket.
    Cloudfront,
}

impl GrantKind {
    /// The kind of this word, if there is one.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::S3, Self::Cloudfront].into_iter().find(|kind| kind.as_str() == word)
    }

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Cloudfront => "cloudfront",
        }
    }
}

/// What reads a scope's objects and nothing else, until it expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Where, and with what.
    #[serde(flatten)]
    pub leave: Leave,
    /// Until when.
    pub expires: Timestamp,
}

/// Where a scope's objects are, and what reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Leave {
    /// A bucket, read with credentials.
    Bucket {
        /// The bucket's name.
        bucket: String,
        /// The region that requests are signed for.
        region: String,
        /// Another address than AWS's, say an emulator's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<String>,
        /// What signs.
        credentials: Credentials,
    },
    /// A distribution, read with passes.
    Distribution {
        /// `https://<host>`.
        address: String,
        /// Which names are read with what.
        passes: Vec<Pass>,
    },
}

/// A query that is signed for some names. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// One name; or, where it ends in `*`, all that begin with what is before that.
    pub names: String,
    /// The query, with the signature.
    pub query: String,
}

impl Pass {
    /// Whether it is signed for this name.
    pub fn covers(&self, name: &str) -> bool {
        match self.names.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == self.names,
        }
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pass({})", self.names)
    }
}
