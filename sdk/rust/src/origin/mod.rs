//! Where manifests come from.

#[cfg(feature = "http")]
mod cdn;
pub(crate) mod folder;
mod grant;
#[cfg(feature = "http")]
mod granted;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod long_poll;
#[cfg(feature = "websocket")]
mod push;
#[cfg(feature = "http")]
mod pushed;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "s3")]
mod sigv4;
#[cfg(feature = "sqs")]
mod sqs;
#[cfg(feature = "http")]
mod sse;
#[cfg(any(feature = "http", feature = "s3"))]
mod web;

use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_flags::keys::OrgKey;
use flagforge_flags::manifest::{Digest, Named, ScopeId};
use flagforge_flags::propagation::Reports;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use folder::FolderOrigin;
pub use grant::{Credentials, Grant, GrantKind, Leave, Pass};
#[cfg(feature = "http")]
pub use granted::GrantedOrigin;
#[cfg(feature = "http")]
pub use http::HttpOrigin;
#[cfg(feature = "websocket")]
pub use push::{PushSocket, PushesSeen};
#[cfg(feature = "http")]
pub use pushed::Push;
#[cfg(feature = "s3")]
pub use s3::S3Origin;
#[cfg(feature = "sqs")]
pub use sqs::{NoticesSeen, SqsQueue};

use crate::connection::{Connection, Source};

/// A place that trust documents, roots and chunks can be read from.
///
/// An origin is not believed: whatever it answers is verified by the caller against pinned roots.
/// It bounds what it reads by the manifest's limits (`MAX_TRUST_BYTES`, `MAX_ROOT_BYTES`, what a verified root says of a
/// chunk), never holds more than that in memory for one answer, and ends every call
/// within a bounded time.
#[async_trait]
pub trait Origin: Send + Sync + Debug {
    /// The trust document of that number, or the current one; `None` when there is none. The scope
    /// says on whose behalf; trust itself is the same for every scope.
    async fn trust(
        &self,
        scope: &ScopeId,
        number: Option<u64>,
    ) -> Result<Option<Bytes>, OriginError>;

    /// The scope's current root, unless it still has the tag that the caller `held`.
    async fn root(&self, scope: &ScopeId, held: Option<&str>) -> Result<Fetched, OriginError>;

    /// A chunk or an index by its digest; `None` when it is not there. One that has more bytes than it is said to
    /// have is [`OriginError::TooLarge`], and no more of it is read.
    async fn chunk(&self, scope: &ScopeId, named: Named) -> Result<Option<Bytes>, OriginError>;

    /// A ring for each new root of the scope, and one for the current root first. `None` where the origin
    /// announces nothing: then polling finds them. The stream ends, or fails, when the origin goes
    /// away; the caller opens another one.
    async fn watch(&self, scope: &ScopeId) -> Result<Option<Announcements>, OriginError> {
        let _ = scope;
        Ok(None)
    }

    /// Takes word of how far processes are. `false` where the origin does not care: then nobody is told.
    async fn report(&self, scope: &ScopeId, reports: &Reports) -> Result<bool, OriginError> {
        let _ = (scope, reports);
        Ok(false)
    }
}

/// Roots as they are announced. A doorbell, not a message: the root itself is fetched and verified.
pub type Announcements = BoxStream<'static, Result<(), OriginError>>;

/// What a stream of server-sent events says of a root that was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The revision, as text.
    pub revision: String,
    /// The root's serial number.
    pub serial: u64,
}

/// Bytes of a root and its new chunks that come along with an announcement. A root has 2 to 4 KB as a rule and a chunk of flags
/// up to 20; what is larger is fetched.
pub const MAX_PUSHED_BYTES: usize = 32 * 1024;

