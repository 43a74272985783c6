//! The answer to one flag: what, and why.

use thiserror::Error;

use crate::budget::{MAX_NESTED_EVALUATIONS, MAX_PREREQUISITE_DEPTH, MAX_STEPS};
use crate::fault::{EntryFault, FlagFault};
use crate::operators::MAX_ATTRIBUTE_BYTES;
use crate::value::Value;
use crate::wire::ValueType;

/// The answer to one flag, borrowed from the snapshot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer<'s> {
    /// The value; `None` is the caller's own default.
    pub value: Option<&'s Value>,
    /// The variant whose value it is.
    pub variant: Option<&'s str>,
    /// Why, in OpenFeature's words.
    pub reason: Reason,
    /// Why, in our own finer words.
    pub fine: FineReason,
    /// The rule that decided.
    pub rule: Option<&'s str>,
    /// Why there is no answer but the caller's default.
    pub error: Option<EvalError<'s>>,
    /// The version of the flag that was evaluated.
    pub flag_version: Option<u64>,
    /// Whether keys of clients may see this flag; `false` for a flag that is not there.
    pub client_visible: bool,
}

/// Why, in OpenFeature's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing more specific decided.
    Default,
    /// A rule or an override decided.
    TargetingMatch,
    /// A percentage split decided.
    Split,
    /// The flag is off.
    Disabled,
    /// The configuration is older than the flag allows.
    Stale,
    /// There is no answer; see the error.
    Error,
}

impl Reason {
    /// OpenFeature's word, say `TARGETING_MATCH`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "DEFAULT",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Split => "SPLIT",
            Self::Disabled => "DISABLED",
            Self::Stale => "STALE",
            Self::Error => "ERROR",
        }
    }
}

/// Why, in our own words. The wire carries them as metadata beside the [`Reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FineReason {
    /// There is no such flag.
    FlagNotFound,
    /// The flag's type is not the one asked for.
    TypeMismatch,
    /// The flag, or the tenant's entry in the directory, is malformed.
    Malformed,
    /// What the directory says of the tenant is not loaded.
    TenantNotLoaded,
    /// The flag asks about the tenant, and there is none.
    TenantRequired,
    /// The context describes the tenant, which only the directory may.
    TenantInContext,
    /// The manifest is another tenant's.
    OtherTenant,
    /// The fallthrough splits by a unit that the context does not have.
    UnitMissing,
    /// The flag, or another one or a segment that it asks for, asks deeper than there may be, or in a circle.
    NestedTooDeep,
    /// The answer would cost too much.
    OverBudget,
    /// The outcome reached is an error that the flag's author, or the importer, put there.
    ErrorOutcome,
    /// The context has an attribute too long for a regular expression.
    AttributeTooLong,
    /// The flag is off.
    Off,
    /// The flag is off for a group of the tenant.
    GroupKill,
    /// A prerequisite is not met.
    PrerequisiteFailed,
    /// The configuration is older than the flag allows, and the flag says what it answers then.
    Stale,
    /// The configuration is older than the flag allows, and what depends on the flag should wait.
    Pause,
    /// The tenant has an override.
    TenantOverride,
    /// A group of the tenant has an override.
    GroupOverride,
    /// The user, or another entity, is an individual target.
    Target,
    /// A rule matched.
    Rule,
    /// No rule matched.
    Fallthrough,
}

impl FineReason {
    /// The word in metadata, say `TENANT_OVERRIDE`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FlagNotFound => "FLAG_NOT_FOUND",
            Self::TypeMismatch => "TYPE_MISMATCH",
            Self::Malformed => "MALFORMED",
            Self::TenantNotLoaded => "TENANT_NOT_LOADED",
            Self::TenantRequired => "TENANT_REQUIRED",
            Self::TenantInContext => "TENANT_IN_CONTEXT",
            Self::OtherTenant => "OTHER_TENANT",
            Self::UnitMissing => "UNIT_MISSING",
            Self::NestedTooDeep => "NESTED_TOO_DEEP",
            Self::OverBudget => "OVER_BUDGET",
            Self::ErrorOutcome => "ERROR_OUTCOME",
            Self::AttributeTooLong => "ATTRIBUTE_TOO_LONG",
            Self::Off => "OFF",
            Self::GroupKill => "GROUP_KILL",
            Self::PrerequisiteFailed => "PREREQUISITE_FAILED",
            Self::Stale => "STALE",
            Self::Pause => "PAUSE",
            Self::TenantOverride => "TENANT_OVERRIDE",
            Self::GroupOverride => "GROUP_OVERRIDE",
            Self::Target => "TARGET",
            Self::Rule => "RULE",
            Self::Fallthrough => "FALLTHROUGH",
        }
    }
}

