//! Time as a value: milliseconds since the Unix epoch, RFC 3339 in JSON.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An instant in UTC, in whole milliseconds since 1970-01-01T00:00:00Z. In JSON an RFC 3339 text (`2026-11-20T09:30:00.125Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, format = DateTime))]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `millis` milliseconds after the epoch; negative is before it.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The instant `seconds` seconds after the epoch, saturating.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down: what JWT calls a NumericDate (RFC 7519 §2).
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This instant moved later, saturating.
    pub const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(saturating_millis(duration)))
    }

    /// The time since `earlier`; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        let millis = self.0.saturating_sub(earlier.0);
        Duration::from_millis(if millis < 0 { 0 } else { millis.unsigned_abs() })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "bounded by i64::MAX in the line before")]
const fn saturating_millis(duration: Duration) -> i64 {
    let millis = duration.as_millis();
    if millis > i64::MAX as u128 { i64::MAX } else { millis as i64 }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            // Beyond the years that RFC 3339 can write.
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let instant: jiff::Timestamp = text.parse().map_err(|_| {
            de::Error::custom(format!(
                "{text:?} is not an RFC 3339 time such as 2026-11-20T09:30:00Z"
            ))
        })?;
        Ok(Self(instant.as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_rfc_3339_in_utc_with_milliseconds() {
        let instant = Timestamp::from_millis(1_795_167_000_125);
        let json = serde_json::to_string(&instant).unwrap();
        assert_eq!(json, "\"2026-11-20T09:30:00.125Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), instant);
        let offset: Timestamp = serde_json::from_str("\"2026-11-20T10:30:00.125+01:00\"").unwrap();
        assert_eq!(offset, instant);
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
    }

    #[test]
    fn differences_never_go_below_zero_or_wrap() {
        let (early, late) = (Timestamp::from_millis(5), Timestamp::from_millis(7));
        assert_eq!(late.since(early), Duration::from_millis(2));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(Timestamp::from_millis(i64::MAX).plus(Duration::MAX).as_millis(), i64::MAX);
    }
}
