//! What is left of a condition when the tenant is known.

use std::collections::BTreeSet;

use super::Folding;
use crate::compile::Conditions;
use crate::compile::at::At;
use crate::context::TENANT;
use crate::keys::SegmentKey;
use crate::operators::digest::hexadecimal;
use crate::run::condition_holds;
use crate::subject::{ELEMENT, entity};
use crate::time::Timestamp;
use crate::wire::{
    Comparison, ConditionWire, ElementsWire, OperatorName, RolloutWire, TestWire, UnitWire,
};

/// What is left of a condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Left {
    Yes,
    No,
    /// It hangs on more than the tenant.
    Open(ConditionWire),
}

/// Where the condition stands, and what was met in it.
pub(super) struct Seen<'s> {
    /// Of what is hashed in it.
    pub(super) salt: &'s str,
    pub(super) asks: &'s mut BTreeSet<SegmentKey>,
}

impl Left {
    pub(super) fn into_condition(self) -> ConditionWire {
        match self {
            Self::Yes => ConditionWire::Always,
            Self::No => ConditionWire::Any(Vec::new()),
            Self::Open(condition) => condition,
        }
    }

    const fn of(held: bool) -> Self {
        if held { Self::Yes } else { Self::No }
    }

    fn turned(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Open(condition) => Self::Open(ConditionWire::Not(Box::new(condition))),
        }
    }
}

impl Folding {
    pub(super) fn left_of(&self, condition: &ConditionWire, seen: &mut Seen<'_>) -> Left {
        if asks_the_tenant_alone(condition)
            && let Some(held) = self.decided(condition)
        {
            return Left::of(held);
        }
        match condition {
            ConditionWire::Always => Left::Yes,
            ConditionWire::All(parts) => self.joined(parts, true, seen),
            ConditionWire::Any(parts) => self.joined(parts, false, seen),
            ConditionWire::Not(part) => self.left_of(part, seen).turned(),
            ConditionWire::Test(test) => Left::Open(ConditionWire::Test(hidden(test, seen.salt))),
            ConditionWire::InSegment(segment) => {
                seen.asks.insert(segment.clone());
                Left::Open(condition.clone())
            }
            ConditionWire::AnyElement(of) => {
                Left::Open(ConditionWire::AnyElement(self.elements(of, seen)))
            }
            ConditionWire::AllElements(of) => {
                Left::Open(ConditionWire::AllElements(self.elements(of, seen)))
            }
            ConditionWire::InGroup(_) | ConditionWire::Flag(_) | ConditionWire::Rollout(_) => {
                Left::Open(condition.clone())
            }
        }
    }

    /// `every`: all parts have to hold; else one.
    fn joined(&self, parts: &[ConditionWire], every: bool, seen: &mut Seen<'_>) -> Left {
        let mut open = Vec::new();
        let mut asked = BTreeSet::new();
        for part in parts {
            match self.left_of(part, &mut Seen { salt: seen.salt, asks: &mut asked }) {
                Left::Open(part) => open.push(part),
                left if left == Left::of(every) => {}
                // What was met before does not matter any more.
                decides => return decides,
            }
        }
        seen.asks.append(&mut asked);
        match open.pop() {
            None => Left::of(every),
            Some(only) if open.is_empty() => Left::Open(only),
            Some(last) => {
                open.push(last);
                let join = if every { ConditionWire::All } else { ConditionWire::Any };
                Left::Open(join(open))
            }
        }
    }

    fn elements(&self, of: &ElementsWire, seen: &mut Seen<'_>) -> ElementsWire {
        let when = Box::new(self.left_of(&of.when, seen).into_condition());
        ElementsWire { attribute: of.attribute.clone(), when }
    }

    /// What the evaluator says; `None` where it says nothing.
    fn decided(&self, condition: &ConditionWire) -> Option<bool> {
        let compiled = Conditions::default().condition(&At::Whole, condition, 1).ok()?;
        condition_holds(&self.alone, &compiled, self.context(), Timestamp::default())
    }
}

/// Whether nothing but the tenant decides it, not even the time. Inside elements the element is nobody's but the list's,
/// and the list has to be the tenant's: an element alone is no reason.
fn asks_the_tenant_alone(condition: &ConditionWire) -> bool {
    tenant_alone(condition, false)
}

fn tenant_alone(condition: &ConditionWire, among_elements: bool) -> bool {
    let path = |path: &str| match entity(path) {
        TENANT => true,
        ELEMENT => among_elements,
        _ => false,
    };
    match condition {
        ConditionWire::Always | ConditionWire::InGroup(_) => true,
        ConditionWire::All(parts) | ConditionWire::Any(parts) => {
            parts.iter().all(|part| tenant_alone(part, among_elements))
        }
        ConditionWire::Not(part) => tenant_alone(part, among_elements),
        ConditionWire::Test(test) => path(&test.attribute) && !asks_the_time(test),
        ConditionWire::Rollout(RolloutWire { by: UnitWire { unit, fallbacks, .. }, .. }) => {
            path(unit) && fallbacks.iter().all(|unit| path(unit))
        }
        ConditionWire::AnyElement(of) | ConditionWire::AllElements(of) => {
            path(&of.attribute) && tenant_alone(&of.when, true)
        }
        ConditionWire::InSegment(_) | ConditionWire::Flag(_) => false,
    }
}

fn asks_the_time(test: &TestWire) -> bool {
    let dated = matches!(test.operator, OperatorName::Before | OperatorName::After);
    dated && test.values.iter().any(|value| value == "now")
}

/// A test that names whom it means by key names them by hash, where that answers the same.
fn hidden(test: &TestWire, salt: &str) -> TestWire {
    let by_key = test.attribute.strip_suffix(".key").is_some_and(|entity| !entity.contains('.'));
    let equal = matches!(test.operator, OperatorName::Equals | OperatorName::OneOf);
    let exact = test.compare == Comparison::Typed && !test.ignore_case;
    let texts: Option<Vec<&str>> = test.values.iter().map(serde_json::Value::as_str).collect();
    match texts {
        Some(texts) if by_key && equal && exact => {
            let hash = |text: &str| String::from_utf8_lossy(&hexadecimal(salt, text)).into();
            TestWire {
                operator: OperatorName::HashEquals,
                values: texts.into_iter().map(hash).collect(),
                salt: Some(salt.to_owned()),
                ..test.clone()
            }
        }
        _ => test.clone(),
    }
}