/// Why there is no answer. It borrows from the snapshot; `Display` is a sentence for whoever reads the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EvalError<'s> {
    /// There is no such flag.
    #[error("there is no such flag")]
    FlagNotFound,
    /// The flag's type is not the one asked for.
    #[error("the flag is of type {actual}, not {wanted}")]
    TypeMismatch {
        /// What the caller asked for.
        wanted: ValueType,
        /// What the flag is.
        actual: ValueType,
    },
    /// The flag is malformed.
    #[error("the flag is malformed")]
    ParseError(&'s FlagFault),
    /// The tenant's entry in the directory is malformed, so its overrides are unknown.
    #[error("the tenant's entry in the directory is malformed")]
    TenantMalformed(&'s EntryFault),
    /// What the directory says of the tenant is not loaded, so its overrides are unknown. Loading it cures that.
    #[error("what the directory says of the tenant is not loaded")]
    TenantNotLoaded,
    /// The tenant's override names a variant that the flag does not have.
    #[error("the tenant's override names a variant that the flag does not have")]
    OverrideUnknownVariant,
    /// The fallthrough, or the off outcome, splits by a unit that the context does not have.
    #[error("the flag splits by a unit that the context does not have")]
    TargetingKeyMissing,
    /// The flag asks about the tenant, and the context has none.
    #[error("the flag asks about the tenant, and the context has none")]
    TenantRequired,
    /// The context describes the tenant, which only the directory may.
    #[error("the context describes the entity `tenant`, which only the tenant directory may")]
    TenantInContext,
    /// The manifest is one tenant's, and another asks, or nobody.
    #[error("the manifest is for one tenant alone, and not for the one that asks")]
    OtherTenant,
    /// Another flag that this one asks about is malformed.
    #[error("another flag that this one asks about is malformed")]
    OtherMalformed(&'s FlagFault),
    /// A segment that the flag asks about is malformed.
    #[error("a segment that the flag asks about is malformed")]
    SegmentMalformed(&'s FlagFault),
    /// A segment that the flag asks about is not there.
    #[error("the flag asks about the segment `{0}`, which is not there")]
    SegmentNotFound(&'s str),
    /// Flags and segments ask for each other too deep, or in a circle.
    #[error(
        "flags and segments ask for each other more than {MAX_PREREQUISITE_DEPTH} deep, or in a circle"
    )]
    NestedTooDeep,
    /// The answer would cost too much.
    #[error(
        "the answer needs more than {MAX_STEPS} steps or {MAX_NESTED_EVALUATIONS} other flags and segments"
    )]
    OverBudget,
    /// The outcome reached is an error.
    #[error("{0}")]
    Outcome(&'s str),
    /// An attribute is too long for a regular expression.
    #[error(
        "an attribute is too long for the regular expression that searches it: {MAX_ATTRIBUTE_BYTES} bytes at most, and fewer where it repeats hundreds of times"
    )]
    AttributeTooLong,
}

impl EvalError<'_> {
    /// OpenFeature's error code, say `FLAG_NOT_FOUND`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::FlagNotFound => "FLAG_NOT_FOUND",
            Self::TypeMismatch { .. } => "TYPE_MISMATCH",
            Self::ParseError(_)
            | Self::TenantMalformed(_)
            | Self::OverrideUnknownVariant
            | Self::OtherMalformed(_)
            | Self::SegmentMalformed(_)
            | Self::SegmentNotFound(_) => "PARSE_ERROR",
            Self::TenantNotLoaded => "PROVIDER_NOT_READY",
            Self::TargetingKeyMissing => "TARGETING_KEY_MISSING",
            Self::TenantRequired
            | Self::TenantInContext
            | Self::OtherTenant
            | Self::AttributeTooLong => "INVALID_CONTEXT",
            Self::NestedTooDeep | Self::OverBudget | Self::Outcome(_) => "GENERAL",
        }
    }

    /// The sentence with its cause: which field of the flag is malformed, and how. Allocates.
    pub fn details(&self) -> String {
        match self {
            Self::ParseError(fault)
            | Self::OtherMalformed(fault)
            | Self::SegmentMalformed(fault) => format!("{self}: {fault}"),
            Self::TenantMalformed(fault) => format!("{self}: {fault}"),
            _ => self.to_string(),
        }
    }

    pub(crate) const fn fine(&self) -> FineReason {
        match self {
            Self::FlagNotFound => FineReason::FlagNotFound,
            Self::TypeMismatch { .. } => FineReason::TypeMismatch,
            Self::ParseError(_)
            | Self::TenantMalformed(_)
            | Self::OverrideUnknownVariant
            | Self::OtherMalformed(_)
            | Self::SegmentMalformed(_)
            | Self::SegmentNotFound(_) => FineReason::Malformed,
            Self::NestedTooDeep => FineReason::NestedTooDeep,
            Self::OverBudget => FineReason::OverBudget,
            Self::Outcome(_) => FineReason::ErrorOutcome,
            Self::AttributeTooLong => FineReason::AttributeTooLong,
            Self::TargetingKeyMissing => FineReason::UnitMissing,
            Self::TenantNotLoaded => FineReason::TenantNotLoaded,
            Self::TenantRequired => FineReason::TenantRequired,
            Self::TenantInContext => FineReason::TenantInContext,
            Self::OtherTenant => FineReason::OtherTenant,
        }
    }
}
