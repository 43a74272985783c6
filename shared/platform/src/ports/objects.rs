//! Objects: named bytes with conditional writes.

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_flags::time::Timestamp;
use thiserror::Error;

/// Bytes of one object the platform writes: a chunk or a root. Exports stream and are not bound by it.
pub const MAX_OBJECT_BYTES: usize = 16 * 1024 * 1024;

/// Objects of one listing; what S3 answers at once.
pub const MAX_LISTED_OBJECTS: usize = 1_000;

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

/// An object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    pub name: String,
    /// When it was last put.
    pub put: Timestamp,
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

    /// Some objects whose names begin with `prefix`, which ends with `/`, in byte order and after `after`: at most
    /// [`MAX_LISTED_OBJECTS`], and none at the end only.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>, ObjectError>;

    /// Removes an object that nobody has put since `before`; answers whether it did. A store that cannot ask and remove
    /// in one step asks first, and keeps what it removed for a while.
    async fn delete(&self, name: &str, before: Timestamp) -> Result<bool, ObjectError>;
}
