//! Why a reader refuses a manifest. A refused manifest changes nothing: what was loaded stays.

use thiserror::Error;

use super::{ChunkKind, Digest, Position, ScopeId, Thumbprint};
use crate::time::Timestamp;

/// Why a trust document, certificate, root or chunk is not accepted, or would not be if it were signed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// More bytes, keys or chunks than the absolute limit.
    #[error("{what} of {actual} is over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The absolute limit.
        limit: u64,
        /// What was found.
        actual: u64,
    },
    /// Not the form it should have.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// What is malformed.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Written in a format that this reader does not know.
    #[error("{what} has format {format}; this reader knows format 1")]
    UnknownFormat {
        /// What has the format.
        what: &'static str,
        /// The format it says.
        format: u64,
    },
    /// A header that names another algorithm than ES256, `none` among them.
    #[error("{what} is not signed with ES256")]
    Algorithm {
        /// What was signed.
        what: &'static str,
    },
    /// A header of another type: a document of one kind shown as another.
    #[error("expected a document of type {expected}")]
    WrongType {
        /// The type that belongs here.
        expected: &'static str,
    },
    /// Signed by a key that is not, or no longer, trusted for this.
    #[error("{what} is signed by an unknown or revoked key {key}")]
    UnknownKey {
        /// What was signed.
        what: &'static str,
        /// The key that its header names.
        key: Thumbprint,
    },
    /// The signature does not fit the bytes.
    #[error("the signature of {what} does not fit its bytes")]
    BadSignature {
        /// What was signed.
        what: &'static str,
    },
    /// Fewer good signatures of trusted roots than the threshold.
    #[error("{valid} of {needed} signatures needed by {whose}")]
    TooFewSignatures {
        /// Whose signatures were counted.
        whose: &'static str,
        /// The threshold.
        needed: u16,
        /// How many were good.
        valid: u16,
    },
    /// A trust document that is not newer than the one held.
    #[error(
        "trust document {offered} (epoch {offered_epoch}) does not follow {held} (epoch {held_epoch})"
    )]
    TrustRollback {
        /// The number held.
        held: u64,
        /// The epoch held.
        held_epoch: u64,
        /// The number offered.
        offered: u64,
        /// The epoch offered.
        offered_epoch: u64,
    },
    /// A root of another organization, environment or scope (mix-and-match).
    #[error("the root is for {actual}, not for {expected}")]
    WrongScope {
        /// What was asked for.
        expected: Box<ScopeId>,
        /// What the root says.
        actual: Box<ScopeId>,
    },
    /// A root of another epoch than the trust document's. When it is higher, a newer trust document is due.
    #[error("the root is of epoch {root}, the trust document of epoch {trust}")]
    WrongEpoch {
        /// The trust document's epoch.
        trust: u64,
        /// The root's epoch.
        root: u64,
    },
    /// A root that goes back behind what was seen.
    #[error("the root goes back to {offered} behind {seen}")]
    Rollback {
        /// The highest position seen.
        seen: Position,
        /// The position offered.
        offered: Position,
    },
    /// Issued outside the time for which its key is certified.
    #[error("the root was issued at {issued}, outside its certificate ({from} to {until})")]
    OutsideCertificate {
        /// When the root was issued.
        issued: Timestamp,
        /// When the certificate begins.
        from: Timestamp,
        /// When the certificate ends.
        until: Timestamp,
    },
    /// Issued later than any clock skew explains.
    #[error("the root was issued in the future, at {issued}")]
    FromTheFuture {
        /// When it says it was issued.
        issued: Timestamp,
    },
    /// A chunk that the root lists could not be had.
    #[error("chunk {0} is missing")]
    ChunkMissing(Digest),
    /// A chunk whose bytes are others.
    #[error("the chunk offered as {0} has another digest")]
    ChunkDigest(Digest),
    /// A chunk of another size than the root declares.
    #[error("chunk {digest} has {actual} bytes; the root declares {declared}")]
    ChunkSize {
        /// The chunk.
        digest: Digest,
        /// Bytes that the root declares.
        declared: u64,
        /// Bytes that came.
        actual: u64,
    },
    /// A key in a shard that its hash does not lead to, where no reader would look for it.
    #[error("{kind} shard {shard} holds the key `{key}` of another shard")]
    KeyOutsideShard {
        /// What the chunk holds.
        kind: ChunkKind,
        /// The shard.
        shard: u32,
        /// The key.
        key: String,
    },
}

impl Refusal {
    pub(super) fn malformed(what: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Malformed { what, why: crate::text::clipped(&why.to_string()) }
    }

    /// Refuses what is over a limit.
    pub(super) fn over(what: &'static str, limit: usize, actual: usize) -> Result<(), Self> {
        if actual <= limit {
            return Ok(());
        }
        Err(Self::TooLarge { what, limit: limit as u64, actual: actual as u64 })
    }
}
