//! The bus inside one process.

use async_trait::async_trait;
use flagforge_platform::ports::{Bus, BusError, Notice};
use tokio::sync::broadcast;

/// Notices a slow listener may fall behind before it loses the oldest. A notice is under 1 KiB
/// (keys of at most 40 bytes and short words), so a listener holds back at most 1 MiB.
pub const MAX_NOTICES_BEHIND: usize = 1_024;

/// Every notice to every listener of this process, in order. A notice nobody listens to is gone.
#[derive(Debug, Clone)]
pub struct LocalBus(broadcast::Sender<Notice>);

impl LocalBus {
    /// A bus nobody listens to yet.
    pub fn new() -> Self {
        Self(broadcast::Sender::new(MAX_NOTICES_BEHIND))
    }

    /// Everything published from now on. A listener more than [`MAX_NOTICES_BEHIND`] behind is told
    /// by `RecvError::Lagged` and should treat it as a ring for everything it looks after; `Closed` means that
    /// the bus is gone and nothing more will come.
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.0.subscribe()
    }
}

impl Default for LocalBus {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Bus for LocalBus {
    async fn publish(&self, notice: &Notice) -> Result<(), BusError> {
        // The only error is that nobody listens, which is no fault of the publisher's.
        let _ = self.0.send(notice.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flagforge_flags::keys::OrgKey;
    use flagforge_flags::propagation::Propagation;
    use tokio::sync::broadcast::error::RecvError;

    use super::*;

    fn changed(number: u64) -> Notice {
        let org = OrgKey::new("demo").unwrap();
        let (change, propagation) = ("put-tenant".to_owned(), Propagation::default());
        Notice::Changed { org, env: None, number, change, propagation }
    }

    #[tokio::test]
    async fn every_listener_hears_what_is_published_after_it_came() {
        let bus = LocalBus::new();
        bus.publish(&changed(1)).await.unwrap();
        let (mut one, mut other) = (bus.subscribe(), bus.subscribe());
        bus.publish(&changed(2)).await.unwrap();
        assert_eq!(one.recv().await.unwrap(), changed(2));
        assert_eq!(other.recv().await.unwrap(), changed(2));
        drop(bus);
        assert_eq!(one.recv().await.unwrap_err(), RecvError::Closed);
    }

    #[tokio::test]
    async fn a_listener_at_the_limit_loses_nothing_and_one_past_it_is_told() {
        let bus = LocalBus::new();
        let mut listener = bus.subscribe();
        let limit = u64::try_from(MAX_NOTICES_BEHIND).unwrap();
        for number in 0..limit {
            bus.publish(&changed(number)).await.unwrap();
        }
        assert_eq!(listener.recv().await.unwrap(), changed(0));
        for number in limit..limit + 2 {
            bus.publish(&changed(number)).await.unwrap();
        }
        assert_eq!(listener.recv().await.unwrap_err(), RecvError::Lagged(1));
        assert_eq!(listener.recv().await.unwrap(), changed(2));
    }
}
