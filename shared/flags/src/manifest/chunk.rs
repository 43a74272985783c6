//! Chunks: the content of a manifest, cut by the hash of its keys. Written sorted by key, so that the
//! same content has the same bytes, and so the same digest.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

use super::root::{ChunkKind, MAX_SHARDS};
use super::{Digest, Refusal};
use crate::access_key::KeyKind;
use crate::fault::{EntryFault, parse};
use crate::keys::{EnvKey, TenantKey};
use crate::time::Timestamp;
use crate::wire::{FlagWire, SegmentWire, TenantWire};

/// What a shard should weigh: small enough to fetch at every flip, large enough that a root lists hundreds
/// and not tens of thousands.
const TARGET_CHUNK_BYTES: usize = 32 * 1024;

/// The hash that leads from a key to its shard and its place there.
pub(crate) fn key_hash(key: &str) -> u64 {
    xxh3_64(key.as_bytes())
}

pub(crate) const fn shard_of(hash: u64, shards: u32) -> u32 {
    // The high half, because the places inside a shard are sorted by the whole hash: the low bits stay
    // free for whoever hashes the key again.
    let high = (hash >> 32) as u32;
    if shards.is_power_of_two() {
        return high & (shards - 1);
    }
    // Linear hashing: between two powers the first shards are split already, and the others not yet.
    let mask = mask(shards);
    let shard = high & mask;
    if shard < shards { shard } else { shard & (mask >> 1) }
}

/// The bits that tell this many shards apart, all of them split.
const fn mask(shards: u32) -> u32 {
    match u32::MAX.checked_shr(shards.saturating_sub(1).leading_zeros()) {
        Some(mask) => mask,
        None => 0,
    }
}

/// How many bits of a key's hash say that it is in this shard. With the shard's number that is which keys it holds, and
/// stays so while others are split.
pub(crate) const fn shard_bits(shard: u32, shards: u32) -> u32 {
    let mask = mask(shards);
    let half = (mask >> 1) + 1;
    let is_split = shard >= half || shard.saturating_add(half) < shards;
    if is_split || mask == 0 { mask.count_ones() } else { mask.count_ones() - 1 }
}

/// The shard of a flag, below `shards`.
pub fn flag_shard(key: &str, shards: u32) -> u32 {
    shard_of(key_hash(key), shards)
}

/// The shard of a tenant, below `shards`.
pub fn tenant_shard(key: &str, shards: u32) -> u32 {
    shard_of(key_hash(key), shards)
}

/// The shard of a segment, below `shards`.
pub fn segment_shard(key: &str, shards: u32) -> u32 {
    shard_of(key_hash(key), shards)
}

/// How many shards flags or segments of `total_bytes` should have: a power of two, about 32 KiB a shard, 1 to 4,096.
pub fn shards_for(total_bytes: usize) -> u32 {
    tenant_shards_for(total_bytes).next_power_of_two()
}

/// How many shards tenants of `total_bytes` should have: 1 to 4,096, about 32 KiB a shard. A directory grows by an import, and
/// each new shard takes its tenants from one other, so that only what came and two shards for each new one are made
/// and fetched again, never all.
pub fn tenant_shards_for(total_bytes: usize) -> u32 {
    let wanted = u32::try_from(total_bytes.div_ceil(TARGET_CHUNK_BYTES)).unwrap_or(MAX_SHARDS);
    wanted.clamp(1, MAX_SHARDS)
}

/// A key that may ask, as a relay knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyWire {
    /// SHA-256 of the secret.
    pub secret_sha256: Digest,
    /// What the key is for.
    pub kind: KeyKind,
    /// The tenant that the key is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantKey>,
    /// The environments that the key may ask for; none named means all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envs: Option<Vec<EnvKey>>,
    /// When the key stops working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The secret before a rotation, while it still counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousSecret>,
}

/// A secret that was rotated away and counts until an instant, so that its holders have time to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviousSecret {
    /// SHA-256 of the secret.
    pub secret_sha256: Digest,
    /// From this instant on it counts no more.
    pub until: Timestamp,
}

impl KeyWire {
    /// Whether a secret of this digest counts now. Takes the same time wherever two digests differ.
    pub fn accepts(&self, presented: &Digest, now: Timestamp) -> bool {
        let current = self.secret_sha256.same(presented);
        let previous = self.previous.as_ref();
        current | previous.is_some_and(|p| p.secret_sha256.same(presented) & (now < p.until))
    }
}

/// The bytes of a chunk of flags: `{"flags":{<key>:<flag>,…}}`. Of two flags with one key the later stays.
pub fn encode_flags<'f>(flags: impl Iterator<Item = &'f FlagWire>) -> Vec<u8> {
    encode(ChunkKind::Flags, flags.map(|flag| (flag.key.as_str(), flag)))
}

/// The bytes of a chunk of tenants: `{"tenants":{<key>:<tenant>,…}}`.
pub fn encode_tenants<'t>(
    tenants: impl Iterator<Item = (&'t TenantKey, &'t TenantWire)>,
) -> Vec<u8> {
    encode(ChunkKind::Tenants, tenants.map(|(key, tenant)| (key.as_str(), tenant)))
}

/// The bytes of a chunk of segments: `{"segments":{<key>:<segment>,…}}`.
pub fn encode_segments<'s>(segments: impl Iterator<Item = &'s SegmentWire>) -> Vec<u8> {
    encode(ChunkKind::Segments, segments.map(|segment| (segment.key.as_str(), segment)))
}

/// The bytes of a chunk of keys: `{"keys":{<id>:<key>,…}}`.
pub fn encode_keys<'k>(keys: impl Iterator<Item = (&'k str, &'k KeyWire)>) -> Vec<u8> {
    encode(ChunkKind::Keys, keys)
}

