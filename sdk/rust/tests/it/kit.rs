//! A publisher of manifests in miniature: it signs with keys of its own and writes a folder of objects,
//! with the heart's own signing functions.

#![allow(dead_code, reason = "each of the test binaries that share this file uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use flagforge_flags::manifest::{
    ChunkKind, ChunkRef, Digest, Encoding, HeldFlag, Indexed, KeyClaims, KeyWire, RootClaims,
    Scope, ScopeId, SecretKey, Thumbprint, TrustClaims, certificate, certificate_message,
    encode_flags, encode_keys, encode_segments, encode_tenants, flag_shard, index, sign_root,
    sign_trust, tenant_shard,
};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagWire, SegmentWire, TenantWire};
use flagforge_flags::{AccessKey, KeyKind, Revision};
use serde_json::{Value as Json, json};

pub(crate) const SECRET: &str = "abcdefghijklmnopqrstuv";
const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(0).plus(since)
}

pub(crate) fn ago(duration: Duration) -> Timestamp {
    Timestamp::from_millis(now().as_millis() - i64::try_from(duration.as_millis()).unwrap())
}

pub(crate) fn secret_key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32]).unwrap()
}

pub(crate) fn tenant(key: &str) -> TenantKey {
    TenantKey::new(key).unwrap()
}

/// Keys, a folder, and what was published last.
pub(crate) struct Publisher {
    pub(crate) folder: PathBuf,
    pub(crate) org: OrgKey,
    pub(crate) env: EnvKey,
    pub(crate) roots: Vec<SecretKey>,
    pub(crate) online: SecretKey,
    pub(crate) signing: SecretKey,
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) serial: u64,
    pub(crate) revision: Revision,
    pub(crate) issued: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) shards: u32,
    pub(crate) held: Vec<HeldFlag>,
    pub(crate) segments: Vec<SegmentWire>,
    pub(crate) keys: Vec<(String, KeyWire)>,
}

impl Publisher {
    /// A publisher for `demo/prod`, whose folder has a trust document and nothing else.
    pub(crate) fn new(folder: &Path) -> Self {
        Self::of(folder, "demo", "prod")
    }

    pub(crate) fn of(folder: &Path, org: &str, env: &str) -> Self {
        let mut publisher = Self {
            folder: folder.to_owned(),
            org: OrgKey::new(org).unwrap(),
            env: EnvKey::new(env).unwrap(),
            roots: vec![secret_key(1)],
            online: secret_key(2),
            signing: secret_key(3),
            number: 0,
            epoch: 1,
            serial: 0,
            revision: Revision { org: 1, env: 0 },
            issued: now(),
            expires: now().plus(24 * HOUR),
            shards: 2,
            held: Vec::new(),
            segments: Vec::new(),
            keys: Vec::new(),
        };
        publisher.publish_trust(&[]);
        publisher
    }

    pub(crate) fn scope(&self, scope: Scope) -> ScopeId {
        ScopeId { org: self.org.clone(), env: self.env.clone(), scope }
    }

    pub(crate) fn environment(&self) -> ScopeId {
        self.scope(Scope::Environment)
    }

    pub(crate) fn pinned(&self) -> Vec<Thumbprint> {
        self.roots.iter().map(|root| root.public().thumbprint()).collect()
    }

    /// A connection string for the folder.
    pub(crate) fn connection(&self) -> String {
        let roots: Vec<String> = self.pinned().iter().map(ToString::to_string).collect();
        let (folder, org, env) = (self.folder.display(), &self.org, &self.env);
        format!("flagforge+file://{folder}?org={org}&env={env}&roots={}", roots.join(","))
    }

    /// Signs the next trust document with the roots of now and those of before.
    pub(crate) fn publish_trust(&mut self, before: &[SecretKey]) {
        self.number += 1;
        let claims = TrustClaims {
            format: 1,
            number: self.number,
            epoch: self.epoch,
            issued: self.issued,
            expires: self.expires,
            threshold: u16::try_from(self.roots.len()).unwrap(),
            roots: self.roots.iter().map(SecretKey::public).collect(),
            online: vec![self.online.public()],
        };
        let signers: Vec<&SecretKey> = self.roots.iter().chain(before).collect();
        let text = sign_trust(&claims, &signers).unwrap();
        self.write("trust.json", text.as_bytes());
        self.write(&format!("trust/{}.json", self.number), text.as_bytes());
    }

    /// Lets a key ask, and answers its text.
    pub(crate) fn key(
        &mut self,
        kind: KeyKind,
        id: &str,
        edit: impl FnOnce(&mut KeyWire),
    ) -> String {
        let key = AccessKey::new(kind, self.org.clone(), None, id, SECRET).unwrap();
        let (tenant, envs, expires) = (None, None, None);
        let secret_sha256 = key.secret_digest();
        let mut wire = KeyWire { secret_sha256, kind, tenant, envs, expires, previous: None };
        edit(&mut wire);
        self.keys.push((key.id().to_owned(), wire));
        key.expose()
    }

    /// Publishes both scopes at the next revision.
    pub(crate) fn publish(&mut self, flags: &[FlagWire], tenants: &[(TenantKey, TenantWire)]) {
        self.revision.env += 1;
        self.serial += 1;
        self.republish(flags, tenants);
    }

    /// Publishes both scopes at the same revision and serial.
    pub(crate) fn republish(&mut self, flags: &[FlagWire], tenants: &[(TenantKey, TenantWire)]) {
        let mut chunks = self.chunks(flags, tenants);
        let keys = self.keys.iter().map(|(id, wire)| (id.as_str(), wire));
        let keys = encode_keys(keys);
        let keys = self.chunk(ChunkKind::Keys, 0, &keys);
        self.root(Scope::Environment, chunks.clone());
        chunks.push(keys);
        self.root(Scope::Relay, chunks);
    }

