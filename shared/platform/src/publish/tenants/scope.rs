//! The chunks of one tenant's manifest, and what they were made of.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use flagforge_flags::compile;
use flagforge_flags::keys::{SegmentKey, TenantKey};
use flagforge_flags::manifest::{
    ChunkKind, ChunkRef, Digest, Indexed, encode_flags, encode_tenants, index,
};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{SegmentWire, TenantWire};
use flagforge_flags::{Folded, Folding};
use serde_json::value::RawValue;

use super::super::render::{Chunk, chunk};
use super::super::segments::chunks_of;
use super::Shared;
use crate::error::Error;

/// One tenant's manifest as it was made last.
#[derive(Debug, Default)]
pub(super) struct TenantScope {
    /// The tenant's entry in the directory.
    entry: String,
    tenant: Option<ChunkRef>,
    pub(super) flag_shards: u32,
    shards: BTreeMap<u32, FlagShard>,
    segments: FoldedSegments,
    /// What was made since a root last took it.
    fresh: HashMap<Digest, Bytes>,
    /// The digest of what the root lists that stands, and when it was signed.
    pub(super) standing: Option<(Digest, Timestamp)>,
}

/// A shard of flags.
#[derive(Debug)]
struct FlagShard {
    /// The environment's chunk.
    of: Digest,
    chunk: ChunkRef,
    /// The segments that its flags ask for.
    asks: BTreeSet<SegmentKey>,
}

#[derive(Debug, Default)]
struct FoldedSegments {
    /// The versions of the environment's segments, and those of them that the flags ask for.
    of: (Vec<(String, u64)>, BTreeSet<SegmentKey>),
    shards: u32,
    chunks: Vec<ChunkRef>,
}

impl TenantScope {
    /// The shards of flags that have to be made again.
    pub(super) fn outdated<'s>(
        &'s self,
        entry: Option<&RawValue>,
        flag_shards: u32,
        shards: &'s [(u32, Digest)],
    ) -> impl Iterator<Item = u32> + use<'s> {
        let same =
            entry.is_some_and(|entry| entry.get() == self.entry) && self.flag_shards == flag_shards;
        let outdated = move |(shard, of): &&(u32, Digest)| {
            !same || self.shards.get(shard).is_none_or(|made| made.of != *of)
        };
        shards.iter().filter(outdated).map(|(shard, _)| *shard)
    }

    /// Makes again what changed.
    pub(super) fn make(
        &mut self,
        shared: &Shared<'_>,
        tenant: &TenantKey,
        entry: &RawValue,
    ) -> Result<(), Error> {
        let outdated: Vec<u32> =
            self.outdated(Some(entry), shared.flag_shards, &shared.shards).collect();
        let moved = self.entry != entry.get();
        self.shards.retain(|shard, _| shared.shards.iter().any(|(there, _)| there == shard));
        if outdated.is_empty() && !moved && self.segments.of.0 == shared.lists.made_of {
            return Ok(());
        }
        let wire: TenantWire = serde_json::from_str(entry.get())
            .map_err(|error| Error::internal("a rendered tenant could not be read", error))?;
        if moved {
            // All of it is made again before it is believed, should this end half-way.
            self.shards.clear();
            self.segments = FoldedSegments::default();
            let bytes = encode_tenants([(tenant, &wire)].into_iter());
            self.tenant = Some(self.keep(chunk(ChunkKind::Tenants, 0, bytes)));
            self.entry = entry.get().to_owned();
        }
        self.flag_shards = shared.flag_shards;
        let (org, env) = (shared.org.clone(), shared.env.clone());
        let folding = Folding::new(org, env, tenant.clone(), wire);
        for shard in outdated {
            self.make_shard(shared, &folding, shard);
        }
        self.make_segments(shared, &folding);
        Ok(())
    }

    fn make_shard(&mut self, shared: &Shared<'_>, folding: &Folding, shard: u32) {
        let of = shared.shards.iter().find(|(there, _)| *there == shard).map(|(_, of)| *of);
        let (Some(of), Some(flags)) = (of, shared.flags.get(&shard)) else { return };
        let (mut wires, mut asks) = (Vec::with_capacity(flags.len()), BTreeSet::new());
        for flag in flags {
            let mut folded = folding.flag(flag);
            if let Err(fault) = compile(&folded.wire) {
                let (org, env, flag, tenant) =
                    (shared.org, shared.env, &flag.key, folding.tenant().0);
                tracing::error!(%org, %env, %tenant, %flag, %fault, alarm = "held", "a flag is not in a tenant's manifest");
                continue;
            }
            asks.append(&mut folded.asks);
            wires.push(folded.wire);
        }
        let chunk = self.keep(chunk(ChunkKind::Flags, shard, encode_flags(wires.iter())));
        self.shards.insert(shard, FlagShard { of, chunk, asks });
    }

    /// The segments that the flags ask for, by way of others too.
    fn make_segments(&mut self, shared: &Shared<'_>, folding: &Folding) {
        let mut asked: BTreeSet<SegmentKey> =
            self.shards.values().flat_map(|made| made.asks.iter().cloned()).collect();
        let of = (shared.lists.made_of.clone(), asked.clone());
        if self.segments.of == of {
            return;
        }
        let mut to_do: Vec<SegmentKey> = asked.iter().cloned().collect();
        let mut wires: Vec<SegmentWire> = Vec::new();
        while let Some(segment) = to_do.pop() {
            let Some(stored) = shared.view.segments.get(segment.as_str()) else { continue };
            // One whose list is lost is left out, as from the environment's manifest.
            let Some(lists) = shared.lists.of(&stored.value, folding.tenant().0) else { continue };
            let whole = stored.value.wire(stored.version, [None, None]);
            let Folded { wire, asks } = folding.segment(&whole, lists);
            to_do.extend(asks.into_iter().filter(|other| asked.insert(other.clone())));
            wires.push(wire);
        }
        wires.sort_by(|a, b| a.key.cmp(&b.key));
        let (shards, chunks) = chunks_of(&wires);
        let chunks = chunks.into_iter().map(|chunk| self.keep(chunk)).collect();
        self.segments = FoldedSegments { of, shards, chunks };
    }

    fn keep(&mut self, chunk: Chunk) -> ChunkRef {
        self.fresh.insert(chunk.reference.sha256, chunk.bytes);
        chunk.reference
    }

    /// What the root lists.
    pub(super) fn indexed(&self) -> Indexed {
        let flags = self.shards.values().map(|made| made.chunk.clone());
        index(flags.chain(self.tenant.clone()).chain(self.segments.chunks.clone()).collect())
    }

    pub(super) const fn segment_shards(&self) -> u32 {
        if self.segments.shards == 0 { 1 } else { self.segments.shards }
    }

    /// The bytes that a store may lack, indexes included.
    pub(super) fn parts(&self, indexed: &Indexed) -> HashMap<Digest, Bytes> {
        let indexes = indexed.indexes.iter();
        let indexes = indexes.map(|(named, bytes)| (named.sha256, Bytes::from(bytes.clone())));
        self.fresh.iter().map(|(digest, bytes)| (*digest, bytes.clone())).chain(indexes).collect()
    }

    /// A root that lists this stands.
    pub(super) fn stands(&mut self, listed: Digest, issued: Timestamp) {
        self.fresh.clear();
        self.standing = Some((listed, issued));
    }
}
