//! The visitor that takes notes: every step as a line.

use serde_json::Value as Json;

use super::{Step, StepKind};
use crate::subject::Found;
use crate::text::{MAX_QUOTED_BYTES, clipped};
use crate::trace::{Asked, Event, Junction, Visitor};

/// Steps that are kept. Flags and lists that ask for much take more, and nobody reads them.
const MAX_KEPT_STEPS: usize = 10_000;

#[derive(Default)]
pub(crate) struct Notes {
    pub(super) steps: Vec<Step>,
    /// Places of the steps whose end is still to come.
    open: Vec<usize>,
    /// How deep other flags and segments stand that are being asked, the innermost last.
    bases: Vec<u8>,
    /// Takes what is noted after the last step that is kept.
    beyond: Option<Step>,
}

impl Notes {
    fn note(&mut self, depth: u8, step: StepKind, text: String) -> &mut Step {
        let depth = depth.saturating_add(self.bases.last().copied().unwrap_or(0));
        let step = Step { depth, step, subject: None, found: None, held: None, text };
        if self.steps.len() < MAX_KEPT_STEPS {
            return self.steps.push_mut(step);
        }
        self.beyond.insert(step)
    }

    fn open(&mut self) {
        let place = self.steps.len().saturating_sub(1);
        // A step that was not kept is not closed either.
        self.open.push(if self.beyond.is_some() { usize::MAX } else { place });
    }

    fn close(&mut self, held: bool) {
        if let Some(step) = self.open.pop().and_then(|place| self.steps.get_mut(place)) {
            step.held = Some(held);
        }
    }

    fn asked(&mut self, asked: Asked, key: &str) {
        let (depth, kind, text) = match asked {
            Asked::Prerequisite => {
                (0, StepKind::Prerequisite, format!("prerequisite: flag `{key}`"))
            }
            Asked::Flag { depth } => (depth + 1, StepKind::FlagTest, format!("flag `{key}`")),
            Asked::Segment { depth } => (depth + 1, StepKind::Segment, format!("segment `{key}`")),
        };
        self.note(depth, kind, text).subject = Some(key.into());
        self.open();
        let base = self.bases.last().copied().unwrap_or(0);
        self.bases.push(base.saturating_add(depth).saturating_add(1));
    }

    fn split(&mut self, event: &Event<'_>) {
        let Event::Split { unit, found, buckets, bucket, bound, variant, .. } = event else {
            return;
        };
        let by = match bound {
            None => format!("split by {unit} = {}", shown(*found)),
            Some(bound) => format!("ramp at {bound} by {unit} = {}", shown(*found)),
        };
        let text = match (bucket, variant) {
            (Some(bucket), Some(variant)) => {
                format!("{by}: bucket {bucket} of {buckets} is `{variant}`")
            }
            _ => format!("{by}: no unit to hash, no match"),
        };
        let step = self.note(0, StepKind::Split, text);
        step.subject = Some((*unit).into());
        step.found = kept(*found);
        step.held = Some(bucket.is_some());
    }

