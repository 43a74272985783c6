//! A timer that a test moves by hand; the machine's own is the port's.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::Timer;
use tokio::sync::watch;

/// A timer that stands still until it is moved. Clones share their time.
#[derive(Debug, Clone)]
pub struct ManualTimer(Arc<watch::Sender<Timestamp>>);

impl ManualTimer {
    /// A timer that stands at `start`.
    pub fn at(start: Timestamp) -> Self {
        Self(Arc::new(watch::Sender::new(start)))
    }

    /// Moves time on by `duration` and wakes every sleeper whose time has come.
    pub fn advance(&self, duration: Duration) {
        self.0.send_modify(|now| *now = now.plus(duration));
    }

    /// Sets the time, which may go back, as a machine's clock does when it is corrected.
    pub fn set(&self, now: Timestamp) {
        self.0.send_replace(now);
    }

    /// How many tasks sleep: a test waits for this before it advances, because a sleep begun
    /// after [`advance`](Self::advance) counts from the new time.
    pub fn sleepers(&self) -> usize {
        self.0.receiver_count()
    }
}

#[async_trait]
impl Timer for ManualTimer {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    async fn sleep(&self, duration: Duration) {
        let mut time = self.0.subscribe();
        let due = time.borrow_and_update().plus(duration);
        // The sender lives in `self`, so the error "no sender left" cannot come.
        let _ = time.wait_for(|now| *now >= due).await;
    }
}

#[cfg(test)]
mod tests {
    use flagforge_platform::ports::SystemTimer;

    use super::*;

    #[tokio::test]
    async fn a_sleeper_wakes_when_its_time_has_come_and_not_before() {
        let timer = ManualTimer::at(Timestamp::from_seconds(1_000));
        let sleeper = {
            let timer = timer.clone();
            tokio::spawn(async move {
                timer.sleep(Duration::from_secs(60)).await;
                timer.now()
            })
        };
        while timer.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        timer.advance(Duration::from_secs(59));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        timer.advance(Duration::from_secs(1));
        assert_eq!(sleeper.await.unwrap(), Timestamp::from_seconds(1_060));
        assert_eq!(timer.sleepers(), 0);
        timer.sleep(Duration::ZERO).await;
        timer.set(Timestamp::from_seconds(5));
        assert_eq!(timer.now(), Timestamp::from_seconds(5));
    }

    #[tokio::test]
    async fn the_machines_timer_sleeps_at_least_as_long_as_asked() {
        let before = SystemTimer.now();
        SystemTimer.sleep(Duration::from_millis(20)).await;
        assert!(SystemTimer.now().since(before) >= Duration::from_millis(19));
        assert!(before > Timestamp::from_seconds(1_700_000_000));
    }
}
