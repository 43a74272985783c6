//! The working form of a segment: who is out, who is in, and the condition for everybody else.

use base64ct::{Base64, Encoding as _};
use sha2::{Digest as _, Sha256};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::compile::at::{At, limit, over};
use crate::compile::{Conditions, MAX_TEXT_BYTES, key_set, same_key};
use crate::condition::Condition;
use crate::fault::FlagFault;
use crate::key_set::{HashSet, KeySet};
use crate::manifest::Entry;
use crate::subject::EntityName;
use crate::wire::{DigestsWire, IdsWire, SegmentWire};

/// Bytes of a segment as JSON: a million hashes of 8 bytes in base64 are 10.7 MB, a million digests of 12 are 16 MB.
pub const MAX_SEGMENT_BYTES: usize = 16 * 1024 * 1024;
/// Keys of one list of a segment as they are; longer lists travel as hashes.
pub const MAX_SEGMENT_KEYS: usize = 10_000;
/// Hashes of one list of a segment.
pub const MAX_SEGMENT_IDS: usize = 1_000_000;

/// Bytes of one hash.
const HASH_BYTES: usize = 8;
/// Bytes of one digest: a million fit a segment's chunk, and whoever has 2^32 keys finds one by chance in 2^44 lists.
const DIGEST_BYTES: usize = 12;
/// What a list of either has to be.
const ORDERLY: &str = "hashes have 8 bytes each and digests 12, ascend and do not repeat";

/// A saved set that can be asked.
#[derive(Debug)]
pub struct Segment {
    pub(crate) version: u64,
    pub(crate) entity: EntityName,
    /// `None` is nobody.
    pub(crate) excluded: Option<Ids>,
    /// `None` is nobody.
    pub(crate) included: Option<Ids>,
    pub(crate) when: Option<Condition>,
    pub(crate) reads_tenant: bool,
}

impl Segment {
    /// Grows with every change of the segment.
    pub const fn version(&self) -> u64 {
        self.version
    }

    #[inline]
    pub(crate) fn excludes(&self, key: &str) -> bool {
        self.excluded.as_ref().is_some_and(|ids| ids.have(key))
    }

    #[inline]
    pub(crate) fn includes(&self, key: &str) -> bool {
        self.included.as_ref().is_some_and(|ids| ids.have(key))
    }
}

/// Keys of a segment.
#[derive(Debug)]
pub(crate) enum Ids {
    Keys(KeySet),
    Hashed { seed: u64, hashes: HashSet },
    Digests(Digests),
}

impl Ids {
    #[inline]
    pub(crate) fn have(&self, key: &str) -> bool {
        match self {
            Self::Keys(keys) => keys.has(key),
            Self::Hashed { seed, hashes } => hashes.has(hash(*seed, key)),
            Self::Digests(digests) => digests.have(key),
        }
    }
}

/// Keys that nobody can read back.
#[derive(Debug)]
pub(crate) struct Digests {
    salt: Box<str>,
    /// Ascending.
    digests: Box<[[u8; DIGEST_BYTES]]>,
}

impl Digests {
    pub(crate) fn have(&self, key: &str) -> bool {
        self.digests.binary_search(&digest(&self.salt, key)).is_ok()
    }
}

fn digest(salt: &str, key: &str) -> [u8; DIGEST_BYTES] {
    let whole = Sha256::new().chain_update(salt).chain_update(key).finalize();
    whole.first_chunk().copied().unwrap_or_default()
}

/// Keys as a sorted list of digests, for readers who may not learn them.
pub fn digested_ids<'k>(salt: &str, keys: impl Iterator<Item = &'k str>) -> DigestsWire {
    let mut digests: Vec<[u8; DIGEST_BYTES]> = keys.map(|key| digest(salt, key)).collect();
    digests.sort_unstable();
    digests.dedup();
    let digests = Base64::encode_string(digests.as_flattened());
    DigestsWire { salt: salt.into(), digests }
}

