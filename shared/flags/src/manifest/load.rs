//! From a verified root and its chunks to a snapshot. What did not change is taken from the snapshot before.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::chunk::{Entry, entries, entries_at_once, key_hash, shard_bits, shard_of};
use super::listing::{Listing, fetch};
use super::{ChunkKind, ChunkRef, Digest, KeyWire, Refusal, Root, RootClaims};
use crate::fault::EntryFault;
use crate::segment::Segment;
use crate::snapshot::{Shard, Snapshot};
use crate::tenant::Tenant;
use serde_json::value::RawValue;

/// Loads a root. `chunk` hands over the bytes of a chunk or an index by its digest, and is asked only for those that
/// `previous` does not hold (see [`missing`] for fetching them ahead). Every size and digest is checked. A
/// malformed flag, tenant or key spoils itself only; anything else that is wrong refuses the whole, and
/// `previous` goes on.
pub fn load<B: AsRef<[u8]>>(
    root: Root,
    chunk: &mut dyn FnMut(&Digest) -> Option<B>,
    previous: Option<&Snapshot>,
) -> Result<Snapshot, Refusal> {
    load_some(root, TenantShards::All, chunk, previous)
}

/// Which shards of the tenant directory are to be loaded.
#[derive(Debug, Clone, Copy)]
pub enum TenantShards<'s> {
    /// All of them.
    All,
    /// These; tenants of the others answer that they are not loaded.
    Only(&'s BTreeSet<u32>),
}

impl TenantShards<'_> {
    fn want(self, listed: &ChunkRef) -> bool {
        match self {
            Self::Only(shards) => {
                listed.kind != ChunkKind::Tenants || shards.contains(&listed.shard)
            }
            Self::All => true,
        }
    }
}

/// As [`load`], with only those shards of the tenant directory that are wanted. A shard that the root does not list is
/// empty, and loaded in any case.
pub fn load_some<B: AsRef<[u8]>>(
    root: Root,
    wanted: TenantShards<'_>,
    chunk: &mut dyn FnMut(&Digest) -> Option<B>,
    previous: Option<&Snapshot>,
) -> Result<Snapshot, Refusal> {
    let held = previous.map(Held::of).unwrap_or_default();
    let listing = Listing::of(&root, chunk, previous.map(Snapshot::listing))?;
    let stale_from = root.stale_from();
    let claims = root.into_claims();
    let mut flags = empty(claims.flag_shards);
    let mut tenants: Vec<_> = empty(claims.tenant_shards).into_iter().map(Some).collect();
    let mut segments = empty(claims.segment_shards);
    let mut keys = Arc::default();
    for listed in listing.chunks() {
        let identity = identity(&claims, listed);
        let mut fetch = || fetch(listed.named(), chunk);
        match listed.kind {
            ChunkKind::Flags => {
                let shard = match held.flags.get(&identity) {
                    Some(shard) => Arc::clone(shard),
                    None => compiled(&claims, listed, fetch()?.as_ref())?,
                };
                put(&mut flags, listed.shard, shard);
            }
            ChunkKind::Tenants if !wanted.want(listed) => put(&mut tenants, listed.shard, None),
            ChunkKind::Tenants => {
                let shard = match held.tenants.get(&identity) {
                    Some(shard) => Arc::clone(shard),
                    None => compiled(&claims, listed, fetch()?.as_ref())?,
                };
                put(&mut tenants, listed.shard, Some(shard));
            }
            ChunkKind::Segments => {
                let shard = match held.segments.get(&identity) {
                    Some(shard) => Arc::clone(shard),
                    None => compiled(&claims, listed, fetch()?.as_ref())?,
                };
                put(&mut segments, listed.shard, shard);
            }
            ChunkKind::Keys => {
                keys = match held.keys.get(&identity) {
                    Some(shard) => Arc::clone(shard),
                    None => compiled(&claims, listed, fetch()?.as_ref())?,
                };
            }
            ChunkKind::Unknown => {}
        }
    }
    let (flags, tenants, segments) = (flags.into(), tenants.into(), segments.into());
    let scope = claims.scope_id();
    Ok(Snapshot { scope, root: claims, listing, stale_from, flags, tenants, segments, keys })
}

/// What to fetch before `root` can be loaded: the chunks of its listing that `previous` does not hold.
pub fn missing<'l>(
    root: &Root,
    listing: &'l Listing,
    previous: Option<&Snapshot>,
) -> Vec<&'l ChunkRef> {
    missing_some(root, TenantShards::All, listing, previous)
}

