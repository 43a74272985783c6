//! The wire form: what is stored, sent and signed. Tolerant of fields it does not know (a newer
//! writer), strict about values it does not know (an unknown operator spoils its flag, and only that).
//!
//! The working form, which evaluates, is [`crate::Flag`]; `compile` is the only way there.

mod condition;
mod outcome;
mod overrides;
mod segment;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::keys::{FlagKey, GroupKey, RuleId, VariantKey};
use crate::time::Timestamp;

pub use condition::{
    Comparison, ConditionWire, ElementsWire, FlagIsWire, FlagTestWire, OperatorName, TestWire,
};
pub use outcome::{
    HashName, MissingUnit, OutcomeWire, RampWire, RangeWire, RolloutWire, SplitWire, UnitWire,
};
pub use overrides::OverrideWire;
pub use segment::{DigestsWire, IdsWire, SegmentWire};

/// A flag as a manifest carries it: the part of the definition that evaluation needs, and the state in one environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct FlagWire {
    /// The flag's key.
    pub key: FlagKey,
    /// Grows with every change of definition or state: `<definition version> + <state version>`.
    pub version: u64,
    /// What the flag means.
    pub class: FlagClass,
    /// The type of every variant's value.
    #[serde(rename = "type")]
    pub value_type: ValueType,
    /// The named values, in their author's order.
    pub variants: Vec<VariantWire>,
    /// Whether keys of browsers and other clients may see it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub client_visible: bool,
    /// The groups whose tenants it is off for, by kill switches. A reader that does not know this field goes on
    /// answering them as everybody else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub killed_groups: Vec<GroupKey>,
    /// What the flag does in this environment.
    pub state: StateWire,
}

/// What a flag means; governance and failure follow from it (DESIGN §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FlagClass {
    /// Shipping something gradually.
    Release,
    /// Comparing variants.
    Experiment,
    /// Operating: kill switches, limits.
    Ops,
    /// Moving from one system to another, stage by stage.
    Migration,
    /// Entitlements and rules of business.
    Policy,
}

/// The type of a flag's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ValueType {
    /// `true` or `false`.
    Boolean,
    /// A text.
    String,
    /// A whole number of 64 bits, signed.
    Integer,
    /// A finite number of 64 bits.
    Number,
    /// A JSON object or array.
    Object,
}

/// A named value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct VariantWire {
    /// The variant's name.
    pub key: VariantKey,
    /// The value; its JSON type must be the flag's.
    pub value: Json,
    /// Anything the author wants to travel with the variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Json>,
}

/// What a flag does in one environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct StateWire {
    /// Off answers `off` to everybody.
    pub enabled: bool,
    /// The outcome while the flag is off.
    pub off: OutcomeWire,
    /// How old the configuration may be for this flag, and what it answers past that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<StaleWire>,
    /// All of them must be met, else the flag answers as if it were off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prerequisites: Vec<FlagTestWire>,
    /// Variants for single users or other entities, by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetWire>,
    /// Overrides for groups, the first that fits wins. Overrides for single tenants travel with the tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_overrides: Vec<GroupOverrideWire>,
    /// Tried in order; the first whose condition holds decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleWire>,
    /// The outcome when no rule decided.
    pub fallthrough: OutcomeWire,
}

impl StateWire {
    /// The variants that something in here leads to, in no order, some of them more than once.
    pub(crate) fn variants(&self) -> impl Iterator<Item = &VariantKey> {
        let stale = self.stale.as_ref().and_then(|stale| match &stale.then {
            StaleActionWire::Serve(outcome) => Some(outcome),
            StaleActionWire::LastKnown | StaleActionWire::Pause => None,
        });
        let outcomes = self.rules.iter().map(|rule| &rule.serve);
        let outcomes = outcomes.chain([&self.off, &self.fallthrough]).chain(stale);
        let targets = self.targets.iter().map(|target| &target.variant);
        let overrides = self.group_overrides.iter().map(|over| &over.variant);
        outcomes.flat_map(OutcomeWire::variants).chain(targets).chain(overrides)
    }
}

/// A variant for every tenant of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct GroupOverrideWire {
    /// The group.
    pub group: GroupKey,
    /// What its tenants get.
    pub variant: VariantKey,
    /// From this instant on it counts no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Why, for people; manifests do not carry it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A variant for the entities of one kind with these keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TargetWire {
    /// What they get.
    pub variant: VariantKey,
    /// The kind of entity, say `user` or `device`.
    #[serde(default = "user", skip_serializing_if = "is_user")]
    pub entity: String,
    /// Their keys.
    pub keys: Vec<String>,
    /// Further keys, as a tenant's own manifest has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digests: Option<DigestsWire>,
}

/// How old the configuration may be, and what happens past that (DESIGN §9).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct StaleWire {
    /// Seconds since the configuration was last confirmed.
    pub after_seconds: u64,
    /// What the flag does then.
    pub then: StaleActionWire,
}

/// What a flag does when its configuration is too old.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum StaleActionWire {
    /// It goes on as last known, and says so.
    LastKnown,
    /// It answers this: fail open or closed.
    Serve(OutcomeWire),
    /// It answers the caller's default, and work that depends on it should wait.
    Pause,
}

fn user() -> String {
    "user".to_owned()
}

fn is_user(entity: &str) -> bool {
    entity == "user"
}

/// A condition and what it leads to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RuleWire {
    /// Stable: answers, audit and exposure name the rule by it.
    pub id: RuleId,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When the rule decides.
    pub when: ConditionWire,
    /// What it decides.
    pub serve: OutcomeWire,
}

/// A tenant as a manifest carries it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TenantWire {
    /// Outlives no deletion: a tenant created again under an old key has another.
    pub uid: String,
    /// Set only in the control plane: plan, region …
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub attributes: serde_json::Map<String, Json>,
    /// The groups the tenant is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupKey>,
    /// Variants that this tenant gets whatever the rules say, by flag.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub overrides: std::collections::BTreeMap<FlagKey, OverrideWire>,
}
