//! The root of a manifest: what it is for, where it stands, and the digests of its chunks.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::certificate::verify_certificate;
use super::counts::{EntryCounts, Restored, Withheld};
use super::jws::{self, Header, Jws};
use super::listing::{MAX_INDEX_BYTES, MAX_INDEXES, MAX_LISTED, Named, check_chunks};
use super::{Digest, KeyClaims, PublicKey, Refusal, Scope, ScopeId, SecretKey, Trust};
use crate::keys::{EnvKey, FlagKey, OrgKey};
use crate::revision::Revision;
use crate::time::Timestamp;

/// Chunks of one root, indexes' included. 10,000 flags of 2 KB are 1,024 shards of about 20 KB; 100,000 tenants with ten
/// overrides each (60 MB) are 2,048 shards of 30 KB. Twice that, and the keys.
pub const MAX_CHUNKS: usize = 8_192;
/// Bytes of a root: 192 indexes of 90 bytes and 64 chunks of 150, in base64 (4/3), are 36 KB, its
/// certificate 1 KB, the names of held flags 17 KB.
pub const MAX_ROOT_BYTES: usize = 64 * 1024;
/// Bytes of one chunk. Shards aim at 32 KiB; one flag has at most 256 KiB, and a few such may fall together.
pub const MAX_CHUNK_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of one chunk of segments: one of a million hashed ids has 11 MB.
pub const MAX_SEGMENT_CHUNK_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of all chunks of a root, which is what a reader may have to hold in memory.
pub const MAX_TOTAL_BYTES: u64 = 256 * 1024 * 1024;
/// Shards of one kind.
pub const MAX_SHARDS: u32 = 4_096;
/// Held flags that a root names: 64 keys of 128 bytes with their revisions, in base64, are 17 KB. More are held all the same.
pub const MAX_HELD: usize = 64;
/// How far ahead of the reader's clock a root may have been issued: clocks without NTP drift minutes.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(10 * 60);

const WHAT: &str = "root";
const TYPE: &str = "flagforge-manifest+jwt";

/// What a chunk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", from = "String")]
pub enum ChunkKind {
    /// Flags, by flag shard.
    Flags,
    /// The tenant directory with overrides, by tenant shard.
    Tenants,
    /// Segments, by segment shard.
    Segments,
    /// The keys that may ask; in relay scope only, shard 0 only.
    Keys,
    /// A kind that this reader does not know: a newer writer's. It is passed over.
    Unknown,
}

impl From<String> for ChunkKind {
    fn from(word: String) -> Self {
        let known = [Self::Flags, Self::Tenants, Self::Segments, Self::Keys];
        known.into_iter().find(|kind| kind.as_str() == word).unwrap_or(Self::Unknown)
    }
}

impl ChunkKind {
    /// The word in the root.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flags => "flags",
            Self::Tenants => "tenants",
            Self::Segments => "segments",
            Self::Keys => "keys",
            Self::Unknown => "unknown",
        }
    }

    /// Bytes that one chunk may have.
    pub const fn max_bytes(self) -> u64 {
        match self {
            Self::Segments => MAX_SEGMENT_CHUNK_BYTES,
            Self::Flags | Self::Tenants | Self::Keys | Self::Unknown => MAX_CHUNK_BYTES,
        }
    }
}

const fn one() -> u32 {
    1
}

fn is_one(shards: &u32) -> bool {
    *shards == 1
}

impl fmt::Display for ChunkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a chunk's bytes are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", from = "String")]
pub enum Encoding {
    /// JSON as it is.
    #[default]
    Identity,
    /// An encoding that this reader does not know: a newer writer's. A chunk that has to be read refuses the whole.
    Unknown,
}

impl From<String> for Encoding {
    fn from(word: String) -> Self {
        if word == "identity" { Self::Identity } else { Self::Unknown }
    }
}

/// A chunk as the root names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRef {
    /// What it holds.
    pub kind: ChunkKind,
    /// Which shard of its kind it is.
    pub shard: u32,
    /// The digest of its bytes, which is also its name in the store.
    pub sha256: Digest,
    /// How many bytes it has.
    pub bytes: u64,
    /// How they are encoded.
    pub encoding: Encoding,
}

impl ChunkRef {
    /// Where its bytes stand in a store, and how many they are.
    pub const fn named(&self) -> Named {
        Named { sha256: self.sha256, bytes: self.bytes }
    }
}

