//! What is allowed and still most likely a mistake: warnings for the people who edit flags. Evaluation never asks them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::wire::{
    ConditionWire, FlagIsWire, FlagTestWire, FlagWire, OperatorName, OutcomeWire, SegmentWire,
    TestWire,
};

/// Levels of conditions that are looked into; deeper ones are refused when they are compiled.
const MAX_DEPTH: usize = crate::compile::MAX_CONDITION_DEPTH;

/// Something that its author most likely did not mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// What kind of mistake.
    pub kind: WarningKind,
    /// The flag's key, or the segment's.
    pub subject: String,
    /// The path in it; `.` is the whole.
    pub path: String,
    /// The mistake in a sentence.
    pub message: String,
}

/// The kinds of mistakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarningKind {
    /// A rule that is never asked, because one before it always holds.
    UnreachableRule,
    /// A condition that nobody can stand.
    NeverTrue,
    /// A variant that no outcome, override or target leads to.
    UnusedVariant,
    /// Buckets of a split that no range covers, or a rollout of nobody.
    UncoveredRange,
    /// A segment that no flag and no other segment asks for.
    UnusedSegment,
    /// A segment that is asked for and is not there.
    AbsentSegment,
    /// A flag that is asked for and is not there.
    AbsentFlag,
    /// A variant that is asked for and that the other flag does not have.
    AbsentVariant,
    /// Flags or segments that ask for each other in a circle.
    Circle,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.subject, self.path, self.message)
    }
}

