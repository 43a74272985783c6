//! The working form of a tenant: what the directory says of it, and its overrides.

use serde_json::{Map, Value as Json};

use crate::fault::EntryFault;
use crate::keys::{FlagKey, GroupKey, VariantKey};
use crate::manifest::{Entry, key_hash};
use crate::time::Timestamp;
use crate::wire::{OverrideWire, TenantWire};

/// Bytes of a tenant as JSON: 10,000 overrides of 100 bytes each, and its attributes.
pub const MAX_TENANT_BYTES: usize = 1024 * 1024;

/// A tenant of the directory.
#[derive(Debug)]
pub struct Tenant {
    uid: Box<str>,
    attributes: Map<String, Json>,
    groups: Box<[GroupKey]>,
    /// Ascending by the hash of the flag's key, and then by the key; each flag once.
    overrides: Box<[(u64, FlagKey, OverrideWire)]>,
    /// When overrides expire, those that have expired included: ascending.
    expiries: Box<[Timestamp]>,
}

impl Tenant {
    /// What a tenant created again under an old key has another of.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Its attributes, as the control plane set them.
    pub const fn attributes(&self) -> &Map<String, Json> {
        &self.attributes
    }

    /// The groups it is in, sorted.
    pub const fn groups(&self) -> &[GroupKey] {
        &self.groups
    }

    /// Its overrides, in no particular order, those that have expired included.
    pub fn overrides(&self) -> impl Iterator<Item = (&FlagKey, &VariantKey)> {
        self.overrides.iter().map(|(_, flag, entry)| (flag, entry.variant()))
    }

    pub(crate) const fn expiries(&self) -> &[Timestamp] {
        &self.expiries
    }

    pub(crate) const fn has_overrides(&self) -> bool {
        !self.overrides.is_empty()
    }

    /// The override of a flag, whose key has this hash.
    pub(crate) fn override_of(&self, hash: u64, flag: &str) -> Option<&OverrideWire> {
        let start = self.overrides.partition_point(|(held, ..)| *held < hash);
        let mut held = self.overrides.get(start..)?.iter().take_while(|(held, ..)| *held == hash);
        held.find(|(_, held, _)| held.as_str() == flag).map(|(.., entry)| entry)
    }

    pub(crate) fn is_in(&self, group: &GroupKey) -> bool {
        self.groups.binary_search(group).is_ok()
    }
}

impl Entry for Tenant {
    type Wire = TenantWire;
    type Fault = EntryFault;
    const MAX_BYTES: usize = MAX_TENANT_BYTES;

    fn of_wire(_: &str, wire: TenantWire) -> Result<Self, EntryFault> {
        Ok(wire.into())
    }

    fn too_large(bytes: usize) -> EntryFault {
        EntryFault::too_large(bytes, MAX_TENANT_BYTES)
    }
}

impl From<TenantWire> for Tenant {
    fn from(wire: TenantWire) -> Self {
        let mut groups = wire.groups;
        groups.sort();
        let overrides = wire.overrides.into_iter();
        let hashed = overrides.map(|(flag, entry)| (key_hash(flag.as_str()), flag, entry));
        let mut overrides: Vec<_> = hashed.collect();
        overrides.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let expiries = overrides.iter().filter_map(|(.., entry)| entry.expires());
        let mut expiries: Vec<Timestamp> = expiries.collect();
        expiries.sort_unstable();
        Self {
            expiries: expiries.into(),
            uid: wire.uid.into(),
            attributes: wire.attributes,
            groups: groups.into(),
            overrides: overrides.into(),
        }
    }
}
