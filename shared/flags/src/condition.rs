//! The working form of conditions, and what it means that one holds.

use std::fmt;

use serde_json::Value as Json;

use crate::context::Context;
use crate::tenant::Tenant;
use crate::text::clipped;
use crate::trace::{Event, Junction, Visitor};
use crate::wire::OperatorName;

/// A condition, at most [`MAX_CONDITION_DEPTH`](crate::compile::MAX_CONDITION_DEPTH) deep, so that
/// recursion over it is bounded.
#[derive(Debug)]
pub(crate) enum Condition {
    Always,
    All(Box<[Self]>),
    Any(Box<[Self]>),
    Not(Box<Self>),
    Test(Box<Test>),
}

/// A test on one attribute.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) path: Path,
    pub(crate) operator: OperatorName,
    pub(crate) operands: Operands,
    pub(crate) negate: bool,
    pub(crate) if_missing: bool,
}

/// An attribute path, cut at its dots.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) text: Box<str>,
    pub(crate) entity: EntityName,
    pub(crate) name: AttributeName,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EntityName {
    Tenant,
    Other(Box<str>),
}

#[derive(Debug)]
pub(crate) enum AttributeName {
    /// The entity's own key.
    Key,
    /// An attribute, and the members to follow inside it.
    Named { first: Box<str>, members: Box<[Box<str>]> },
}

/// What an operator holds an attribute against, sorted for looking up. `Display` shows the first few.
#[derive(Debug, Default)]
pub struct Operands {
    pub(crate) yes: bool,
    pub(crate) no: bool,
    pub(crate) texts: Box<[Box<str>]>,
    pub(crate) integers: Box<[i128]>,
    /// Fractions, and numbers beyond 64 bits.
    pub(crate) numbers: Box<[f64]>,
}

/// Who asks, together with what the directory says of their tenant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) context: &'a Context,
    pub(crate) tenant: Option<&'a Tenant>,
}

/// What stands at an attribute path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Found<'a> {
    /// Nothing, or null.
    Missing,
    /// An entity's key.
    Key(&'a str),
    /// An attribute.
    Attribute(&'a Json),
}

impl<'a> Subject<'a> {
    pub(crate) fn find(&self, path: &Path) -> Found<'a> {
        match &path.name {
            AttributeName::Key => match &path.entity {
                EntityName::Tenant => self.context.tenant().map(|tenant| tenant.as_str()),
                EntityName::Other(kind) => self.context.key_of(kind),
            }
            .map_or(Found::Missing, Found::Key),
            AttributeName::Named { first, members } => {
                let mut at = match &path.entity {
                    EntityName::Tenant => self.tenant.and_then(|t| t.attributes().get(&**first)),
                    EntityName::Other(kind) => self.context.attribute_of(kind, first),
                };
                for member in members {
                    at = at.and_then(|json| json.get(&**member));
                }
                match at {
                    None | Some(Json::Null) => Found::Missing,
                    Some(json) => Found::Attribute(json),
                }
            }
        }
    }
}

impl Condition {
    pub(crate) fn holds<V: Visitor>(
        &self,
        subject: Subject<'_>,
        depth: u8,
        visitor: &mut V,
    ) -> bool {
        let (junction, held) = match self {
            Self::Test(test) => return test.holds(subject, depth, visitor),
            Self::Always => {
                visitor.visit(Event::Always { depth });
                return true;
            }
            Self::All(parts) => {
                visitor.visit(Event::Enter { depth, junction: Junction::All });
                (Junction::All, parts.iter().all(|part| part.holds(subject, depth + 1, visitor)))
            }
            Self::Any(parts) => {
                visitor.visit(Event::Enter { depth, junction: Junction::Any });
                (Junction::Any, parts.iter().any(|part| part.holds(subject, depth + 1, visitor)))
            }
            Self::Not(part) => {
                visitor.visit(Event::Enter { depth, junction: Junction::Not });
                (Junction::Not, !part.holds(subject, depth + 1, visitor))
            }
        };
        visitor.visit(Event::Leave { depth, junction, held });
        held
    }
}

impl Test {
    fn holds<V: Visitor>(&self, subject: Subject<'_>, depth: u8, visitor: &mut V) -> bool {
        let found = subject.find(&self.path);
        let held = match found {
            Found::Missing => self.if_missing,
            Found::Key(key) => self.operands.have_text(key) != self.negate,
            Found::Attribute(json) => self.operands.have(json) != self.negate,
        };
        let (attribute, operator, negate) = (&*self.path.text, self.operator, self.negate);
        let operands = &self.operands;
        visitor.visit(Event::Test { depth, attribute, operator, negate, operands, found, held });
        held
    }
}

impl fmt::Display for Operands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Operands that a reader takes in at a glance.
        const SHOWN: usize = 8;
        let texts = self.texts.iter().map(|text| format!("{:?}", clipped(text)));
        let numbers = self.integers.iter().map(ToString::to_string);
        let all = texts
            .chain(numbers)
            .chain(self.numbers.iter().map(ToString::to_string))
            .chain(self.yes.then(|| "true".into()))
            .chain(self.no.then(|| "false".into()));
        let total = self.texts.len() + self.integers.len() + self.numbers.len();
        let total = total + usize::from(self.yes) + usize::from(self.no);
        f.write_str("[")?;
        for (i, operand) in all.take(SHOWN).enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{operand}")?;
        }
        if total > SHOWN {
            write!(f, ", … {} more", total - SHOWN)?;
        }
        f.write_str("]")
    }
}

impl Operands {
    /// Whether the attribute is an operand; a list, whether some element of it is.
    fn have(&self, json: &Json) -> bool {
        match json {
            Json::Array(elements) => elements.iter().any(|element| self.have_scalar(element)),
            other => self.have_scalar(other),
        }
    }

    fn have_scalar(&self, json: &Json) -> bool {
        match json {
            Json::Bool(true) => self.yes,
            Json::Bool(false) => self.no,
            Json::String(text) => self.have_text(text),
            Json::Number(number) => match integer(number) {
                Some(integer) => self.integers.binary_search(&integer).is_ok(),
                None => number.as_f64().is_some_and(|n| self.numbers.contains(&n)),
            },
            Json::Null | Json::Array(_) | Json::Object(_) => false,
        }
    }

    fn have_text(&self, text: &str) -> bool {
        self.texts.binary_search_by(|operand| operand.as_ref().cmp(text)).is_ok()
    }
}

/// The whole number that a JSON number is, written with or without a fraction of zero: 1 equals 1.0.
/// Exact: 128 bits hold every whole number that 64 bits of either kind can say.
pub(crate) fn integer(number: &serde_json::Number) -> Option<i128> {
    /// 2^64, one past the greatest whole number that JSON's integers carry here.
    const BEYOND: f64 = 18_446_744_073_709_551_616.0;
    if let Some(signed) = number.as_i64() {
        return Some(signed.into());
    }
    if let Some(unsigned) = number.as_u64() {
        return Some(unsigned.into());
    }
    let float = number.as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^64 by the condition")]
    (float.fract() == 0.0 && float.abs() < BEYOND).then_some(float as i128)
}
