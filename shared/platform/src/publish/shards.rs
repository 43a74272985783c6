//! Chunks of one kind, made of entries that are encoded once each: a change costs its own shard, and what all of them
//! weigh is known without encoding them again.

use std::collections::BTreeMap;

use flagforge_flags::manifest::{ChunkKind, encode_entries, encode_entry, entries_bytes};
use serde::Serialize;
use serde_json::value::RawValue;

use super::render::{Chunk, chunk};

/// The shard of a key, below a number of shards.
type ShardOf = fn(&str, u32) -> u32;
/// How many shards so many bytes should have.
type CountFor = fn(usize) -> u32;

#[derive(Debug)]
pub(super) struct Shards {
    kind: ChunkKind,
    shard_of: ShardOf,
    count_for: CountFor,
    /// As many as their content asked for when they were last cut; one at first.
    cut: Vec<Shard>,
    entries: usize,
    /// Bytes of all keys and bodies.
    bytes: usize,
}

#[derive(Debug, Default)]
struct Shard {
    entries: BTreeMap<String, Box<RawValue>>,
    /// `None` when it is to be encoded again.
    chunk: Option<Chunk>,
}

impl Shards {
    pub(super) fn new(kind: ChunkKind, shard_of: ShardOf, count_for: CountFor) -> Self {
        Self { kind, shard_of, count_for, cut: vec![Shard::default()], entries: 0, bytes: 0 }
    }

    /// Sets what stands under a key, or that nothing does. What stands there already costs nothing.
    pub(super) fn set<W: Serialize>(&mut self, key: &str, wire: Option<&W>) {
        let body = wire.map(encode_entry);
        let Some(shard) = home(&mut self.cut, self.shard_of, key) else { return };
        let stands = shard.entries.get(key);
        if stands.map(|body| body.get()) == body.as_ref().map(|body| body.get()) {
            return;
        }
        if let Some(stands) = shard.entries.remove(key) {
            self.entries -= 1;
            self.bytes -= key.len() + stands.get().len();
        }
        if let Some(body) = body {
            self.entries += 1;
            self.bytes += key.len() + body.get().len();
            shard.entries.insert(key.to_owned(), body);
        }
        shard.chunk = None;
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.cut.iter().flat_map(|shard| shard.entries.keys()).map(String::as_str)
    }

    pub(super) const fn len(&self) -> usize {
        self.entries
    }

    /// What stands under a key.
    pub(super) fn entry(&self, key: &str) -> Option<&RawValue> {
        self.cut.get(self.shard_of(key) as usize)?.entries.get(key).map(|body| &**body)
    }

    /// What stands in a shard, by its keys.
    pub(super) fn entries_of(&self, shard: u32) -> impl Iterator<Item = (&str, &RawValue)> {
        let shard = self.cut.get(shard as usize);
        let entries = shard.into_iter().flat_map(|shard| &shard.entries);
        entries.map(|(key, body)| (key.as_str(), &**body))
    }

    /// The shard that a key is in.
    pub(super) fn shard_of(&self, key: &str) -> u32 {
        (self.shard_of)(key, count(&self.cut))
    }

    /// How many shards there are, and the chunks of those that are not empty.
    pub(super) fn chunks(&mut self) -> (u32, Vec<Chunk>) {
        let shards = (self.count_for)(entries_bytes(self.kind, self.entries, self.bytes));
        while self.cut.len() < shards as usize {
            self.split();
        }
        while self.cut.len() > shards as usize {
            self.merge();
        }
        let mut chunks = Vec::with_capacity(self.cut.len());
        for (number, shard) in (0..).zip(&mut self.cut) {
            if shard.entries.is_empty() {
                shard.chunk = None;
                continue;
            }
            let made = shard.chunk.get_or_insert_with(|| {
                let entries = shard.entries.iter().map(|(key, body)| (key.as_str(), &**body));
                chunk(self.kind, number, encode_entries(self.kind, entries))
            });
            chunks.push(made.clone());
        }
        (shards, chunks)
    }

