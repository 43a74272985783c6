//! `Prefer: wait`: how long a client would rather wait than be told that nothing is new (RFC 7240 §4.3).

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;

/// The longest that an answer is held. API Gateway gives an answer up that has not come after 29 s, and most proxies after
/// 60; SDKs ask for as much.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// How long the client would wait, as far as it may. Of several the first counts; what is no number is no preference (§2).
pub(crate) fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut named = values.flat_map(|value| value.split(',')).filter_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"'))
    });
    let seconds: u64 = named.next()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// Says so to the client (§3), which cannot tell otherwise whether it is worth asking again at once.
pub(crate) fn applied(response: &mut Response, wait: Duration) {
    if let Ok(value) = HeaderValue::try_from(format!("wait={}", wait.as_secs())) {
        response.headers_mut().insert("preference-applied", value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], expect: Option<u64>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("prefer", value.parse().unwrap());
        }
        assert_eq!(preferred_wait(&headers), expect.map(Duration::from_secs), "{values:?}");
    }

    #[test]
    fn waits_as_they_are_written() {
        check(&["wait=10"], Some(10));
        check(&["respond-async, WAIT = \"7\"; foo=bar"], Some(7));
        check(&["return=minimal", "wait=3, wait=9"], Some(3));
        check(&["wait=0"], Some(0));
        for none in
            ["", "wait", "wait=", "wait=-1", "wait=1.5", "waits=3", "wait=99999999999999999999"]
        {
            check(&[none], None);
        }
        check(&[], None);
    }

    #[test]
    fn at_the_longest_and_one_second_past_it() {
        let longest = LONGEST_WAIT.as_secs();
        check(&[&format!("wait={longest}")], Some(longest));
        check(&[&format!("wait={}", longest + 1)], Some(longest));
        check(&[&format!("wait={}", u64::MAX)], Some(longest));
    }
}
