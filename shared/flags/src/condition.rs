//! The working form of conditions, and what it means that one holds.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::answer::EvalError;
use crate::bucket::Decimal;
use crate::context::Context;
use crate::hash::{CompiledHash, bucket};
use crate::keys::{FlagKey, GroupKey, VariantKey};
use crate::operators::Operands;
use crate::run::Run;
use crate::tenant::Tenant;
use crate::trace::{Event, Junction, Visitor};
use crate::wire::{MissingUnit, OperatorName};

/// A condition, at most [`MAX_CONDITION_DEPTH`](crate::compile::MAX_CONDITION_DEPTH) deep, so that
/// recursion over it is bounded.
#[derive(Debug)]
pub(crate) enum Condition {
    Always,
    All(Box<[Self]>),
    Any(Box<[Self]>),
    Not(Box<Self>),
    Test(Box<Test>),
    InSegment(Arc<str>),
    InGroup(GroupKey),
    Flag(Box<FlagTest>),
    Rollout(Box<Rollout>),
    Elements(Box<Elements>),
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

/// What another flag has to answer.
#[derive(Debug)]
pub(crate) struct FlagTest {
    pub(crate) flag: FlagKey,
    pub(crate) is: FlagIs,
}

#[derive(Debug)]
pub(crate) enum FlagIs {
    Variants(Box<[VariantKey]>),
    Off,
    Enabled,
}

/// A percentage as a condition.
#[derive(Debug)]
pub(crate) struct Rollout {
    pub(crate) by: Unit,
    pub(crate) from: u32,
    pub(crate) until: u32,
}

/// A condition on the elements of a list.
#[derive(Debug)]
pub(crate) struct Elements {
    pub(crate) list: Path,
    /// Every element has to stand it, not just some.
    pub(crate) every: bool,
    pub(crate) when: Condition,
}

/// What is hashed to find a bucket, and how.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) first: Path,
    pub(crate) fallbacks: Box<[Path]>,
    pub(crate) missing: MissingUnit,
    pub(crate) hash: CompiledHash,
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
    /// The element, inside a condition on elements.
    Element,
    Other(Box<str>),
}

#[derive(Debug)]
pub(crate) enum AttributeName {
    /// The entity's own key.
    Key,
    /// An attribute, and the members to follow inside it.
    Named { first: Box<str>, members: Box<[Box<str>]> },
    /// The element itself, or the members to follow inside it.
    Inside(Box<[Box<str>]>),
}

/// Who asks, together with what the directory says of their tenant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) context: &'a Context,
    pub(crate) tenant: Option<&'a Tenant>,
    /// Inside a condition on elements, the element.
    pub(crate) element: Option<&'a Json>,
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
        let (at, members) = match &path.name {
            AttributeName::Key => {
                return self.key_of(&path.entity).map_or(Found::Missing, Found::Key);
            }
            AttributeName::Named { first, members } => {
                let at = match &path.entity {
                    EntityName::Tenant => self.tenant.and_then(|t| t.attributes().get(&**first)),
                    EntityName::Other(kind) => self.context.attribute_of(kind, first),
                    EntityName::Element => None,
                };
                (at, members)
            }
            AttributeName::Inside(members) => (self.element, members),
        };
        let end = members.iter().fold(at, |at, member| at.and_then(|json| json.get(&**member)));
        match end {
            None | Some(Json::Null) => Found::Missing,
            Some(json) => Found::Attribute(json),
        }
    }

    pub(crate) fn key_of(&self, entity: &EntityName) -> Option<&'a str> {
        match entity {
            EntityName::Tenant => self.context.tenant().map(|tenant| tenant.as_str()),
            EntityName::Other(kind) => self.context.key_of(kind),
            EntityName::Element => None,
        }
    }
}

/// What a unit led to.
pub(crate) struct Placed<'a> {
    /// The path that had something to hash; the first when none had.
    pub(crate) unit: &'a str,
    pub(crate) found: Found<'a>,
    pub(crate) bucket: Option<u32>,
}

impl Unit {
    pub(crate) fn place<'a>(&'a self, subject: Subject<'a>) -> Placed<'a> {
        for path in std::iter::once(&self.first).chain(&self.fallbacks) {
            let found = subject.find(path);
            if let Some(bucket) = self.bucket(found) {
                return Placed { unit: &path.text, found, bucket: Some(bucket) };
            }
        }
        let bucket = match self.missing {
            MissingUnit::NoMatch => None,
            MissingUnit::BucketZero => Some(0),
        };
        Placed { unit: &self.first.text, found: subject.find(&self.first), bucket }
    }

