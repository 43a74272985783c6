//! The working form of conditions, and what it means that one holds.

use serde_json::Value as Json;

use crate::bucket::Decimal;
use crate::budget::Failed;
use crate::by_hash::Mark;
use crate::hash::{CompiledHash, bucket};
use crate::key_set::KeySet;
use crate::keys::{FlagKey, GroupKey, SegmentKey};
use crate::operators::Operands;
use crate::run::Run;
use crate::subject::{Found, Path, Start, Subject};
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
    InSegment(SegmentRef),
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

/// A segment, by its key and the key's mark.
#[derive(Debug)]
pub(crate) struct SegmentRef {
    pub(crate) key: SegmentKey,
    pub(crate) mark: Mark,
}

/// What another flag has to answer.
#[derive(Debug)]
pub(crate) struct FlagTest {
    pub(crate) flag: FlagKey,
    /// Of the key.
    pub(crate) mark: Mark,
    pub(crate) is: FlagIs,
}

#[derive(Debug)]
pub(crate) enum FlagIs {
    Variants(KeySet),
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

/// What a unit led to.
pub(crate) struct Placed<'a> {
    /// The path that had something to hash; the first when none had.
    pub(crate) unit: &'a str,
    pub(crate) found: Found<'a>,
    pub(crate) bucket: Option<u32>,
    /// Whether further units were looked for.
    pub(crate) fell_back: bool,
}

impl Unit {
    #[inline(always)]
    pub(crate) fn place<'a>(&'a self, subject: Subject<'a, '_>) -> Placed<'a> {
        let found = subject.find(&self.first);
        match self.bucket(found) {
            Some(bucket) => {
                let unit = &self.first.text;
                Placed { unit, found, bucket: Some(bucket), fell_back: false }
            }
            None => self.fall_back(subject, found),
        }
    }

    #[cold]
    fn fall_back<'a>(&'a self, subject: Subject<'a, '_>, first: Found<'a>) -> Placed<'a> {
        for path in &self.fallbacks {
            let found = subject.find(path);
            if let Some(bucket) = self.bucket(found) {
                return Placed { unit: &path.text, found, bucket: Some(bucket), fell_back: true };
            }
        }
        let bucket = match self.missing {
            MissingUnit::NoMatch => None,
            MissingUnit::BucketZero => Some(0),
        };
        let fell_back = !self.fallbacks.is_empty();
        Placed { unit: &self.first.text, found: first, bucket, fell_back }
    }

    /// Texts hash as they are, whole numbers and booleans as their JSON text; nothing else is a unit.
    #[inline(always)]
    fn bucket(&self, found: Found<'_>) -> Option<u32> {
        match found {
            Found::Key(text) | Found::Text(text) => Some(bucket(&self.hash, text)),
            _ => self.bucket_of_others(found),
        }
    }

    fn bucket_of_others(&self, found: Found<'_>) -> Option<u32> {
        let hash = |unit: &str| Some(bucket(&self.hash, unit));
        match found {
            Found::Bool(yes) => hash(if yes { "true" } else { "false" }),
            Found::Number(number) if !number.is_f64() => hash(Decimal::of(number).as_str()),
            // Texts are not others.
            Found::Number(_) | Found::Json(_) | Found::Missing | Found::Key(_) | Found::Text(_) => {
                None
            }
        }
    }
}

impl Condition {
    /// As [`Condition::holds`], without a call where it is a single test or segment, as most rules are.
    #[inline(always)]
    pub(crate) fn holds_at_once<'s, V: Visitor>(
        &'s self,
        subject: Subject<'_, '_>,
        run: &mut Run<'_, '_, 's, V>,
    ) -> Result<bool, Failed> {
        match self {
            Self::Test(test) => {
                run.budget.spend(1)?;
                test.holds(subject, 0, run)
            }
            Self::InSegment(key) => {
                run.budget.spend(1)?;
                run.in_segment(key, subject, 0)
            }
            _ => self.holds(subject, 0, run),
        }
    }

    /// Whether it holds; an error is the answer's. `depth` is where it stands in its rule or segment.
    pub(crate) fn holds<'s, V: Visitor>(
        &'s self,
        subject: Subject<'_, '_>,
        depth: u8,
        run: &mut Run<'_, '_, 's, V>,
    ) -> Result<bool, Failed> {
        run.budget.spend(1)?;
        match self {
            Self::Test(test) => return test.holds(subject, depth, run),
            Self::Always => {
                run.visitor.visit(Event::Always { depth });
                return Ok(true);
            }
            Self::InSegment(key) => return run.in_segment(key, subject, depth),
            Self::InGroup(group) => {
                let held = subject.tenant().is_some_and(|tenant| tenant.is_in(group));
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

    fn joined<'s, V: Visitor>(
        &'s self,
        subject: Subject<'_, '_>,
        depth: u8,
        run: &mut Run<'_, '_, 's, V>,
    ) -> Result<bool, Failed> {
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
    #[inline(always)]
    pub(crate) fn holds<V: Visitor>(
        &self,
        subject: Subject<'_, '_>,
        depth: u8,
        run: &mut Run<'_, '_, '_, V>,
    ) -> Result<bool, Failed> {
        if !V::LISTENS
            && let Start::Attribute(id) = &self.path.start
            && self.path.members.is_empty()
            && let place = subject.asked.context.place(*id)
            && let Some(attribute) = subject.asked.context.inside().get(place)
            && let Some(traits) = run.asked.traits.get(place)
            && let Some(held) = self.operands.usual(attribute, traits)
        {
            return Ok(held != self.negate);
        }
        self.holds_whatever_it_is(subject, depth, run)
    }

    #[inline(never)]
    fn holds_whatever_it_is<V: Visitor>(
        &self,
        subject: Subject<'_, '_>,
        depth: u8,
        run: &mut Run<'_, '_, '_, V>,
    ) -> Result<bool, Failed> {
        let found = subject.find(&self.path);
        let answered = self.operands.test(found, run.asked.now(), &mut run.budget)?;
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
    fn holds<V: Visitor>(
        &self,
        subject: Subject<'_, '_>,
        depth: u8,
        run: &mut Run<'_, '_, '_, V>,
    ) -> bool {
        let Placed { unit, found, bucket, fell_back } = self.by.place(subject);
        let held = bucket.is_some_and(|bucket| (self.from..self.until).contains(&bucket));
        let (from, until, buckets) = (self.from, self.until, self.by.hash.buckets());
        run.visitor.visit(Event::Rollout {
            depth,
            unit,
            found,
            fell_back,
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
    fn hold<'s, V: Visitor>(
        &'s self,
        subject: Subject<'_, '_>,
        depth: u8,
        run: &mut Run<'_, '_, 's, V>,
    ) -> Result<bool, Failed> {
        let found = subject.find(&self.list);
        let (attribute, every) = (&*self.list.text, self.every);
        run.visitor.visit(Event::Elements { depth, attribute, every, found });
        let elements = match found {
            Found::Json(Json::Array(elements)) => elements.as_slice(),
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
