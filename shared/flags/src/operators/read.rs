//! From a test's operands and options to their working form. Whatever can be wrong with them is found here.

use serde_json::Value as Json;

use super::fold::folded;
use super::pattern::Pattern;
use super::{Bound, Digests, JsonType, Kind, Moment, Needle, Network, Num, Operands, Place};
use super::{Set, Text, Version, depth_within, text};
use crate::compile::at::{At, limit};
use crate::compile::{MAX_CONDITION_DEPTH, MAX_OPERANDS, MAX_REGEXES, MAX_TEXT_BYTES};
use crate::fault::FlagFault;
use crate::key_set::KeySet;
use crate::operators::text::Scalar;
use crate::text::clipped;
use crate::wire::{Comparison, OperatorName, TestWire};

/// Reads the operands of a test. `regexes` counts those of the flag.
pub(crate) fn read(
    at: &At<'_>,
    wire: &TestWire,
    regexes: &mut usize,
) -> Result<Operands, FlagFault> {
    let reader = Reader { values: at.field("values"), wire };
    reader.options(at)?;
    reader.count()?;
    let kind = reader.kind(regexes)?;
    Ok(Operands::new(kind, wire.compare, wire.ignore_case))
}

struct Reader<'r> {
    values: At<'r>,
    wire: &'r TestWire,
}

