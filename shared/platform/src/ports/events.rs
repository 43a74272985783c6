//! Somebody's own message bus, which hears of every change.

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_flags::keys::{EnvKey, OrgKey};

/// An event on its way.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The same each time that it is handed over, so that who hears it twice knows.
    pub id: String,
    pub org: OrgKey,
    /// `None`: of the organization as a whole.
    pub env: Option<EnvKey>,
    /// Say `flag.killed`.
    pub kind: String,
    /// CloudEvents 1.0, JSON format.
    pub body: Bytes,
}

/// A message bus beside ours that the installation's operator has already. It hears every event of every organization, at
/// least once, in the order of each log but for what is tried again.
#[async_trait]
pub trait EventSink: Send + Sync + std::fmt::Debug {
    /// Hands an event over, and answers once it is taken. Else says why not, within some seconds.
    async fn take(&self, event: &Outgoing) -> Result<(), String>;
}
