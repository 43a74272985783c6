//! Our answers in OpenFeature's words.

use flagforge::{Basis, Details, FineReason, FlagError, Flags, Reason};
use flagforge_flags::explain::StepKind;
use open_feature::provider::ResolutionDetails;
use open_feature::{
    EvaluationError, EvaluationErrorCode as Code, EvaluationReason, EvaluationResult, FlagMetadata,
};

/// Where the flag says the caller's own default, the reason for it, say `DISABLED`; `None` for any other error.
///
/// Providers in Rust are not told the caller's default, and have to give a value or an error. An error is what makes
/// `client.get_bool_value(…).await.unwrap_or(default)` right, so this one is.
pub fn reason_of_default(error: &EvaluationError) -> Option<&str> {
    let Code::General(code) = &error.code else { return None };
    code.strip_prefix(CALLER_DEFAULT)
}

const CALLER_DEFAULT: &str = "CALLER_DEFAULT ";

/// The answer with its value read, or why there is none.
pub(crate) fn resolved<A, V>(
    flags: &Flags<'_>,
    flag: &str,
    details: Details<'_, A>,
    own: impl FnOnce(A) -> EvaluationResult<V>,
) -> EvaluationResult<ResolutionDetails<V>> {
    if let Some(refused) = &details.error {
        return Err(error(code(refused.code()), sentence(refused)));
    }
    let reason = reason(flags, flag, &details);
    let Some(variant) = details.variant else {
        let message = "the flag says the caller's own default";
        return Err(error(Code::General(format!("{CALLER_DEFAULT}{reason}")), message));
    };
    let (variant, flag_metadata) = (Some(variant.to_owned()), Some(metadata(&details)));
    let value = own(details.value)?;
    Ok(ResolutionDetails { value, variant, reason: Some(reason), flag_metadata })
}

/// OpenFeature tells a flag that asks nobody anything (`STATIC`) from one whose rules did not match (`DEFAULT`). Only the steps say which it
/// is; they are taken where nothing more specific decided.
fn reason<A>(flags: &Flags<'_>, flag: &str, details: &Details<'_, A>) -> EvaluationReason {
    match details.reason {
        Reason::Default if details.variant.is_some() && asks_nobody(flags, flag, details.fine) => {
            EvaluationReason::Static
        }
        Reason::Default => EvaluationReason::Default,
        Reason::TargetingMatch => EvaluationReason::TargetingMatch,
        Reason::Split => EvaluationReason::Split,
        Reason::Disabled => EvaluationReason::Disabled,
        Reason::Stale => EvaluationReason::Other(Reason::Stale.as_str().to_owned()),
        Reason::Error => EvaluationReason::Error,
    }
}

fn asks_nobody(flags: &Flags<'_>, flag: &str, fine: Option<FineReason>) -> bool {
    let looks = [StepKind::Flag, StepKind::Tenant, StepKind::TenantOverride, StepKind::Fallthrough];
    fine == Some(FineReason::Fallthrough)
        && flags
            .explain(flag)
            .is_some_and(|it| it.steps.iter().all(|step| looks.contains(&step.step)))
}

/// What the relay's OFREP answers say, under the same names.
fn metadata<A>(details: &Details<'_, A>) -> FlagMetadata {
    let Basis { revision, age, tenant_known } = *details.basis;
    let mut metadata = FlagMetadata::default().with_value("tenantKnown", tenant_known);
    if let Some(fine) = details.fine {
        metadata.add_value("fineReason", fine.as_str());
    }
    if let Some(rule) = details.rule {
        metadata.add_value("rule", rule);
    }
    if let Some(version) = details.version {
        metadata.add_value("flagVersion", whole(version));
    }
    if details.reason == Reason::Stale {
        metadata.add_value("stale", true);
    }
    if let Some(revision) = revision {
        metadata.add_value("revision", revision.to_string());
    }
    if let Some(age) = age {
        metadata.add_value("ageSeconds", whole(age.as_secs()));
    }
    metadata
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn sentence(error: &FlagError<'_>) -> String {
    match error {
        FlagError::Evaluation(error) => error.details(),
        other => other.to_string(),
    }
}

fn code(code: &str) -> Code {
    match code {
        "PROVIDER_NOT_READY" => Code::ProviderNotReady,
        "FLAG_NOT_FOUND" => Code::FlagNotFound,
        "PARSE_ERROR" => Code::ParseError,
        "TYPE_MISMATCH" => Code::TypeMismatch,
        "TARGETING_KEY_MISSING" => Code::TargetingKeyMissing,
        "INVALID_CONTEXT" => Code::InvalidContext,
        other => Code::General(other.to_owned()),
    }
}

pub(crate) fn error(code: Code, message: impl Into<String>) -> EvaluationError {
    EvaluationError { code, message: Some(message.into()) }
}

pub(crate) fn invalid(message: impl Into<String>) -> EvaluationError {
    error(Code::InvalidContext, message)
}