impl Reader<'_> {
    /// An option that the operator would pass over is refused: its author expects something of it.
    fn options(&self, at: &At<'_>) -> Result<(), FlagFault> {
        use OperatorName as Op;
        let takes = self.takes();
        let missing_is_an_answer = matches!(self.wire.operator, Op::Exists | Op::IsNull);
        let salted = matches!(self.wire.operator, Op::HashEquals | Op::HashPrefix);
        let given = [
            ("ignoreCase", self.wire.ignore_case, takes.ignore_case),
            ("compare", self.wire.compare == Comparison::Text, takes.text),
            ("compare", self.wire.compare == Comparison::Number, takes.number),
            ("salt", self.wire.salt.is_some(), salted),
            ("ifMissing", self.wire.if_missing, !missing_is_an_answer),
        ];
        for (option, given, taken) in given {
            if given && !taken {
                let (path, operator) = (at.field(option).path(), self.wire.operator);
                return Err(FlagFault::Option { path, operator, option });
            }
        }
        let salt = self.wire.salt.as_deref().unwrap_or_default();
        limit(&at.field("salt"), "bytes", MAX_TEXT_BYTES, salt.len())
    }

    const fn takes(&self) -> Takes {
        use OperatorName as Op;
        let (ignore_case, text, number) = match self.wire.operator {
            Op::Equals | Op::OneOf => (true, true, true),
            Op::Contains
            | Op::StartsWith
            | Op::EndsWith
            | Op::Regex
            | Op::TextLess
            | Op::TextLessOrEqual
            | Op::TextGreater
            | Op::TextGreaterOrEqual => (true, true, false),
            Op::Less | Op::LessOrEqual | Op::Greater | Op::GreaterOrEqual | Op::Modulo => {
                (false, false, true)
            }
            Op::SemverEquals
            | Op::SemverLess
            | Op::SemverLessOrEqual
            | Op::SemverGreater
            | Op::SemverGreaterOrEqual
            | Op::LenientSemverEquals
            | Op::LenientSemverLess
            | Op::LenientSemverLessOrEqual
            | Op::LenientSemverGreater
            | Op::LenientSemverGreaterOrEqual
            | Op::HashEquals
            | Op::HashPrefix => (false, true, false),
            Op::DeepEquals
            | Op::Before
            | Op::After
            | Op::InNetwork
            | Op::Exists
            | Op::IsNull
            | Op::IsType
            | Op::SizeEquals
            | Op::SizeLess
            | Op::SizeGreater => (false, false, false),
        };
        Takes { ignore_case, text, number }
    }

    /// How many operands there have to be. A set may be empty: nothing is in it.
    fn count(&self) -> Result<(), FlagFault> {
        use OperatorName as Op;
        let (least, most, wanted) = match self.wire.operator {
            Op::Equals => (1, 1, "`equals` needs an operand"),
            Op::DeepEquals => (1, 1, "`deep-equals` needs an operand"),
            Op::Modulo => (2, 2, "`modulo` needs a divisor and a remainder"),
            Op::Exists | Op::IsNull => (0, 0, ""),
            Op::OneOf
            | Op::Contains
            | Op::StartsWith
            | Op::EndsWith
            | Op::Regex
            | Op::InNetwork
            | Op::HashEquals
            | Op::HashPrefix => (0, MAX_OPERANDS, ""),
            _ => (1, MAX_OPERANDS, "the operator needs an operand"),
        };
        let count = self.wire.values.len();
        limit(&self.values, "operands", most, count)?;
        if count < least {
            return Err(FlagFault::Missing { path: self.values.path(), wanted });
        }
        Ok(())
    }

    fn kind(&self, regexes: &mut usize) -> Result<Kind, FlagFault> {
        use Bound::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual};
        use OperatorName as Op;
        match self.wire.operator {
            Op::Equals | Op::OneOf => self.set(),
            Op::DeepEquals => self.deep(),
            Op::Contains if self.wire.ignore_case => {
                let needle = |text: Box<str>| (Needle::new(&text), text);
                let needles = self.texts()?.into_iter().map(needle).map(|(n, text)| (text, n));
                Ok(Kind::Needles(needles.collect()))
            }
            Op::Contains => Ok(Kind::Text(Place::Inside, self.texts()?)),
            Op::StartsWith => Ok(Kind::Text(Place::Start, self.texts()?)),
            Op::EndsWith => Ok(Kind::Text(Place::End, self.texts()?)),
            Op::Regex => self.regexes(regexes),
            Op::TextLess => Ok(Kind::TextOrder(Less, self.texts()?)),
            Op::TextLessOrEqual => Ok(Kind::TextOrder(LessOrEqual, self.texts()?)),
            Op::TextGreater => Ok(Kind::TextOrder(Greater, self.texts()?)),
            Op::TextGreaterOrEqual => Ok(Kind::TextOrder(GreaterOrEqual, self.texts()?)),
            Op::Less => Ok(Kind::Number(Less, self.numbers()?.into())),
            Op::LessOrEqual => Ok(Kind::Number(LessOrEqual, self.numbers()?.into())),
            Op::Greater => Ok(Kind::Number(Greater, self.numbers()?.into())),
            Op::GreaterOrEqual => Ok(Kind::Number(GreaterOrEqual, self.numbers()?.into())),
            Op::Modulo => self.modulo(),
            Op::SemverEquals => self.versions(Equal, false),
            Op::SemverLess => self.versions(Less, false),
            Op::SemverLessOrEqual => self.versions(LessOrEqual, false),
            Op::SemverGreater => self.versions(Greater, false),
            Op::SemverGreaterOrEqual => self.versions(GreaterOrEqual, false),
            Op::LenientSemverEquals => self.versions(Equal, true),
            Op::LenientSemverLess => self.versions(Less, true),
            Op::LenientSemverLessOrEqual => self.versions(LessOrEqual, true),
            Op::LenientSemverGreater => self.versions(Greater, true),
            Op::LenientSemverGreaterOrEqual => self.versions(GreaterOrEqual, true),
            Op::Before => self.moments(Less),
            Op::After => self.moments(Greater),
            Op::InNetwork => self.networks(),
            Op::Exists => Ok(Kind::Exists),
            Op::IsNull => Ok(Kind::IsNull),
            Op::IsType => self.types(),
            Op::SizeEquals => self.sizes(Equal),
            Op::SizeLess => self.sizes(Less),
            Op::SizeGreater => self.sizes(Greater),
            Op::HashEquals => self.digests(false),
            Op::HashPrefix => self.digests(true),
        }
    }

    /// Every operand as `read` takes it, or the first that it does not.
    fn each<T>(
        &self,
        wanted: &'static str,
        read: impl Fn(&Json) -> Option<T>,
    ) -> Result<Box<[T]>, FlagFault> {
        let each =
            |(i, value): (usize, &Json)| read(value).ok_or_else(|| self.refused(i, value, wanted));
        self.wire.values.iter().enumerate().map(each).collect()
    }

    fn refused(&self, place: usize, value: &Json, wanted: &'static str) -> FlagFault {
        let (path, operator) = (self.values.element(place).path(), self.wire.operator);
        // Writing JSON recurses; what is deep is not quoted.
        let shallow = depth_within(value, MAX_CONDITION_DEPTH);
        let actual = if shallow { clipped(&value.to_string()) } else { "what is so deep".into() };
        FlagFault::NoOperand { path, operator, wanted, actual }
    }

    fn set(&self) -> Result<Kind, FlagFault> {
        let (compare, ignore_case) = (self.wire.compare, self.wire.ignore_case);
        let texts: Option<Vec<&str>> = self.wire.values.iter().map(Json::as_str).collect();
        if let (Comparison::Typed, false, Some(texts)) = (compare, ignore_case, texts) {
            return Ok(Kind::Texts(KeySet::new(texts.into_iter().map(Into::into).collect())));
        }
        let set = |set| Kind::Set(Box::new(set));
        Set::new(&self.wire.values, compare, ignore_case).map(set).map_err(|(i, actual)| {
            FlagFault::Operand { path: self.values.element(i).path(), actual }
        })
    }

    fn deep(&self) -> Result<Kind, FlagFault> {
        let wanted = self.each("a value of at most 32 levels", |json| {
            depth_within(json, MAX_CONDITION_DEPTH).then(|| json.clone())
        })?;
        // There is exactly one: it was counted.
        Ok(Kind::Deep(wanted.into_iter().next().unwrap_or_default()))
    }

    fn texts(&self) -> Result<Box<[Box<str>]>, FlagFault> {
        let coerced = self.wire.compare == Comparison::Text;
        self.each("texts", |json| {
            let text = Text::read(Scalar::of(json).ok()?, coerced)?;
            let text = text.as_str();
            Some(if self.wire.ignore_case { folded(text) } else { text.into() })
        })
    }

    fn numbers(&self) -> Result<Box<[Num]>, FlagFault> {
        let coerced = self.wire.compare == Comparison::Number;
        self.each("numbers", |json| text::number(Scalar::of(json).ok()?, coerced))
    }

    fn modulo(&self) -> Result<Kind, FlagFault> {
        let wanted = "whole numbers, a divisor other than 0 and a remainder";
        let numbers = self.numbers()?;
        let whole = |place: usize| match numbers.get(place) {
            Some(Num::Whole(whole)) if place == 1 || *whole != 0 => Ok(*whole),
            _ => {
                let value = self.wire.values.get(place).unwrap_or(&Json::Null);
                Err(self.refused(place, value, wanted))
            }
        };
        Ok(Kind::Modulo { divisor: whole(0)?, remainder: whole(1)? })
    }

    fn regexes(&self, count: &mut usize) -> Result<Kind, FlagFault> {
        *count += self.wire.values.len();
        limit(&self.values, "regular expressions in all rules", MAX_REGEXES, *count)?;
        let regexes = self.texts_as_written()?.into_iter().enumerate().map(|(i, pattern)| {
            let at = self.values.element(i);
            limit(&at, "bytes", MAX_TEXT_BYTES, pattern.len())?;
            Pattern::new(pattern, self.wire.ignore_case)
                .map_err(|message| FlagFault::Regex { path: at.path(), message })
        });
        Ok(Kind::Regex(regexes.collect::<Result<_, FlagFault>>()?))
    }

    fn texts_as_written(&self) -> Result<Vec<&str>, FlagFault> {
        let each = |(i, value)| {
            Json::as_str(value).ok_or_else(|| self.refused(i, value, "regular expressions"))
        };
        self.wire.values.iter().enumerate().map(each).collect()
    }

    fn versions(&self, bound: Bound, lenient: bool) -> Result<Kind, FlagFault> {
        let coerced = self.wire.compare == Comparison::Text;
        let operands = self.each("versions such as \"2.3.0\"", |json| {
            let text = Text::read(Scalar::of(json).ok()?, coerced)?;
            Version::read(text.as_str(), lenient).map(Version::kept)
        })?;
        Ok(Kind::Semver { bound, lenient, operands })
    }

    fn moments(&self, bound: Bound) -> Result<Kind, FlagFault> {
        let wanted = "instants: RFC 3339 texts, dates, milliseconds or \"now\"";
        self.each(wanted, Moment::of).map(|moments| Kind::Instant(bound, moments))
    }

    fn networks(&self) -> Result<Kind, FlagFault> {
        let wanted = "networks such as \"10.0.0.0/8\" and addresses";
        self.each(wanted, |json| Network::parse(json.as_str()?)).map(Kind::Network)
    }

    fn types(&self) -> Result<Kind, FlagFault> {
        let wanted = "`boolean`, `string`, `number`, `integer`, `list` and `object`";
        let named = |json: &Json| {
            let name = json.as_str()?;
            JsonType::ALL.into_iter().find(|(_, other)| *other == name).map(|(json, _)| json)
        };
        self.each(wanted, named).map(Kind::Type)
    }

    fn sizes(&self, bound: Bound) -> Result<Kind, FlagFault> {
        let size = |json: &Json| match json {
            Json::Number(number) => u64::try_from(super::number::integer(number)?).ok(),
            _ => None,
        };
        self.each("whole numbers from 0", size).map(|sizes| Kind::Size(bound, sizes))
    }

    fn digests(&self, prefix: bool) -> Result<Kind, FlagFault> {
        let wanted = if prefix { "1 to 64 hexadecimal digits" } else { "64 hexadecimal digits" };
        let mut digests = self.each(wanted, |json| Digests::operand(json.as_str()?, prefix))?;
        digests.sort();
        let salt = self.wire.salt.as_deref().unwrap_or_default().into();
        Ok(Kind::Digest(Digests { salt, wanted: digests, prefix }))
    }
}

/// The options that an operator takes.
struct Takes {
    ignore_case: bool,
    text: bool,
    number: bool,
}
