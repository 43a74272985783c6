//! Numbers, compared exactly: no whole number is rounded on its way into a comparison.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Number;

/// A number of a flag or a context. Never NaN or infinite: JSON has none, and texts that say so are no numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Num {
    /// A whole number, written with or without a fraction of zero.
    Whole(i128),
    /// A fraction, or beyond 2^64.
    Float(f64),
}

impl Num {
    #[inline]
    pub(crate) fn of(number: &Number) -> Option<Self> {
        integer(number).map(Self::Whole).or_else(|| number.as_f64().and_then(Self::finite))
    }

    /// The number that a text is: decimal digits with an optional sign, fraction and exponent, and nothing around them.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(whole) = text.parse::<i128>() {
            return Some(Self::Whole(whole));
        }
        // What else Rust reads as a float ("inf", "NaN") has letters other than the exponent's.
        let plain = |b: &u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
        if !text.as_bytes().iter().all(plain) {
            return None;
        }
        text.parse().ok().and_then(Self::finite)
    }

    fn finite(float: f64) -> Option<Self> {
        float.is_finite().then(|| whole(float).map_or(Self::Float(float), Self::Whole))
    }

    #[inline]
    pub(crate) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a.cmp(&b),
            (Self::Whole(a), Self::Float(b)) => against(a, b),
            (Self::Float(a), Self::Whole(b)) => against(b, a).reverse(),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(&b),
        }
    }
}

/// Numbers that one is compared with.
#[derive(Debug)]
pub(crate) struct Numbers {
    pub(crate) all: Box<[Num]>,
    /// The number where there is one, if a float is exactly that; otherwise not a number, which is in no order.
    pub(crate) exact: f64,
}

impl From<Box<[Num]>> for Numbers {
    fn from(all: Box<[Num]>) -> Self {
        let exact = match *all {
            [Num::Float(float)] => Some(float),
            [Num::Whole(whole)] => i64::try_from(whole).ok().and_then(exact_whole),
            _ => None,
        };
        Self { all, exact: exact.unwrap_or(f64::NAN) }
    }
}

/// A number as the float that it is exactly, as almost all are.
#[inline]
pub(crate) fn exact(number: &Number) -> Option<f64> {
    match number.as_i64() {
        Some(whole) => exact_whole(whole),
        None => number.is_f64().then(|| number.as_f64()).flatten(),
    }
}

#[inline]
fn exact_whole(whole: i64) -> Option<f64> {
    /// Up to here every whole number is a float.
    const EVERY: u64 = 1 << f64::MANTISSA_DIGITS;
    #[expect(clippy::cast_precision_loss, reason = "none is lost, by the condition")]
    (whole.unsigned_abs() <= EVERY).then_some(whole as f64)
}

impl fmt::Display for Num {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(whole) => write!(f, "{whole}"),
            Self::Float(float) => write!(f, "{float}"),
        }
    }
}

/// A whole number held against a float that is none, or one beyond 64 bits.
fn against(whole: i128, float: f64) -> Ordering {
    /// 2^127, one past the greatest whole number of 128 bits.
    const BEYOND: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;
    let floor = float.floor();
    if floor >= BEYOND {
        return Ordering::Less;
    }
    if floor < -BEYOND {
        return Ordering::Greater;
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^127 by the conditions")]
    let below = floor as i128;
    let rest = if float > floor { Ordering::Less } else { Ordering::Equal };
    whole.cmp(&below).then(rest)
}

/// The whole number that a JSON number is, written with or without a fraction of zero: 1 equals 1.0.
/// Exact: 128 bits hold every whole number that 64 bits of either kind can say.
#[inline]
pub(crate) fn integer(number: &Number) -> Option<i128> {
    if let Some(signed) = number.as_i64() {
        return Some(signed.into());
    }
    if let Some(unsigned) = number.as_u64() {
        return Some(unsigned.into());
    }
    number.as_f64().and_then(whole)
}

#[inline]
fn whole(float: f64) -> Option<i128> {
    /// 2^64, one past the greatest whole number that JSON's integers carry here.
    const BEYOND: f64 = 18_446_744_073_709_551_616.0;
    // There and back is faster than asking for the fraction, which is a call on most processors.
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and then it is not the same")]
    let short = float as i64;
    #[expect(clippy::cast_precision_loss, reason = "what is lost makes it another number")]
    if short as f64 == float && short != i64::MAX {
        return Some(short.into());
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^64 by the condition")]
    (float.abs() >= 2_f64.powi(53) && float.abs() < BEYOND).then_some(float as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_exact_where_floats_are_not() {
        let of = |json: &str| Num::of(&serde_json::from_str(json).unwrap()).unwrap();
        let ascending = [
            "-1e300",
            "-18446744073709551616.0",
            "-9223372036854775808",
            "-1.5",
            "-1",
            "-0.5",
            "0",
            "0.5",
            "1",
            "1.5",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551615",
            "18446744073709551616.0",
            "1e300",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(of(a).compare(of(b)), i.cmp(&j), "{a} against {b}");
            }
        }
        // Where floats say it, they say the same.
        let float = |json: &str| exact(&serde_json::from_str(json).unwrap());
        for (a, b) in ascending.iter().flat_map(|a| ascending.iter().map(move |b| (a, b))) {
            if let Some(a_float) = float(a) {
                let numbers = Numbers::from(Box::from([of(b)]));
                let order = a_float.partial_cmp(&numbers.exact);
                assert!(order.is_none_or(|order| order == of(a).compare(of(b))), "{a}, {b}");
            }
        }
        assert_eq!(
            (float("9007199254740992"), float("9007199254740993")),
            (Some(2_f64.powi(53)), None)
        );
        assert_eq!(of("1").compare(of("1.0")), Ordering::Equal);
        assert_eq!(of("0").compare(of("-0.0")), Ordering::Equal);
    }

    #[test]
    fn texts_are_numbers_only_when_they_are_nothing_else() {
        for (text, number) in
            [("17", "17"), ("-0.5", "-0.5"), ("1e3", "1000"), ("+5", "5"), ("1.0", "1")]
        {
            assert_eq!(Num::parse(text).unwrap().to_string(), number);
        }
        for text in ["", " 1", "1 ", "inf", "NaN", "-infinity", "0x10", "1_000", "1e999", "e", "."]
        {
            assert_eq!(Num::parse(text), None, "{text:?}");
        }
    }
}
