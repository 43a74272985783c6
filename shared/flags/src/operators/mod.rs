//! The operators in their working form: operands parsed and sorted once, so that evaluation only compares.

mod deep;
pub(crate) mod digest;
mod fold;
mod instant;
mod network;
pub(crate) mod number;
mod pattern;
mod read;
pub(crate) mod semver;
mod set;
mod text;

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;

use serde_json::Value as Json;

use crate::attribute::{Attribute, Content, Traits};
use crate::budget::{Budget, Failed};
use crate::key_set::KeySet;
use crate::subject::Found;
use crate::text::clipped;
use crate::time::Timestamp;
use crate::wire::Comparison;

use digest::Digests;
use fold::Needle;
use instant::Moment;
use network::Network;
use number::{Num, Numbers};
use pattern::Pattern;
use semver::Version;
use set::Set;
use text::{Scalar, Text};

pub(crate) use deep::depth_within;
pub use pattern::MAX_ATTRIBUTE_BYTES;
pub(crate) use read::read;

/// What an operator holds an attribute against. `Display` shows the first few operands.
#[derive(Debug)]
pub struct Operands {
    kind: Kind,
    compare: Comparison,
    ignore_case: bool,
    /// Whether the operator asks about the attribute as a whole, and not about what is in it.
    of_whole: bool,
}

#[derive(Debug)]
enum Kind {
    /// `equals` and `one-of` with texts alone, compared as they are.
    Texts(KeySet),
    Set(Box<Set>),
    Deep(Json),
    Text(Place, Box<[Box<str>]>),
    /// `contains` where case does not matter.
    Needles(Box<[(Box<str>, Needle)]>),
    Regex(Box<[Pattern]>),
    TextOrder(Bound, Box<[Box<str>]>),
    Number(Bound, Numbers),
    Modulo {
        divisor: i128,
        remainder: i128,
    },
    Semver {
        bound: Bound,
        lenient: bool,
        operands: Box<[Version<Box<str>>]>,
    },
    Instant(Bound, Box<[Moment]>),
    Network(Box<[Network]>),
    Exists,
    IsNull,
    Type(Box<[JsonType]>),
    Size(Bound, Box<[u64]>),
    Digest(Digests),
}

/// Where in a text an operand has to stand.
#[derive(Debug, Clone, Copy)]
enum Place {
    Inside,
    Start,
    End,
}

/// On which side of an operand a value has to be.
#[derive(Debug, Clone, Copy)]
enum Bound {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Bound {
    const fn admits(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// The types that `is-type` tells apart. A whole number is a number, too.
#[derive(Debug, Clone, Copy)]
enum JsonType {
    Boolean,
    String,
    Number,
    Integer,
    List,
    Object,
}

impl JsonType {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Boolean, "boolean"),
        (Self::String, "string"),
        (Self::Number, "number"),
        (Self::Integer, "integer"),
        (Self::List, "list"),
        (Self::Object, "object"),
    ];

    fn has(self, found: Found<'_>) -> bool {
        match (self, found) {
            (Self::String, Found::Key(_) | Found::Text(_))
            | (Self::Boolean, Found::Bool(_))
            | (Self::Number, Found::Number(_))
            | (Self::List, Found::Json(Json::Array(_)))
            | (Self::Object, Found::Json(Json::Object(_))) => true,
            (Self::Integer, Found::Number(number)) => number::integer(number).is_some(),
            _ => false,
        }
    }
}

impl Operands {
    fn new(kind: Kind, compare: Comparison, ignore_case: bool) -> Self {
        let of_whole = matches!(
            kind,
            Kind::Exists | Kind::IsNull | Kind::Type(_) | Kind::Size(..) | Kind::Deep(_)
        );
        Self { kind, compare, ignore_case, of_whole }
    }

