//! What people send: forms that become records. Strict about fields, friendly about splits.

use flagforge_flags::keys::{RuleId, VariantKey};
use flagforge_flags::split::{DEFAULT_BUCKETS, Weight, rebalance};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{
    FlagClass, FlagTestWire, GroupOverrideWire, HashName, MissingUnit, OutcomeWire, RampWire,
    RangeWire, RuleWire, SplitWire, StaleWire, StateWire, TargetWire, UnitWire, ValueType,
    VariantWire,
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

use crate::conditions::ConditionInput;
use crate::definition::RetirementCriterion;
use crate::error::Error;

/// Bytes of a name or description.
pub const MAX_TEXT_BYTES: usize = 2_048;
/// Attributes of one tenant; 64 of 1 KiB leave a tenant's item under 1/5 of its limit.
pub const MAX_TENANT_ATTRIBUTES: usize = 64;
/// Bytes of one tenant's attributes as JSON.
pub const MAX_TENANT_ATTRIBUTES_BYTES: usize = 64 * 1024;

/// The body that defines a flag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefinitionInput {
    pub class: FlagClass,
    #[serde(rename = "type")]
    pub value_type: ValueType,
    /// May be left out for booleans: `on` (true) and `off` (false).
    #[serde(default)]
    pub variants: Vec<VariantWire>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub owner: Option<String>,
    /// The bounded context it belongs to. Roles can be for a domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The services that ask for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependents: Vec<String>,
    /// An address with more about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documentation: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// When it should be gone. Required for experiments; a release flag's is 90 days after its creation when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When somebody looks whether it is still right, instead of an end. When not said, 180 days after its creation for
    /// ops flags, a year for policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_at: Option<Timestamp>,
    /// When it may go: all of them. Required for migrations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retirement: Vec<RetirementCriterion>,
    /// A JSON Schema that every variant's value has to fit: type, enum, const, properties, required,
    /// additionalProperties, items and the bounds of numbers, texts and arrays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Json>,
    /// How old the configuration may be, and what the flag does then, where an environment says nothing else. Required
    /// for ops flags and policies; an hour and last known for releases, a day for experiments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<StaleWire>,
    #[serde(default)]
    pub client_visible: bool,
    /// Default: for booleans the variant whose value is false, else the caller's default.
    #[serde(default)]
    pub off: Option<OutcomeWire>,
    /// Default: for booleans the variant whose value is true, else the first variant.
    #[serde(default)]
    pub fallthrough: Option<OutcomeWire>,
}

impl DefinitionInput {
    /// A flag of a class and type, of which nothing else is said.
    pub fn of(class: FlagClass, value_type: ValueType) -> Self {
        Self {
            class,
            value_type,
            variants: Vec::new(),
            description: String::new(),
            owner: None,
            domain: None,
            dependents: Vec::new(),
            documentation: None,
            tags: Vec::new(),
            expires_at: None,
            review_at: None,
            retirement: Vec::new(),
            schema: None,
            stale: None,
            client_visible: false,
            off: None,
            fallthrough: None,
        }
    }

    /// The variants, with a boolean's two when none were given.
    pub(crate) fn variants(&self) -> Result<Vec<VariantWire>, Error> {
        if !self.variants.is_empty() || self.value_type != ValueType::Boolean {
            return Ok(self.variants.clone());
        }
        [("on", true), ("off", false)]
            .into_iter()
            .map(|(key, value)| {
                let key = VariantKey::new(key).map_err(|e| Error::invalid("variants", e))?;
                Ok(VariantWire { key, value: Json::Bool(value), attachment: None })
            })
            .collect()
    }

    pub(crate) fn outcomes(&self, variants: &[VariantWire]) -> (OutcomeWire, OutcomeWire) {
        let valued = |wanted: bool| variants.iter().find(|v| v.value == Json::Bool(wanted));
        let off = self.off.clone().unwrap_or_else(|| match valued(false) {
            Some(variant) => OutcomeWire::Variant(variant.key.clone()),
            None => OutcomeWire::CallerDefault,
        });
        let on =
            self.fallthrough.clone().unwrap_or_else(|| match valued(true).or(variants.first()) {
                Some(variant) => OutcomeWire::Variant(variant.key.clone()),
                None => OutcomeWire::CallerDefault,
            });
        (off, on)
    }
}

