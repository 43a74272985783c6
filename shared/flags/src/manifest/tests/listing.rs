//! Roots of many chunks: what their indexes list is what is loaded, and nothing else is believed.

use serde_json::{Value as Json, json};

use super::*;

fn flags(count: usize) -> Vec<FlagWire> {
    (0..count).map(|n| flag(&format!("flag-{n}"))).collect()
}

fn reference(kind: ChunkKind, shard: u32) -> ChunkRef {
    let sha256 = Digest::of(format!("{kind} {shard}").as_bytes());
    ChunkRef { kind, shard, sha256, bytes: 30_000, encoding: Encoding::Identity }
}

/// A store with one index of this content, and a root that lists it.
fn indexed(content: &Json) -> (Store, RootClaims) {
    let bytes = serde_json::to_vec(content).unwrap();
    let named = Named { sha256: Digest::of(&bytes), bytes: bytes.len() as u64 };
    let store = Store([(named.sha256, bytes)].into());
    let claims = RootClaims { flag_shards: 128, indexes: vec![named], ..root_claims() };
    (store, claims)
}

#[test]
fn few_chunks_are_in_the_root_and_one_more_makes_indexes() {
    let flags = |count: u32| (0..count).map(|shard| reference(ChunkKind::Flags, shard)).collect();
    let few = index(flags(MAX_LISTED as u32));
    assert_eq!((few.chunks.len(), few.indexes.len()), (MAX_LISTED, 0));
    let many = index(flags(MAX_LISTED as u32 + 1));
    assert_eq!((many.chunks.len(), many.indexes.len()), (0, 2));
    let mut most: Vec<ChunkRef> = Vec::new();
    for kind in [ChunkKind::Flags, ChunkKind::Tenants, ChunkKind::Segments] {
        most.extend((0..MAX_SHARDS).map(|shard| reference(kind, shard)));
    }
    most.push(reference(ChunkKind::Keys, 0));
    let most = index(most);
    assert_eq!((most.chunks.len(), most.indexes.len()), (1, MAX_INDEXES));
    assert!(most.indexes.iter().all(|(named, _)| named.bytes < MAX_INDEX_BYTES / 2));
}

#[test]
fn one_change_is_one_chunk_one_index_and_the_root() {
    let mut store = Store::default();
    let mut wires = flags(1_000);
    let claims = store.publish(256, &wires, &[]);
    let before = store.load(&claims, None).unwrap();
    wires[42].version += 1;
    let after = store.publish(256, &wires, &[]);
    let lacking: Vec<Named> =
        Listing::lacking(&verified(&after).unwrap(), Some(before.listing())).copied().collect();
    let changed: Vec<_> =
        after.indexes.iter().filter(|index| !claims.indexes.contains(index)).copied().collect();
    assert_eq!(lacking, changed);
    assert_eq!((lacking.len(), store.missing(&after, Some(&before)).len()), (1, 1));
    let mut asked = Vec::new();
    let mut chunk = |digest: &Digest| {
        asked.push(*digest);
        store.0.get(digest)
    };
    let loaded = load(verified(&after).unwrap(), &mut chunk, Some(&before)).unwrap();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(loaded.flag("flag-42").unwrap().unwrap().version(), 8);
    assert_eq!(loaded.flags().count(), 1_000);
    let every = loaded.listing().named();
    assert!(every.count() == after.indexes.len() + 512, "256 shards of each kind");
}

#[test]
fn an_index_of_other_bytes_or_form_refuses_the_whole() {
    let good = json!({"chunks": [reference(ChunkKind::Flags, 0)], "later": "a newer writer's"});
    let (mut store, claims) = indexed(&good);
    assert_eq!(store.listing(&claims).chunks().count(), 1);
    let refusal = |store: &Store, claims: &RootClaims| {
        Listing::of(&verified(claims).unwrap(), &mut |digest| store.0.get(digest), None)
            .unwrap_err()
    };
    let named = claims.indexes[0];
    store.0.get_mut(&named.sha256).unwrap()[3] ^= 1;
    assert_eq!(refusal(&store, &claims), Refusal::ChunkDigest(named.sha256));
    store.0.get_mut(&named.sha256).unwrap().push(b' ');
    assert!(matches!(refusal(&store, &claims), Refusal::ChunkSize { .. }));
    store.0.clear();
    assert_eq!(refusal(&store, &claims), Refusal::ChunkMissing(named.sha256));
    let nested = json!({"chunks": [], "indexes": [named]});
    let (store, claims) = indexed(&nested);
    assert_eq!(store.listing(&claims).chunks().count(), 0, "an index lists chunks, not indexes");
    for bad in [json!([]), json!({}), json!({"chunks": [{}]}), json!({"chunks": {"a": 1}})] {
        let (store, claims) = indexed(&bad);
        assert!(matches!(refusal(&store, &claims), Refusal::Malformed { .. }), "{bad}");
    }
}

