//! Objects: named bytes with conditional writes.

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

/// Bytes of one object the platform writes: a chunk or a root. Exports stream and are not bound by it.
pub const MAX_OBJECT_BYTES: usize = 16 * 1024 * 1024;

/// An opaque tag of one content of one object, as the store gave it (with its quotes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(pub String);

/// What a put asks of what stands there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutIf {
    Any,
    /// Nothing stands there.
    Absent,
    /// What stands there has this tag.
    Matches(ETag),
}

/// What a get found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    Found {
        bytes: Bytes,
        etag: ETag,
    },
    /// The tag the caller holds is current.
    NotModified,
    Absent,
}

/// Why objects did not do what was asked.
#[derive(Debug, Error)]
pub enum ObjectError {
    /// A conditional put lost. Nothing was written.
    #[error("the object changed meanwhile")]
    Lost,
    /// The store did not answer: a put may have happened or not.
    #[error("the object store did not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// An object store. Names are `/`-separated, of `[A-Za-z0-9._=-]` parts, never `.` or `..`. Reads see the newest acknowledged put.
#[async_trait]
pub trait Objects: Send + Sync + std::fmt::Debug {
    /// The object, unless its tag is still `held`.
    async fn get(&self, name: &str, held: Option<&ETag>) -> Result<Fetched, ObjectError>;

    /// Writes the object whole, or not at all; answers its new tag.
    async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        content_type: &str,
        condition: PutIf,
    ) -> Result<ETag, ObjectError>;
}
