//! Who writes manifests here: keys of known bytes, claims to change, and signatures over whatever was made of them.

use std::collections::BTreeMap;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use flagforge_flags::Revision;
use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{
    ChunkKind, ChunkRef, Digest, Encoding, Indexed, KeyClaims, Position, PublicKey, Refusal,
    RootClaims, Scope, ScopeId, SecretKey, Thumbprint, Trust, TrustClaims, certificate,
    certificate_message, encode_flags, encode_tenants, flag_shard, index, load, sign_root,
    sign_trust, tenant_shard, verify_root, verify_trust,
};
use flagforge_flags::snapshot::Snapshot;
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagWire, TenantWire};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// Each byte of the secret keys: offline roots, online key, signing key, and somebody whom nobody trusts.
pub(crate) const ROOTS: [u8; 3] = [1, 2, 3];
pub(crate) const ONLINE: u8 = 4;
pub(crate) const SIGNING: u8 = 5;
pub(crate) const STRANGER: u8 = 9;

pub(crate) const HOUR: i64 = 3_600;

/// Seconds after the instant at which everything here is issued.
pub(crate) fn at(seconds: i64) -> Timestamp {
    // 2026-11-20T09:30:00Z.
    Timestamp::from_seconds(1_795_167_000 + seconds)
}

pub(crate) fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes(&[byte; 32]).unwrap()
}

pub(crate) fn public(byte: u8) -> PublicKey {
    key(byte).public()
}

pub(crate) fn print(byte: u8) -> Thumbprint {
    public(byte).thumbprint()
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    Base64UrlUnpadded::encode_string(bytes.as_ref())
}

/// The JSON under a part of a JWS.
pub(crate) fn part(jws: &str, place: usize) -> Json {
    let part = Base64UrlUnpadded::decode_vec(jws.split('.').nth(place).unwrap()).unwrap();
    serde_json::from_slice(&part).unwrap()
}