/// What a conditional read of a root found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// A root that came along with an announcement, and its tag. Nobody was asked, so that it confirms no more than when it
    /// was signed.
    Pushed {
        /// The root as it was signed.
        bytes: Bytes,
        /// What to hold for the next conditional read.
        etag: String,
    },
    /// A root, and the tag of this content.
    Found {
        /// The root as it was signed.
        bytes: Bytes,
        /// What to hold for the next conditional read; `None` where the origin gave none.
        etag: Option<String>,
    },
    /// The tag that the caller holds is current.
    NotModified,
    /// The scope has no root.
    Absent,
}

/// Why an origin did not answer.
#[derive(Debug, Error)]
pub enum OriginError {
    /// No answer, or half an answer: network, disk, time.
    #[error("the origin did not answer for {what}")]
    Unreachable {
        /// What was asked for.
        what: String,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// An answer that is neither the thing nor its absence: 401, 403, 500 …
    #[error("the origin answered {status} for {what}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What was asked for.
        what: String,
    },
    /// More bytes than such a thing may have.
    #[error("{what} is over {limit} bytes")]
    TooLarge {
        /// What was asked for.
        what: String,
        /// The limit in bytes.
        limit: usize,
    },
}

/// Why an origin could not be set up: bad configuration, found before anything is asked of it.
#[derive(Debug, Error)]
pub enum SetupError {
    /// This build left the origin's feature out.
    #[error("this build of the SDK has no {0} origin: enable the cargo feature")]
    NotBuilt(&'static str),
    /// No AWS credentials or region in the environment or the connection string.
    #[error("{0} is not set")]
    Environment(&'static str),
    /// An address that is no URL, or has parts that mean nothing here.
    #[error("{0:?} is not an address of the form http(s)://host[:port]")]
    Address(String),
    /// The HTTP client could not be built.
    #[error("the HTTP client could not be built")]
    Client(#[source] Box<dyn Error + Send + Sync>),
}

/// The origin that a connection string describes.
pub fn open(connection: &Connection) -> Result<Arc<dyn Origin>, SetupError> {
    match connection.source() {
        Source::Folder(path) => Ok(Arc::new(FolderOrigin::new(path))),
        #[cfg(feature = "http")]
        Source::Http { base, key, granted: None } => Ok(Arc::new(HttpOrigin::new(base, key)?)),
        #[cfg(all(feature = "http", not(feature = "s3")))]
        Source::Http { granted: Some(GrantKind::S3), .. } => Err(SetupError::NotBuilt("s3")),
        #[cfg(feature = "http")]
        Source::Http { base, key, granted: Some(kind) } => {
            Ok(Arc::new(GrantedOrigin::new(HttpOrigin::new(base, key)?, *kind)))
        }
        #[cfg(not(feature = "http"))]
        Source::Http { .. } => Err(SetupError::NotBuilt("http")),
        #[cfg(feature = "s3")]
        Source::S3 { bucket, region, endpoint } => {
            Ok(Arc::new(S3Origin::from_env(bucket, region.as_deref(), endpoint.as_deref())?))
        }
        #[cfg(not(feature = "s3"))]
        Source::S3 { .. } => Err(SetupError::NotBuilt("s3")),
    }
}

/// Who announces roots over WebSocket, where a connection string says so.
#[cfg(feature = "websocket")]
pub(crate) fn push(connection: &Connection) -> Result<Option<PushSocket>, SetupError> {
    match (connection.push(), connection.source()) {
        (Some(url), Source::Http { key, .. }) => PushSocket::new(url, key).map(Some),
        _ => Ok(None),
    }
}

/// The names under which the publisher writes, and folders and buckets are read.
pub mod names {
    use super::{Digest, OrgKey, ScopeId};

    /// The current trust document.
    pub const TRUST: &str = "trust.json";

    /// The trust document of one number.
    pub fn trust(number: u64) -> String {
        format!("trust/{number}.json")
    }

    /// The root of one scope.
    pub fn root(scope: &ScopeId) -> String {
        scope.root_name()
    }

    /// A chunk of an organization.
    pub fn chunk(org: &OrgKey, digest: &Digest) -> String {
        format!("{org}/chunks/{digest}")
    }
}

/// A limit of the manifest's format, as a length in memory.
pub(crate) fn usize_of(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
