//! The one place that asks what time it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flagforge_flags::time::Timestamp;

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_millis(0).plus(since)
}
