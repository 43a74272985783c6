//! Segments travel in shards of their own, and only those that changed are fetched.

use serde_json::json;

use super::*;
use crate::manifest::{encode_segments, load, segment_shard};
use crate::wire::SegmentWire;

fn segments(count: usize) -> Vec<SegmentWire> {
    let one = |i| {
        let key = format!("segment-{i}");
        serde_json::from_value(json!({"key": key, "version": 7, "included": {"keys": [key]}}))
            .unwrap()
    };
    (0..count).map(one).collect()
}

fn publish(store: &mut Store, shards: u32, segments: &[SegmentWire]) -> RootClaims {
    let chunks = (0..shards).map(|shard| {
        let here = segments.iter().filter(|s| segment_shard(s.key.as_str(), shards) == shard);
        store.put(ChunkKind::Segments, shard, encode_segments(here))
    });
    let chunks = chunks.collect();
    RootClaims { segment_shards: shards, chunks, ..root_claims() }
}

#[test]
fn only_what_changed_is_fetched() {
    let mut store = Store::default();
    let mut wires = segments(100);
    let claims = publish(&mut store, 8, &wires);
    let before = store.load(&claims, None).unwrap();
    assert_eq!(before.segments().count(), 100);
    wires[42].version += 1;
    let claims = publish(&mut store, 8, &wires);
    let root = verified(&claims).unwrap();
    let wanted = store.missing(&claims, Some(&before));
    assert_eq!(wanted.len(), 1);
    let mut chunk = |digest: &Digest| {
        assert!(wanted.contains(digest));
        store.0.get(digest).cloned()
    };
    let after = load(root, &mut chunk, Some(&before)).unwrap();
    assert_eq!(after.segment("segment-42").unwrap().unwrap().version(), 8);
    assert_eq!(after.segment("segment-7").unwrap().unwrap().version(), 7);
    assert!(after.segment("segment-100").is_none());
}

#[test]
fn a_chunk_of_segments_may_be_larger_than_others() {
    let chunk = |kind, bytes| {
        let chunk = Store::default().put(kind, 0, Vec::new());
        let claims = RootClaims { chunks: vec![ChunkRef { bytes, ..chunk }], ..root_claims() };
        claims.check()
    };
    assert_eq!(chunk(ChunkKind::Segments, MAX_SEGMENT_CHUNK_BYTES), Ok(()));
    assert!(chunk(ChunkKind::Segments, MAX_SEGMENT_CHUNK_BYTES + 1).is_err());
    assert_eq!(chunk(ChunkKind::Flags, MAX_CHUNK_BYTES), Ok(()));
    assert!(chunk(ChunkKind::Flags, MAX_CHUNK_BYTES + 1).is_err());
}