/// What to fetch before `root` can be loaded with those shards of the tenant directory; see [`load_some`].
pub fn missing_some<'l>(
    root: &Root,
    wanted: TenantShards<'_>,
    listing: &'l Listing,
    previous: Option<&Snapshot>,
) -> Vec<&'l ChunkRef> {
    let held = previous.map(Held::of).unwrap_or_default();
    let lacks = |listed: &&ChunkRef| {
        listed.kind != ChunkKind::Unknown
            && wanted.want(listed)
            && !held.has(&identity(root.claims(), listed))
    };
    listing.chunks().filter(lacks).collect()
}

/// What makes a compiled shard the same: its bytes, and for which keys they were checked, which its number says
/// with [`shard_bits`].
type Identity = (ChunkKind, u32, u32, Digest);

fn identity(claims: &RootClaims, listed: &ChunkRef) -> Identity {
    let bits = shard_bits(listed.shard, claims.shards(listed.kind));
    (listed.kind, listed.shard, bits, listed.sha256)
}

/// The shards of a snapshot by their identity.
#[derive(Default)]
struct Held<'s> {
    flags: HashMap<Identity, &'s Arc<Shard<crate::Flag, crate::FlagFault>>>,
    tenants: HashMap<Identity, &'s Arc<Shard<Tenant, EntryFault>>>,
    segments: HashMap<Identity, &'s Arc<Shard<Segment, crate::FlagFault>>>,
    keys: HashMap<Identity, &'s Arc<Shard<KeyWire, EntryFault>>>,
}

impl<'s> Held<'s> {
    fn of(snapshot: &'s Snapshot) -> Self {
        let mut held = Self::default();
        for listed in snapshot.listing.chunks() {
            let (identity, place) = (identity(&snapshot.root, listed), listed.shard as usize);
            match listed.kind {
                ChunkKind::Flags => {
                    held.flags.extend(snapshot.flags.get(place).map(|shard| (identity, shard)));
                }
                ChunkKind::Tenants => {
                    let shard = snapshot.tenants.get(place).and_then(Option::as_ref);
                    held.tenants.extend(shard.map(|shard| (identity, shard)));
                }
                ChunkKind::Segments => {
                    let shard = snapshot.segments.get(place);
                    held.segments.extend(shard.map(|shard| (identity, shard)));
                }
                ChunkKind::Keys => {
                    held.keys.insert(identity, &snapshot.keys);
                }
                ChunkKind::Unknown => {}
            }
        }
        held
    }

    fn has(&self, identity: &Identity) -> bool {
        self.flags.contains_key(identity)
            || self.tenants.contains_key(identity)
            || self.segments.contains_key(identity)
            || self.keys.contains_key(identity)
    }
}

fn empty<T, F>(shards: u32) -> Vec<Arc<Shard<T, F>>> {
    let none = Arc::default();
    (0..shards).map(|_| Arc::clone(&none)).collect()
}

fn put<S>(shards: &mut [S], place: u32, shard: S) {
    // The root was checked to list no shard beyond its count.
    if let Some(held) = shards.get_mut(place as usize) {
        *held = shard;
    }
}

fn compiled<T: Entry>(
    claims: &RootClaims,
    listed: &ChunkRef,
    bytes: &[u8],
) -> Result<Arc<Shard<T, T::Fault>>, Refusal> {
    let shards = claims.shards(listed.kind);
    if let Some(compiled) = entries_at_once::<T>(bytes, listed.kind) {
        let shard = Shard::new(compiled.into_iter());
        if shard.is_sound(shards, listed.shard) {
            return Ok(Arc::new(shard));
        }
    }
    let entries: Vec<(String, &RawValue)> = entries(bytes, listed.kind)?;
    if let Some((key, _)) =
        entries.iter().find(|(key, _)| shard_of(key_hash(key), shards) != listed.shard)
    {
        let (kind, shard, key) = (listed.kind, listed.shard, crate::text::clipped(key));
        return Err(Refusal::KeyOutsideShard { kind, shard, key });
    }
    let compiled = entries.into_iter().map(|(key, json)| {
        let content = T::of_json(&key, json.get());
        (key, content)
    });
    Ok(Arc::new(Shard::new(compiled)))
}

impl Entry for KeyWire {
    type Wire = Self;
    type Fault = EntryFault;
    /// None but that of its chunk, which was looked at before.
    const MAX_BYTES: usize = usize::MAX;

    fn of_wire(_: &str, wire: Self) -> Result<Self, EntryFault> {
        Ok(wire)
    }

    fn too_large(bytes: usize) -> EntryFault {
        EntryFault::too_large(bytes, Self::MAX_BYTES)
    }
}