    /// Publishes the canaries' manifest beside what stands.
    pub(crate) fn publish_canary(&self, flags: &[FlagWire], tenants: &[(TenantKey, TenantWire)]) {
        self.root(Scope::Canary, self.chunks(flags, tenants));
    }

    /// Publishes the manifest of one tenant, whose numbers are its own, beside what stands.
    pub(crate) fn publish_tenant(
        &mut self,
        number: u64,
        flags: &[FlagWire],
        tenant: &(TenantKey, TenantWire),
    ) {
        let kept = (self.serial, self.revision);
        (self.serial, self.revision) = (number, Revision { org: 1, env: number });
        let chunks = self.chunks(flags, std::slice::from_ref(tenant));
        self.root(Scope::Tenant(tenant.0.clone()), chunks);
        (self.serial, self.revision) = kept;
    }

    fn chunks(&self, flags: &[FlagWire], tenants: &[(TenantKey, TenantWire)]) -> Vec<ChunkRef> {
        let mut chunks = Vec::new();
        for shard in 0..self.shards {
            let mine = flags.iter().filter(|f| flag_shard(f.key.as_str(), self.shards) == shard);
            chunks.push(self.chunk(ChunkKind::Flags, shard, &encode_flags(mine)));
            let mine = tenants.iter().filter(|t| tenant_shard(t.0.as_str(), self.shards) == shard);
            let bytes = encode_tenants(mine.map(|(key, wire)| (key, wire)));
            chunks.push(self.chunk(ChunkKind::Tenants, shard, &bytes));
        }
        if !self.segments.is_empty() {
            let segments = encode_segments(self.segments.iter());
            chunks.push(self.chunk(ChunkKind::Segments, 0, &segments));
        }
        chunks
    }

    fn chunk(&self, kind: ChunkKind, shard: u32, bytes: &[u8]) -> ChunkRef {
        let sha256 = Digest::of(bytes);
        self.write(&format!("{}/chunks/{sha256}", self.org), bytes);
        ChunkRef { kind, shard, sha256, bytes: bytes.len() as u64, encoding: Encoding::Identity }
    }

    fn root(&self, scope: Scope, chunks: Vec<ChunkRef>) {
        let Indexed { chunks, indexes } = index(chunks);
        for (named, bytes) in &indexes {
            self.write(&format!("{}/chunks/{}", self.org, named.sha256), bytes);
        }
        let claims = RootClaims {
            format: 1,
            org: self.org.clone(),
            env: self.env.clone(),
            scope,
            epoch: self.epoch,
            revision: self.revision,
            serial: self.serial,
            issued: self.issued,
            expires: self.expires,
            committed: self.issued,
            flag_shards: self.shards,
            tenant_shards: self.shards,
            segment_shards: 1,
            held: self.held.clone(),
            withheld: Vec::new(),
            restored: None,
            counts: None,
            chunks,
            indexes: indexes.into_iter().map(|(named, _)| named).collect(),
        };
        let certified = KeyClaims {
            key: self.signing.public(),
            issued: ago(48 * HOUR),
            expires: now().plus(24 * HOUR),
        };
        let message = certificate_message(&certified, &self.online.public().thumbprint()).unwrap();
        let certificate = certificate(&message, &self.online.sign(message.as_bytes()));
        let text = sign_root(&claims, &certificate, &self.signing).unwrap();
        self.write(&self.scope(claims.scope).root_name(), text.as_bytes());
    }

    /// Writes an object whole, as publishers do.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let beside = path.with_extension("new");
        fs::write(&beside, bytes).unwrap();
        fs::rename(beside, path).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.join(name)).unwrap()
    }

    /// The folder as it is now, to be put back by [`Publisher::restore`].
    pub(crate) fn keep(&self) -> tempfile::TempDir {
        let kept = tempfile::tempdir().unwrap();
        copy(&self.folder, kept.path());
        kept
    }

    pub(crate) fn restore(&self, kept: &Path) {
        copy(kept, &self.folder);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A flag of one type with two variants, off for everybody whom no override or rule reaches.
pub(crate) fn flag(
    key: &str,
    value_type: &str,
    on: impl Into<Json>,
    off: impl Into<Json>,
) -> FlagWire {
    edited(key, value_type, on, off, |_| {})
}

/// The same, edited as JSON.
pub(crate) fn edited(
    key: &str,
    value_type: &str,
    on: impl Into<Json>,
    off: impl Into<Json>,
    edit: impl FnOnce(&mut Json),
) -> FlagWire {
    let (on, off) = (on.into(), off.into());
    let mut wire = json!({
        "key": key, "version": 3, "class": "release", "type": value_type,
        "variants": [{"key": "on", "value": on}, {"key": "off", "value": off}],
        "state": {
            "enabled": true, "off": {"variant": "off"}, "rules": [],
            "fallthrough": {"variant": "off"},
        },
    });
    edit(&mut wire);
    serde_json::from_value(wire).unwrap()
}

pub(crate) fn boolean(key: &str) -> FlagWire {
    flag(key, "boolean", true, false)
}

/// A tenant whose overrides say `on` for the flags named.
pub(crate) fn directory(key: &str, on: &[&str]) -> (TenantKey, TenantWire) {
    let overrides: serde_json::Map<_, _> =
        on.iter().map(|flag| ((*flag).to_owned(), json!("on"))).collect();
    let wire = json!({"uid": format!("uid-{key}"), "overrides": overrides});
    (tenant(key), serde_json::from_value(wire).unwrap())
}
