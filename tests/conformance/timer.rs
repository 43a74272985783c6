//! Timers of machines: they tell the time and wait.

use std::sync::Arc;
use std::time::Duration;

use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::Timer;

pub(crate) async fn the_time_is_of_this_age_and_goes_on(timer: Arc<dyn Timer>) {
    // 2026-01-01 and 2200-01-01: a clock in seconds or microseconds would be outside.
    let age = Timestamp::from_seconds(1_767_225_600)..Timestamp::from_seconds(7_258_118_400);
    let before = timer.now();
    assert!(age.contains(&before), "{before}");
    timer.sleep(Duration::from_millis(30)).await;
    assert!(timer.now().since(before) >= Duration::from_millis(29));
}