/// A flag that goes on in its last good form: as it is, it could not be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldFlag {
    /// The flag.
    pub flag: FlagKey,
    /// Where the logs stood when that was seen first.
    pub since: Revision,
}

/// What a root says. A shard that has no chunk is empty: the root's authors say so by leaving it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RootClaims {
    /// 1: the format described here.
    pub format: u32,
    /// The organization.
    pub org: OrgKey,
    /// Its environment.
    pub env: EnvKey,
    /// Who it is for.
    pub scope: Scope,
    /// The trust document's epoch.
    pub epoch: u64,
    /// Where the two logs stood.
    pub revision: Revision,
    /// Grows with every root of this scope, re-signing included.
    pub serial: u64,
    /// When it was signed.
    pub issued: Timestamp,
    /// When it should have been signed again; served on after that, marked stale.
    pub expires: Timestamp,
    /// When its newest change was committed.
    pub committed: Timestamp,
    /// Shards of flags: a power of two.
    pub flag_shards: u32,
    /// Shards of tenants: 1 to 4,096.
    pub tenant_shards: u32,
    /// Shards of segments: a power of two; absent: 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub segment_shards: u32,
    /// The flags that go on in an earlier form, as many as may be named; absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldFlag>,
    /// The kinds of which removals are withheld; absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
    /// The earlier root whose flags, tenants and segments these are; absent: they are today's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Restored>,
    /// How many entries there are; absent: not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<EntryCounts>,
    /// The chunks that it lists itself: all of them where they are few ([`MAX_LISTED`]).
    pub chunks: Vec<ChunkRef>,
    /// The indexes that list the others; absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Named>,
}

impl RootClaims {
    /// The full name of what the root is for.
    pub fn scope_id(&self) -> ScopeId {
        ScopeId { org: self.org.clone(), env: self.env.clone(), scope: self.scope.clone() }
    }

    /// Where the root stands among all roots of its scope.
    pub const fn position(&self) -> Position {
        Position { epoch: self.epoch, revision: self.revision, serial: self.serial }
    }

    /// How many shards the root has of a kind.
    pub const fn shards(&self, kind: ChunkKind) -> u32 {
        match kind {
            ChunkKind::Flags => self.flag_shards,
            ChunkKind::Tenants => self.tenant_shards,
            ChunkKind::Segments => self.segment_shards,
            ChunkKind::Keys => 1,
            ChunkKind::Unknown => u32::MAX,
        }
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        let malformed = |why: String| Err(Refusal::malformed(WHAT, why));
        if self.format != 1 {
            return Err(Refusal::UnknownFormat { what: WHAT, format: self.format.into() });
        }
        if self.expires <= self.issued {
            return malformed("it expires before it is issued".into());
        }
        if self.tenant_shards == 0 || self.tenant_shards > MAX_SHARDS {
            let shards = self.tenant_shards;
            return malformed(format!("{shards} tenant shards: not 1 to {MAX_SHARDS}"));
        }
        for (kind, shards) in [("flag", self.flag_shards), ("segment", self.segment_shards)] {
            if !shards.is_power_of_two() || shards > MAX_SHARDS {
                return malformed(format!(
                    "{shards} {kind} shards: neither a power of two nor at most {MAX_SHARDS}"
                ));
            }
        }
        Refusal::over("number of chunks in the root", MAX_LISTED, self.chunks.len())?;
        Refusal::over("number of held flags", MAX_HELD, self.held.len())?;
        Refusal::over("number of indexes", MAX_INDEXES, self.indexes.len())?;
        for (place, index) in self.indexes.iter().enumerate() {
            within("index", MAX_INDEX_BYTES, index.bytes)?;
            if self.indexes.iter().skip(place + 1).any(|other| other.sha256 == index.sha256) {
                return malformed(format!("the index {} is listed twice", index.sha256));
            }
        }
        check_chunks(self, self.chunks.iter())
    }
}

pub(super) fn within(what: &'static str, limit: u64, actual: u64) -> Result<(), Refusal> {
    if actual <= limit { Ok(()) } else { Err(Refusal::TooLarge { what, limit, actual }) }
}

