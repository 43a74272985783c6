//! The one place that asks what time it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flagforge_flags::time::Timestamp;

/// Now, by the machine's clock. Ages are differences of this, so that they count the hours that a
/// machine slept and the days between two runs, which a monotonic clock does not; a clock that is
/// set back makes an age shorter, never negative.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_millis(0).plus(since).plus(ahead())
}

#[cfg(not(feature = "testing"))]
const fn ahead() -> Duration {
    Duration::ZERO
}

#[cfg(feature = "testing")]
thread_local! {
    static AHEAD: std::cell::Cell<Duration> = const { std::cell::Cell::new(Duration::ZERO) };
}

#[cfg(feature = "testing")]
fn ahead() -> Duration {
    AHEAD.get()
}

/// From here on this thread's clients take it to be so much later.
#[cfg(feature = "testing")]
pub(crate) fn advance(by: Duration) {
    AHEAD.set(AHEAD.get().saturating_add(by));
}