    /// The answer to what almost all tests are; `None` where it takes the long way, which answers alike.
    #[inline(always)]
    pub(crate) fn usual(&self, attribute: &Attribute<'_>, traits: &Traits) -> Option<bool> {
        match (&self.kind, traits) {
            (Kind::Texts(texts), Traits::Text { ends, .. }) => match &attribute.0 {
                Content::Text(text) => Some(texts.has_with(text, *ends)),
                _ => None,
            },
            (Kind::Number(bound, numbers), Traits::Number(number)) => {
                number.partial_cmp(&numbers.exact).map(|order| bound.admits(order))
            }
            (Kind::Semver { bound, operands, .. }, Traits::Text { version, .. }) => {
                match &**operands {
                    [operand] => operand.against((*version)?).map(|order| bound.admits(order)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The operator's answer, before it is negated; `None` when the attribute is missing and that is no answer.
    pub(crate) fn test(
        &self,
        found: Found<'_>,
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<Option<bool>, Failed> {
        let scalar = match found {
            Found::Key(text) | Found::Text(text) => Scalar::Text(text),
            Found::Number(number) => Scalar::Number(number),
            Found::Bool(yes) => Scalar::Bool(yes),
            Found::Missing | Found::Json(_) => return self.whole(found, now, budget),
        };
        if self.of_whole {
            return self.whole(found, now, budget);
        }
        self.scalar(scalar, now, budget).map(Some)
    }

    /// The answer to what is missing or made of others, and of operators that ask about the attribute as a whole.
    fn whole(
        &self,
        found: Found<'_>,
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<Option<bool>, Failed> {
        match (&self.kind, found) {
            (Kind::Exists, found) => Ok(Some(found != Found::Missing)),
            (Kind::IsNull, found) => Ok(Some(found == Found::Missing)),
            (_, Found::Missing) => Ok(None),
            (Kind::Type(types), found) => Ok(Some(types.iter().any(|t| t.has(found)))),
            (Kind::Size(bound, sizes), found) => {
                let held = |size: u64| sizes.iter().any(|other| bound.admits(size.cmp(other)));
                Ok(Some(size(found).is_some_and(held)))
            }
            (Kind::Deep(wanted), found) => Ok(Some(deep::equal(wanted, found))),
            (_, Found::Json(Json::Array(elements))) => {
                for element in elements {
                    budget.spend(1)?;
                    if self.json(element, now, budget)? {
                        return Ok(Some(true));
                    }
                }
                Ok(Some(false))
            }
            _ => Ok(Some(false)),
        }
    }

    fn json(&self, json: &Json, now: Timestamp, budget: &mut Budget) -> Result<bool, Failed> {
        Scalar::of(json).map_or(Ok(false), |scalar| self.scalar(scalar, now, budget))
    }

    fn scalar(
        &self,
        scalar: Scalar<'_>,
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<bool, Failed> {
        let coerced = self.compare != Comparison::Typed;
        match &self.kind {
            Kind::Texts(texts) => {
                return Ok(matches!(scalar, Scalar::Text(text) if texts.has(text)));
            }
            Kind::Set(set) => return Ok(set.has(scalar, self.compare, self.ignore_case)),
            Kind::Number(bound, numbers) => {
                return Ok(text::number(scalar, coerced).is_some_and(|number| {
                    numbers.all.iter().any(|operand| bound.admits(number.compare(*operand)))
                }));
            }
            Kind::Modulo { divisor, remainder } => {
                let number = text::number(scalar, coerced);
                let Some(Num::Whole(whole)) = number else { return Ok(false) };
                return Ok(whole.checked_rem(*divisor) == Some(*remainder));
            }
            Kind::Instant(bound, moments) => {
                let instant = match scalar {
                    Scalar::Text(text) => instant::parse(text),
                    Scalar::Number(number) => instant::of_number(number),
                    Scalar::Bool(_) => None,
                };
                let held = |at: i128| moments.iter().any(|m| bound.admits(at.cmp(&m.at(now))));
                return Ok(instant.is_some_and(held));
            }
            _ => {}
        }
        let Some(text) = Text::read(scalar, coerced) else { return Ok(false) };
        self.text(text.as_str(), budget)
    }

    fn text(&self, text: &str, budget: &mut Budget) -> Result<bool, Failed> {
        Ok(match &self.kind {
            Kind::Text(place, operands) => {
                if matches!(place, Place::Inside) {
                    budget.search(text, operands.len())?;
                }
                operands.iter().any(|operand| match (place, self.ignore_case) {
                    (Place::Inside, _) => text.contains(&**operand),
                    (Place::Start, false) => text.starts_with(&**operand),
                    (Place::Start, true) => fold::starts_with(text, operand),
                    (Place::End, false) => text.ends_with(&**operand),
                    (Place::End, true) => fold::ends_with(text, operand),
                })
            }
            Kind::Needles(needles) => {
                budget.search(text, needles.len())?;
                needles.iter().any(|(_, needle)| needle.is_in(text))
            }
            Kind::Regex(patterns) => {
                for pattern in patterns {
                    if pattern.is_in(text, budget)? {
                        return Ok(true);
                    }
                }
                false
            }
            Kind::TextOrder(bound, operands) => operands.iter().any(|operand| {
                bound.admits(if self.ignore_case {
                    fold::compare(text, operand)
                } else {
                    text.cmp(operand)
                })
            }),
            Kind::Semver { bound, lenient, operands } => version(text, *bound, *lenient, operands),
            Kind::Network(networks) => text
                .parse::<IpAddr>()
                .is_ok_and(|address| networks.iter().any(|network| network.has(address))),
            Kind::Digest(digests) => {
                budget.search(text, 1)?;
                digests.have(text)
            }
            // What takes no text was answered before.
            _ => false,
        })
    }
}

fn version(text: &str, bound: Bound, lenient: bool, operands: &[Version<Box<str>>]) -> bool {
    let whole = || Version::read(text, lenient);
    let Some(plain) = semver::plain(text) else {
        return whole().is_some_and(|version| {
            operands.iter().any(|operand| bound.admits(version.precedence(operand)))
        });
    };
    operands.iter().any(|operand| {
        let order = operand.against(plain).or_else(|| whole().map(|it| it.precedence(operand)));
        order.is_some_and(|order| bound.admits(order))
    })
}

/// Characters of a text, elements of a list or members of an object.
fn size(found: Found<'_>) -> Option<u64> {
    let size = match found {
        Found::Key(text) | Found::Text(text) => text.chars().count(),
        Found::Json(Json::Array(elements)) => elements.len(),
        Found::Json(Json::Object(members)) => members.len(),
        _ => return None,
    };
    u64::try_from(size).ok()
}

impl fmt::Display for Operands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = |texts: &[Box<str>]| texts.iter().map(|t| quoted(t)).collect::<Vec<_>>();
        match &self.kind {
            Kind::Texts(texts) => list(f, texts.iter().map(quoted)),
            Kind::Set(set) => list(f, set.shown()),
            Kind::Deep(json) => f.write_str(&clipped(&json.to_string())),
            Kind::Text(_, operands) | Kind::TextOrder(_, operands) => {
                list(f, texts(operands).into_iter())
            }
            Kind::Needles(needles) => list(f, needles.iter().map(|(text, _)| quoted(text))),
            Kind::Regex(regexes) => list(f, regexes.iter().map(|regex| quoted(regex.as_str()))),
            Kind::Number(_, numbers) => list(f, numbers.all.iter()),
            Kind::Modulo { divisor, remainder } => write!(f, "[{divisor}, {remainder}]"),
            Kind::Semver { operands, .. } => list(f, operands.iter()),
            Kind::Instant(_, operands) => list(f, operands.iter()),
            Kind::Network(operands) => list(f, operands.iter()),
            Kind::Exists | Kind::IsNull => f.write_str("at all"),
            Kind::Type(types) => {
                let named = |t: &JsonType| JsonType::ALL.iter().find(|(other, _)| same(other, t));
                list(f, types.iter().filter_map(named).map(|(_, name)| *name))
            }
            Kind::Size(_, operands) => list(f, operands.iter()),
            Kind::Digest(digests) => write!(f, "{digests}"),
        }?;
        f.write_str(match self.compare {
            Comparison::Typed => "",
            Comparison::Text => " as texts",
            Comparison::Number => " as numbers",
        })?;
        f.write_str(if self.ignore_case { ", whatever the case" } else { "" })
    }
}

fn same(a: &JsonType, b: &JsonType) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

fn quoted(text: &str) -> String {
    format!("{:?}", clipped(text))
}

/// The first few of a list, and how many more there are.
fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, all: impl Iterator<Item = T>) -> fmt::Result {
    /// Operands that a reader takes in at a glance.
    const SHOWN: usize = 8;
    f.write_str("[")?;
    let mut more = 0_usize;
    for (i, operand) in all.enumerate() {
        match i {
            0 => write!(f, "{operand}")?,
            1..SHOWN => write!(f, ", {operand}")?,
            _ => more += 1,
        }
    }
    if more > 0 {
        write!(f, ", … {more} more")?;
    }
    f.write_str("]")
}