    /// Texts hash as they are, whole numbers and booleans as their JSON text; nothing else is a unit.
    fn bucket(&self, found: Found<'_>) -> Option<u32> {
        let hash = |unit: &str| Some(bucket(&self.hash, unit));
        match found {
            Found::Key(key) => hash(key),
            Found::Attribute(Json::String(text)) => hash(text),
            Found::Attribute(Json::Bool(yes)) => hash(if *yes { "true" } else { "false" }),
            Found::Attribute(Json::Number(number)) if !number.is_f64() => {
                hash(Decimal::of(number).as_str())
            }
            Found::Attribute(_) | Found::Missing => None,
        }
    }
}

impl Condition {
    /// Whether it holds; an error is the answer's. `depth` is where it stands in its rule or segment.
    pub(crate) fn holds<V: Visitor>(
        &self,
        subject: Subject<'_>,
        depth: u8,
        run: &mut Run<'_, '_, V>,
    ) -> Result<bool, EvalError> {
        run.budget.spend(1)?;
        match self {
            Self::Test(test) => return test.holds(subject, depth, run),
            Self::Always => {
                run.visitor.visit(Event::Always { depth });
                return Ok(true);
            }
            Self::InSegment(key) => return run.in_segment(key, subject, depth),
            Self::InGroup(group) => {
                let held = subject.tenant.is_some_and(|tenant| tenant.is_in(group));
                run.visitor.visit(Event::InGroup { depth, group: group.as_str(), held });
                return Ok(held);
            }
            Self::Flag(test) => return run.flag_stands(test, Some(depth)),
            Self::Rollout(rollout) => return Ok(rollout.holds(subject, depth, run)),
            Self::Elements(elements) => return elements.hold(subject, depth, run),
            Self::All(_) | Self::Any(_) | Self::Not(_) => {}
        }
        self.joined(subject, depth, run)
    }

    fn joined<V: Visitor>(
        &self,
        subject: Subject<'_>,
        depth: u8,
        run: &mut Run<'_, '_, V>,
    ) -> Result<bool, EvalError> {
        let (junction, parts, stop) = match self {
            Self::All(parts) => (Junction::All, &**parts, false),
            Self::Any(parts) => (Junction::Any, &**parts, true),
            Self::Not(part) => (Junction::Not, std::slice::from_ref(&**part), false),
            _ => return Ok(false),
        };
        run.visitor.visit(Event::Enter { depth, junction });
        let mut held = !stop;
        for part in parts {
            if part.holds(subject, depth + 1, run)? == stop {
                held = stop;
                break;
            }
        }
        let held = held != (junction == Junction::Not);
        run.visitor.visit(Event::Leave { depth, junction, held });
        Ok(held)
    }
}

impl Test {
    fn holds<V: Visitor>(
        &self,
        subject: Subject<'_>,
        depth: u8,
        run: &mut Run<'_, '_, V>,
    ) -> Result<bool, EvalError> {
        let found = subject.find(&self.path);
        let answered = self.operands.test(found, run.now, &mut run.budget)?;
        let held = answered.map_or(self.if_missing, |held| held != self.negate);
        let (attribute, operator, negate) = (&*self.path.text, self.operator, self.negate);
        let operands = &self.operands;
        run.visitor.visit(Event::Test {
            depth,
            attribute,
            operator,
            negate,
            operands,
            found,
            held,
        });
        Ok(held)
    }
}

impl Rollout {
    fn holds<V: Visitor>(&self, subject: Subject<'_>, depth: u8, run: &mut Run<'_, '_, V>) -> bool {
        let Placed { unit, found, bucket } = self.by.place(subject);
        let held = bucket.is_some_and(|bucket| (self.from..self.until).contains(&bucket));
        let (from, until, buckets) = (self.from, self.until, self.by.hash.buckets());
        run.visitor.visit(Event::Rollout {
            depth,
            unit,
            found,
            buckets,
            bucket,
            from,
            until,
            held,
        });
        held
    }
}

impl Elements {
    fn hold<V: Visitor>(
        &self,
        subject: Subject<'_>,
        depth: u8,
        run: &mut Run<'_, '_, V>,
    ) -> Result<bool, EvalError> {
        let found = subject.find(&self.list);
        let (attribute, every) = (&*self.list.text, self.every);
        run.visitor.visit(Event::Elements { depth, attribute, every, found });
        let elements = match found {
            Found::Attribute(Json::Array(elements)) => elements.as_slice(),
            _ => &[],
        };
        let mut held = every;
        for element in elements {
            let subject = Subject { element: Some(element), ..subject };
            if self.when.holds(subject, depth + 1, run)? != every {
                held = !every;
                break;
            }
        }
        let junction = if every { Junction::AllElements } else { Junction::AnyElement };
        run.visitor.visit(Event::Leave { depth, junction, held });
        Ok(held)
    }
}