/// Checks and reads a list of digests.
pub(crate) fn digests(at: &At<'_>, wire: &DigestsWire) -> Result<Digests, FlagFault> {
    let DigestsWire { salt, digests } = wire;
    limit(&at.field("salt"), "bytes", MAX_TEXT_BYTES, salt.len())?;
    let at = at.field("digests");
    limit(&at, "digests", MAX_SEGMENT_IDS, digests.len() / 4 * 3 / DIGEST_BYTES)?;
    let digests: Vec<[u8; DIGEST_BYTES]> = numbers(&at, digests)?;
    if !digests.is_sorted_by(|a, b| a < b) {
        return Err(FlagFault::Hashes { path: at.path(), wanted: ORDERLY });
    }
    Ok(Digests { salt: salt.as_str().into(), digests: digests.into() })
}

/// Numbers of `N` bytes each, in base64.
fn numbers<const N: usize>(at: &At<'_>, text: &str) -> Result<Vec<[u8; N]>, FlagFault> {
    let fault = |wanted| FlagFault::Hashes { path: at.path(), wanted };
    let bytes = Base64::decode_vec(text)
        .map_err(|_| fault("it is not base64 (standard alphabet, padded)"))?;
    let (numbers, rest) = bytes.as_chunks::<N>();
    if rest.is_empty() { Ok(numbers.to_vec()) } else { Err(fault(ORDERLY)) }
}

