//! Outcomes: what a flag answers once it is decided who decides.

use serde::{Deserialize, Serialize};

use crate::keys::VariantKey;
use crate::time::Timestamp;

/// What a flag answers once it is decided who decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum OutcomeWire {
    /// One variant: `{"variant": "on"}`.
    Variant(VariantKey),
    /// A percentage split: `{"split": {…}}`.
    Split(SplitWire),
    /// A split that grows between two instants: `{"ramp": {…}}`.
    Ramp(RampWire),
    /// Whatever the caller passed as default: `"callerDefault"`.
    CallerDefault,
    /// The caller's default with an error, for what an importer could not carry over: `{"error": "…"}`.
    Error(String),
}

impl OutcomeWire {
    /// The variants that it may lead to.
    pub(crate) fn variants(&self) -> Vec<&VariantKey> {
        match self {
            Self::Variant(variant) => vec![variant],
            Self::Split(split) => split.ranges.iter().map(|range| &range.variant).collect(),
            Self::Ramp(ramp) => vec![&ramp.variant, &ramp.rest],
            Self::CallerDefault | Self::Error(_) => Vec::new(),
        }
    }
}

/// What is hashed to find a bucket, and how. Flattened into whatever needs a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct UnitWire {
    /// The attribute path whose value is hashed, say `user.key` or `tenant.key`.
    pub unit: String,
    /// Paths to try in order where the unit is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<String>,
    /// What happens when all of them are missing.
    #[serde(default, skip_serializing_if = "MissingUnit::is_no_match")]
    pub missing: MissingUnit,
    /// Separates this hash from every other of the same unit. How it joins the unit is the hash's own.
    pub salt: String,
    /// The hash function.
    pub hash: HashName,
    /// A number that some hash functions start from.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seed: u32,
    /// How many buckets there are.
    pub buckets: u32,
}

/// What a bucket is when there is nothing to hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MissingUnit {
    /// There is none: a rule goes on to the next, a rollout does not hold.
    #[default]
    NoMatch,
    /// Bucket 0.
    BucketZero,
}

impl MissingUnit {
    fn is_no_match(&self) -> bool {
        *self == Self::NoMatch
    }
}

fn is_zero(seed: &u32) -> bool {
    *seed == 0
}

