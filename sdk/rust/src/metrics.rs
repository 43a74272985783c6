//! Metrics through the `metrics` facade, for hosts that asked for them. OpenTelemetry's conventions name the
//! attributes of feature flags and no metrics, so the metrics' own names are ours, after its rules for names.

use flagforge_flags::Value;

use crate::details::Details;
use crate::loader::LoadError;
use crate::observers::Question;
use crate::shared::Shared;

/// What a refresh came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Another manifest.
    Changed,
    /// The same.
    Confirmed,
    /// Something that is not believed.
    Refused,
    /// Nothing.
    Failed,
}

impl Outcome {
    pub(crate) const fn of(error: &LoadError) -> Self {
        match error {
            LoadError::Refused(_) => Self::Refused,
            LoadError::Origin(_) | LoadError::Absent(_) => Self::Failed,
        }
    }
}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn refreshed(_: &Shared, _: Outcome) {}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn answered(_: &Question<'_>, _: &Details<'_, Option<&Value>>, _: &Shared) {}

#[cfg(feature = "metrics")]
pub(crate) use told::{answered, refreshed};

#[cfg(feature = "metrics")]
mod told {
    use flagforge_flags::Reason;
    use metrics::{Label, counter, gauge};

    use super::{Details, Outcome, Question, Shared, Value};
    use crate::client::Status;
    use crate::clock;
    use crate::hook::{PROVIDER, error_type};
    use crate::observers::SetId;

    fn labels(shared: &Shared) -> Vec<Label> {
        let set = SetId(&shared.scope).to_string();
        let provider = Label::new("feature_flag.provider.name", PROVIDER);
        vec![provider, Label::new("feature_flag.set.id", set)]
    }

    fn labels_and(shared: &Shared, more: impl IntoIterator<Item = Label>) -> Vec<Label> {
        let mut labels = labels(shared);
        labels.extend(more);
        labels
    }

    /// A refresh has ended.
    pub(crate) fn refreshed(shared: &Shared, outcome: Outcome) {
        if !shared.observers.as_ref().is_some_and(|observers| observers.metrics) {
            return;
        }
        let word = match outcome {
            Outcome::Changed => "changed",
            Outcome::Confirmed => "confirmed",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        };
        let outcome = Label::new("flagforge.outcome", word);
        counter!("flagforge.client.refreshes", labels_and(shared, [outcome])).increment(1);
        let manifest = shared.current.load();
        if !manifest.is_there() {
            return;
        }
        let age = clock::now().since(manifest.confirmed()).as_secs_f64();
        gauge!("flagforge.client.age", labels(shared)).set(age);
        // 64 at most, so exact.
        gauge!("flagforge.client.held", labels(shared)).set(manifest.held().len() as f64);
        if let Some(lag) = shared.applied().and_then(|applied| applied.lag) {
            gauge!("flagforge.client.lag", labels(shared)).set(lag.as_secs_f64());
        }
        let revision = manifest.snapshot().revision();
        for (log, number) in [("org", revision.org), ("env", revision.env)] {
            let log = Label::new("flagforge.log", log);
            // Exact up to 2^53, of which a log that grows by a thousand a second is in 285,000 years.
            let number = number as f64;
            gauge!("flagforge.client.revision", labels_and(shared, [log])).set(number);
        }
    }

    /// An answer was given. One that is no fallback costs a look at the status.
    pub(crate) fn answered(
        question: &Question<'_>,
        details: &Details<'_, Option<&Value>>,
        shared: &Shared,
    ) {
        let key = Label::new("feature_flag.key", question.flag());
        if let Some(error) = &details.error {
            let kind = error_type(error);
            if kind == "type_mismatch" {
                let labels = labels_and(shared, [key.clone()]);
                counter!("flagforge.client.mismatches", labels).increment(1);
            }
            let kind = Label::new("error.type", kind);
            return fallback(shared, "default", [key, kind]);
        }
        if details.reason == Reason::Stale {
            fallback(shared, "stale", [key]);
        } else if shared.status() == Status::LastKnownGood {
            fallback(shared, "last_known_good", [key]);
        }
    }

    fn fallback(shared: &Shared, path: &'static str, more: impl IntoIterator<Item = Label>) {
        let mut labels = labels_and(shared, more);
        labels.push(Label::new("flagforge.fallback", path));
        counter!("flagforge.client.fallbacks", labels).increment(1);
    }
}
