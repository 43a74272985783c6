//! FlagForge's configuration as its bytes come: a signed root, and chunks by their digest.

use std::collections::HashMap;

use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{
    ChunkKind, ChunkRef, Digest, Encoding, KeyClaims, RootClaims, Scope, ScopeId, SecretKey, Trust,
    TrustClaims, certificate, certificate_message, encode_flags, encode_segments, encode_tenants,
    flag_shard, index, load, segment_shard, shards_for, sign_root, sign_trust, tenant_shard,
    tenant_shards_for, verify_root, verify_trust,
};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagWire, SegmentWire, TenantWire};
use flagforge_flags::{Revision, Snapshot, hashed_ids};
use serde_json::{Value as Json, json};

use crate::ours::TENANT;
use crate::world::{Feature, Is, Shape, Test, World};

const LIST: &str = "list";
const BUCKETS: u32 = 100_000;
/// When everything here was issued, in seconds; the reader's clock stands a minute later.
const ISSUED: i64 = 1_800_000_000;
const HOUR: i64 = 3_600;

/// A manifest as a reader finds it.
pub(crate) struct Published {
    root: String,
    trust: Trust,
    chunks: HashMap<Digest, Vec<u8>>,
}

fn condition(test: &Test) -> Json {
    let (operator, values) = match &test.is {
        Is::OneOf(values) => ("one-of", json!(values)),
        Is::VersionAbove(version) => ("semver-greater", json!([version])),
        Is::Above(bound) => ("greater", json!([bound])),
    };
    let attribute = format!("user.{}", test.attribute);
    json!({"test": {"attribute": attribute, "operator": operator, "values": values}})
}

pub(crate) fn flag(feature: &Feature) -> FlagWire {
    let rule = |(number, when): (usize, Json)| json!({"id": format!("rule-{number}"), "when": when, "serve": {"variant": "on"}});
    let half = json!({"split": {"unit": "user.key", "salt": feature.key, "hash": "xxh3", "buckets": BUCKETS, "ranges": [
        {"from": 0, "until": BUCKETS / 2, "variant": "on"},
        {"from": BUCKETS / 2, "until": BUCKETS, "variant": "off"}]}});
    let (on, off) = (json!({"variant": "on"}), json!({"variant": "off"}));
    let (conditions, fallthrough): (Vec<Json>, Json) = match &feature.shape {
        Shape::On | Shape::Off | Shape::Needs(_) => (vec![], on),
        Shape::Rules(tests) => (tests.iter().map(condition).collect(), off),
        Shape::Half => (vec![], half),
        Shape::Listed => (vec![json!({"inSegment": LIST})], off),
    };
    let prerequisites = match &feature.shape {
        Shape::Needs(parent) => json!([{"flag": parent, "is": {"variants": ["on"]}}]),
        _ => json!([]),
    };
    let rules: Vec<Json> = conditions.into_iter().enumerate().map(rule).collect();
    serde_json::from_value(json!({
        "key": feature.key, "version": 1, "class": "release", "type": "boolean",
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
        "state": {
            "enabled": !matches!(feature.shape, Shape::Off), "off": {"variant": "off"},
            "prerequisites": prerequisites, "rules": rules, "fallthrough": fallthrough
        }
    }))
    .unwrap()
}

pub(crate) fn list(keys: &[String]) -> SegmentWire {
    let included = hashed_ids(LIST, keys.iter().map(String::as_str));
    let json = json!({"key": LIST, "version": 1, "included": included});
    serde_json::from_value(json).unwrap()
}

fn unasked_segment(number: usize) -> SegmentWire {
    let json = json!({"key": format!("segment-{number}"), "version": 1,
        "included": {"keys": [format!("u-{number}")]}});
    serde_json::from_value(json).unwrap()
}

fn tenants(others: usize) -> Vec<(TenantKey, TenantWire)> {
    let tenant = |key: String| {
        let wire = json!({"uid": key, "attributes": {"plan": "gold", "region": "eu"}});
        (TenantKey::new(&key).unwrap(), serde_json::from_value(wire).unwrap())
    };
    (0..others)
        .map(|number| tenant(format!("tenant-{number}")))
        .chain([tenant(TENANT.into())])
        .collect()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(ISSUED + seconds)
}

fn scope() -> ScopeId {
    let (org, env) = (OrgKey::new("demo").unwrap(), EnvKey::new("prod").unwrap());
    ScopeId { org, env, scope: Scope::Environment }
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32]).unwrap()
}