/// Hash buckets cut into ranges, each of one variant. The ranges are the truth; weights are what its author asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", from = "flat::SplitWire")]
pub struct SplitWire {
    /// What is hashed.
    #[serde(flatten)]
    pub by: UnitWire,
    /// Half-open, ascending, covering every bucket once.
    pub ranges: Vec<RangeWire>,
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

/// Buckets below a bound answer `variant`, the others `rest`; the bound moves from `from` to `until`
/// between two instants, evenly or in equal steps. It never moves anybody back while it grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", from = "flat::RampWire")]
pub struct RampWire {
    /// What is hashed.
    #[serde(flatten)]
    pub by: UnitWire,
    /// What buckets below the bound answer.
    pub variant: VariantKey,
    /// What the others answer.
    pub rest: VariantKey,
    /// The bound until `start`.
    pub from: u32,
    /// The bound from `end` on.
    pub until: u32,
    /// When it begins to move.
    pub start: Timestamp,
    /// When it has arrived; later than `start`.
    pub end: Timestamp,
    /// In how many equal steps; absent: evenly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
}

/// A percentage as a condition: it holds when the unit's bucket is in `from..until`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", from = "flat::RolloutWire")]
pub struct RolloutWire {
    /// What is hashed.
    #[serde(flatten)]
    pub by: UnitWire,
    /// The first bucket for which it holds.
    pub from: u32,
    /// One past the last.
    pub until: u32,
}

/// The hash functions that can place a unit in a bucket: our own, and those of other vendors under the
/// vendor's name, joined with the salt and reduced to a bucket exactly as the vendor does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum HashName {
    /// Our own: XXH3-64 of the unit's text, seeded with XXH3-64 of the salt; bucket = high 64 bits of `hash × buckets`.
    Xxh3,
    /// murmur3_32(`salt:unit`, seed) mod buckets.
    Unleash,
    /// sha1(`salt.unit`), the first 15 hex digits over 0xFFFFFFFFFFFFFFF, times buckets.
    #[serde(rename = "launchdarkly")]
    LaunchDarkly,
    /// sha1(`salt` + `unit`), the first 7 hex digits mod buckets.
    #[serde(rename = "configcat")]
    ConfigCat,
    /// md5(`salt-unit`), the first 8 hex digits mod buckets. Also Datadog's.
    Eppo,
    /// md5(`salt,unit`) as an integer mod 9999 over 9998, times buckets; the input is repeated once more
    /// (`salt,unit,salt,unit`) while the result is exactly all.
    Flagsmith,
    /// fnv1a_32(`unit` + `salt`, as UTF-8) mod 1000, scaled to buckets.
    #[serde(rename = "growthbook-1")]
    GrowthBook1,
    /// fnv1a_32(decimal(fnv1a_32(`salt` + `unit`))) mod 10000, scaled to buckets.
    #[serde(rename = "growthbook-2")]
    GrowthBook2,
    /// murmur3_32(`unit`, seed) mod buckets.
    Split,
    /// murmur3_32(`salt` + `unit`, seed): `hash × buckets` shifted right by 32.
    Flagd,
    /// crc32 (IEEE) of `salt` + `unit`, mod buckets (theirs: 1,000); with any seed but 0, of `unit` + `salt`, as in Flipt's
    /// thresholds (theirs: 100).
    Flipt,
    /// sha1(`unit` + `salt`), the last 4 bytes as a big-endian number, mod buckets (theirs: 10,000).
    #[serde(rename = "featureprobe")]
    FeatureProbe,
    /// sha256(`salt.unit`), the first 8 bytes as a big-endian number, mod buckets (theirs: 10,000; their salt is `config.rule`).
    Statsig,
    /// sha1(`salt.unit`), the first 15 hex digits over 0xFFFFFFFFFFFFFFF, times buckets; with any seed but 0,
    /// `variant` follows the unit, as where PostHog chooses among variants.
    #[serde(rename = "posthog")]
    PostHog,
    /// murmur3_32(`unit`, murmur3_32(`salt`, 1)) over 0xFFFFFFFF, times buckets; with any seed but 0, `_rollout` follows the
    /// unit, as where DevCycle asks whether a rollout has come to somebody. Their salt is the target's id.
    #[serde(rename = "devcycle")]
    DevCycle,
    /// murmur3_128 (x64) of `salt|unit`, its first 64 bits shifted right by 4, mod buckets (theirs: 1,000,000).
    Confidence,
}

/// The same with every field in one place: a flattened part is read into a copy first, which takes three times as long,
/// and a manifest has thousands of splits.
mod flat {
    use serde::Deserialize;

    use super::{HashName, MissingUnit, RangeWire, UnitWire};
    use crate::keys::VariantKey;
    use crate::time::Timestamp;

    macro_rules! flat {
        ($name:ident { $($field:ident: $type:ty),* }) => {
            #[derive(Deserialize)]
            #[serde(rename_all = "camelCase")]
            pub(super) struct $name {
                unit: String,
                #[serde(default)]
                fallbacks: Vec<String>,
                #[serde(default)]
                missing: MissingUnit,
                salt: String,
                hash: HashName,
                #[serde(default)]
                seed: u32,
                buckets: u32,
                $($field: $type,)*
            }

            impl From<$name> for super::$name {
                fn from(flat: $name) -> Self {
                    let $name { unit, fallbacks, missing, salt, hash, seed, buckets, $($field),* } = flat;
                    let by = UnitWire { unit, fallbacks, missing, salt, hash, seed, buckets };
                    Self { by, $($field),* }
                }
            }
        };
    }

    flat!(SplitWire { ranges: Vec<RangeWire> });
    flat!(RolloutWire { from: u32, until: u32 });
    flat!(RampWire {
        variant: VariantKey,
        rest: VariantKey,
        from: u32,
        until: u32,
        start: Timestamp,
        end: Timestamp,
        steps: Option<u32>
    });
}
