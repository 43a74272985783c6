//! Single values, and the text of any of them without allocating.

use serde_json::{Number, Value as Json};

use super::number::{Num, integer};
use crate::bucket::Decimal;

/// A value that is neither null nor made of others.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scalar<'a> {
    Text(&'a str),
    Bool(bool),
    Number(&'a Number),
}

impl<'a> Scalar<'a> {
    /// The value, or what it is instead.
    pub(crate) const fn of(json: &'a Json) -> Result<Self, &'static str> {
        match json {
            Json::String(text) => Ok(Self::Text(text.as_str())),
            Json::Bool(yes) => Ok(Self::Bool(*yes)),
            Json::Number(number) => Ok(Self::Number(number)),
            Json::Null => Err("null"),
            Json::Array(_) => Err("an array"),
            Json::Object(_) => Err("an object"),
        }
    }
}

/// A text, borrowed or made of a number's digits on the stack.
pub(crate) enum Text<'a> {
    Borrowed(&'a str),
    Digits(Decimal),
}

impl<'a> Text<'a> {
    /// The value's text: 17 is "17", 1.0 is "1", true is "true".
    pub(crate) fn of(scalar: Scalar<'a>) -> Self {
        match scalar {
            Scalar::Text(text) => Self::Borrowed(text),
            Scalar::Bool(true) => Self::Borrowed("true"),
            Scalar::Bool(false) => Self::Borrowed("false"),
            Scalar::Number(number) => Self::Digits(match integer(number) {
                Some(whole) => Decimal::of(whole),
                None => Decimal::of(number),
            }),
        }
    }

    /// The text of a text; of other values only where they are to be `coerced`.
    pub(crate) fn read(scalar: Scalar<'a>, coerced: bool) -> Option<Self> {
        match scalar {
            Scalar::Text(text) => Some(Self::Borrowed(text)),
            other => coerced.then(|| Self::of(other)),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Digits(digits) => digits.as_str(),
        }
    }
}

/// A number; of a text only where it is to be `coerced`.
pub(crate) fn number(scalar: Scalar<'_>, coerced: bool) -> Option<Num> {
    match scalar {
        Scalar::Number(number) => Num::of(number),
        other if coerced => super::set::number(other),
        _ => None,
    }
}
