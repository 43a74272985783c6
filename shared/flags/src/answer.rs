//! The answer to one flag: what, and why.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::fault::{EntryFault, FlagFault};
use crate::revision::Revision;
use crate::value::Value;
use crate::wire::ValueType;

/// The answer to one flag, borrowed from the snapshot.
#[derive(Debug, Clone, PartialEq)]
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
    pub error: Option<EvalError>,
    /// The version of the flag that was evaluated.
    pub flag_version: Option<u64>,
    /// The revision of the configuration.
    pub revision: Revision,
    /// The time since the configuration was last confirmed current.
    pub age: Duration,
    /// Whether the directory knows the tenant.
    pub tenant_known: bool,
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
    /// The flag asks about the tenant, and there is none.
    TenantRequired,
    /// The context describes the tenant, which only the directory may.
    TenantInContext,
    /// The fallthrough splits by a unit that the context does not have.
    UnitMissing,
    /// The flag is off.
    Off,
    /// The tenant has an override.
    TenantOverride,
    /// A group of the tenant has an override.
    GroupOverride,
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
            Self::TenantRequired => "TENANT_REQUIRED",
            Self::TenantInContext => "TENANT_IN_CONTEXT",
            Self::UnitMissing => "UNIT_MISSING",
            Self::Off => "OFF",
            Self::TenantOverride => "TENANT_OVERRIDE",
            Self::GroupOverride => "GROUP_OVERRIDE",
            Self::Rule => "RULE",
            Self::Fallthrough => "FALLTHROUGH",
        }
    }
}

/// Why there is no answer. Cloning shares; `Display` is a sentence for whoever reads the details.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EvalError {
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
    ParseError(#[source] Arc<FlagFault>),
    /// The tenant's entry in the directory is malformed, so its overrides are unknown.
    #[error("the tenant's entry in the directory is malformed")]
    TenantMalformed(#[source] Arc<EntryFault>),
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
}

impl EvalError {
    /// OpenFeature's error code, say `FLAG_NOT_FOUND`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::FlagNotFound => "FLAG_NOT_FOUND",
            Self::TypeMismatch { .. } => "TYPE_MISMATCH",
            Self::ParseError(_) | Self::TenantMalformed(_) | Self::OverrideUnknownVariant => {
                "PARSE_ERROR"
            }
            Self::TargetingKeyMissing => "TARGETING_KEY_MISSING",
            Self::TenantRequired | Self::TenantInContext => "INVALID_CONTEXT",
        }
    }

    /// The sentence with its cause: which field of the flag is malformed, and how. Allocates.
    pub fn details(&self) -> String {
        match self {
            Self::ParseError(fault) => format!("{self}: {fault}"),
            Self::TenantMalformed(fault) => format!("{self}: {fault}"),
            _ => self.to_string(),
        }
    }

    pub(crate) const fn fine(&self) -> FineReason {
        match self {
            Self::FlagNotFound => FineReason::FlagNotFound,
            Self::TypeMismatch { .. } => FineReason::TypeMismatch,
            Self::ParseError(_) | Self::TenantMalformed(_) | Self::OverrideUnknownVariant => {
                FineReason::Malformed
            }
            Self::TargetingKeyMissing => FineReason::UnitMissing,
            Self::TenantRequired => FineReason::TenantRequired,
            Self::TenantInContext => FineReason::TenantInContext,
        }
    }
}