/// The body that sets a flag's state in one environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateInput {
    pub enabled: bool,
    pub off: OutcomeInput,
    #[serde(default)]
    pub stale: Option<StaleWire>,
    #[serde(default)]
    pub prerequisites: Vec<FlagTestWire>,
    #[serde(default)]
    pub targets: Vec<TargetWire>,
    #[serde(default)]
    pub group_overrides: Vec<GroupOverrideWire>,
    #[serde(default)]
    pub rules: Vec<RuleInput>,
    pub fallthrough: OutcomeInput,
}

/// A rule of a state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleInput {
    /// Stable: keep it when you edit the rule, so that a changed percentage moves the fewest users.
    pub id: RuleId,
    #[serde(default)]
    pub description: Option<String>,
    pub when: ConditionInput,
    pub serve: OutcomeInput,
}

/// The body that defines a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SegmentInput {
    #[serde(default)]
    pub description: String,
    /// The kind of entity whose keys the lists hold. Default: `user`.
    #[serde(default = "user")]
    pub entity: String,
    /// Who is in besides those listed. It may ask for other segments and flags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<ConditionInput>,
    /// Who is out, whatever else is said. Absent: the list stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<Vec<String>>,
    /// Who is in, unless excluded. Absent: the list stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub included: Option<Vec<String>>,
}

fn user() -> String {
    "user".to_owned()
}

/// An outcome; a split may say weights and leave the ranges to the platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum OutcomeInput {
    Variant(VariantKey),
    Split(SplitInput),
    Ramp(RampWire),
    CallerDefault,
    Error(String),
}

/// A split by weights, or by ranges for those who know what they want. Exactly one of the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SplitInput {
    /// The attribute path whose value is hashed. Default `user.key`.
    #[serde(default = "default_unit")]
    pub unit: String,
    /// Paths to try in order where the unit is missing.
    #[serde(default)]
    pub fallbacks: Vec<String>,
    /// What happens when all of them are missing. Default: no match.
    #[serde(default)]
    pub missing: MissingUnit,
    /// Default: the flag's key and the rule's id, so that two splits are independent.
    #[serde(default)]
    pub salt: Option<String>,
    #[serde(default)]
    pub hash: Option<HashName>,
    /// A number that some hash functions start from.
    #[serde(default)]
    pub seed: u32,
    #[serde(default)]
    pub buckets: Option<u32>,
    #[serde(default)]
    pub weights: Option<Vec<WeightInput>>,
    #[serde(default)]
    pub ranges: Option<Vec<RangeWire>>,
}

/// A variant's share of a split, relative to the sum of all weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WeightInput {
    pub variant: VariantKey,
    pub weight: u32,
}

fn default_unit() -> String {
    "user.key".to_owned()
}

impl StateInput {
    /// The state to store. Splits keep as many buckets of the same split in `previous` as they can.
    /// What it does not say of staleness the flag's definition says.
    pub(crate) fn resolve(
        &self,
        flag: &str,
        stale: Option<StaleWire>,
        previous: &StateWire,
    ) -> Result<StateWire, Error> {
        let was = |id: &RuleId| previous.rules.iter().find(|rule| rule.id == *id);
        let mut rules = Vec::with_capacity(self.rules.len());
        for (index, rule) in self.rules.iter().enumerate() {
            let before = was(&rule.id).map(|rule| &rule.serve);
            let split = SplitPlace {
                flag,
                part: rule.id.as_str(),
                field: &format!("rules[{index}].serve"),
            };
            rules.push(RuleWire {
                id: rule.id.clone(),
                description: rule.description.clone(),
                when: rule.when.tree(&format!("rules[{index}].when"))?,
                serve: rule.serve.resolve(&split, before)?,
            });
        }
        let off = SplitPlace { flag, part: "off", field: "off" };
        let fallthrough = SplitPlace { flag, part: "fallthrough", field: "fallthrough" };
        Ok(StateWire {
            enabled: self.enabled,
            off: self.off.resolve(&off, Some(&previous.off))?,
            stale: self.stale.clone().or(stale),
            prerequisites: self.prerequisites.clone(),
            targets: self.targets.clone(),
            group_overrides: self.group_overrides.clone(),
            rules,
            fallthrough: self.fallthrough.resolve(&fallthrough, Some(&previous.fallthrough))?,
        })
    }
}

