//! When to ask the origin: at intervals, after failures, and when the origin announces something.

use std::sync::Arc;
use std::time::Duration;

use flagforge_flags::manifest::ScopeId;
use futures_util::StreamExt;
use tracing::debug;

use crate::jitter::{backoff, dice, shortened};
use crate::loader::chain;
use crate::origin::Origin;

/// The longest wait between retries while an origin does not answer.
const MAX_RETRY: Duration = Duration::from_secs(30);
/// When an origin without announcements is asked again whether it has some.
const ASK_FOR_STREAM_EVERY: Duration = Duration::from_secs(5 * 60);

/// How long to wait between one refresh and the next.
#[derive(Debug, Clone)]
pub struct Pace {
    poll: Duration,
    failures: u32,
}

impl Pace {
    /// A pace that polls at least once in `poll` while all is well.
    pub const fn new(poll: Duration) -> Self {
        Self { poll, failures: 0 }
    }

    /// The wait after a refresh that went well: a little under the interval, by chance.
    pub fn after_success(&mut self) -> Duration {
        self.failures = 0;
        shortened(self.poll, dice())
    }

    /// The wait after a refresh that failed: doubling from 100 ms, at most 30 s or the interval, by chance.
    pub fn after_failure(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        backoff(self.failures, MAX_RETRY.min(self.poll), dice())
    }
}

/// A little under the interval, by chance, so that what began together does not go on together.
pub fn spread(interval: Duration) -> Duration {
    shortened(interval, dice())
}

/// Calls `ring` for every announcement of the origin, for ever, opening the stream again whenever it
/// ends. An announcement that is missed costs nothing: a new stream begins with the current root, and polls go on.
pub async fn listen(origin: Arc<dyn Origin>, scope: ScopeId, ring: impl Fn() + Send) {
    let mut pace = Pace::new(MAX_RETRY);
    loop {
        let wait = match origin.watch(&scope).await {
            Ok(None) => ASK_FOR_STREAM_EVERY,
            Ok(Some(mut announcements)) => {
                while let Some(Ok(())) = announcements.next().await {
                    pace.failures = 0;
                    ring();
                }
                pace.after_failure()
            }
            Err(error) => {
                debug!(%scope, error = chain(&error), "no stream of announcements");
                pace.after_failure()
            }
        };
        tokio::time::sleep(wait).await;
    }
}
