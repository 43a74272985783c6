//! From a view to chunks. Nothing with an outdated uid gets in: what belonged to a deleted flag,
//! tenant or group of the same key is void.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use flagforge_flags::Revision;
use flagforge_flags::manifest::{
    ChunkKind, ChunkRef, Digest, Encoding, EntryCounts, Indexed, KeyWire, Scope, encode_keys,
    flag_shard, index, shards_for, tenant_shard, tenant_shards_for,
};
use flagforge_flags::wire::{FlagWire, StateWire, TenantWire};

use super::owed::{Backlog, Owed};
use super::shards::Shards;
use super::view::{View, of_tenant};
use crate::kills::Killed;
use crate::record::{KeyFacts, KeyRecord, StateRecord};
use crate::store::{ABSENT, Stored};

/// The chunks of an environment, and how many shards they are cut into.
#[derive(Debug, Clone)]
pub(super) struct Rendered {
    /// What these chunks hold whole. They may hold newer things besides.
    pub(super) revision: Revision,
    pub(super) flag_shards: u32,
    pub(super) tenant_shards: u32,
    pub(super) segment_shards: u32,
    pub(super) counts: EntryCounts,
    pub(super) chunks: Vec<Chunk>,
}

impl Rendered {
    /// What the root of a scope lists. Only a relay may see the keys.
    pub(super) fn indexed(&self, scope: &Scope) -> Indexed {
        let seen = |chunk: &&ChunkRef| chunk.kind != ChunkKind::Keys || *scope == Scope::Relay;
        index(self.chunks.iter().map(|chunk| &chunk.reference).filter(seen).cloned().collect())
    }

    /// The bytes of all chunks, and of a root's indexes.
    pub(super) fn parts(&self, indexed: &Indexed) -> HashMap<Digest, Bytes> {
        let chunks = self.chunks.iter().map(|chunk| (chunk.reference.sha256, chunk.bytes.clone()));
        let indexes = indexed.indexes.iter();
        chunks.chain(indexes.map(|(named, bytes)| (named.sha256, bytes.clone().into()))).collect()
    }
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) reference: ChunkRef,
    pub(super) bytes: Bytes,
}

/// Flags and tenants as they were rendered last, and which of them are owed again.
#[derive(Debug)]
pub(super) struct Renderings {
    pub(super) flags: Shards,
    pub(super) owed_flags: Owed,
    pub(super) tenants: Shards,
    pub(super) owed_tenants: Owed,
    pub(super) backlog: Backlog,
}

/// How much of the backlog of tenants is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bulk {
    /// Nothing: a kill does not wait for an import.
    Wait,
    /// As much as one publication may take.
    Slice,
    All,
}

impl Default for Renderings {
    fn default() -> Self {
        Self {
            flags: Shards::new(ChunkKind::Flags, flag_shard, shards_for),
            owed_flags: Owed::default(),
            tenants: Shards::new(ChunkKind::Tenants, tenant_shard, tenant_shards_for),
            owed_tenants: Owed::default(),
            backlog: Backlog::default(),
        }
    }
}

impl View {
    pub(super) fn has_backlog(&self) -> bool {
        !self.renderings.backlog.is_empty()
    }

    /// All chunks, of which only those with a change are made again; segments as they were rendered last. The same
    /// configuration gives the same bytes however it came about, so unchanged chunks keep their names.
    pub(super) fn render(&mut self, bulk: Bulk) -> Rendered {
        for tenant in self.memberships.settle(&self.groups, &self.tenants) {
            self.renderings.owed_tenants.add(tenant.as_str());
        }
        // Apart from the view while it is read.
        let mut made = std::mem::take(&mut self.renderings);
        let earlier = self.restored.as_ref().map(|restored| &restored.content);
        let known = self.definitions.keys().chain(self.held.keys()).chain(self.kept.flags.keys());
        let known = known.chain(earlier.into_iter().flat_map(|earlier| earlier.flags.keys()));
        for flag in owed(&mut made.owed_flags, &made.flags, known) {
            let wire = match earlier {
                Some(_) => self.restored_form(&flag),
                None if self.held.contains_key(&flag) => self.held_form(&flag),
                None => self.flag(&flag).or_else(|| self.kept_form(&flag)),
            };
            made.flags.set(&flag, wire.as_ref());
        }
        // Where all tenants are made again, nothing is left over.
        let bulk = if made.owed_tenants.is_all() { Bulk::All } else { bulk };
        let backlog = match bulk {
            Bulk::Wait => Vec::new(),
            Bulk::Slice => {
                made.backlog.slice(|tenant| made.tenants.shard_of(tenant), self.revision.org)
            }
            Bulk::All => made.backlog.drain(),
        };
        backlog.iter().for_each(|tenant| made.owed_tenants.add(tenant));
        let known = earlier.into_iter().flat_map(|earlier| earlier.tenants.keys());
        let known = self.tenants.keys().chain(known);
        for tenant in owed(&mut made.owed_tenants, &made.tenants, known) {
            if let Some(earlier) = earlier {
                made.tenants.set(&tenant, earlier.tenants.get(&tenant));
                continue;
            }
            let wire = self.tenant_with_overrides(&tenant);
            if wire.is_some() || !self.kept.has(ChunkKind::Tenants) {
                made.tenants.set(&tenant, wire.as_ref());
            }
        }
        let revision =
            Revision { org: made.backlog.whole_to(self.revision.org), env: self.revision.env };
        self.renderings = made;
        let (flag_shards, mut chunks) = self.renderings.flags.chunks();
        let (tenant_shards, tenants) = self.renderings.tenants.chunks();
        chunks.extend(tenants);
        let keys = self.published_keys();
        let keys = keys.iter().map(|(id, key)| (id.as_str(), key));
        chunks.push(chunk(ChunkKind::Keys, 0, encode_keys(keys)));
        let (segment_shards, segments, segment_count) = match &self.restored {
            Some(restored) => restored.segments(),
            None => self.rendered_segments.chunks(),
        };
        chunks.extend_from_slice(segments);
        let counts = EntryCounts {
            flags: self.renderings.flags.len() as u64,
            tenants: self.renderings.tenants.len() as u64,
            segments: segment_count as u64,
        };
        Rendered { revision, flag_shards, tenant_shards, segment_shards, counts, chunks }
    }