#[test]
fn what_indexes_list_is_held_to_the_limits_of_all() {
    let refused = |content: Json, change: &dyn Fn(&mut RootClaims)| {
        let (store, mut claims) = indexed(&content);
        change(&mut claims);
        let root = verified(&claims).unwrap();
        Listing::of(&root, &mut |digest| store.0.get(digest), None).unwrap_err()
    };
    let one = |kind, shard| json!({"chunks": [reference(kind, shard)]});
    let none = |_: &mut RootClaims| {};
    let twice = refused(one(ChunkKind::Flags, 7), &|claims| {
        claims.chunks.push(reference(ChunkKind::Flags, 7));
    });
    assert!(matches!(twice, Refusal::Malformed { .. }), "{twice}");
    for content in [one(ChunkKind::Flags, 128), one(ChunkKind::Keys, 0)] {
        let outside = refused(content, &none);
        assert!(matches!(outside, Refusal::Malformed { .. }), "{outside}");
    }
    let large = |bytes| {
        let chunk = |shard| ChunkRef { bytes, ..reference(ChunkKind::Flags, shard) };
        json!({"chunks": (0..128).map(chunk).collect::<Vec<_>>()})
    };
    let over = refused(large(MAX_TOTAL_BYTES / 128 + 1), &none);
    assert!(matches!(over, Refusal::TooLarge { what: "sum of all chunks", .. }), "{over}");
    let over = refused(large(MAX_CHUNK_BYTES + 1), &none);
    assert!(matches!(over, Refusal::TooLarge { what: "chunk", .. }), "{over}");
    let (store, claims) = indexed(&large(MAX_TOTAL_BYTES / 128));
    assert_eq!(store.listing(&claims).chunks().count(), 128);
}

#[test]
fn a_root_lists_no_more_chunks_than_all_may_be() {
    let mut all: Vec<ChunkRef> =
        (0..MAX_SHARDS).map(|shard| reference(ChunkKind::Flags, shard)).collect();
    all.extend((0..MAX_SHARDS).map(|shard| reference(ChunkKind::Tenants, shard)));
    assert_eq!(all.len(), MAX_CHUNKS);
    let claims = |chunks| RootClaims {
        flag_shards: MAX_SHARDS,
        tenant_shards: MAX_SHARDS,
        chunks,
        ..root_claims()
    };
    let mut store = Store::default();
    let full = store.list(claims(all.clone()));
    assert_eq!(store.listing(&full).chunks().count(), MAX_CHUNKS);
    all.push(ChunkRef { bytes: 0, ..reference(ChunkKind::Segments, 0) });
    let over = store.list(claims(all));
    let root = verified(&over).unwrap();
    let refusal = Listing::of(&root, &mut |digest| store.0.get(digest), None).unwrap_err();
    assert!(matches!(refusal, Refusal::TooLarge { what: "number of chunks", .. }), "{refusal}");
}

#[test]
fn a_kind_of_a_newer_writer_is_passed_over() {
    let mut store = Store::default();
    let mut claims = store.publish(1, &flags(3), &[]);
    let later = ChunkRef { kind: ChunkKind::Unknown, ..reference(ChunkKind::Flags, 9) };
    claims.chunks.extend([later.clone(), later]);
    let mut json = serde_json::to_value(&claims).unwrap();
    json["chunks"][2]["kind"] = json!("experiments");
    let read: RootClaims = serde_json::from_value(json).unwrap();
    assert_eq!(read, claims);
    assert_eq!(store.missing(&claims, None).len(), 2);
    assert_eq!(store.load(&claims, None).unwrap().flags().count(), 3);
}
