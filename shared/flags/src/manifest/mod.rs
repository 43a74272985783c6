//! The signed snapshot of one scope at one revision (DESIGN §7): a trust document, signed by offline
//! roots; a certificate, signed by an online key; a root, signed by the certified key; and chunks, named by
//! their digests. Writing and reading are both here, so that a publisher checks with its readers' own code.

mod certificate;
mod chunk;
mod counts;
mod der;
mod digest;
mod jws;
mod key;
mod listing;
mod load;
mod refusal;
mod root;
mod scope;
#[cfg(test)]
mod tests;
mod trust;

pub use crate::access_key::KeyKind;
pub use certificate::{
    KeyClaims, MAX_CERTIFICATE_BYTES, certificate, certificate_message, verify_certificate,
};
#[cfg(test)]
pub(crate) use chunk::shard_bits;
pub(crate) use chunk::{Entry, key_hash, shard_of};
pub use chunk::{
    KeyWire, PreviousSecret, encode_entries, encode_entry, encode_flags, encode_keys,
    encode_segments, encode_tenants, entries, entries_bytes, flag_shard, segment_shard, shards_for,
    tenant_shard, tenant_shards_for,
};
pub use counts::{EntryCounts, Restored, Withheld};
pub use digest::{Digest, DigestError};
pub use key::{KeyMaterialError, PublicKey, SecretKey, Thumbprint, signature_from_der};
pub use listing::{Indexed, Listing, MAX_INDEX_BYTES, MAX_INDEXES, MAX_LISTED, Named, index};
pub use load::{TenantShards, load, load_some, missing, missing_some};
pub use refusal::Refusal;
pub use root::{
    ChunkKind, ChunkRef, Encoding, HeldFlag, MAX_CHUNK_BYTES, MAX_CHUNKS, MAX_CLOCK_SKEW, MAX_HELD,
    MAX_ROOT_BYTES, MAX_SEGMENT_CHUNK_BYTES, MAX_SHARDS, MAX_TOTAL_BYTES, Position, Root,
    RootClaims, sign_root, verify_root,
};
pub use scope::{Scope, ScopeError, ScopeId};
pub use trust::{
    MAX_TRUST_BYTES, MAX_TRUST_KEYS, MAX_TRUST_SIGNATURES, Trust, TrustClaims, sign_trust,
    verify_trust,
};
