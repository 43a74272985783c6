//! Conditions: when a rule decides.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::outcome::RolloutWire;
use crate::keys::{FlagKey, GroupKey, SegmentKey, VariantKey};

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
    /// The one who asks is in a segment. `{"inSegment": "beta"}`
    InSegment(SegmentKey),
    /// The tenant is in a group. `{"inGroup": "friends"}`
    InGroup(GroupKey),
    /// Another flag answers so. `{"flag": {"flag": "k", "is": "off"}}`
    Flag(FlagTestWire),
    /// The unit's hash falls in a range. `{"rollout": {…}}`
    Rollout(RolloutWire),
    /// Some element of a list attribute stands the condition, which sees it as `element`. `{"anyElement": {…}}`
    #[cfg_attr(feature = "openapi", schema(no_recursion))]
    AnyElement(ElementsWire),
    /// Every element of a list attribute does; so it is with an empty list. `{"allElements": {…}}`
    #[cfg_attr(feature = "openapi", schema(no_recursion))]
    AllElements(ElementsWire),
}

/// A test on one attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct TestWire {
    /// `<entity>.<name>`, deeper with further dots: `tenant.plan`, `user.country`, `device.os.name`. The name `key` is the entity's own key.
    /// Inside a condition on elements, `element` is the element and `element.<name>` a member of it.
    pub attribute: String,
    /// How the attribute's value is held against `values`.
    pub operator: OperatorName,
    /// The operands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Json>,
    /// Turns the operator's answer round; the answer for a missing attribute stays as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub negate: bool,
    /// What the test answers when the attribute is missing or null.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub if_missing: bool,
    /// Upper and lower case are the same (Unicode simple case folding).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_case: bool,
    /// As what values are compared.
    #[serde(default, skip_serializing_if = "Comparison::is_typed")]
    pub compare: Comparison,
    /// What is hashed before the attribute's text, for `hash-equals` and `hash-prefix`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
}

/// As what values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Comparison {
    /// As what they are: 17 is not "17", and 1 is 1.0.
    #[default]
    Typed,
    /// As their texts: 17 is "17", true is "true".
    Text,
    /// As numbers: "17" is 17, and what is no number does not match.
    Number,
}

impl Comparison {
    fn is_typed(&self) -> bool {
        *self == Self::Typed
    }
}

/// The operators. Unless said otherwise several operands mean any of them, and a list attribute matches
/// when some element does. An attribute of a type that the operator cannot take does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OperatorName {
    /// Equal to the one operand, types and all (1 equals 1.0, and not "1").
    Equals,
    /// Equal to some operand.
    OneOf,
    /// Deeply equal to the one operand, lists and objects included; a list is one value here.
    DeepEquals,
    /// A text that contains an operand.
    Contains,
    /// A text that begins with an operand.
    StartsWith,
    /// A text that ends with an operand.
    EndsWith,
    /// A text in which a regular expression finds a match (RE2 syntax, unanchored, linear time).
    Regex,
    /// A text before the operand, by code points.
    TextLess,
    /// A text before the operand or equal.
    TextLessOrEqual,
    /// A text after the operand.
    TextGreater,
    /// A text after the operand or equal.
    TextGreaterOrEqual,
    /// A number below the operand.
    Less,
    /// A number below the operand or equal.
    LessOrEqual,
    /// A number above the operand.
    Greater,
    /// A number above the operand or equal.
    GreaterOrEqual,
    /// A number whose remainder by the first operand is the second.
    Modulo,
    /// A version of equal precedence (Semantic Versioning 2.0.0 §11).
    SemverEquals,
    /// A version of lower precedence.
    SemverLess,
    /// A version of lower or equal precedence.
    SemverLessOrEqual,
    /// A version of higher precedence.
    SemverGreater,
    /// A version of higher or equal precedence.
    SemverGreaterOrEqual,
    /// As `semver-equals`, where missing parts are 0 and a leading `v` is passed over, on both sides.
    LenientSemverEquals,
    /// As `semver-less`, lenient.
    LenientSemverLess,
    /// As `semver-less-or-equal`, lenient.
    LenientSemverLessOrEqual,
    /// As `semver-greater`, lenient.
    LenientSemverGreater,
    /// As `semver-greater-or-equal`, lenient.
    LenientSemverGreaterOrEqual,
    /// An instant before the operand: RFC 3339 text, a date alone (midnight UTC), or a number of milliseconds. The operand may be `"now"`.
    Before,
    /// An instant after the operand.
    After,
    /// An address in an operand's network, IPv4 or IPv6, CIDR or a single address.
    InNetwork,
    /// It is there and not null; takes no operand. The answer for a missing attribute is `false`, and `negate` turns that round too.
    Exists,
    /// It is null or missing; takes no operand. As with `exists`, a missing attribute is an answer.
    IsNull,
    /// It has the type that the operand names: `boolean`, `string`, `number`, `integer`, `list`, `object`. A list is one value here.
    IsType,
    /// Characters of a text, elements of a list or members of an object: as many as the operand.
    SizeEquals,
    /// Fewer than the operand.
    SizeLess,
    /// More than the operand.
    SizeGreater,
    /// SHA-256 of salt and text, in hexadecimal, is an operand: the operands tell nobody who is meant.
    HashEquals,
    /// It begins with an operand.
    HashPrefix,
}

