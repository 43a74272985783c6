//! Segments in a manifest: few ids as they are, many as keyed hashes. A list is read and hashed once, and chunks
//! are made once, however often the environment is published.

use std::collections::{BTreeMap, HashMap};

use flagforge_flags::compile::MAX_SEGMENT_KEYS;
use flagforge_flags::hashed_ids;
use flagforge_flags::keys::OrgKey;
use flagforge_flags::manifest::{
    ChunkKind, Digest, MAX_SEGMENT_CHUNK_BYTES, MAX_SHARDS, encode_segments, segment_shard,
    shards_for,
};
use flagforge_flags::wire::{IdsWire, SegmentWire};

use super::render::{Chunk, chunk};
use super::view::{Records, View};
use crate::Platform;
use crate::error::Error;
use crate::record::SegmentRecord;
use crate::segments::ListName;

/// Bytes of a list that travels as it is: what one ordinary chunk has.
const MAX_PLAIN_BYTES: usize = 32 * 1024;

/// The segments of an environment as they were last rendered.
#[derive(Debug, Default)]
pub(super) struct Segments {
    lists: HashMap<ListKey, IdsWire>,
    /// The segments and versions that `chunks` were made of.
    made_of: Vec<(String, u64)>,
    shards: u32,
    chunks: Vec<Chunk>,
}

/// What makes a list's wire form the same: the salt of its hashes, and its content.
type ListKey = (String, Vec<Digest>);

impl Segments {
    /// How many shards there are, the chunks of those that are not empty, and how many segments.
    pub(super) fn chunks(&self) -> (u32, &[Chunk], usize) {
        (self.shards.max(1), &self.chunks, self.made_of.len())
    }
}

impl Platform {
    /// Brings the view's rendered segments up to date with its records.
    pub(super) async fn render_segments(&self, view: &mut View) -> Result<(), Error> {
        let kept = view.kept.segments.iter().filter(|(key, _)| !view.segments.contains_key(*key));
        let kept: Vec<&SegmentWire> = kept.map(|(_, wire)| wire).collect();
        let made_of: Vec<(String, u64)> = view
            .segments
            .iter()
            .map(|(key, stored)| (key.clone(), stored.version))
            .chain(kept.iter().map(|kept| (kept.key.to_string(), kept.version)))
            .collect();
        if view.rendered_segments.made_of == made_of {
            return Ok(());
        }
        let mut before = std::mem::take(&mut view.rendered_segments.lists);
        let mut lists = HashMap::new();
        for stored in view.segments.values() {
            for name in [ListName::Excluded, ListName::Included] {
                let key = list_key(&stored.value, name);
                let wire = match before.remove(&key) {
                    Some(wire) => Some(wire),
                    None => self.list_wire(&view.org, &stored.value, name).await?,
                };
                lists.extend(wire.map(|wire| (key, wire)));
            }
        }
        let mut wires = wires(&view.segments, &lists);
        wires.extend(kept.into_iter().cloned());
        let (shards, chunks) = chunks_of(&wires);
        view.rendered_segments = Segments { lists, made_of, shards, chunks };
        Ok(())
    }

    pub(crate) async fn list_wire(
        &self,
        org: &OrgKey,
        segment: &SegmentRecord,
        name: ListName,
    ) -> Result<Option<IdsWire>, Error> {
        let Some(ids) = self.read_list(org, segment.list(name)).await? else { return Ok(None) };
        let plain: usize = ids.iter().map(|id| id.len() + r#""","#.len()).sum();
        if ids.len() <= MAX_SEGMENT_KEYS && plain <= MAX_PLAIN_BYTES {
            return Ok(Some(IdsWire::Keys(ids)));
        }
        let (salt, _) = list_key(segment, name);
        Ok(Some(hashed_ids(&salt, ids.iter().map(String::as_str))))
    }
}

/// Nobody can tell from two lists' hashes who is in both.
fn list_key(segment: &SegmentRecord, name: ListName) -> ListKey {
    let list = match name {
        ListName::Excluded => "excluded",
        ListName::Included => "included",
    };
    (format!("{}:{list}", segment.salt), segment.list(name).parts.clone())
}

/// The segments as manifests carry them. One whose list is lost is left out: the flags that ask for it say so, and
/// every other goes on.
fn wires(segments: &Records<SegmentRecord>, lists: &HashMap<ListKey, IdsWire>) -> Vec<SegmentWire> {
    let mut wires = Vec::with_capacity(segments.len());
    for (segment, stored) in segments {
        let list = |name| lists.get(&list_key(&stored.value, name)).cloned();
        let both = [list(ListName::Excluded), list(ListName::Included)];
        if both.iter().all(Option::is_some) {
            wires.push(stored.value.wire(stored.version, both));
        } else {
            tracing::error!(segment, "a list of a segment is lost; it is not published");
        }
    }
    wires
}

/// Two long lists may fall into one shard; then there are more shards, until every chunk is one that readers take.
pub(super) fn chunks_of(wires: &[SegmentWire]) -> (u32, Vec<Chunk>) {
    if wires.is_empty() {
        return (1, Vec::new());
    }
    let mut shards = shards_for(encode_segments(wires.iter()).len());
    loop {
        let mut by_shard: BTreeMap<u32, Vec<&SegmentWire>> = BTreeMap::new();
        for wire in wires {
            by_shard.entry(segment_shard(wire.key.as_str(), shards)).or_default().push(wire);
        }
        let chunks: Vec<Chunk> = by_shard
            .into_iter()
            .map(|(shard, wires)| {
                chunk(ChunkKind::Segments, shard, encode_segments(wires.into_iter()))
            })
            .collect();
        let fit = chunks.iter().all(|chunk| chunk.reference.bytes <= MAX_SEGMENT_CHUNK_BYTES);
        if fit || shards >= MAX_SHARDS {
            return (shards, chunks);
        }
        shards *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flagforge_flags::keys::SegmentKey;

    #[test]
    fn long_lists_that_meet_in_a_shard_are_parted() {
        let long = "A".repeat(MAX_SEGMENT_CHUNK_BYTES as usize / 8 * 5);
        let wire = |key: String| SegmentWire {
            key: SegmentKey::new(&key).unwrap(),
            version: 1,
            entity: "user".to_owned(),
            excluded: IdsWire::default(),
            included: IdsWire::Hashed { salt: String::new(), hashes: long.clone() },
            when: None,
        };
        // Two whose hashes agree in the bits that choose among as many shards as their size asks for.
        let first = "s-0".to_owned();
        let shards = shards_for(2 * long.len());
        let meets = |key: &String| segment_shard(key, shards) == segment_shard(&first, shards);
        let second = (1..).map(|n| format!("s-{n}")).find(meets).unwrap();
        let (parted, chunks) = chunks_of(&[wire(first), wire(second)]);
        assert!(parted > shards && chunks.len() == 2);
        assert!(chunks.iter().all(|chunk| chunk.reference.bytes <= MAX_SEGMENT_CHUNK_BYTES));
    }
}
