//! From a view to chunks. Nothing with an outdated uid gets in: what belonged to a deleted flag,
//! tenant or group of the same key is void.

use std::collections::BTreeMap;

use bytes::Bytes;
use flagforge_flags::keys::{FlagKey, GroupKey, TenantKey};
use flagforge_flags::manifest::{
    ChunkKind, ChunkRef, Digest, Encoding, KeyWire, encode_flags, encode_keys, encode_tenants,
    flag_shard, shards_for, tenant_shard,
};
use flagforge_flags::wire::{FlagWire, StateWire, TenantWire};

use super::view::View;
use crate::kills;
use crate::record::{KeyFacts, KeyRecord};
use crate::store::ABSENT;

/// The chunks of an environment, and how many shards they are cut into.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) flag_shards: u32,
    pub(super) tenant_shards: u32,
    pub(super) segment_shards: u32,
    pub(super) chunks: Vec<Chunk>,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) reference: ChunkRef,
    pub(super) bytes: Bytes,
}

impl View {
    /// Renders all chunks, segments as they were rendered last. The same configuration gives the same bytes, so unchanged
    /// chunks keep their names.
    pub(super) fn render(&mut self) -> Rendered {
        self.memberships.settle(&self.groups, &self.tenants);
        let flags = self.flags();
        let (tenant_shards, tenants) = self.tenant_chunks();
        let keys = self.published_keys();
        let flag_shards = shards_for(encode_flags(flags.iter()).len());
        let mut by_shard: BTreeMap<u32, Vec<&FlagWire>> = BTreeMap::new();
        for flag in &flags {
            by_shard.entry(flag_shard(flag.key.as_str(), flag_shards)).or_default().push(flag);
        }
        let mut chunks: Vec<Chunk> = by_shard
            .into_iter()
            .map(|(shard, flags)| chunk(ChunkKind::Flags, shard, encode_flags(flags.into_iter())))
            .collect();
        chunks.extend(tenants);
        let keys = keys.iter().map(|(id, key)| (id.as_str(), key));
        chunks.push(chunk(ChunkKind::Keys, 0, encode_keys(keys)));
        let (segment_shards, segments) = self.rendered_segments.chunks();
        chunks.extend_from_slice(segments);
        Rendered { flag_shards, tenant_shards, segment_shards, chunks }
    }

    /// The tenants' chunks, rendered again only when something in them changed: a kill costs the flags' alone.
    fn tenant_chunks(&mut self) -> (u32, Vec<Chunk>) {
        if let Some(rendered) = &self.rendered_tenants {
            return rendered.clone();
        }
        let tenants = self.tenants_with_overrides();
        let shards = shards_for(encode_tenants(tenants.iter()).len());
        let mut by_shard: BTreeMap<u32, Vec<(&TenantKey, &TenantWire)>> = BTreeMap::new();
        for entry in &tenants {
            by_shard.entry(tenant_shard(entry.0.as_str(), shards)).or_default().push(entry);
        }
        let chunks: Vec<Chunk> = by_shard
            .into_iter()
            .map(|(shard, tenants)| {
                chunk(ChunkKind::Tenants, shard, encode_tenants(tenants.into_iter()))
            })
            .collect();
        self.rendered_tenants = Some((shards, chunks.clone()));
        (shards, chunks)
    }

    fn flags(&self) -> Vec<FlagWire> {
        let mut flags = Vec::with_capacity(self.definitions.len());
        for definition in self.definitions.values() {
            let key = &definition.value.key;
            let stored = self.states.get(&format!("STATE#{key}"));
            let stored = stored.filter(|state| state.value.flag_uid == definition.value.uid);
            let (mut state, version) = match stored {
                None => (definition.value.initial_state(), ABSENT),
                Some(stored) => {
                    let mut state: StateWire = stored.value.state.clone();
                    state.group_overrides.retain(|over| {
                        let uid = self.groups.get(&format!("GROUP#{}", over.group));
                        uid.map(|group| &group.value.uid) == stored.value.groups.get(&over.group)
                            && uid.is_some()
                    });
                    // Why is for people who read the state.
                    state.group_overrides.iter_mut().for_each(|over| over.reason = None);
                    (state, stored.version)
                }
            };
            let killed = !kills::covering(self.kills.values(), &definition.value).is_empty();
            state.enabled &= !killed;
            flags.push(definition.value.wire(definition.version, state, version));
        }
        flags
    }

