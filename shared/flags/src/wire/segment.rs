//! Segments: saved sets of users.

use serde::{Deserialize, Serialize};

use super::condition::ConditionWire;
use crate::keys::SegmentKey;

/// A saved set. Excluded wins over included, included over the condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SegmentWire {
    /// The segment's key.
    pub key: SegmentKey,
    /// Grows with every change.
    pub version: u64,
    /// The kind of entity whose keys the lists hold.
    #[serde(default = "super::user", skip_serializing_if = "super::is_user")]
    pub entity: String,
    /// Who is out, whatever else is said.
    #[serde(default, skip_serializing_if = "IdsWire::is_empty")]
    pub excluded: IdsWire,
    /// Who is in.
    #[serde(default, skip_serializing_if = "IdsWire::is_empty")]
    pub included: IdsWire,
    /// Who else is in. It may ask for other segments; a cycle spoils the flags that reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<ConditionWire>,
}

/// Keys of a segment: few, as they are; many, as a sorted list of keyed hashes that travels apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum IdsWire {
    /// The keys themselves: `{"keys": […]}`.
    Keys(Vec<String>),
    /// 8 bytes a key, sorted: XXH3-64 of the key, seeded with the salt's; base64 (standard, padded): `{"hashed": {…}}`.
    #[serde(rename_all = "camelCase")]
    Hashed {
        /// Separates this list's hashes from every other's.
        salt: String,
        /// The hashes, big-endian, ascending, without repeats.
        hashes: String,
    },
    /// As in a tenant's own manifest, whose readers may not learn the keys: `{"digests": {…}}`.
    Digests(DigestsWire),
}

/// Keys that nobody can read back: who has one can ask whether it is among them, and that is all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct DigestsWire {
    /// Separates this list's digests from every other's.
    pub salt: String,
    /// 12 bytes a key, ascending, without repeats: the first of SHA-256 of salt and key; base64 (standard, padded).
    pub digests: String,
}

impl Default for IdsWire {
    fn default() -> Self {
        Self::Keys(Vec::new())
    }
}

impl IdsWire {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Keys(keys) if keys.is_empty())
    }
}