impl OperatorName {
    /// The word in the wire form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equals => "equals",
            Self::OneOf => "one-of",
            Self::DeepEquals => "deep-equals",
            Self::Contains => "contains",
            Self::StartsWith => "starts-with",
            Self::EndsWith => "ends-with",
            Self::Regex => "regex",
            Self::TextLess => "text-less",
            Self::TextLessOrEqual => "text-less-or-equal",
            Self::TextGreater => "text-greater",
            Self::TextGreaterOrEqual => "text-greater-or-equal",
            Self::Less => "less",
            Self::LessOrEqual => "less-or-equal",
            Self::Greater => "greater",
            Self::GreaterOrEqual => "greater-or-equal",
            Self::Modulo => "modulo",
            Self::SemverEquals => "semver-equals",
            Self::SemverLess => "semver-less",
            Self::SemverLessOrEqual => "semver-less-or-equal",
            Self::SemverGreater => "semver-greater",
            Self::SemverGreaterOrEqual => "semver-greater-or-equal",
            Self::LenientSemverEquals => "lenient-semver-equals",
            Self::LenientSemverLess => "lenient-semver-less",
            Self::LenientSemverLessOrEqual => "lenient-semver-less-or-equal",
            Self::LenientSemverGreater => "lenient-semver-greater",
            Self::LenientSemverGreaterOrEqual => "lenient-semver-greater-or-equal",
            Self::Before => "before",
            Self::After => "after",
            Self::InNetwork => "in-network",
            Self::Exists => "exists",
            Self::IsNull => "is-null",
            Self::IsType => "is-type",
            Self::SizeEquals => "size-equals",
            Self::SizeLess => "size-less",
            Self::SizeGreater => "size-greater",
            Self::HashEquals => "hash-equals",
            Self::HashPrefix => "hash-prefix",
        }
    }
}

/// What another flag answers for the same context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct FlagTestWire {
    /// The other flag.
    pub flag: FlagKey,
    /// What it has to be.
    pub is: FlagIsWire,
}

/// What another flag has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum FlagIsWire {
    /// It answers one of these variants: `{"variants": ["on"]}`.
    Variants(Vec<VariantKey>),
    /// It is off in this environment, or one of its own prerequisites is not met: `"off"`.
    Off,
    /// It is not: `"enabled"`.
    Enabled,
}

/// A condition on the elements of a list attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ElementsWire {
    /// The list's path. What is no list has no elements.
    pub attribute: String,
    /// What an element has to stand.
    #[cfg_attr(feature = "openapi", schema(no_recursion))]
    pub when: Box<ConditionWire>,
}