impl Published {
    pub(crate) fn of(world: &World) -> Self {
        let flags: Vec<FlagWire> = world.features.iter().map(flag).collect();
        let tenants = tenants(world.tenants);
        let mut segments: Vec<SegmentWire> = (0..world.segments).map(unasked_segment).collect();
        segments.push(list(&world.listed));
        let flag_shards = shards_for(encode_flags(flags.iter()).len());
        let tenant_shards =
            tenant_shards_for(encode_tenants(tenants.iter().map(|(k, t)| (k, t))).len());
        let segment_shards = shards_for(encode_segments(segments.iter()).len());
        let mut chunks = Chunks::default();
        let by_shard =
            grouped(flags.iter(), flag_shards, |flag| flag_shard(flag.key.as_str(), flag_shards));
        chunks.put(ChunkKind::Flags, by_shard, |here| encode_flags(here.iter().copied()));
        let by_shard = grouped(tenants.iter(), tenant_shards, |(key, _)| {
            tenant_shard(key.as_str(), tenant_shards)
        });
        chunks.put(ChunkKind::Tenants, by_shard, |here| {
            encode_tenants(here.iter().map(|(k, t)| (k, t)))
        });
        let by_shard = grouped(segments.iter(), segment_shards, |segment| {
            segment_shard(segment.key.as_str(), segment_shards)
        });
        chunks.put(ChunkKind::Segments, by_shard, |here| encode_segments(here.iter().copied()));
        let listed = index(chunks.listed);
        let indexes = listed.indexes.iter().map(|(named, bytes)| (named.sha256, bytes.clone()));
        chunks.stored.extend(indexes);
        let ScopeId { org, env, scope } = scope();
        let claims = RootClaims {
            format: 1,
            org,
            env,
            scope,
            epoch: 1,
            revision: Revision { org: 17, env: 41 },
            serial: 5,
            issued: at(0),
            expires: at(24 * HOUR),
            committed: at(-60),
            flag_shards,
            tenant_shards,
            segment_shards,
            held: Vec::new(),
            chunks: listed.chunks,
            indexes: listed.indexes.iter().map(|(named, _)| *named).collect(),
        };
        let (trust, root) = signed(&claims);
        Self { root, trust, chunks: chunks.stored }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.root.len() + self.chunks.values().map(Vec::len).sum::<usize>()
    }

    /// What a reader does with it: verify the root, and load every chunk that it names.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let root = verify_root(self.root.as_bytes(), &self.trust, &scope(), None, at(60)).unwrap();
        load(root, &mut |digest| self.chunks.get(digest), None).unwrap()
    }
}

fn grouped<T>(all: impl Iterator<Item = T>, shards: u32, of: impl Fn(&T) -> u32) -> Vec<Vec<T>> {
    let mut groups: Vec<Vec<T>> = (0..shards).map(|_| Vec::new()).collect();
    all.for_each(|one| {
        let shard = of(&one) as usize;
        groups[shard].push(one);
    });
    groups
}

#[derive(Default)]
struct Chunks {
    listed: Vec<ChunkRef>,
    stored: HashMap<Digest, Vec<u8>>,
}

impl Chunks {
    fn put<T>(&mut self, kind: ChunkKind, shards: Vec<Vec<T>>, encode: impl Fn(&[T]) -> Vec<u8>) {
        for (shard, here) in (0..).zip(shards) {
            let bytes = encode(&here);
            let sha256 = Digest::of(&bytes);
            let (size, encoding) = (bytes.len() as u64, Encoding::Identity);
            self.listed.push(ChunkRef { kind, shard, sha256, bytes: size, encoding });
            self.stored.insert(sha256, bytes);
        }
    }
}

/// A trust document and a root under it: an offline root key, an online key that it names, a signing key certified by that.
fn signed(claims: &RootClaims) -> (Trust, String) {
    let (offline, online, signing) = (key(1), key(2), key(3));
    let trust = TrustClaims {
        format: 1,
        number: 1,
        epoch: 1,
        issued: at(-HOUR),
        expires: at(1_000 * HOUR),
        threshold: 1,
        roots: vec![offline.public()],
        online: vec![online.public()],
    };
    let trust = sign_trust(&trust, &[&offline]).unwrap();
    let trust = verify_trust(trust.as_bytes(), &[offline.public().thumbprint()]).unwrap();
    let certified = KeyClaims { key: signing.public(), issued: at(-HOUR), expires: at(23 * HOUR) };
    let message = certificate_message(&certified, &online.public().thumbprint()).unwrap();
    let certified = certificate(&message, &online.sign(message.as_bytes()));
    (trust, sign_root(claims, &certified, &signing).unwrap())
}
