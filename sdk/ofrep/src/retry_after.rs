//! When a server wants to be asked again.

use std::time::Duration;

use jiff::Timestamp;

/// The longest that a server is heeded: one whose clock is wrong, or who says nonsense, does not silence a client for days.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);
/// What a refusal for too many requests means that does not say.
const UNSAID: Duration = Duration::from_secs(1);

/// Reads a `Retry-After`: whole seconds, a date as HTTP writes it (RFC 9110 §10.2.3), or one as OFREP's description has it.
pub(crate) fn retry_after(text: Option<&str>, now: Timestamp) -> Duration {
    text.and_then(|text| read(text.trim(), now)).unwrap_or(UNSAID).min(MAX_RETRY_AFTER)
}

fn read(text: &str, now: Timestamp) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds are longer than the longest.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    // The day of the week says nothing that the date does not.
    let dates = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    let dated = dates.parse_timestamp(text);
    let at = dated.or_else(|_| text.parse::<Timestamp>()).ok()?;
    // What has passed already is now.
    Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_dates_and_nonsense() {
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        let cases = [
            (Some("0"), 0),
            (Some(" 7 "), 7),
            (Some("Sun, 06 Nov 1994 08:49:37 GMT"), 7),
            (Some("Sun, 06 Nov 1994 08:49:00 GMT"), 0),
            (Some("1994-11-06T08:49:37Z"), 7),
            (Some("1994-11-06T09:49:37+01:00"), 7),
            (Some("600"), 600),
            (Some("601"), 600),
            (Some("99999999999999999999999"), 600),
            (Some("Mon, 07 Nov 2094 08:49:37 GMT"), 600),
            (Some("-1"), 1),
            (Some("1.5"), 1),
            (Some("soon"), 1),
            (Some(""), 1),
            (None, 1),
        ];
        for (text, seconds) in cases {
            assert_eq!(retry_after(text, now), Duration::from_secs(seconds), "{text:?}");
        }
    }
}
