//! An immutable configuration of one scope at one revision. Shards are shared between snapshots, so that
//! a new revision costs what changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::by_hash::{Mark, READ_ON, Stretches};
use crate::compile::compile;
use crate::fault::{EntryFault, FlagFault};
use crate::flag::Flag;
use crate::keys::{FlagKey, SegmentKey, TenantKey};
use crate::manifest::{ChunkKind, ChunkRef, KeyWire, Listing, RootClaims, ScopeId, shard_of};
use crate::segment::{Segment, compile_segment};
use crate::tenant::Tenant;
use crate::time::Timestamp;
use crate::wire::{FlagWire, SegmentWire, TenantWire};

pub use crate::revision::{Revision, RevisionError};

/// A configuration to evaluate against. Immutable and `Sync`; hold it in an `Arc` and swap the `Arc`.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) scope: ScopeId,
    pub(crate) root: RootClaims,
    pub(crate) listing: Listing,
    pub(crate) stale_from: Timestamp,
    pub(crate) flags: Box<[Arc<Shard<Flag, FlagFault>>]>,
    /// `None` of those that are not loaded.
    pub(crate) tenants: Box<[Option<TenantShard>]>,
    pub(crate) segments: Box<[Arc<Shard<Segment, FlagFault>>]>,
    pub(crate) keys: Arc<Shard<KeyWire, EntryFault>>,
}

type TenantShard = Arc<Shard<Tenant, EntryFault>>;

impl Snapshot {
    /// Whose configuration it is.
    pub const fn scope(&self) -> &ScopeId {
        &self.scope
    }

    /// Where the two logs stood.
    pub const fn revision(&self) -> Revision {
        self.root.revision
    }

    /// What its root said.
    pub const fn root(&self) -> &RootClaims {
        &self.root
    }

    /// The chunks that it was loaded from.
    pub const fn listing(&self) -> &Listing {
        &self.listing
    }

    /// Whether its root or trust document has expired: served on, and said to be stale.
    pub fn expired(&self, now: Timestamp) -> bool {
        now >= self.stale_from
    }

    /// Every flag by its key, malformed ones as their fault. The order is the same for the same content, and
    /// otherwise unspecified.
    pub fn flags(&self) -> impl Iterator<Item = (&str, Result<&Flag, &FlagFault>)> {
        self.flags.iter().flat_map(|shard| shard.iter())
    }

    /// One flag; `None` when there is none under this key.
    pub fn flag(&self, key: &str) -> Option<Result<&Flag, &FlagFault>> {
        self.flag_at(&Mark::of(key), key)
    }

    /// As [`Snapshot::flag`], by the key and its mark.
    #[inline(always)]
    pub(crate) fn flag_at(&self, mark: &Mark, key: &str) -> Option<Result<&Flag, &FlagFault>> {
        shard(&self.flags, mark.hash)?.find(mark, key)
    }

    /// Where every flag is, sorted by its key.
    pub fn places(&self) -> Vec<(&str, FlagPlace)> {
        let mut places = Vec::new();
        for (number, shard) in (0_u32..).zip(&self.flags) {
            let entries = (0_u32..).zip(shard.iter());
            places
                .extend(entries.map(|(entry, (key, _))| (key, FlagPlace { shard: number, entry })));
        }
        places.sort_unstable_by_key(|(key, _)| *key);
        places
    }

    /// The flag at a place of this very snapshot.
    #[inline]
    pub fn flag_in(&self, place: FlagPlace) -> Option<(&str, Result<&Flag, &FlagFault>)> {
        self.flags.get(place.shard as usize)?.entry(place.entry as usize)
    }

    /// Every tenant of the directory that is loaded by its key, malformed ones as their fault.
    pub fn tenants(&self) -> impl Iterator<Item = (&str, Result<&Tenant, &EntryFault>)> {
        self.tenants.iter().flatten().flat_map(|shard| shard.iter())
    }

    /// One tenant; `None` when the directory does not know it, an error when it is malformed, without a fault when it
    /// is not loaded.
    pub fn tenant(&self, key: &str) -> Option<Result<&Tenant, Option<&EntryFault>>> {
        self.tenant_at(self.tenant_place(key)?)
    }

    /// Whether the shard of the directory is loaded that has the tenant, if any does.
    pub fn has_loaded(&self, tenant: &TenantKey) -> bool {
        !matches!(self.tenant_place(tenant.as_str()), Some(TenantPlace::NotLoaded))
    }

    /// Whether what is listed is loaded.
    pub fn has_loaded_chunk(&self, listed: &ChunkRef) -> bool {
        let place = listed.shard as usize;
        listed.kind != ChunkKind::Tenants || matches!(self.tenants.get(place), Some(Some(_)))
    }

