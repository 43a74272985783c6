//! How many entries a manifest has, of which kinds removals wait, and what earlier root it is made of.

use serde::{Deserialize, Serialize};

use super::ChunkKind;
use crate::revision::Revision;
use crate::time::Timestamp;

/// How many entries there are of each kind, in all chunks together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct EntryCounts {
    /// Flags.
    pub flags: u64,
    /// Tenants.
    pub tenants: u64,
    /// Segments.
    pub segments: u64,
}

impl EntryCounts {
    /// How many there are of one kind; `None` for kinds that are not counted.
    pub const fn of(&self, kind: ChunkKind) -> Option<u64> {
        match kind {
            ChunkKind::Flags => Some(self.flags),
            ChunkKind::Tenants => Some(self.tenants),
            ChunkKind::Segments => Some(self.segments),
            ChunkKind::Keys | ChunkKind::Unknown => None,
        }
    }
}

/// A kind of which so much was gone at once that what is gone goes on being published until somebody says that it is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// The kind.
    pub kind: ChunkKind,
    /// How many there would be.
    pub there: u64,
    /// Where the logs stood when that was seen first.
    pub since: Revision,
}

/// The earlier root that a manifest is made of: changes since wait, but for keys and what turns flags off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Its revision.
    pub revision: Revision,
    /// When it was signed.
    pub issued: Timestamp,
    /// Its serial.
    pub serial: u64,
}