/// Signs a root: a compact JWS that carries the certificate of `key`. Whatever a reader would refuse
/// for its form is refused here, so that it is not published.
pub fn sign_root(
    claims: &RootClaims,
    certificate: &str,
    key: &SecretKey,
) -> Result<String, Refusal> {
    claims.check()?;
    let header = Header::new(TYPE, key.public().thumbprint(), Some(certificate));
    let message = jws::signing_input(WHAT, &header, claims)?;
    let text = jws::seal(&message, &key.sign(message.as_bytes()));
    Refusal::over(WHAT, MAX_ROOT_BYTES, text.len())?;
    Ok(text)
}

/// Where a root stands. A reader keeps the highest it has seen, across restarts, and refuses to go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The trust document's epoch.
    pub epoch: u64,
    /// Where the two logs stood.
    pub revision: Revision,
    /// The root's serial.
    pub serial: u64,
}

impl Position {
    /// Whether a reader that has seen this may go to `offered`: a higher epoch, or the same epoch with
    /// neither serial nor either number of the revision lower.
    pub const fn allows(&self, offered: &Self) -> bool {
        offered.epoch > self.epoch
            || (offered.epoch == self.epoch
                && offered.serial >= self.serial
                && offered.revision.includes(self.revision))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, revision, serial } = self;
        write!(f, "epoch {epoch}, revision {revision}, serial {serial}")
    }
}

/// A verified root.
#[derive(Debug, Clone)]
pub struct Root {
    claims: RootClaims,
    text: Box<str>,
    digest: Digest,
    stale_from: Timestamp,
}

impl Root {
    /// What the root says.
    pub const fn claims(&self) -> &RootClaims {
        &self.claims
    }

    /// The root's text as it was received, to be kept or passed on.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The digest of the text: an ETag for it.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Where it stands, to be remembered.
    pub const fn position(&self) -> Position {
        self.claims.position()
    }

    /// Whether the root, or the trust document it was verified with, has expired. Served on, marked stale.
    pub fn expired(&self, now: Timestamp) -> bool {
        now >= self.stale_from
    }

    pub(super) const fn stale_from(&self) -> Timestamp {
        self.stale_from
    }

    pub(super) fn into_claims(self) -> RootClaims {
        self.claims
    }
}

/// Verifies a root: signed by a key that an online key of `trust` certified, for `expect`, not behind
/// `seen`. Age is no reason to refuse (see [`Root::expired`]); a root from the future is.
pub fn verify_root(
    text: &[u8],
    trust: &Trust,
    expect: &ScopeId,
    seen: Option<&Position>,
    now: Timestamp,
) -> Result<Root, Refusal> {
    Refusal::over(WHAT, MAX_ROOT_BYTES, text.len())?;
    let digest = Digest::of(text);
    let text = jws::utf8(WHAT, text)?;
    let (claims, certified) = verified_claims(text, trust)?;
    claims.check()?;
    let actual = claims.scope_id();
    if actual != *expect {
        let (expected, actual) = (Box::new(expect.clone()), Box::new(actual));
        return Err(Refusal::WrongScope { expected, actual });
    }
    let epoch = trust.claims().epoch;
    if claims.epoch != epoch {
        return Err(Refusal::WrongEpoch { trust: epoch, root: claims.epoch });
    }
    let issued = claims.issued;
    if issued < certified.issued || issued > certified.expires {
        let (from, until) = (certified.issued, certified.expires);
        return Err(Refusal::OutsideCertificate { issued, from, until });
    }
    if issued > now.plus(MAX_CLOCK_SKEW) {
        return Err(Refusal::FromTheFuture { issued });
    }
    let offered = claims.position();
    match seen {
        Some(&seen) if !seen.allows(&offered) => return Err(Refusal::Rollback { seen, offered }),
        _ => {}
    }
    let stale_from = claims.expires.min(trust.claims().expires);
    Ok(Root { claims, text: text.into(), digest, stale_from })
}

fn verified_claims(text: &str, trust: &Trust) -> Result<(RootClaims, KeyClaims), Refusal> {
    let jws = Jws::compact(WHAT, TYPE, text)?;
    let kid = jws.header.kid;
    let Some(certificate) = &jws.header.cert else {
        return Err(Refusal::malformed(WHAT, "its header has no certificate"));
    };
    let certified = verify_certificate(certificate, trust)?;
    let key: PublicKey = certified.key;
    if key.thumbprint() != kid {
        return Err(Refusal::UnknownKey { what: WHAT, key: kid });
    }
    let claims = jws::parse_format_1(WHAT, &jws.verify(&key)?)?;
    Ok((claims, certified))
}
