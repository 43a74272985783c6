//! Manifests made, and manifests attacked: each refusal has the attack that it answers.

mod at_once;
mod keys;
mod listing;
mod load;
mod root;
mod segments;
mod some;
mod trust;
mod wycheproof;

use std::collections::HashMap;

use super::*;
use crate::Revision;
use crate::keys::{EnvKey, OrgKey, TenantKey};
use crate::time::Timestamp;
use crate::wire::{FlagWire, TenantWire};

pub(super) const HOUR: i64 = 3_600;
/// The instant at which everything here is issued.
pub(super) const ISSUED: i64 = 1_800_000_000;

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(ISSUED + seconds)
}

pub(super) fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32]).unwrap()
}

pub(super) fn publics(seeds: &[u8]) -> Vec<PublicKey> {
    seeds.iter().map(|seed| key(*seed).public()).collect()
}

pub(super) fn prints(seeds: &[u8]) -> Vec<Thumbprint> {
    publics(seeds).iter().map(PublicKey::thumbprint).collect()
}

pub(super) const ROOT: u8 = 1;
pub(super) const ONLINE: u8 = 2;
pub(super) const SIGNING: u8 = 3;
pub(super) const STRANGER: u8 = 9;

pub(super) fn trust_claims() -> TrustClaims {
    TrustClaims {
        format: 1,
        number: 1,
        epoch: 1,
        issued: at(-HOUR),
        expires: at(1_000 * HOUR),
        threshold: 1,
        roots: publics(&[ROOT]),
        online: publics(&[ONLINE]),
    }
}

pub(super) fn trust() -> Trust {
    let text = sign_trust(&trust_claims(), &[&key(ROOT)]).unwrap();
    verify_trust(text.as_bytes(), &prints(&[ROOT])).unwrap()
}

pub(super) fn certified(online: u8, signing: u8) -> String {
    let claims =
        KeyClaims { key: key(signing).public(), issued: at(-HOUR), expires: at(23 * HOUR) };
    let message = certificate_message(&claims, &key(online).public().thumbprint()).unwrap();
    certificate(&message, &key(online).sign(message.as_bytes()))
}

pub(super) fn scope(scope: Scope) -> ScopeId {
    ScopeId { org: OrgKey::new("demo").unwrap(), env: EnvKey::new("prod").unwrap(), scope }
}

pub(super) fn root_claims() -> RootClaims {
    RootClaims {
        format: 1,
        org: OrgKey::new("demo").unwrap(),
        env: EnvKey::new("prod").unwrap(),
        scope: Scope::Environment,
        epoch: 1,
        revision: Revision { org: 17, env: 41 },
        serial: 5,
        issued: at(0),
        expires: at(24 * HOUR),
        committed: at(-60),
        flag_shards: 1,
        tenant_shards: 1,
        segment_shards: 1,
        held: Vec::new(),
        withheld: Vec::new(),
        restored: None,
        counts: None,
        chunks: Vec::new(),
        indexes: Vec::new(),
    }
}

pub(super) fn signed(claims: &RootClaims) -> String {
    sign_root(claims, &certified(ONLINE, SIGNING), &key(SIGNING)).unwrap()
}

pub(super) fn verified(claims: &RootClaims) -> Result<Root, Refusal> {
    verify(&signed(claims), None)
}

pub(super) fn verify(text: &str, seen: Option<&Position>) -> Result<Root, Refusal> {
    verify_root(text.as_bytes(), &trust(), &scope(Scope::Environment), seen, at(60))
}

pub(super) fn flag(key: &str) -> FlagWire {
    serde_json::from_value(serde_json::json!({
        "key": key, "version": 7, "class": "release", "type": "boolean",
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
        "state": {"enabled": true, "off": {"variant": "off"}, "fallthrough": {"variant": "on"}}
    }))
    .unwrap()
}

/// Chunks by their digest: what a store is.
#[derive(Default)]
pub(super) struct Store(pub(super) HashMap<Digest, Vec<u8>>);

impl Store {
    /// Stores a chunk and answers its entry in a root.
    pub(super) fn put(&mut self, kind: ChunkKind, shard: u32, bytes: Vec<u8>) -> ChunkRef {
        let sha256 = Digest::of(&bytes);
        let listed = ChunkRef {
            kind,
            shard,
            sha256,
            bytes: bytes.len() as u64,
            encoding: Encoding::Identity,
        };
        self.0.insert(sha256, bytes);
        listed
    }

    /// Every shard of these flags and tenants.
    pub(super) fn publish(
        &mut self,
        shards: u32,
        flags: &[FlagWire],
        tenants: &[(TenantKey, TenantWire)],
    ) -> RootClaims {
        let mut claims = RootClaims { flag_shards: shards, tenant_shards: shards, ..root_claims() };
        for shard in 0..shards {
            let here = flags.iter().filter(|f| flag_shard(f.key.as_str(), shards) == shard);
            let chunk = self.put(ChunkKind::Flags, shard, encode_flags(here));
            claims.chunks.push(chunk);
            let here = tenants.iter().filter(|(k, _)| tenant_shard(k.as_str(), shards) == shard);
            let bytes = encode_tenants(here.map(|(k, t)| (k, t)));
            claims.chunks.push(self.put(ChunkKind::Tenants, shard, bytes));
        }
        self.list(claims)
    }

    /// The same root, with indexes where its chunks are many.
    pub(super) fn list(&mut self, claims: RootClaims) -> RootClaims {
        let Indexed { chunks, indexes } = index(claims.chunks);
        let named = indexes.iter().map(|(named, _)| *named).collect();
        self.0.extend(indexes.into_iter().map(|(named, bytes)| (named.sha256, bytes)));
        RootClaims { chunks, indexes: named, ..claims }
    }

    pub(super) fn listing(&self, claims: &RootClaims) -> Listing {
        let root = verified(claims).unwrap();
        Listing::of(&root, &mut |digest| self.0.get(digest), None).unwrap()
    }

    /// The digests of the chunks that a reader of `previous` has to fetch, indexes apart.
    pub(super) fn missing(
        &self,
        claims: &RootClaims,
        previous: Option<&crate::Snapshot>,
    ) -> Vec<Digest> {
        let (root, listing) = (verified(claims).unwrap(), self.listing(claims));
        missing(&root, &listing, previous).iter().map(|chunk| chunk.sha256).collect()
    }

    pub(super) fn load(
        &self,
        claims: &RootClaims,
        previous: Option<&crate::Snapshot>,
    ) -> Result<crate::Snapshot, Refusal> {
        load(verified(claims)?, &mut |digest| self.0.get(digest).cloned(), previous)
    }
}
