//! The timer: what time it is, and waiting.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use flagforge_flags::time::Timestamp;

/// The platform's only clock, so that tests and simulation own time.
#[async_trait]
pub trait Timer: Send + Sync + std::fmt::Debug {
    fn now(&self) -> Timestamp;
    async fn sleep(&self, duration: Duration);
}

/// The machine's wall clock, and tokio's sleep. The clock may step when the machine's is set.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemTimer;

#[async_trait]
impl Timer for SystemTimer {
    fn now(&self) -> Timestamp {
        // A clock before 1970 is a broken clock; the epoch itself is the least wrong answer.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(0).plus(since_epoch)
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