    fn tenants_with_overrides(&self) -> BTreeMap<TenantKey, TenantWire> {
        let mut tenants: BTreeMap<TenantKey, TenantWire> = BTreeMap::new();
        for tenant in self.tenants.values() {
            let wire = TenantWire {
                uid: tenant.value.uid.clone(),
                attributes: tenant.value.attributes.clone(),
                groups: self.memberships.of(&tenant.value.key).to_vec(),
                ..TenantWire::default()
            };
            tenants.insert(tenant.value.key.clone(), wire);
        }
        for member in self.members.values() {
            let (group, uid): (&GroupKey, &str) = (&member.value.group, &member.value.group_uid);
            let stands = self.groups.get(&format!("GROUP#{group}"));
            // A group's condition, where it has one, alone decides.
            let stands = stands
                .is_some_and(|stored| stored.value.uid == *uid && stored.value.when.is_none());
            if let Some(tenant) = tenants.get_mut(&member.value.tenant)
                && stands
                && tenant.uid == member.value.tenant_uid
            {
                tenant.groups.push(group.clone());
            }
        }
        for over in self.overrides.values() {
            let flag: &FlagKey = &over.value.flag;
            let stands = self.definition(flag);
            let stands = stands.is_some_and(|stored| stored.value.uid == over.value.flag_uid);
            if let Some(tenant) = tenants.get_mut(&over.value.tenant)
                && stands
                && tenant.uid == over.value.tenant_uid
            {
                tenant.overrides.insert(flag.clone(), over.value.wire());
            }
        }
        tenants
    }

    /// The keys that may ask in this environment. One bound to a tenant that is gone may not, nor one that
    /// lost a key above it; none outlives those above it.
    fn published_keys(&self) -> BTreeMap<String, KeyWire> {
        let mut keys = BTreeMap::new();
        for record in self.keys.values().map(|stored| &stored.value) {
            let KeyRecord { facts, secret_sha256, previous } = record;
            let here = facts.envs.as_ref().is_none_or(|envs| envs.contains(&self.env));
            let bound = facts.tenant.as_ref().is_none_or(|tenant| self.tenant(tenant).is_some());
            let Some(above) = self.family(facts) else { continue };
            if here && bound {
                let ends = above.iter().filter_map(|above| above.expires).chain(facts.expires);
                let wire = KeyWire {
                    secret_sha256: *secret_sha256,
                    kind: facts.kind,
                    tenant: facts.tenant.clone(),
                    envs: facts.envs.clone(),
                    expires: ends.min(),
                    previous: *previous,
                };
                keys.insert(facts.id.clone(), wire);
            }
        }
        keys
    }

    /// The keys above a key; `None` when one of them is gone.
    fn family(&self, key: &KeyFacts) -> Option<Vec<&KeyFacts>> {
        let above = |id: &String| self.keys.get(&format!("KEY#{id}")).map(|key| &key.value.facts);
        key.ancestors.iter().map(above).collect()
    }
}

pub(super) fn chunk(kind: ChunkKind, shard: u32, bytes: Vec<u8>) -> Chunk {
    let reference = ChunkRef {
        kind,
        shard,
        sha256: Digest::of(&bytes),
        bytes: bytes.len() as u64,
        encoding: Encoding::Identity,
    };
    Chunk { reference, bytes: Bytes::from(bytes) }
}
