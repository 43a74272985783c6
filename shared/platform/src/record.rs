//! What is stored: the bodies of items, as JSON.

use std::collections::BTreeMap;

use flagforge_flags::keys::{
    EnvKey, FlagKey, GroupKey, OrgKey, RoleKey, SegmentKey, TenantKey, VariantKey,
};
use flagforge_flags::manifest::{Digest, KeyKind, PreviousSecret};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{
    ConditionWire, FlagClass, FlagWire, OutcomeWire, OverrideWire, StaleWire, StateWire, ValueType,
    VariantWire,
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

use crate::caller::{PermissionSet, RoleName};
use crate::definition::{self, RetirementCriterion};
use crate::limits::Limits;
use crate::lists::IdList;

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Organization {
    pub key: OrgKey,
    pub uid: String,
    pub name: String,
    pub created: Timestamp,
    /// Since when it is suspended, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Timestamp>,
    /// What the platform's operator set; what is not said is as for everybody.
    #[serde(default)]
    pub limits: Limits,
}

/// An environment of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    pub key: EnvKey,
    pub name: String,
    pub created: Timestamp,
}

/// A tenant: a customer of the organization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    pub key: TenantKey,
    /// A tenant created again under an old key has another, and inherits nothing.
    pub uid: String,
    pub name: String,
    #[schema(value_type = Object)]
    pub attributes: serde_json::Map<String, Json>,
    /// Made for tests, and no customer: lists and counts can leave it out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub synthetic: bool,
}

/// A tenant group: a list of members, or a condition on tenants' attributes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    pub key: GroupKey,
    pub uid: String,
    pub description: String,
    /// Who is in it. With it, a list of members counts for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<ConditionWire>,
}

/// A tenant's membership in a group. It counts only while both uids are current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    pub group: GroupKey,
    pub group_uid: String,
    pub tenant: TenantKey,
    pub tenant_uid: String,
}

/// A flag's definition, the same in every environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Definition {
    pub key: FlagKey,
    /// A flag defined again under an old key has another; states and overrides of the old one are void.
    pub uid: String,
    pub class: FlagClass,
    #[serde(rename = "type")]
    pub value_type: ValueType,
    pub variants: Vec<VariantWire>,
    pub description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The services that ask for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependents: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documentation: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// When it should be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When somebody looks whether it is still right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_at: Option<Timestamp>,
    /// When it may go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retirement: Vec<RetirementCriterion>,
    /// What every variant's value fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Json>,
    /// How old the configuration may be, where an environment says nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<StaleWire>,
    /// Absent for flags of older times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    pub client_visible: bool,
    /// The outcome while the flag is off, where an environment has said nothing else.
    pub off: OutcomeWire,
    /// The outcome when no rule decides, where an environment has said nothing else.
    pub fallthrough: OutcomeWire,
}

impl Definition {
    /// The state of an environment that has not been given one: off.
    pub(crate) fn initial_state(&self) -> StateWire {
        StateWire {
            enabled: false,
            off: self.off.clone(),
            stale: definition::stale(self.class, self.stale.as_ref()),
            prerequisites: Vec::new(),
            targets: Vec::new(),
            group_overrides: Vec::new(),
            rules: Vec::new(),
            fallthrough: self.fallthrough.clone(),
        }
    }

    /// What a manifest carries: this definition (at its version) in that state (at its own), under no kill switch.
    pub(crate) fn wire(&self, version: u64, state: StateWire, state_version: u64) -> FlagWire {
        FlagWire {
            key: self.key.clone(),
            version: version + state_version,
            class: self.class,
            value_type: self.value_type,
            variants: self.variants.clone(),
            client_visible: self.client_visible,
            killed_groups: Vec::new(),
            state,
        }
    }
}

/// A flag's state in one environment, as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StateRecord {
    pub(crate) flag: FlagKey,
    pub(crate) flag_uid: String,
    /// The uids of the groups that overrides name: one for a group created again is void.
    #[serde(default)]
    pub(crate) groups: BTreeMap<GroupKey, String>,
    pub(crate) state: StateWire,
}

/// A variant for one tenant whatever the rules say. It counts only while both uids are current, and until it expires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    pub flag: FlagKey,
    pub flag_uid: String,
    pub tenant: TenantKey,
    pub tenant_uid: String,
    pub variant: VariantKey,
    /// From this instant on it counts no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Why the tenant is special.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it has expired by now. Readers set it; no stored record says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
}

impl Override {
    /// As a manifest carries it.
    pub(crate) fn wire(&self) -> OverrideWire {
        let variant = self.variant.clone();
        match self.expires {
            None => OverrideWire::Variant(variant),
            Some(expires) => OverrideWire::Expiring { variant, expires },
        }
    }

    /// As it is read at an instant.
    pub(crate) fn seen_at(mut self, now: Timestamp) -> Self {
        self.expired = self.expires.is_some_and(|expires| expires <= now);
        self
    }
}

/// A segment of an environment, as stored. Its lists are elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SegmentRecord {
    pub(crate) key: SegmentKey,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) entity: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) when: Option<ConditionWire>,
    #[serde(default)]
    pub(crate) excluded: IdList,
    #[serde(default)]
    pub(crate) included: IdList,
    /// What its lists' keyed hashes begin with: nobody learns from them who is in two segments.
    pub(crate) salt: String,
}

/// An access key as it is stored: what may be read of it, and what its secret is held against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRecord {
    #[serde(flatten)]
    pub facts: KeyFacts,
    pub secret_sha256: Digest,
    /// The secret before the newest rotation; it counts until its instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousSecret>,
}

impl KeyRecord {
    /// Whether a secret of this digest is the key's now.
    pub(crate) fn accepts(&self, presented: &Digest, now: Timestamp) -> bool {
        let current = self.secret_sha256.same(presented);
        let previous = self.previous.as_ref();
        current | previous.is_some_and(|p| p.secret_sha256.same(presented) & (now < p.until))
    }
}

/// What may be read of an access key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyFacts {
    /// `<org>.<random>`, or `<org>.<env>.<random>` when bound to one environment.
    pub id: String,
    #[schema(value_type = String, example = "server")]
    pub kind: KeyKind,
    pub name: String,
    /// What it may do: one of `reader`, `approver`, `maintainer` and `admin`, or a role of the organization's own.
    #[schema(value_type = String, example = "maintainer")]
    pub role: RoleName,
    /// The only environments it works in; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envs: Option<Vec<EnvKey>>,
    /// The only domains whose flags it changes; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domains: Option<Vec<String>>,
    /// The only tenant it speaks for; absent: any, named by header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Also the platform's operator.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub operator: bool,
    /// The key that made it, when a key did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The keys above it, the first of the family first and its parent last. While one of them is gone, so is this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<String>,
    pub created: Timestamp,
    /// When its secret was last replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated: Option<Timestamp>,
    /// Until when the secret before that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_until: Option<Timestamp>,
}

/// When a key was last seen. An observation and no part of the organization's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyUse {
    pub(crate) at: Timestamp,
}

/// A role that the organization made: a set of permissions with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleRecord {
    pub key: RoleKey,
    pub description: String,
    pub permissions: PermissionSet,
}