    /// A flag as manifests carry it; `None` when there is none.
    pub(super) fn flag(&self, key: &str) -> Option<FlagWire> {
        self.flag_in(key, self.states.get(key))
    }

    /// A flag in a state, with the kill switches that count.
    pub(super) fn flag_in(
        &self,
        key: &str,
        stored: Option<&Stored<StateRecord>>,
    ) -> Option<FlagWire> {
        let definition = self.definitions.get(key)?;
        let stored = stored.filter(|state| state.value.flag_uid == definition.value.uid);
        let (state, version) = match stored {
            None => (definition.value.initial_state(), ABSENT),
            Some(stored) => {
                let mut state: StateWire = stored.value.state.clone();
                state.group_overrides.retain(|over| {
                    let group = self.groups.get(over.group.as_str());
                    group.is_some_and(|group| {
                        stored.value.groups.get(&over.group) == Some(&group.value.uid)
                    })
                });
                // Why is for people who read the state.
                state.group_overrides.iter_mut().for_each(|over| over.reason = None);
                (state, stored.version)
            }
        };
        let mut flag = definition.value.wire(definition.version, state, version);
        Killed::of(self.pulled(), &definition.value).onto(&mut flag);
        Some(flag)
    }

    /// A tenant as manifests carry it; `None` when there is none.
    fn tenant_with_overrides(&self, key: &str) -> Option<TenantWire> {
        let tenant = &self.tenants.get(key)?.value;
        let mut wire = TenantWire {
            uid: tenant.uid.clone(),
            attributes: tenant.attributes.clone(),
            groups: self.memberships.of(&tenant.key).to_vec(),
            ..TenantWire::default()
        };
        for member in of_tenant(&self.members, key) {
            // A group's condition, where it has one, alone decides.
            let stands = self.groups.get(member.group.as_str()).is_some_and(|stored| {
                stored.value.uid == member.group_uid && stored.value.when.is_none()
            });
            if stands && tenant.uid == member.tenant_uid {
                wire.groups.push(member.group.clone());
            }
        }
        for over in of_tenant(&self.overrides, key) {
            let flag = over.flag.as_str();
            let stands = self.flag_uid(flag) == Some(over.flag_uid.as_str()) || self.is_kept(flag);
            if stands && tenant.uid == over.tenant_uid {
                wire.overrides.insert(over.flag.clone(), over.wire());
            }
        }
        Some(wire)
    }

    /// The keys that may ask in this environment. One bound to a tenant that is gone may not, nor one that
    /// lost a key above it; none outlives those above it.
    pub(super) fn published_keys(&self) -> BTreeMap<String, KeyWire> {
        let mut keys = BTreeMap::new();
        for record in self.keys.values().map(|stored| &stored.value) {
            let KeyRecord { facts, secret_sha256, previous } = record;
            let here = facts.envs.as_ref().is_none_or(|envs| envs.contains(&self.env));
            let bound = facts
                .tenant
                .as_ref()
                .is_none_or(|tenant| self.tenants.contains_key(tenant.as_str()));
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
        let above = |id: &String| self.keys.get(id).map(|key| &key.value.facts);
        key.ancestors.iter().map(above).collect()
    }
}

/// The keys whose entries are to be made again: with `All` those that are there, and those that were.
fn owed<'k>(
    owed: &mut Owed,
    made: &Shards,
    standing: impl Iterator<Item = &'k String>,
) -> BTreeSet<String> {
    match owed.take() {
        Owed::These(keys) => keys,
        Owed::All => made.keys().map(str::to_owned).chain(standing.cloned()).collect(),
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
