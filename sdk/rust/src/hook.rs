//! Hooks: the host's code around every answer.

use flagforge_flags::{Reason, Value};
use thiserror::Error;

use crate::details::{Details, FlagError};
use crate::observers::Question;

/// The host's code around an answer, with OpenFeature's four stages and their order: `before` in the order in which
/// hooks were named, `after`, `error` and `finally` in the reverse. It runs in the caller's thread and keeps the
/// caller waiting, so it does nothing slow; it cannot wait for a future. A client without hooks pays nothing for them.
///
/// Other than OpenFeature's, `before` cannot change who asks: all answers of one [`Flags`](crate::Flags) are for one
/// asker. [`Flags::all`](crate::Flags::all) and [`Flags::explain`](crate::Flags::explain) run no hooks.
pub trait Hook: Send + Sync + 'static {
    /// Before the evaluation. A refusal ends it: the caller's default is answered, and no later `before` runs.
    fn before(&self, question: &Question<'_>) -> Result<(), Refused> {
        let _ = question;
        Ok(())
    }

    /// After an evaluation without error; a value of `None` is the caller's default. A refusal ends it as in `before`.
    fn after(
        &self,
        question: &Question<'_>,
        details: &Details<'_, Option<&Value>>,
    ) -> Result<(), Refused> {
        let _ = (question, details);
        Ok(())
    }

    /// After an error, of the evaluation or of a hook.
    fn error(&self, question: &Question<'_>, error: &FlagError<'_>) {
        let _ = (question, error);
    }

    /// At the end, whatever happened, with what the caller is answered.
    fn finally(&self, question: &Question<'_>, details: &Details<'_, Option<&Value>>) {
        let _ = (question, details);
    }
}

/// Why a hook lets the caller's default be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a hook refused: {0}")]
pub struct Refused(pub &'static str);

/// A hook that tells `tracing` of every answer at level DEBUG, under the names of OpenTelemetry's semantic
/// conventions for feature flags: the event `feature_flag.evaluation` and its attributes. It leaves out the value, which
/// may be large or private, and tells the user's key as `feature_flag.context.id`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traced;

/// What OpenTelemetry's `feature_flag.provider.name` says of us.
pub(crate) const PROVIDER: &str = "flagforge";

impl Hook for Traced {
    fn finally(&self, question: &Question<'_>, details: &Details<'_, Option<&Value>>) {
        let error = details.error.as_ref();
        tracing::event!(
            name: "feature_flag.evaluation",
            target: "feature_flag.evaluation",
            tracing::Level::DEBUG,
            feature_flag.key = question.flag(),
            feature_flag.provider.name = PROVIDER,
            feature_flag.set.id = %question.set(),
            feature_flag.result.variant = details.variant,
            feature_flag.result.reason = reason(details.reason),
            feature_flag.version = details.version,
            feature_flag.context.id = question.user(),
            "error.type" = error.map(|error| error_type(error)),
            feature_flag.error.message = error.map(tracing::field::display),
            flagforge.tenant = question.tenant().map(|tenant| tenant.as_str()),
        );
    }
}

/// OpenTelemetry's word for a reason: OpenFeature's in lower case.
pub(crate) const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Default => "default",
        Reason::TargetingMatch => "targeting_match",
        Reason::Split => "split",
        Reason::Disabled => "disabled",
        Reason::Stale => "stale",
        Reason::Error => "error",
    }
}

/// OpenTelemetry's `error.type`: OpenFeature's code in lower case.
pub(crate) fn error_type(error: &FlagError<'_>) -> &'static str {
    match error.code() {
        "PROVIDER_NOT_READY" => "provider_not_ready",
        "FLAG_NOT_FOUND" => "flag_not_found",
        "PARSE_ERROR" => "parse_error",
        "TYPE_MISMATCH" => "type_mismatch",
        "TARGETING_KEY_MISSING" => "targeting_key_missing",
        "INVALID_CONTEXT" => "invalid_context",
        _ => "general",
    }
}
