//! What a definition says beyond its values, and what each class of flag asks of it (DESIGN §9).

use std::time::Duration;

use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{FlagClass, StaleActionWire, StaleWire};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Error;
use crate::input::{DefinitionInput, bounded, bounded_text};
use crate::record::Definition;
use crate::value_schema;

/// Tags of a flag, services that depend on it, and criteria of its retirement: lists that a person reads.
pub const MAX_LABELS: usize = 50;
/// Bytes of a tag, a service's name, a domain, an owner.
pub const MAX_LABEL_BYTES: usize = 128;
/// Bytes of a link.
pub const MAX_LINK_BYTES: usize = 2_048;

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// A release flag that outlives its release is debt.
const RELEASE_LIFETIME: Duration = DAY.saturating_mul(90);
const OPS_REVIEW: Duration = DAY.saturating_mul(180);
const POLICY_REVIEW: Duration = DAY.saturating_mul(365);
const RELEASE_STALE_SECONDS: u64 = 3_600;
const EXPERIMENT_STALE_SECONDS: u64 = 24 * 3_600;

/// When a flag may go. All of a flag's criteria have to be met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum RetirementCriterion {
    /// Every environment has served one variant to everybody for so many days: `{"settledDays": 30}`.
    SettledDays(u32),
    /// Nobody has asked for it for so many days: `{"unaskedDays": 30}`.
    UnaskedDays(u32),
    /// This instant has passed: `{"after": "2027-01-01T00:00:00.000Z"}`.
    #[schema(value_type = String)]
    After(Timestamp),
    /// Every environment serves this variant to everybody: `{"serves": "new-only"}`.
    #[schema(value_type = String)]
    Serves(flagforge_flags::keys::VariantKey),
    /// Something that only people can tell: `{"note": "the old ledger is archived"}`.
    Note(String),
}

/// When the flag ends or is looked at again, as its class asks for it: (ends, is reviewed).
pub(crate) fn lifetime(
    input: &DefinitionInput,
    created: Timestamp,
) -> Result<(Option<Timestamp>, Option<Timestamp>), Error> {
    let (expires, review) = (input.expires_at, input.review_at);
    if expires.is_some() && review.is_some() {
        let message = "a flag ends or is reviewed; give one of `expiresAt` and `reviewAt`";
        return Err(Error::invalid("reviewAt", message));
    }
    if expires.is_some() || (review.is_some() && input.class != FlagClass::Experiment) {
        return Ok((expires, review));
    }
    match input.class {
        FlagClass::Experiment => {
            Err(Error::invalid("expiresAt", "an experiment needs an end: say when"))
        }
        FlagClass::Release => Ok((Some(created.plus(RELEASE_LIFETIME)), None)),
        FlagClass::Ops => Ok((None, Some(created.plus(OPS_REVIEW)))),
        FlagClass::Policy => Ok((None, Some(created.plus(POLICY_REVIEW)))),
        FlagClass::Migration => Ok((None, None)),
    }
}

/// Counts a definition's end and review from `now`, where its class counts them.
pub(crate) fn begin_anew(record: &mut Definition, now: Timestamp) {
    match record.class {
        FlagClass::Release => record.expires_at = Some(now.plus(RELEASE_LIFETIME)),
        FlagClass::Ops => record.review_at = Some(now.plus(OPS_REVIEW)),
        FlagClass::Policy => record.review_at = Some(now.plus(POLICY_REVIEW)),
        FlagClass::Experiment | FlagClass::Migration => {}
    }
}

/// What an environment's state does when its configuration is old, where it says nothing itself.
pub(crate) fn stale(class: FlagClass, chosen: Option<&StaleWire>) -> Option<StaleWire> {
    let last_known = |after_seconds| StaleWire { after_seconds, then: StaleActionWire::LastKnown };
    match (chosen, class) {
        (Some(chosen), _) => Some(chosen.clone()),
        (None, FlagClass::Release) => Some(last_known(RELEASE_STALE_SECONDS)),
        (None, FlagClass::Experiment) => Some(last_known(EXPERIMENT_STALE_SECONDS)),
        (None, FlagClass::Ops | FlagClass::Policy | FlagClass::Migration) => None,
    }
}

/// Refuses what no definition may say, and what its class does not let it leave out.
pub(crate) fn check(input: &DefinitionInput) -> Result<(), Error> {
    bounded_text("description", &input.description)?;
    label("owner", input.owner.as_deref())?;
    label("domain", input.domain.as_deref())?;
    labels("tags", &input.tags)?;
    labels("dependents", &input.dependents)?;
    if let Some(link) = &input.documentation {
        bounded("documentation", "bytes", MAX_LINK_BYTES, link.len())?;
        if !link.starts_with("https://") && !link.starts_with("http://") {
            return Err(Error::invalid("documentation", "must be an http or https address"));
        }
    }
    bounded("retirement", "criteria", MAX_LABELS, input.retirement.len())?;
    for (index, criterion) in input.retirement.iter().enumerate() {
        if let RetirementCriterion::Note(note) = criterion {
            bounded_text(&format!("retirement[{index}].note"), note)?;
        }
    }
    by_class(input)?;
    value_schema::check(input.schema.as_ref(), &input.variants)
}

fn by_class(input: &DefinitionInput) -> Result<(), Error> {
    match input.class {
        FlagClass::Migration if input.retirement.is_empty() => {
            let message = "a migration needs criteria of its end, say [{\"settledDays\": 30}]";
            Err(Error::invalid("retirement", message))
        }
        FlagClass::Ops | FlagClass::Policy if input.stale.is_none() => {
            let message = "choose how old the configuration may be for this flag, and what it does then, say \
                {\"afterSeconds\": 300, \"then\": \"lastKnown\"}; or \"pause\", or {\"serve\": {\"variant\": \"off\"}} to fail closed";
            Err(Error::invalid("stale", message))
        }
        _ => Ok(()),
    }
}

fn label(field: &str, text: Option<&str>) -> Result<(), Error> {
    let Some(text) = text else { return Ok(()) };
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Error::invalid(field, "has at least one character, and no control characters"));
    }
    bounded(field, "bytes", MAX_LABEL_BYTES, text.len())
}

fn labels(field: &str, texts: &[String]) -> Result<(), Error> {
    bounded(field, "entries", MAX_LABELS, texts.len())?;
    for (index, text) in texts.iter().enumerate() {
        let field = format!("{field}[{index}]");
        label(&field, Some(text))?;
        if texts.iter().take(index).any(|earlier| earlier == text) {
            return Err(Error::invalid(field, format!("`{text}` occurs twice")));
        }
    }
    Ok(())
}
