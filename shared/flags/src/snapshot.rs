//! An immutable configuration of one scope at one revision. Shards are shared between snapshots, so that
//! a new revision costs what changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::compile::compile;
use crate::fault::{EntryFault, FlagFault};
use crate::flag::Flag;
use crate::keys::{FlagKey, SegmentKey, TenantKey};
use crate::manifest::{Digest, KeyWire, RootClaims, ScopeId, key_hash, shard_of};
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
    pub(crate) stale_from: Timestamp,
    pub(crate) flags: Box<[Arc<Shard<Flag, FlagFault>>]>,
    pub(crate) tenants: Box<[Arc<Shard<Tenant, EntryFault>>]>,
    pub(crate) segments: Box<[Arc<Shard<Segment, FlagFault>>]>,
    pub(crate) keys: Arc<Shard<KeyWire, EntryFault>>,
}

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
        self.flag_shared(key).map(|found| found.map_err(Arc::as_ref))
    }

    /// As [`Snapshot::flag`], with a fault that can be kept without copying it.
    pub(crate) fn flag_shared(&self, key: &str) -> Option<Result<&Flag, &Arc<FlagFault>>> {
        find(&self.flags, key)
    }

    /// Every tenant of the directory by its key, malformed ones as their fault.
    pub fn tenants(&self) -> impl Iterator<Item = (&str, Result<&Tenant, &EntryFault>)> {
        self.tenants.iter().flat_map(|shard| shard.iter())
    }

    /// One tenant; `None` when the directory does not know it.
    pub fn tenant(&self, key: &str) -> Option<Result<&Tenant, &EntryFault>> {
        self.tenant_shared(key).map(|found| found.map_err(Arc::as_ref))
    }

    pub(crate) fn tenant_shared(&self, key: &str) -> Option<Result<&Tenant, &Arc<EntryFault>>> {
        find(&self.tenants, key)
    }

    /// Every segment by its key, malformed ones as their fault.
    pub fn segments(&self) -> impl Iterator<Item = (&str, Result<&Segment, &FlagFault>)> {
        self.segments.iter().flat_map(|shard| shard.iter())
    }

    /// One segment; `None` when there is none under this key.
    pub fn segment(&self, key: &str) -> Option<Result<&Segment, &FlagFault>> {
        self.segment_shared(key).map(|found| found.map_err(Arc::as_ref))
    }

    pub(crate) fn segment_shared(&self, key: &str) -> Option<Result<&Segment, &Arc<FlagFault>>> {
        find(&self.segments, key)
    }

    /// The keys that may ask, by their id; empty outside the relay scope.
    pub fn keys(&self) -> impl Iterator<Item = (&str, Result<&KeyWire, &EntryFault>)> {
        self.keys.iter()
    }

    /// One key that may ask, by its id.
    pub fn key(&self, id: &str) -> Option<Result<&KeyWire, &EntryFault>> {
        self.keys.find(key_hash(id), id).map(|found| found.map_err(Arc::as_ref))
    }

    /// Whether a chunk is loaded, so that nobody need fetch it again.
    pub fn holds(&self, digest: &Digest) -> bool {
        self.root.chunks.iter().any(|chunk| chunk.sha256 == *digest)
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
            chunks: Vec::new(),
        };
        Self {
            scope,
            root,
            stale_from: Timestamp::from_millis(i64::MAX),
            flags: [Arc::new(flags)].into(),
            tenants: [Arc::new(Shard::new(tenants))].into(),
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

fn find<'s, T, F>(shards: &'s [Arc<Shard<T, F>>], key: &str) -> Option<Result<&'s T, &'s Arc<F>>> {
    let hash = key_hash(key);
    let count = u32::try_from(shards.len()).unwrap_or(u32::MAX);
    shards.get(shard_of(hash, count) as usize)?.find(hash, key)
}

/// The compiled entries of one chunk, sorted by the hash of their key and then by the key, for binary
/// search that allocates nothing and that nobody's choice of keys makes slow.
#[derive(Debug)]
pub(crate) struct Shard<T, F> {
    entries: Box<[Entry<T, F>]>,
}

#[derive(Debug)]
struct Entry<T, F> {
    hash: u64,
    key: Box<str>,
    content: Result<T, Arc<F>>,
}

impl<T, F> Default for Shard<T, F> {
    fn default() -> Self {
        Self { entries: Box::default() }
    }
}

impl<T, F> Shard<T, F> {
    pub(crate) fn new<K: Into<Box<str>>>(entries: impl Iterator<Item = (K, Result<T, F>)>) -> Self {
        let entry = |(key, content): (K, Result<T, F>)| {
            let key = key.into();
            Entry { hash: key_hash(&key), key, content: content.map_err(Arc::new) }
        };
        let mut entries: Vec<Entry<T, F>> = entries.map(entry).collect();
        entries.sort_by(|a, b| (a.hash, &a.key).cmp(&(b.hash, &b.key)));
        Self { entries: entries.into() }
    }

    fn find(&self, hash: u64, key: &str) -> Option<Result<&T, &Arc<F>>> {
        let order = |entry: &Entry<T, F>| (entry.hash, &*entry.key).cmp(&(hash, key));
        let place = self.entries.binary_search_by(order).ok()?;
        self.entries.get(place).map(|entry| entry.content.as_ref())
    }

    fn iter(&self) -> impl Iterator<Item = (&str, Result<&T, &F>)> {
        self.entries.iter().map(|entry| (&*entry.key, entry.content.as_ref().map_err(Arc::as_ref)))
    }
}