/// One entry's body, for [`encode_entries`]. No value here can fail to serialize; an empty one would spoil itself only.
pub fn encode_entry<B: Serialize>(body: &B) -> Box<RawValue> {
    serde_json::value::to_raw_value(body).unwrap_or_default()
}

/// The bytes of a chunk of entries that are encoded already: the same as of all of them together.
pub fn encode_entries<'e>(
    kind: ChunkKind,
    entries: impl Iterator<Item = (&'e str, &'e RawValue)>,
) -> Vec<u8> {
    encode(kind, entries)
}

/// How many bytes [`encode_entries`] makes of so many entries, whose keys and bodies have so many.
pub const fn entries_bytes(kind: ChunkKind, entries: usize, bytes: usize) -> usize {
    // {"kind":{"key":body,"key":body}}; keys have nothing to escape.
    kind.as_str().len() + 7 + bytes + 3 * entries + entries.saturating_sub(1)
}

fn encode<'b, B: Serialize + ?Sized + 'b>(
    kind: ChunkKind,
    entries: impl Iterator<Item = (&'b str, &'b B)>,
) -> Vec<u8> {
    struct Body<'b, B: ?Sized>(ChunkKind, BTreeMap<&'b str, &'b B>);
    impl<B: Serialize + ?Sized> Serialize for Body<'_, B> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry(self.0.as_str(), &self.1)?;
            map.end()
        }
    }
    // Keys are texts and no value here can fail to serialize; an empty chunk is refused by its readers.
    serde_json::to_vec(&Body(kind, entries.collect())).unwrap_or_default()
}

/// A chunk's entries as they stand in its bytes: each is parsed by itself, so that a bad one spoils itself
/// only. Refuses what is no chunk of this kind, and a key that stands twice.
pub fn entries(bytes: &[u8], kind: ChunkKind) -> Result<Vec<(String, &RawValue)>, Refusal> {
    let malformed = |why: &dyn fmt::Display| Refusal::malformed("chunk", format!("{kind}: {why}"));
    // What other members hold, a newer writer's, is not looked into.
    let Entries(body) = serde_json::from_slice(bytes).map_err(|e| malformed(&e))?;
    let mut own = body.into_iter().filter(|(member, _)| member == kind.as_str());
    let Entries(mut entries) = match (own.next(), own.next()) {
        (Some((_, member)), None) => {
            serde_json::from_str(member.get()).map_err(|e| malformed(&e))?
        }
        (None, _) => return Err(malformed(&format!("it has no member `{kind}`"))),
        (Some(_), Some(_)) => return Err(malformed(&format!("the member `{kind}` stands twice"))),
    };
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    match entries.windows(2).find(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
        Some([(key, _), ..]) => Err(malformed(&format!("the key `{key}` stands twice"))),
        _ => Ok(entries),
    }
}

/// What stands under a key in a chunk.
pub(crate) trait Entry: Sized {
    /// How it is written.
    type Wire: DeserializeOwned;
    /// Why it cannot be used.
    type Fault: From<EntryFault>;
    /// Bytes of one, as JSON.
    const MAX_BYTES: usize;

    fn of_wire(key: &str, wire: Self::Wire) -> Result<Self, Self::Fault>;

    /// Why one of so many bytes cannot be used.
    fn too_large(bytes: usize) -> Self::Fault;

    /// Any text is answered, none panics.
    fn of_json(key: &str, json: &str) -> Result<Self, Self::Fault> {
        // Before parsing: what is over the limit is not worth the memory of its tree.
        if json.len() > Self::MAX_BYTES {
            return Err(Self::too_large(json.len()));
        }
        Self::of_wire(key, parse(json)?)
    }
}

/// Entries that were read, by their keys: each is what it should be, or why it is not.
pub(crate) type Read<T> = Vec<(String, Result<T, <T as Entry>::Fault>)>;

/// A chunk's entries in one go, which takes half the time. `None` where they have to be looked at one by one: when any
/// does not fit what it should be, when some could be over their limit, when there is more than the entries.
pub(crate) fn entries_at_once<T: Entry>(bytes: &[u8], kind: ChunkKind) -> Option<Read<T>> {
    if bytes.len() > T::MAX_BYTES {
        return None;
    }
    let mut deserializer = serde_json::Deserializer::from_str(str::from_utf8(bytes).ok()?);
    let compiled = deserializer.deserialize_map(AtOnce::<T>(kind, PhantomData)).ok()?;
    deserializer.end().ok()?;
    Some(compiled)
}

/// The chunk's one member, and inside it the entries.
struct AtOnce<T>(ChunkKind, PhantomData<T>);
struct EachAtOnce<T>(PhantomData<T>);

impl<'de, T: Entry> Visitor<'de> for AtOnce<T> {
    type Value = Read<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a chunk")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let more = |what| Err(A::Error::custom(what));
        if map.next_key::<String>()?.as_deref() != Some(self.0.as_str()) {
            return more("another member comes first");
        }
        let compiled = map.next_value_seed(EachAtOnce(PhantomData))?;
        if map.next_key::<IgnoredAny>()?.is_some() {
            return more("another member follows");
        }
        Ok(compiled)
    }
}

impl<'de, T: Entry> DeserializeSeed<'de> for EachAtOnce<T> {
    type Value = Read<T>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Entry> Visitor<'de> for EachAtOnce<T> {
    type Value = Read<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut compiled = Vec::new();
        while let Some((key, wire)) = map.next_entry::<String, T::Wire>()? {
            let content = T::of_wire(&key, wire);
            compiled.push((key, content));
        }
        Ok(compiled)
    }
}

/// A JSON object whose values are not looked into.
struct Entries<'b>(Vec<(String, &'b RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
