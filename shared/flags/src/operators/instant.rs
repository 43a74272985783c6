//! Instants in attributes and operands: RFC 3339 texts, dates alone, and milliseconds. Read without allocating, which
//! is why no calendar of others does it.

use std::fmt;

use serde_json::{Number, Value as Json};

use super::number::Num;
use super::{Kind, Operands};
use crate::time::Timestamp;

const NANOS_PER_MILLI: i128 = 1_000_000;
const NANOS_PER_SECOND: i128 = 1_000 * NANOS_PER_MILLI;

/// Nanoseconds since the epoch. Finer digits are dropped.
pub(crate) type Nanos = i128;

/// An operand: a fixed instant, or the one of the evaluation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    Fixed(Nanos),
    Now,
}

impl Moment {
    pub(crate) fn of(json: &Json) -> Option<Self> {
        match json {
            Json::String(text) if text == "now" => Some(Self::Now),
            other => nanos(other).map(Self::Fixed),
        }
    }

    pub(crate) const fn at(self, now: Timestamp) -> Nanos {
        match self {
            Self::Fixed(nanos) => nanos,
            Self::Now => now.as_millis() as i128 * NANOS_PER_MILLI,
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::Fixed(nanos) => {
                let millis = i64::try_from(nanos.div_euclid(NANOS_PER_MILLI)).unwrap_or(i64::MAX);
                write!(f, "{}", Timestamp::from_millis(millis))
            }
        }
    }
}

impl Operands {
    /// Whether the answer may change with time alone.
    pub(crate) fn asks_now(&self) -> bool {
        let Kind::Instant(_, moments) = &self.kind else { return false };
        moments.iter().any(|moment| matches!(moment, Moment::Now))
    }
}

fn nanos(json: &Json) -> Option<Nanos> {
    match json {
        Json::String(text) => parse(text),
        Json::Number(number) => of_number(number),
        _ => None,
    }
}

/// A number is one of milliseconds.
pub(crate) fn of_number(number: &Number) -> Option<Nanos> {
    match Num::of(number)? {
        Num::Whole(millis) => Some(millis.saturating_mul(NANOS_PER_MILLI)),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates, and what is finer than a nanosecond is dropped"
        )]
        Num::Float(millis) => Some((millis * 1e6) as i128),
    }
}

/// `2026-11-20`, or `2026-11-20T09:30:00.125+01:00` with `Z` or an offset. A leap second is the second before it.
pub(crate) fn parse(text: &str) -> Option<Nanos> {
    let mut rest = Rest(text.as_bytes());
    let (year, month, day) = (rest.digits(4)?, rest.after(b"-", 2)?, rest.after(b"-", 2)?);
    if !(1..=12).contains(&month) || day == 0 || day > month_days(year, month) {
        return None;
    }
    let midnight = i128::from(days(year, month, day)) * 86_400;
    if rest.0.is_empty() {
        return Some(midnight * NANOS_PER_SECOND);
    }
    let (hour, minute, second) =
        (rest.after(b"Tt", 2)?, rest.after(b":", 2)?, rest.after(b":", 2)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let fraction = rest.fraction()?;
    let offset = rest.offset()?;
    let seconds = midnight + i128::from(hour * 3_600 + minute * 60 + second.min(59) - offset);
    Some(seconds * NANOS_PER_SECOND + fraction)
}

/// What of a text is still to be read.
struct Rest<'t>(&'t [u8]);

impl Rest<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (read, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        read.iter()
            .try_fold(0, |value, b| b.is_ascii_digit().then(|| value * 10 + i64::from(b - b'0')))
    }

    /// Digits after one of these separators.
    fn after(&mut self, separators: &[u8], count: usize) -> Option<i64> {
        self.one_of(separators)?;
        self.digits(count)
    }

    fn one_of(&mut self, wanted: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        wanted.contains(first).then(|| self.0 = rest)?;
        Some(*first)
    }

    /// Nanoseconds of an optional fraction.
    fn fraction(&mut self) -> Option<Nanos> {
        if self.one_of(b".").is_none() {
            return Some(0);
        }
        let (mut nanos, mut unit, mut read) = (0, NANOS_PER_SECOND, 0);
        while let Some(digit) = self.one_of(b"0123456789") {
            unit /= 10;
            nanos += i128::from(digit - b'0') * unit;
            read += 1;
        }
        (read > 0).then_some(nanos)
    }

    /// Seconds that the zone is ahead of UTC; nothing may follow.
    fn offset(&mut self) -> Option<i64> {
        let seconds = match self.one_of(b"Zz+-")? {
            sign @ (b'+' | b'-') => {
                let (hours, minutes) = (self.digits(2)?, self.after(b":", 2)?);
                let ahead = hours * 3_600 + minutes * 60;
                let valid = hours <= 23 && minutes <= 59;
                valid.then_some(if sign == b'-' { -ahead } else { ahead })?
            }
            _ => 0,
        };
        self.0.is_empty().then_some(seconds)
    }
}

const fn month_days(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March have their leap day at the end.
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_way_to_write_an_instant() {
        let base = parse("2026-11-20T09:30:00Z").unwrap();
        for same in [
            "2026-11-20T10:30:00+01:00",
            "2026-11-20t09:30:00z",
            "2026-11-20T09:30:00.000000000000Z",
            "2026-11-20T00:00:00-09:30",
        ] {
            assert_eq!(parse(same), Some(base), "{same}");
        }
        assert_eq!(parse("2026-11-20T09:30:00.000001Z"), Some(base + 1_000));
        assert_eq!(parse("1970-01-01"), Some(0));
        assert_eq!(parse("2016-12-31T23:59:60Z"), parse("2016-12-31T23:59:59Z"));
        assert_eq!(nanos(&Json::from(1_500)), Some(1_500_000_000));
        assert_eq!(nanos(&Json::from(0.5)), Some(500_000));
    }

    #[test]
    fn what_is_no_instant() {
        for bad in [
            "",
            "now",
            "2026",
            "2026-1-1",
            "2026-13-01",
            "2026-02-29",
            "2026-00-10",
            "2026-01-00",
            "2026-01-01T",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+1",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00Zx",
            "2026-01-01 00:00:00Z",
            "+2026-01-01",
            "２026-01-01",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_calendar_is_jiffs(seconds in -62_167_219_200_i64..=253_402_300_799) {
            let instant = jiff::Timestamp::from_second(seconds).unwrap();
            prop_assert_eq!(parse(&instant.to_string()), Some(i128::from(seconds) * NANOS_PER_SECOND));
        }
    }
}