    /// One shard more, whose entries come from one other.
    fn split(&mut self) {
        let new = count(&self.cut);
        if let Some(from) = self.cut.get_mut(parent(new)) {
            let entries = std::mem::take(&mut from.entries);
            let goes = |key: &str| (self.shard_of)(key, new + 1) == new;
            let (gone, left) = entries.into_iter().partition(|(key, _)| goes(key));
            *from = Shard { entries: left, chunk: None };
            self.cut.push(Shard { entries: gone, chunk: None });
        }
    }

    /// One shard less, whose entries go back to where they came from.
    fn merge(&mut self) {
        let Some(last) = self.cut.pop() else { return };
        let into = parent(count(&self.cut));
        if let Some(into) = self.cut.get_mut(into) {
            into.entries.extend(last.entries);
            into.chunk = None;
        }
    }
}

/// The shard that a new one is split from: its number without the highest bit.
fn parent(new: u32) -> usize {
    let highest = new.checked_ilog2().map_or(0, |bit| 1 << bit);
    (new ^ highest) as usize
}

fn home<'s>(cut: &'s mut [Shard], shard_of: ShardOf, key: &str) -> Option<&'s mut Shard> {
    let shards = count(cut);
    // The shard of a key is below their number.
    cut.get_mut(shard_of(key, shards) as usize)
}

fn count(cut: &[Shard]) -> u32 {
    // There are 4,096 at most.
    u32::try_from(cut.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flagforge_flags::manifest::{
        Digest, flag_shard, shards_for, tenant_shard, tenant_shards_for,
    };
    use serde_json::{Value as Json, json};

    /// What one pass over all entries makes.
    fn whole(shards_for: CountFor, entries: &BTreeMap<String, Json>) -> (u32, Vec<(u32, Digest)>) {
        let all: BTreeMap<&str, Box<RawValue>> =
            entries.iter().map(|(key, body)| (key.as_str(), encode_entry(body))).collect();
        let encode = |wanted: &dyn Fn(&str) -> bool| {
            let some = all.iter().filter(|(key, _)| wanted(key));
            encode_entries(ChunkKind::Tenants, some.map(|(key, body)| (*key, &**body)))
        };
        let shards = shards_for(encode(&|_| true).len());
        let of = |shard: u32| {
            let wanted = |key: &str| tenant_shard(key, shards) == shard;
            all.keys().any(|key| wanted(key)).then(|| (shard, Digest::of(&encode(&wanted))))
        };
        (shards, (0..shards).filter_map(of).collect())
    }

    #[test]
    fn what_is_changed_bit_by_bit_is_what_is_made_at_once() {
        follow(tenant_shard, tenant_shards_for);
        follow(flag_shard, shards_for);
    }

    fn follow(shard_of: ShardOf, count_for: CountFor) {
        let mut shards = Shards::new(ChunkKind::Tenants, shard_of, count_for);
        let mut model = BTreeMap::new();
        let (mut seed, mut most) = (20_261_121_u64, 1);
        let mut dice = |sides: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % sides
        };
        for round in 0..400 {
            // It grows over several cuts, and shrinks again.
            let grows = if round < 250 { 9 } else { 2 };
            for _ in 0..dice(20) {
                let key = format!("tenant-{}", dice(300));
                if dice(10) < grows {
                    let body = json!({ "name": "x".repeat(dice(2_000) as usize) });
                    shards.set(&key, Some(&body));
                    model.insert(key, body);
                } else {
                    shards.set::<Json>(&key, None);
                    model.remove(&key);
                }
            }
            let (count, chunks) = shards.chunks();
            let made: Vec<(u32, Digest)> = chunks
                .iter()
                .map(|chunk| (chunk.reference.shard, chunk.reference.sha256))
                .collect();
            assert_eq!((count, made), whole(count_for, &model), "after round {round}");
            assert!(shards.keys().count() == model.len());
            most = most.max(count);
        }
        assert!(most >= 8, "only {most} shards: nothing was cut");
    }
}