/// Looks at flags and segments of one environment together.
pub fn check(flags: &[FlagWire], segments: &[SegmentWire]) -> Vec<Warning> {
    let mut checker = Checker {
        flags: flags.iter().map(|flag| (flag.key.as_str(), flag)).collect(),
        segments: segments.iter().map(|segment| segment.key.as_str()).collect(),
        asked_segments: BTreeSet::new(),
        asks: BTreeMap::new(),
        subject: Node::Flag(""),
        warnings: Vec::new(),
    };
    for segment in segments {
        checker.subject = Node::Segment(segment.key.as_str());
        if let Some(when) = &segment.when {
            checker.condition("when", when, 1);
        }
    }
    for flag in flags {
        checker.flag(flag);
    }
    for segment in segments {
        let key = segment.key.as_str();
        if !checker.asked_segments.contains(key) {
            checker.subject = Node::Segment(key);
            checker.warn(WarningKind::UnusedSegment, ".", "no flag asks for this segment".into());
        }
    }
    checker.circles();
    checker.warnings
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Node<'w> {
    Flag(&'w str),
    Segment(&'w str),
}

struct Checker<'w> {
    flags: BTreeMap<&'w str, &'w FlagWire>,
    segments: BTreeSet<&'w str>,
    asked_segments: BTreeSet<&'w str>,
    /// Who asks for whom.
    asks: BTreeMap<Node<'w>, BTreeSet<Node<'w>>>,
    subject: Node<'w>,
    warnings: Vec<Warning>,
}

impl<'w> Checker<'w> {
    fn warn(&mut self, kind: WarningKind, path: &str, message: String) {
        let (Node::Flag(subject) | Node::Segment(subject)) = self.subject;
        let (subject, path) = (subject.to_owned(), path.to_owned());
        self.warnings.push(Warning { kind, subject, path, message });
    }

    fn ask(&mut self, other: Node<'w>) {
        self.asks.entry(self.subject).or_default().insert(other);
    }

    fn flag(&mut self, flag: &'w FlagWire) {
        self.subject = Node::Flag(flag.key.as_str());
        let state = &flag.state;
        for (i, test) in state.prerequisites.iter().enumerate() {
            self.flag_test(&format!("state.prerequisites[{i}]"), test);
        }
        let mut deciding = None;
        for (i, rule) in state.rules.iter().enumerate() {
            let path = format!("state.rules[{i}]");
            if let Some(before) = deciding {
                let message = format!("it is never asked: `{before}` decides for everybody");
                self.warn(WarningKind::UnreachableRule, &path, message);
            }
            self.condition(&format!("{path}.when"), &rule.when, 1);
            self.outcome(&format!("{path}.serve"), &rule.serve);
            // A split goes on to the next rule where there is no unit.
            let decides = !matches!(rule.serve, OutcomeWire::Split(_) | OutcomeWire::Ramp(_));
            if deciding.is_none() && decides && constant(&rule.when, 1) == Some(true) {
                deciding = Some(&rule.id);
            }
        }
        self.outcome("state.off", &state.off);
        self.outcome("state.fallthrough", &state.fallthrough);
        self.variants(flag);
    }

    fn variants(&mut self, flag: &FlagWire) {
        let used: BTreeSet<&str> = flag.state.variants().map(|variant| variant.as_str()).collect();
        for (i, variant) in flag.variants.iter().enumerate() {
            if !used.contains(variant.key.as_str()) {
                let message = format!("nothing in this environment leads to `{}`", variant.key);
                self.warn(WarningKind::UnusedVariant, &format!("variants[{i}]"), message);
            }
        }
    }

    fn outcome(&mut self, path: &str, outcome: &OutcomeWire) {
        let OutcomeWire::Split(split) = outcome else { return };
        let mut end = 0;
        for range in &split.ranges {
            if range.from > end {
                let message = format!("buckets {end} to below {} have no variant", range.from);
                self.warn(WarningKind::UncoveredRange, path, message);
            }
            end = end.max(range.until);
        }
        if end < split.by.buckets {
            let message = format!("buckets {end} to below {} have no variant", split.by.buckets);
            self.warn(WarningKind::UncoveredRange, path, message);
        }
    }

    fn condition(&mut self, path: &str, condition: &'w ConditionWire, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        if constant(condition, depth) == Some(false) {
            self.warn(WarningKind::NeverTrue, path, "nobody can stand this condition".into());
        }
        match condition {
            ConditionWire::Always | ConditionWire::Test(_) | ConditionWire::InGroup(_) => {}
            ConditionWire::Rollout(rollout) if rollout.from >= rollout.until => {
                self.warn(WarningKind::UncoveredRange, path, "this is a rollout of nobody".into());
            }
            ConditionWire::Rollout(_) => {}
            ConditionWire::All(parts) => {
                for (i, part) in parts.iter().enumerate() {
                    self.condition(&format!("{path}.all[{i}]"), part, depth + 1);
                }
            }
            ConditionWire::Any(parts) => {
                for (i, part) in parts.iter().enumerate() {
                    self.condition(&format!("{path}.any[{i}]"), part, depth + 1);
                }
            }
            ConditionWire::Not(part) => self.condition(&format!("{path}.not"), part, depth + 1),
            ConditionWire::AnyElement(elements) => {
                self.condition(&format!("{path}.anyElement.when"), &elements.when, depth + 1);
            }
            ConditionWire::AllElements(elements) => {
                self.condition(&format!("{path}.allElements.when"), &elements.when, depth + 1);
            }
            ConditionWire::InSegment(key) => {
                self.asked_segments.insert(key.as_str());
                self.ask(Node::Segment(key.as_str()));
                if !self.segments.contains(key.as_str()) {
                    let message = format!("there is no segment `{key}`, so this is an error");
                    self.warn(WarningKind::AbsentSegment, path, message);
                }
            }
            ConditionWire::Flag(test) => self.flag_test(&format!("{path}.flag"), test),
        }
    }

    fn flag_test(&mut self, path: &str, test: &'w FlagTestWire) {
        self.ask(Node::Flag(test.flag.as_str()));
        let Some(other) = self.flags.get(test.flag.as_str()).copied() else {
            let message = format!("there is no flag `{}`, so this never holds", test.flag);
            return self.warn(WarningKind::AbsentFlag, path, message);
        };
        let FlagIsWire::Variants(variants) = &test.is else { return };
        for variant in variants {
            if !other.variants.iter().any(|held| held.key == *variant) {
                let message = format!("the flag `{}` has no variant `{variant}`", test.flag);
                self.warn(WarningKind::AbsentVariant, path, message);
            }
        }
    }

    /// Whoever reaches a circle. Who asks for nobody reaches none; who asks only for such does not either.
    fn circles(&mut self) {
        let asks = std::mem::take(&mut self.asks);
        let mut open: BTreeMap<Node<'w>, usize> = BTreeMap::new();
        let mut askers: BTreeMap<Node<'w>, Vec<Node<'w>>> = BTreeMap::new();
        for (node, others) in &asks {
            open.insert(*node, others.len());
            for other in others {
                askers.entry(*other).or_default().push(*node);
            }
        }
        let asked: BTreeSet<Node<'w>> = askers.keys().copied().collect();
        let mut ends: Vec<Node<'w>> =
            asked.into_iter().filter(|node| !asks.contains_key(node)).collect();
        while let Some(end) = ends.pop() {
            for asker in askers.remove(&end).unwrap_or_default() {
                let Some(left) = open.get_mut(&asker) else { continue };
                *left -= 1;
                if *left == 0 {
                    open.remove(&asker);
                    ends.push(asker);
                }
            }
        }
        for node in open.into_keys() {
            self.subject = node;
            let message = "what it asks for goes in a circle, so this is an error";
            self.warn(WarningKind::Circle, ".", message.into());
        }
    }
}

