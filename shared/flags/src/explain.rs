//! Why a flag answers what it answers: the evaluator itself, with a visitor that takes notes.

mod notes;

use std::fmt;
use std::ops::Deref;

use serde::Serialize;
use serde_json::Value as Json;

use crate::answer::{Answer, EvalError};
use crate::context::Context;
use crate::evaluate::View;
use crate::pinned::Pinned;
use crate::revision::Revision;
use crate::snapshot::Snapshot;
use crate::text::clipped;
use crate::time::Timestamp;
use notes::quoted;

pub(crate) use notes::Notes;

/// An answer and every step that led to it. Serializes for programs, displays as lines for people. It holds
/// attribute values of whoever asked, so it is for the organization's own eyes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The flag that was asked for.
    pub flag: String,
    /// The tenant that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Whether the directory knows the tenant.
    pub tenant_known: bool,
    /// The value; absent is the caller's own default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Json>,
    /// The variant whose value it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Why, in OpenFeature's words.
    pub reason: &'static str,
    /// Why, in our own finer words.
    pub fine_reason: &'static str,
    /// The rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// OpenFeature's code, when there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<&'static str>,
    /// The error in a sentence, with its cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_details: Option<String>,
    /// The version of the flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flag_version: Option<u64>,
    /// The revision of the configuration.
    pub revision: Revision,
    /// Whole seconds since the configuration was last confirmed current.
    pub age_seconds: u64,
    /// What was done, in order.
    pub steps: Vec<Step>,
}

/// One step of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// How deep it stands: 0, or inside a rule 1 and more.
    pub depth: u8,
    /// What was done.
    pub step: StepKind,
    /// What it was done to: a flag, a group, a rule's id, an attribute's path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What stood at the attribute's path; a long value is cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Json>,
    /// Whether it holds, matches or applies, where that is a question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<bool>,
    /// The step in a line for people.
    pub text: String,
}

/// The kinds of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// The flag was looked up.
    Flag,
    /// The flag is off.
    Off,
    /// A kill switch for the tenants of a group was reached.
    GroupKill,
    /// The configuration is older than the flag allows.
    Stale,
    /// A prerequisite was asked; its own steps follow one level deeper.
    Prerequisite,
    /// The tenant was looked up.
    Tenant,
    /// The tenant's override was looked for.
    TenantOverride,
    /// A group's override was reached.
    GroupOverride,
    /// A list of individual targets was reached.
    Target,
    /// A rule was asked; its conditions follow.
    Rule,
    /// A condition of parts, which follow one level deeper.
    Condition,
    /// A test on an attribute.
    Test,
    /// Another flag was asked by a condition; its own steps follow one level deeper.
    FlagTest,
    /// A segment was asked by a condition; its own steps follow one level deeper.
    Segment,
    /// The lists of a segment.
    Listed,
    /// The tenant was looked for in a group by a condition.
    Group,
    /// A percentage as a condition.
    Rollout,
    /// A percentage split, or a ramp.
    Split,
    /// No rule decided.
    Fallthrough,
}

/// Evaluates a flag as [`evaluate`](crate::evaluate::evaluate) does, and keeps every step. Allocates.
pub fn explain(view: View<'_>, flag: &str, context: &Context<'_>, now: Timestamp) -> Explanation {
    view.pin(context.borrowed(), now).explain(flag)
}

impl Explanation {
    pub(crate) fn new<S: Deref<Target = Snapshot>>(
        flag: &str,
        pinned: &Pinned<'_, S>,
        answer: &Answer<'_>,
        notes: Notes,
    ) -> Self {
        Self {
            flag: clipped(flag),
            tenant: pinned.context().tenant().map(ToString::to_string),
            tenant_known: pinned.tenant_known(),
            value: answer.value.map(crate::Value::to_json),
            variant: answer.variant.map(str::to_owned),
            reason: answer.reason.as_str(),
            fine_reason: answer.fine.as_str(),
            rule: answer.rule.map(str::to_owned),
            error_code: answer.error.as_ref().map(EvalError::code),
            error_details: answer.error.as_ref().map(EvalError::details),
            flag_version: answer.flag_version,
            revision: pinned.revision(),
            age_seconds: pinned.age().as_secs(),
            steps: notes.steps,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.as_ref().map_or_else(|| "the caller's default".into(), quoted);
        write!(f, "{} = {value}", self.flag)?;
        if let Some(variant) = &self.variant {
            write!(f, " (variant `{variant}`)")?;
        }
        write!(f, " · {} / {}", self.reason, self.fine_reason)?;
        if let Some(rule) = &self.rule {
            write!(f, " by rule `{rule}`")?;
        }
        let version = self.flag_version.map_or_else(|| "-".into(), |version| version.to_string());
        writeln!(
            f,
            "\nflag version {version}, revision {}, {} s old",
            self.revision, self.age_seconds
        )?;
        if let Some(details) = &self.error_details {
            writeln!(f, "error: {details}")?;
        }
        for step in &self.steps {
            let indent = usize::from(step.depth) * 2 + 2;
            let mark = match step.held {
                Some(true) => "+",
                Some(false) => "-",
                None => "·",
            };
            writeln!(f, "{:indent$}{mark} {}", "", step.text)?;
        }
        Ok(())
    }
}