    /// Where a tenant's entry is.
    pub(crate) fn tenant_place(&self, key: &str) -> Option<TenantPlace> {
        let mark = Mark::of(key);
        let shard = shard_of(mark.hash, u32::try_from(self.tenants.len()).ok()?);
        let Some(loaded) = self.tenants.get(shard as usize)? else {
            return Some(TenantPlace::NotLoaded);
        };
        let entry = u32::try_from(loaded.place(&mark, key)?).ok()?;
        Some(TenantPlace::Entry { shard, entry })
    }

    /// The entry at a place of this very snapshot; no fault where it is not loaded.
    #[inline]
    pub(crate) fn tenant_at(
        &self,
        place: TenantPlace,
    ) -> Option<Result<&Tenant, Option<&EntryFault>>> {
        let TenantPlace::Entry { shard, entry } = place else { return Some(Err(None)) };
        let loaded = self.tenants.get(shard as usize)?.as_ref()?;
        Some(loaded.at(entry as usize)?.map_err(Some))
    }

    /// Every segment by its key, malformed ones as their fault.
    pub fn segments(&self) -> impl Iterator<Item = (&str, Result<&Segment, &FlagFault>)> {
        self.segments.iter().flat_map(|shard| shard.iter())
    }

    /// One segment; `None` when there is none under this key.
    pub fn segment(&self, key: &str) -> Option<Result<&Segment, &FlagFault>> {
        self.segment_at(&Mark::of(key), key)
    }

    #[inline(always)]
    pub(crate) fn segment_at(
        &self,
        mark: &Mark,
        key: &str,
    ) -> Option<Result<&Segment, &FlagFault>> {
        shard(&self.segments, mark.hash)?.find(mark, key)
    }

    /// The keys that may ask, by their id; empty outside the relay scope.
    pub fn keys(&self) -> impl Iterator<Item = (&str, Result<&KeyWire, &EntryFault>)> {
        self.keys.iter()
    }

    /// One key that may ask, by its id.
    pub fn key(&self, id: &str) -> Option<Result<&KeyWire, &EntryFault>> {
        self.keys.find(&Mark::of(id), id)
    }

    /// A configuration made of parts, unsigned: for tests, tools and offline use. Of two with one key the
    /// later stays; a malformed flag spoils itself only.
    pub fn from_parts(
        scope: ScopeId,
        revision: Revision,
        flags: impl IntoIterator<Item = FlagWire>,
        tenants: impl IntoIterator<Item = (TenantKey, TenantWire)>,
    ) -> Self {
        let flags: BTreeMap<FlagKey, FlagWire> =
            flags.into_iter().map(|flag| (flag.key.clone(), flag)).collect();
        let tenants: BTreeMap<TenantKey, TenantWire> = tenants.into_iter().collect();
        let flags = Shard::new(flags.iter().map(|(key, wire)| (key.as_str(), compile(wire))));
        let tenants =
            tenants.into_iter().map(|(key, wire)| (key.to_string(), Ok(Tenant::from(wire))));
        let root = RootClaims {
            format: 1,
            org: scope.org.clone(),
            env: scope.env.clone(),
            scope: scope.scope.clone(),
            epoch: 0,
            revision,
            serial: 0,
            issued: Timestamp::default(),
            expires: Timestamp::from_millis(i64::MAX),
            committed: Timestamp::default(),
            flag_shards: 1,
            tenant_shards: 1,
            segment_shards: 1,
            held: Vec::new(),
            withheld: Vec::new(),
            restored: None,
            counts: None,
            chunks: Vec::new(),
            indexes: Vec::new(),
        };
        Self {
            scope,
            root,
            listing: Listing::default(),
            stale_from: Timestamp::from_millis(i64::MAX),
            flags: [Arc::new(flags)].into(),
            tenants: [Some(Arc::new(Shard::new(tenants)))].into(),
            segments: [Arc::default()].into(),
            keys: Arc::default(),
        }
    }

    /// The same with other segments. Of two with one key the later stays; a malformed one spoils the flags that
    /// reach it.
    #[must_use]
    pub fn with_segments(mut self, segments: impl IntoIterator<Item = SegmentWire>) -> Self {
        let segments: BTreeMap<SegmentKey, SegmentWire> =
            segments.into_iter().map(|segment| (segment.key.clone(), segment)).collect();
        let compiled = segments.iter().map(|(key, wire)| (key.as_str(), compile_segment(wire)));
        self.segments = [Arc::new(Shard::new(compiled))].into();
        self
    }
}

