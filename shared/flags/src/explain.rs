//! Why a flag answers what it answers: the evaluator itself, with a visitor that takes notes.

use std::fmt;

use serde::Serialize;
use serde_json::Value as Json;

use crate::answer::{Answer, EvalError};
use crate::condition::Found;
use crate::context::Context;
use crate::evaluate::{View, evaluate_with};
use crate::revision::Revision;
use crate::text::{MAX_QUOTED_BYTES, clipped};
use crate::time::Timestamp;
use crate::trace::{Event, Junction, Visitor};

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
    /// The tenant was looked up.
    Tenant,
    /// The tenant's override was looked for.
    TenantOverride,
    /// A group's override was reached.
    GroupOverride,
    /// A rule was asked; its conditions follow.
    Rule,
    /// A condition of parts, which follow one level deeper.
    Condition,
    /// A test on an attribute.
    Test,
    /// A percentage split.
    Split,
    /// No rule decided.
    Fallthrough,
}

/// Evaluates a flag as [`evaluate`](crate::evaluate::evaluate) does, and keeps every step. Allocates.
pub fn explain(view: View<'_>, flag: &str, context: &Context, now: Timestamp) -> Explanation {
    let mut notes = Notes::default();
    let answer = evaluate_with(view, flag, None, context, now, &mut notes);
    Explanation::new(flag, context, &answer, notes.steps)
}

impl Explanation {
    fn new(flag: &str, context: &Context, answer: &Answer<'_>, steps: Vec<Step>) -> Self {
        Self {
            flag: clipped(flag),
            tenant: context.tenant().map(ToString::to_string),
            tenant_known: answer.tenant_known,
            value: answer.value.map(crate::Value::to_json),
            variant: answer.variant.map(str::to_owned),
            reason: answer.reason.as_str(),
            fine_reason: answer.fine.as_str(),
            rule: answer.rule.map(str::to_owned),
            error_code: answer.error.as_ref().map(EvalError::code),
            error_details: answer.error.as_ref().map(EvalError::details),
            flag_version: answer.flag_version,
            revision: answer.revision,
            age_seconds: answer.age.as_secs(),
            steps,
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

#[derive(Default)]
struct Notes {
    steps: Vec<Step>,
    /// Places of the steps whose end is still to come.
    open: Vec<usize>,
}

impl Notes {
    fn note(&mut self, depth: u8, step: StepKind, text: String) -> &mut Step {
        let step = Step { depth, step, subject: None, found: None, held: None, text };
        self.steps.push_mut(step)
    }

    fn open(&mut self) {
        self.open.push(self.steps.len().saturating_sub(1));
    }

    fn close(&mut self, held: bool) {
        if let Some(step) = self.open.pop().and_then(|place| self.steps.get_mut(place)) {
            step.held = Some(held);
        }
    }

    fn split(&mut self, event: &Event<'_>) {
        let Event::Split { unit, found, buckets, bucket, variant } = event else { return };
        let text = match (bucket, variant) {
            (Some(bucket), Some(variant)) => format!(
                "split by {unit} = {}: bucket {bucket} of {buckets} is `{variant}`",
                shown(*found)
            ),
            _ => format!("split by {unit} = {}: no unit to hash, no match", shown(*found)),
        };
        let step = self.note(0, StepKind::Split, text);
        step.subject = Some((*unit).into());
        step.found = kept(*found);
        step.held = Some(bucket.is_some());
    }

    fn test(&mut self, event: &Event<'_>) {
        let Event::Test { depth, attribute, operator, negate, operands, found, held } = event
        else {
            return;
        };
        let not = if *negate { "not " } else { "" };
        let (operator, shown) = (operator.as_str(), shown(*found));
        let text = format!("{attribute} = {shown}, {not}{operator} {operands}");
        let step = self.note(depth + 1, StepKind::Test, text);
        step.subject = Some((*attribute).into());
        step.found = kept(*found);
        step.held = Some(*held);
    }

    fn tenant(&mut self, key: Option<&str>, known: bool) {
        let text = match (key, known) {
            (None, _) => "no tenant".into(),
            (Some(key), true) => format!("tenant `{key}` is in the directory"),
            (Some(key), false) => {
                format!("tenant `{key}` has no usable entry in the directory")
            }
        };
        let step = self.note(0, StepKind::Tenant, text);
        step.subject = key.map(str::to_owned);
        step.held = key.map(|_| known);
    }
}

impl Visitor for Notes {
    fn visit(&mut self, event: Event<'_>) {
        match event {
            Event::Flag { key, error } => {
                let key = clipped(key);
                let text = match error {
                    None => format!("flag `{key}` is there"),
                    Some(error) => format!("flag `{key}`: {}", error.details()),
                };
                let step = self.note(0, StepKind::Flag, text);
                step.held = Some(error.is_none());
                step.subject = Some(key);
            }
            Event::Off => {
                self.note(0, StepKind::Off, "the flag is off: its off outcome decides".into());
            }
            Event::Tenant { key, known } => self.tenant(key, known),
            Event::TenantOverride { variant } => {
                let text = match variant {
                    Some(variant) => format!("override for the tenant: `{variant}`"),
                    None => "no override for the tenant".into(),
                };
                self.note(0, StepKind::TenantOverride, text).held = Some(variant.is_some());
            }
            Event::GroupOverride { group, variant, member } => {
                let text = if member {
                    format!("override for group `{group}`: `{variant}`")
                } else {
                    format!("override for group `{group}`: the tenant is not in it")
                };
                let step = self.note(0, StepKind::GroupOverride, text);
                step.held = Some(member);
                step.subject = Some(group.into());
            }
            Event::RuleEntered { index, id } => {
                let text = format!("rule {} `{id}`", index + 1);
                self.note(0, StepKind::Rule, text).subject = Some(id.into());
                self.open();
            }
            Event::Enter { depth, junction } => {
                let text = match junction {
                    Junction::All => "all of",
                    Junction::Any => "any of",
                    Junction::Not => "not",
                };
                self.note(depth + 1, StepKind::Condition, text.into());
                self.open();
            }
            Event::RuleDecided { held, .. } | Event::Leave { held, .. } => self.close(held),
            Event::Always { depth } => {
                self.note(depth + 1, StepKind::Condition, "always".into()).held = Some(true);
            }
            Event::Test { .. } => self.test(&event),
            Event::Split { .. } => self.split(&event),
            Event::Fallthrough => {
                let text = "no rule decided: the fallthrough decides".into();
                self.note(0, StepKind::Fallthrough, text);
            }
        }
    }
}

fn shown(found: Found<'_>) -> String {
    match found {
        Found::Missing => "(missing)".into(),
        Found::Key(key) => format!("{:?}", clipped(key)),
        Found::Attribute(json) => quoted(json),
    }
}

fn kept(found: Found<'_>) -> Option<Json> {
    match found {
        Found::Missing => None,
        Found::Key(key) => Some(clipped(key).into()),
        // One request may be tested by thousands of conditions: what is long is cut for each.
        Found::Attribute(json) => {
            let text = json.to_string();
            let short = text.len() <= MAX_QUOTED_BYTES;
            Some(if short { json.clone() } else { clipped(&text).into() })
        }
    }
}

fn quoted(json: &Json) -> String {
    clipped(&json.to_string())
}