/// What a condition answers whoever asks, where that can be seen from it alone.
fn constant(condition: &ConditionWire, depth: usize) -> Option<bool> {
    if depth > MAX_DEPTH {
        return None;
    }
    let inside = |part: &ConditionWire| constant(part, depth + 1);
    match condition {
        ConditionWire::Always => Some(true),
        ConditionWire::All(parts) => {
            let answers: Vec<Option<bool>> = parts.iter().map(inside).collect();
            if answers.contains(&Some(false)) || contradict(parts) {
                return Some(false);
            }
            answers.iter().all(|answer| *answer == Some(true)).then_some(true)
        }
        ConditionWire::Any(parts) => {
            let answers: Vec<Option<bool>> = parts.iter().map(inside).collect();
            if answers.contains(&Some(true)) {
                return Some(true);
            }
            answers.iter().all(|answer| *answer == Some(false)).then_some(false)
        }
        ConditionWire::Not(part) => inside(part).map(|answer| !answer),
        ConditionWire::Test(test) => {
            let set = test.operator == OperatorName::OneOf && test.values.is_empty();
            (set && test.negate == test.if_missing).then_some(test.negate)
        }
        ConditionWire::Rollout(rollout) => (rollout.from >= rollout.until).then_some(false),
        ConditionWire::AnyElement(elements) => {
            (inside(&elements.when) == Some(false)).then_some(false)
        }
        ConditionWire::AllElements(elements) => {
            (inside(&elements.when) == Some(true)).then_some(true)
        }
        ConditionWire::InSegment(_) | ConditionWire::InGroup(_) | ConditionWire::Flag(_) => None,
    }
}

/// Whether two parts of an `all` ask an entity's key, which is one text, to equal different texts.
fn contradict(parts: &[ConditionWire]) -> bool {
    let wanted = |part: &ConditionWire| match part {
        ConditionWire::Test(test) => key_equals(test).cloned(),
        _ => None,
    };
    let tests: Vec<TestWire> = parts.iter().filter_map(wanted).collect();
    tests.iter().enumerate().any(|(i, a)| {
        tests.iter().skip(i + 1).any(|b| {
            a.attribute == b.attribute && !a.values.iter().any(|value| b.values.contains(value))
        })
    })
}

fn key_equals(test: &TestWire) -> Option<&TestWire> {
    let plain = !test.negate && !test.if_missing && !test.ignore_case;
    let typed = test.compare == crate::wire::Comparison::Typed;
    let set = matches!(test.operator, OperatorName::Equals | OperatorName::OneOf);
    let key = test.attribute.split_once('.').is_some_and(|(entity, name)| {
        // An element's member called `key` may be a list.
        name == "key" && entity != "element"
    });
    (plain && typed && set && key).then_some(test)
}

#[cfg(test)]
mod tests;