/// Where a split stands: for its default salt, and for errors that name the field.
pub(crate) struct SplitPlace<'a> {
    pub(crate) flag: &'a str,
    pub(crate) part: &'a str,
    pub(crate) field: &'a str,
}

impl OutcomeInput {
    pub(crate) fn resolve(
        &self,
        place: &SplitPlace<'_>,
        previous: Option<&OutcomeWire>,
    ) -> Result<OutcomeWire, Error> {
        Ok(match self {
            Self::Variant(variant) => OutcomeWire::Variant(variant.clone()),
            Self::Ramp(ramp) => OutcomeWire::Ramp(ramp.clone()),
            Self::CallerDefault => OutcomeWire::CallerDefault,
            Self::Error(message) => OutcomeWire::Error(message.clone()),
            Self::Split(split) => OutcomeWire::Split(split.resolve(place, previous)?),
        })
    }
}

impl SplitInput {
    fn resolve(
        &self,
        place: &SplitPlace<'_>,
        previous: Option<&OutcomeWire>,
    ) -> Result<SplitWire, Error> {
        let before = match previous {
            // Only a split of the same unit can keep anyone where they are.
            Some(OutcomeWire::Split(split)) if split.by.unit == self.unit => Some(split),
            _ => None,
        };
        let salt = match (&self.salt, before) {
            (Some(salt), _) => salt.clone(),
            (None, Some(before)) => before.by.salt.clone(),
            (None, None) => format!("{}:{}", place.flag, place.part),
        };
        let buckets = self.buckets.or(before.map(|b| b.by.buckets)).unwrap_or(DEFAULT_BUCKETS);
        let kept = match before {
            Some(before) if before.by.salt == salt && before.by.buckets == buckets => {
                &before.ranges[..]
            }
            _ => &[],
        };
        let ranges = match (&self.weights, &self.ranges) {
            (Some(weights), None) => {
                let weights: Vec<Weight> = weights
                    .iter()
                    .map(|w| Weight { variant: w.variant.clone(), weight: w.weight })
                    .collect();
                rebalance(kept, buckets, &weights)
                    .map_err(|e| Error::invalid(format!("{}.split.weights", place.field), e))?
            }
            (None, Some(ranges)) => ranges.clone(),
            _ => {
                let message = "give either `weights` or `ranges`, not both and not neither";
                return Err(Error::invalid(format!("{}.split", place.field), message));
            }
        };
        let hash = self.hash.or(before.map(|b| b.by.hash)).unwrap_or(HashName::Xxh3);
        let by = UnitWire {
            unit: self.unit.clone(),
            fallbacks: self.fallbacks.clone(),
            missing: self.missing,
            salt,
            hash,
            seed: self.seed,
            buckets,
        };
        Ok(SplitWire { by, ranges })
    }
}

/// Refuses a text over [`MAX_TEXT_BYTES`].
pub(crate) fn bounded_text(field: &str, text: &str) -> Result<(), Error> {
    bounded(field, "bytes", MAX_TEXT_BYTES, text.len())
}

/// Refuses `actual` over `limit`, naming both.
pub(crate) fn bounded(
    field: &str,
    unit: &'static str,
    limit: usize,
    actual: usize,
) -> Result<(), Error> {
    if actual <= limit {
        return Ok(());
    }
    Err(Error::OverLimit {
        field: field.to_owned(),
        unit,
        limit: limit as u64,
        actual: actual as u64,
    })
}
