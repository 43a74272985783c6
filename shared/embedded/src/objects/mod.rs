//! Objects on one machine: in a folder, or in memory.

mod folder;
mod memory;
mod name;

use flagforge_flags::manifest::Digest;
use flagforge_platform::ports::{ETag, Fetched, MAX_OBJECT_BYTES, ObjectError, PutIf};
use thiserror::Error;

pub use self::folder::{FolderError, FolderObjects};
pub use self::memory::MemoryObjects;
pub use self::name::{MAX_NAME_BYTES, MAX_PART_BYTES, NameError};

/// An object over [`MAX_OBJECT_BYTES`]. It arrives as the source of `Unavailable`; a put of one wrote nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the object {name} has {actual} bytes, over the limit of {MAX_OBJECT_BYTES}")]
pub struct ObjectTooLarge {
    pub name: String,
    pub actual: u64,
}

fn check_size(name: &str, bytes: usize) -> Result<(), ObjectError> {
    if bytes <= MAX_OBJECT_BYTES {
        return Ok(());
    }
    Err(unavailable(ObjectTooLarge { name: name.to_owned(), actual: bytes as u64 }))
}

/// The tag of a content: its quoted SHA-256, so equal contents have equal tags and nothing need be stored beside them.
fn tag_of(bytes: &[u8]) -> ETag {
    ETag(format!("\"{}\"", Digest::of(bytes)))
}

fn fetched(bytes: bytes::Bytes, held: Option<&ETag>) -> Fetched {
    let etag = tag_of(&bytes);
    if held == Some(&etag) { Fetched::NotModified } else { Fetched::Found { bytes, etag } }
}

/// Whether a put may go on, given what stands there.
fn allows(condition: &PutIf, standing: Option<&ETag>) -> Result<(), ObjectError> {
    let holds = match condition {
        PutIf::Any => true,
        PutIf::Absent => standing.is_none(),
        PutIf::Matches(expected) => standing == Some(expected),
    };
    if holds { Ok(()) } else { Err(ObjectError::Lost) }
}

fn unavailable(source: impl std::error::Error + Send + Sync + 'static) -> ObjectError {
    ObjectError::Unavailable(Box::new(source))
}
