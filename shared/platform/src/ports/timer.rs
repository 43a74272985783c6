//! The timer: what time it is, and waiting.

use std::time::Duration;

use async_trait::async_trait;
use flagforge_flags::time::Timestamp;

/// The platform's only clock, so that tests and simulation own time.
#[async_trait]
pub trait Timer: Send + Sync + std::fmt::Debug {
    fn now(&self) -> Timestamp;
    async fn sleep(&self, duration: Duration);
}
