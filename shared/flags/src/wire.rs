//! The wire form: what is stored, sent and signed. Tolerant of fields it does not know (a newer
//! writer), strict about values it does not know (an unknown operator spoils its flag, and only that).
//!
//! The working form, which evaluates, is [`crate::Flag`]; `compile` is the only way there.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::keys::{FlagKey, GroupKey, RuleId, VariantKey};

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
    /// Overrides for groups, the first that fits wins. Overrides for single tenants travel with the tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_overrides: Vec<GroupOverrideWire>,
    /// Tried in order; the first whose condition holds decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleWire>,
    /// The outcome when no rule decided.
    pub fallthrough: OutcomeWire,
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

/// What a flag answers once it is decided who decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum OutcomeWire {
    /// One variant: `{"variant": "on"}`.
    Variant(VariantKey),
    /// A percentage split: `{"split": {…}}`.
    Split(SplitWire),
    /// Whatever the caller passed as default: `"callerDefault"`.
    CallerDefault,
}

/// Hash buckets cut into ranges, each of one variant. The ranges are the truth; weights are what its author asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SplitWire {
    /// The attribute path whose value is hashed, say `user.key` or `tenant.key`.
    pub unit: String,
    /// Separates this split from every other that hashes the same unit.
    pub salt: String,
    /// The hash function.
    pub hash: HashName,
    /// How many buckets there are.
    pub buckets: u32,
    /// Half-open, ascending, covering every bucket once.
    pub ranges: Vec<RangeWire>,
}

/// The hash functions that can place a unit in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum HashName {
    /// Our own: XXH3-64 of the unit's text, seeded with XXH3-64 of the salt; bucket = high 64 bits of `hash × buckets`.
    Xxh3,
}

/// Buckets `from..until` answer `variant`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct RangeWire {
    /// The first bucket of the range.
    pub from: u32,
    /// One past its last bucket.
    pub until: u32,
    /// What the buckets answer.
    pub variant: VariantKey,
}

/// When a rule decides: a tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum ConditionWire {
    /// Every part holds; with no parts, it holds. `{"all": […]}`
    #[cfg_attr(feature = "openapi", schema(no_recursion))]
    All(Vec<ConditionWire>),
    /// Some part holds; with no parts, it does not hold. `{"any": […]}`
    #[cfg_attr(feature = "openapi", schema(no_recursion))]
    Any(Vec<ConditionWire>),
    /// The part does not hold. `{"not": …}`
    #[cfg_attr(feature = "openapi", schema(no_recursion))]
    Not(Box<ConditionWire>),
    /// It holds. `"always"`
    Always,
    /// An attribute stands the test. `{"test": {…}}`
    Test(TestWire),
}

/// A test on one attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TestWire {
    /// `<entity>.<name>`, deeper with further dots: `tenant.plan`, `user.country`, `device.os.name`. The name `key` is the entity's own key.
    pub attribute: String,
    /// How the attribute's value is held against `values`.
    pub operator: OperatorName,
    /// The operands.
    pub values: Vec<Json>,
    /// Turns the operator's answer round; the answer for a missing attribute stays as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub negate: bool,
    /// What the test answers when the attribute is missing or null.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub if_missing: bool,
}

/// The operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OperatorName {
    /// Equal to the one operand, types and all (1 equals 1.0, and not "1").
    Equals,
    /// Equal to some operand.
    OneOf,
}

impl OperatorName {
    /// The word in the wire form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equals => "equals",
            Self::OneOf => "one-of",
        }
    }
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
    pub overrides: std::collections::BTreeMap<FlagKey, VariantKey>,
}