/// A compact JWS of any header and claims.
pub(crate) fn jws(header: &Json, claims: &Json, signer: u8) -> String {
    let message = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
    let signature = base64(key(signer).sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// A trust document of any claims, each signature with its header.
pub(crate) fn trust_json(claims: &Json, signers: &[(Json, u8)]) -> String {
    let payload = base64(claims.to_string());
    let signatures = signers.iter().map(|(header, signer)| {
        let protected = base64(header.to_string());
        let signature = base64(key(*signer).sign(format!("{protected}.{payload}").as_bytes()));
        json!({"protected": protected, "signature": signature})
    });
    json!({"payload": payload, "signatures": signatures.collect::<Vec<_>>()}).to_string()
}

pub(crate) fn trust_header(signer: u8) -> Json {
    json!({"alg": "ES256", "typ": "flagforge-trust+jwt", "kid": print(signer)})
}

pub(crate) fn certificate_of(signing: u8, online: u8, from: i64, until: i64) -> String {
    let claims = KeyClaims { key: public(signing), issued: at(from), expires: at(until) };
    let message = certificate_message(&claims, &print(online)).unwrap();
    certificate(&message, &key(online).sign(message.as_bytes()))
}

pub(crate) fn flag(key: &str) -> FlagWire {
    serde_json::from_value(json!({
        "key": key, "version": 7, "class": "release", "type": "boolean",
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
        "state": {"enabled": true, "off": {"variant": "off"}, "fallthrough": {"variant": "off"}}
    }))
    .unwrap()
}

pub(crate) fn tenant(key: &str, overrides: &Json) -> (TenantKey, TenantWire) {
    let wire = json!({"uid": format!("uid-{key}"), "overrides": overrides});
    (TenantKey::new(key).unwrap(), serde_json::from_value(wire).unwrap())
}

/// What a reader is given: all that a vector holds but what is expected of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Given {
    pub(crate) pins: Vec<Thumbprint>,
    pub(crate) scope: ScopeId,
    pub(crate) now: Timestamp,
    /// The position that the reader has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seen: Option<Position>,
    /// The trust documents that the reader holds, each vouching for the next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) held: Vec<String>,
    pub(crate) trust: String,
    pub(crate) root: String,
    /// Chunks and indexes by their digests.
    pub(crate) chunks: BTreeMap<Digest, String>,
}

/// The reader's way, step by step as the specification tells it.
pub(crate) fn read(given: &Given) -> Result<Snapshot, Refusal> {
    let root = verify_root(
        given.root.as_bytes(),
        &trusted(given)?,
        &given.scope,
        given.seen.as_ref(),
        given.now,
    )?;
    load(root, &mut |digest| given.chunks.get(digest).map(String::as_bytes), None)
}

fn trusted(given: &Given) -> Result<Trust, Refusal> {
    let mut trust: Option<Trust> = None;
    for text in given.held.iter().chain([&given.trust]) {
        trust = Some(match trust {
            None => verify_trust(text.as_bytes(), &given.pins)?,
            Some(held) if held.text() == text => held,
            Some(held) => held.succeed(text.as_bytes())?,
        });
    }
    Ok(trust.unwrap())
}

/// A publisher of one manifest: everything of it may be changed before it is signed.
#[derive(Clone)]
pub(crate) struct Author {
    pub(crate) trust: TrustClaims,
    pub(crate) claims: RootClaims,
    pub(crate) chunks: BTreeMap<Digest, String>,
}

impl Author {
    pub(crate) fn new(scope: Scope) -> Self {
        let trust = TrustClaims {
            format: 1,
            number: 1,
            epoch: 1,
            issued: at(-HOUR),
            expires: at(365 * 24 * HOUR),
            threshold: 2,
            roots: ROOTS.map(public).to_vec(),
            online: vec![public(ONLINE)],
        };
        let claims = RootClaims {
            format: 1,
            org: OrgKey::new("demo").unwrap(),
            env: EnvKey::new("prod").unwrap(),
            scope,
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
        };
        Self { trust, claims, chunks: BTreeMap::new() }
    }

    /// Stores a chunk and lists it.
    pub(crate) fn chunk(&mut self, kind: ChunkKind, shard: u32, bytes: Vec<u8>) {
        let (sha256, size) = (Digest::of(&bytes), bytes.len() as u64);
        self.chunks.insert(sha256, String::from_utf8(bytes).unwrap());
        let encoding = Encoding::Identity;
        self.claims.chunks.push(ChunkRef { kind, shard, sha256, bytes: size, encoding });
    }

    pub(crate) fn flags(&mut self, shards: u32, flags: &[FlagWire]) {
        self.claims.flag_shards = shards;
        for shard in 0..shards {
            let here = flags.iter().filter(|flag| flag_shard(flag.key.as_str(), shards) == shard);
            self.chunk(ChunkKind::Flags, shard, encode_flags(here));
        }
    }

    pub(crate) fn tenants(&mut self, shards: u32, tenants: &[(TenantKey, TenantWire)]) {
        self.claims.tenant_shards = shards;
        for shard in 0..shards {
            let here =
                tenants.iter().filter(|(key, _)| tenant_shard(key.as_str(), shards) == shard);
            let bytes = encode_tenants(here.map(|(key, wire)| (key, wire)));
            self.chunk(ChunkKind::Tenants, shard, bytes);
        }
    }

    /// Moves the chunks into indexes where they are many.
    pub(crate) fn index(&mut self) {
        let Indexed { chunks, indexes } = index(std::mem::take(&mut self.claims.chunks));
        self.claims.chunks = chunks;
        for (named, bytes) in indexes {
            self.chunks.insert(named.sha256, String::from_utf8(bytes).unwrap());
            self.claims.indexes.push(named);
        }
    }

    /// The trust document, signed by as many roots as it needs.
    pub(crate) fn trust_text(&self) -> String {
        sign_trust(&self.trust, &[&key(ROOTS[0]), &key(ROOTS[1])]).unwrap()
    }

    pub(crate) fn root_text(&self) -> String {
        let certificate = certificate_of(SIGNING, ONLINE, -HOUR, 23 * HOUR);
        sign_root(&self.claims, &certificate, &key(SIGNING)).unwrap()
    }

    /// What a reader of this scope is given a minute later.
    pub(crate) fn given(&self) -> Given {
        Given {
            pins: ROOTS.map(print).to_vec(),
            scope: self.claims.scope_id(),
            now: at(60),
            seen: None,
            held: Vec::new(),
            trust: self.trust_text(),
            root: self.root_text(),
            chunks: self.chunks.clone(),
        }
    }

    /// The same with header and claims of the root edited, and signed by whomever.
    pub(crate) fn forged(&self, signer: u8, edit: impl FnOnce(&mut Json, &mut Json)) -> Given {
        let given = self.given();
        let (mut header, mut claims) = (part(&given.root, 0), part(&given.root, 1));
        edit(&mut header, &mut claims);
        Given { root: jws(&header, &claims, signer), ..given }
    }

    /// The same with the root's claims edited, and signed by its own key.
    pub(crate) fn claiming(&self, edit: impl FnOnce(&mut Json)) -> Given {
        self.forged(SIGNING, |_, claims| edit(claims))
    }
}