/// Where a flag is in a snapshot. Of another snapshot it says nothing.
#[derive(Debug, Clone, Copy)]
pub struct FlagPlace {
    shard: u32,
    entry: u32,
}

/// Where a tenant's entry is in a snapshot. Of another snapshot it says nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TenantPlace {
    Entry { shard: u32, entry: u32 },
    NotLoaded,
}

#[inline]
fn shard<T, F>(shards: &[Arc<Shard<T, F>>], hash: u64) -> Option<&Shard<T, F>> {
    let count = u32::try_from(shards.len()).unwrap_or(u32::MAX);
    shards.get(shard_of(hash, count) as usize).map(|shard| &**shard)
}

/// The compiled entries of one chunk, sorted by the hash of their key and then by the key, for a search that
/// allocates nothing and that nobody's choice of keys makes slow.
#[derive(Debug)]
pub(crate) struct Shard<T, F> {
    entries: Box<[Entry<T, F>]>,
    stretches: Stretches,
}

#[derive(Debug)]
#[repr(C)]
struct Entry<T, F> {
    mark: Mark,
    key: Box<str>,
    content: Result<T, Box<F>>,
}

impl<T, F> Default for Shard<T, F> {
    fn default() -> Self {
        Self { entries: Box::default(), stretches: Stretches::default() }
    }
}

impl<T, F> Shard<T, F> {
    pub(crate) fn new<K: Into<Box<str>>>(entries: impl Iterator<Item = (K, Result<T, F>)>) -> Self {
        let entry = |(key, content): (K, Result<T, F>)| {
            let key = key.into();
            Entry { mark: Mark::of(&key), key, content: content.map_err(Box::new) }
        };
        let mut unsorted: Vec<Option<Entry<T, F>>> = entries.map(entry).map(Some).collect();
        // They are large: each is moved once.
        let mut order: Vec<usize> = (0..unsorted.len()).collect();
        let place = |at: &usize| {
            let entry = unsorted.get(*at).and_then(Option::as_ref);
            entry.map(|entry| (entry.mark.hash, &*entry.key))
        };
        order.sort_by(|a, b| place(a).cmp(&place(b)));
        let sorted = order.into_iter().filter_map(|at| unsorted.get_mut(at)?.take());
        let mut entries = Vec::with_capacity(sorted.size_hint().1.unwrap_or(0));
        entries.extend(sorted);
        let stretches = Stretches::new(entries.iter().map(|entry| entry.mark.hash), 1);
        Self { entries: entries.into(), stretches }
    }

    /// Whether every key is one of this shard's, and none stands twice.
    pub(crate) fn is_sound(&self, shards: u32, shard: u32) -> bool {
        let entries = &self.entries;
        entries.iter().all(|entry| shard_of(entry.mark.hash, shards) == shard)
            && entries.windows(2).all(|pair| matches!(pair, [a, b] if a.key != b.key))
    }

    #[inline(always)]
    fn place(&self, mark: &Mark, key: &str) -> Option<usize> {
        let within = self.stretches.of(mark.hash);
        let start = within.start;
        let stretch = self.entries.get(within)?;
        if stretch.len() > READ_ON {
            return self.place_in_crowd(stretch, mark.hash, key).map(|place| start + place);
        }
        let same = |entry: &Entry<T, F>| entry.mark.same(&entry.key, mark, key);
        stretch.iter().position(same).map(|place| start + place)
    }

    /// Where somebody has made many hashes begin alike.
    #[cold]
    fn place_in_crowd(&self, stretch: &[Entry<T, F>], hash: u64, key: &str) -> Option<usize> {
        stretch.binary_search_by(|entry| (entry.mark.hash, &*entry.key).cmp(&(hash, key))).ok()
    }

    #[inline(always)]
    fn at(&self, place: usize) -> Option<Result<&T, &F>> {
        self.entries.get(place).map(|entry| entry.content.as_ref().map_err(AsRef::as_ref))
    }

    #[inline]
    fn entry(&self, place: usize) -> Option<(&str, Result<&T, &F>)> {
        let entry = self.entries.get(place)?;
        Some((&*entry.key, entry.content.as_ref().map_err(AsRef::as_ref)))
    }

    #[inline(always)]
    fn find(&self, mark: &Mark, key: &str) -> Option<Result<&T, &F>> {
        self.at(self.place(mark, key)?)
    }

    fn iter(&self) -> impl Iterator<Item = (&str, Result<&T, &F>)> {
        self.entries
            .iter()
            .map(|entry| (&*entry.key, entry.content.as_ref().map_err(AsRef::as_ref)))
    }
}