/// Keys as a sorted list of hashes, for lists too long to travel as they are.
pub fn hashed_ids<'k>(salt: &str, keys: impl Iterator<Item = &'k str>) -> IdsWire {
    let seed = seed(salt);
    let mut hashes: Vec<u64> = keys.map(|key| hash(seed, key)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let bytes: Vec<u8> = hashes.into_iter().flat_map(u64::to_be_bytes).collect();
    IdsWire::Hashed { salt: salt.into(), hashes: Base64::encode_string(&bytes) }
}

fn seed(salt: &str) -> u64 {
    xxh3_64(salt.as_bytes())
}

#[inline]
fn hash(seed: u64, key: &str) -> u64 {
    xxh3_64_with_seed(key.as_bytes(), seed)
}

/// Compiles a segment, or says which field keeps it from being one.
pub fn compile_segment(wire: &SegmentWire) -> Result<Segment, FlagFault> {
    let mut conditions = Conditions::default();
    let at = At::Whole;
    let entity = conditions.entity(&at.field("entity"), &wire.entity)?;
    let excluded = ids(&at.field("excluded"), &wire.excluded)?;
    let included = ids(&at.field("included"), &wire.included)?;
    let when = wire.when.as_ref();
    let when = when.map(|when| conditions.condition(&at.field("when"), when, 1)).transpose()?;
    let (version, reads_tenant) = (wire.version, conditions.reads_tenant);
    Ok(Segment { version, entity, excluded, included, when, reads_tenant })
}

impl Entry for Segment {
    type Wire = SegmentWire;
    type Fault = FlagFault;
    const MAX_BYTES: usize = MAX_SEGMENT_BYTES;

    fn of_wire(key: &str, wire: SegmentWire) -> Result<Self, FlagFault> {
        same_key(key, wire.key.as_str())?;
        compile_segment(&wire)
    }

    fn too_large(bytes: usize) -> FlagFault {
        over(&At::Whole, "bytes", MAX_SEGMENT_BYTES, bytes)
    }
}

fn ids(at: &At<'_>, wire: &IdsWire) -> Result<Option<Ids>, FlagFault> {
    Ok(Some(match wire {
        IdsWire::Keys(keys) if keys.is_empty() => return Ok(None),
        IdsWire::Keys(keys) => {
            let at = at.field("keys");
            limit(&at, "keys", MAX_SEGMENT_KEYS, keys.len())?;
            Ids::Keys(key_set(&at, keys)?)
        }
        IdsWire::Hashed { salt, hashes } => {
            let at = at.field("hashed");
            limit(&at.field("salt"), "bytes", MAX_TEXT_BYTES, salt.len())?;
            let at = at.field("hashes");
            // Three bytes take four characters; the last group is padded.
            limit(&at, "hashes", MAX_SEGMENT_IDS, hashes.len() / 4 * 3 / HASH_BYTES)?;
            let hashes: Vec<u64> =
                numbers(&at, hashes)?.into_iter().map(u64::from_be_bytes).collect();
            if !hashes.is_sorted_by(|a, b| a < b) {
                return Err(FlagFault::Hashes { path: at.path(), wanted: ORDERLY });
            }
            Ids::Hashed { seed: seed(salt), hashes: HashSet::new(&hashes) }
        }
        IdsWire::Digests(wire) => Ids::Digests(digests(&at.field("digests"), wire)?),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compiled(json: &serde_json::Value) -> Result<Segment, String> {
        Segment::of_json("s", &json.to_string()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_million_ids_are_looked_up_and_one_more_is_refused() {
        let keys: Vec<String> = (0..=MAX_SEGMENT_IDS).map(|i| i.to_string()).collect();
        let of = |count: usize| hashed_ids("salt", keys.iter().take(count).map(String::as_str));
        let ids = ids(&At::Whole, &of(MAX_SEGMENT_IDS)).unwrap().unwrap();
        let last = MAX_SEGMENT_IDS.to_string();
        assert!(keys.iter().take(MAX_SEGMENT_IDS).all(|key| ids.have(key)) && !ids.have(&last));
        let fault = super::ids(&At::Whole, &of(MAX_SEGMENT_IDS + 1)).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "hashed.hashes: 1000001 hashes are over the limit of 1000000"
        );
    }

    #[test]
    fn hashes_are_pinned() {
        // The same hash as the bucketing's, whose pins were computed with Python's xxhash.
        let wire = hashed_ids("s", ["u-1", "u-1"].into_iter());
        let IdsWire::Hashed { hashes, .. } = wire else { unreachable!("longer lists are hashed") };
        let bytes = Base64::decode_vec(&hashes).unwrap();
        let hash = u64::from_be_bytes(bytes.try_into().unwrap());
        let bucket = (u128::from(hash) * 100_000) >> 64;
        assert_eq!(bucket, 46_004, "the bucket that the bucketing's own vectors pin");
    }

    #[test]
    fn lists_that_are_none_are_refused() {
        let hashed = |hashes: &str| json!({"key": "s", "version": 1, "included": {"hashed": {"salt": "", "hashes": hashes}}});
        assert!(compiled(&hashed("")).is_ok() && compiled(&hashed("AAAAAAAAAAA=")).is_ok());
        for bad in ["AAAA", "????", "AAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA=="] {
            let fault = compiled(&hashed(bad)).unwrap_err();
            assert!(fault.starts_with("included.hashed.hashes: "), "{bad}: {fault}");
        }
        let keys = |keys: Vec<&str>| json!({"key": "s", "version": 1, "excluded": {"keys": keys}});
        assert!(compiled(&keys(vec!["a"; MAX_SEGMENT_KEYS])).is_ok());
        let fault = compiled(&keys(vec!["a"; MAX_SEGMENT_KEYS + 1])).unwrap_err();
        assert_eq!(fault, "excluded.keys: 10001 keys are over the limit of 10000");
        let fault = compiled(&keys(vec!["a", ""])).unwrap_err();
        assert_eq!(fault, "excluded.keys[1]: a key has at least one character");
        let fault = compiled(&json!({"key": "t", "version": 1})).unwrap_err();
        assert_eq!(fault, "key: what stands under `s` calls itself `t`");
        let fault = compiled(&json!({"key": "s", "version": 1, "entity": "a.b"})).unwrap_err();
        assert!(fault.starts_with("entity: "), "{fault}");
    }
}