    fn rollout(&mut self, event: &Event<'_>) {
        let Event::Rollout { depth, unit, found, buckets, bucket, from, until, held, .. } = event
        else {
            return;
        };
        let found_text = shown(*found);
        let text = match bucket {
            Some(bucket) => format!(
                "rollout by {unit} = {found_text}: bucket {bucket} of {buckets}, wanted {from} to below {until}"
            ),
            None => format!("rollout by {unit} = {found_text}: no unit to hash, no match"),
        };
        let step = self.note(depth + 1, StepKind::Rollout, text);
        step.subject = Some((*unit).into());
        step.found = kept(*found);
        step.held = Some(*held);
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

    fn elements(&mut self, depth: u8, attribute: &str, every: bool, found: Found<'_>) {
        let which = if every { "every" } else { "some" };
        let text = format!("{which} element of {attribute} = {}", shown(found));
        let step = self.note(depth + 1, StepKind::Condition, text);
        step.subject = Some(attribute.into());
        step.found = kept(found);
        self.open();
    }

    fn flag(&mut self, key: &str, error: Option<crate::EvalError<'_>>) {
        let key = clipped(key);
        let text = match error {
            None => format!("flag `{key}` is there"),
            Some(error) => format!("flag `{key}`: {}", error.details()),
        };
        let step = self.note(0, StepKind::Flag, text);
        step.held = Some(error.is_none());
        step.subject = Some(key);
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

    fn tenant_override(&mut self, variant: Option<&str>, expired: bool) {
        let text = match variant {
            Some(variant) if expired => format!("override for the tenant: `{variant}`, expired"),
            Some(variant) => format!("override for the tenant: `{variant}`"),
            None => "no override for the tenant".into(),
        };
        let held = variant.is_some() && !expired;
        self.note(0, StepKind::TenantOverride, text).held = Some(held);
    }

    fn group_override(&mut self, group: &str, variant: &str, member: bool, expired: bool) {
        let text = match (member, expired) {
            (_, true) => format!("override for group `{group}`: `{variant}`, expired"),
            (true, false) => format!("override for group `{group}`: `{variant}`"),
            (false, false) => format!("override for group `{group}`: the tenant is not in it"),
        };
        let step = self.note(0, StepKind::GroupOverride, text);
        step.held = Some(member && !expired);
        step.subject = Some(group.into());
    }

    fn group_kill(&mut self, group: &str, member: bool) {
        let text = match member {
            true => format!("kill switch for group `{group}`: its off outcome decides"),
            false => format!("kill switch for group `{group}`: the tenant is not in it"),
        };
        let step = self.note(0, StepKind::GroupKill, text);
        step.held = Some(member);
        step.subject = Some(group.into());
    }

    fn target(&mut self, key: Option<&str>, variant: &str, held: bool) {
        let who = key.map_or_else(|| "nobody".into(), |key| format!("{:?}", clipped(key)));
        let not = if held { "" } else { "not " };
        let text = format!("target: {who} is {not}on the list for `{variant}`");
        let step = self.note(0, StepKind::Target, text);
        step.held = Some(held);
        step.subject = key.map(clipped);
    }

    fn listed(&mut self, key: Option<&str>, included: Option<bool>) {
        let who = key.map_or_else(|| "nobody".into(), |key| format!("{:?}", clipped(key)));
        let text = match included {
            Some(true) => format!("{who} is included"),
            Some(false) => format!("{who} is excluded"),
            None => format!("{who} is on neither list"),
        };
        let step = self.note(0, StepKind::Listed, text);
        step.held = included;
        step.subject = key.map(clipped);
    }
}

impl Visitor for Notes {
    fn visit(&mut self, event: Event<'_>) {
        match event {
            Event::Flag { key, error } => self.flag(key, error),
            Event::Off => {
                self.note(0, StepKind::Off, "the flag is off: its off outcome decides".into());
            }
            Event::Stale { age, after } => {
                let (age, after) = (age.as_secs(), after.as_secs());
                let text = format!("the configuration is {age} s old, the flag allows {after} s");
                self.note(0, StepKind::Stale, text);
            }
            Event::Asked { asked, key } => self.asked(asked, key),
            Event::Told { held } => {
                self.bases.pop();
                self.close(held);
            }
            Event::Listed { key, included } => self.listed(key, included),
            Event::GroupKill { group, member } => self.group_kill(group, member),
            Event::Tenant { key, known } => self.tenant(key, known),
            Event::TenantOverride { variant, expired } => self.tenant_override(variant, expired),
            Event::GroupOverride { group, variant, member, expired } => {
                self.group_override(group, variant, member, expired);
            }
            Event::Target { key, variant, held } => self.target(key, variant, held),
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
                    Junction::AnyElement => "some element",
                    Junction::AllElements => "every element",
                };
                self.note(depth + 1, StepKind::Condition, text.into());
                self.open();
            }
            Event::RuleDecided { held, .. } | Event::Leave { held, .. } => self.close(held),
            Event::Always { depth } => {
                self.note(depth + 1, StepKind::Condition, "always".into()).held = Some(true);
            }
            Event::Test { .. } => self.test(&event),
            Event::Elements { depth, attribute, every, found } => {
                self.elements(depth, attribute, every, found);
            }
            Event::InGroup { depth, group, held } => {
                let step = self.note(depth + 1, StepKind::Group, format!("in group `{group}`"));
                step.held = Some(held);
                step.subject = Some(group.into());
            }
            Event::Rollout { .. } => self.rollout(&event),
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
        Found::Key(text) | Found::Text(text) => format!("{:?}", clipped(text)),
        Found::Bool(yes) => yes.to_string(),
        Found::Number(number) => number.to_string(),
        Found::Json(json) => quoted(json),
    }
}

/// One request may be tested by thousands of conditions: what is long is cut for each.
fn kept(found: Found<'_>) -> Option<Json> {
    match found {
        Found::Key(text) | Found::Text(text) => Some(clipped(text).into()),
        Found::Json(json) => {
            let text = json.to_string();
            let short = text.len() <= MAX_QUOTED_BYTES;
            Some(if short { json.clone() } else { clipped(&text).into() })
        }
        Found::Missing | Found::Bool(_) | Found::Number(_) => found.to_json(),
    }
}

pub(super) fn quoted(json: &Json) -> String {
    clipped(&json.to_string())
}
