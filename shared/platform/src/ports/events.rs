//! A message bus for those outside, which hears of every change.

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_flags::keys::{EnvKey, OrgKey};

use crate::events::Event;

/// An event on its way.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub org: OrgKey,
    /// `None`: of the organization as a whole.
    pub env: Option<EnvKey>,
    /// Its id is the same each time that it is handed over, so that who hears it twice knows.
    pub event: Event,
    /// The event in CloudEvents' JSON format.
    pub body: Bytes,
}

/// A message bus beside ours: one that the installation's operator has already, or a topic that the installation has for
/// subscribers. It hears every event of every organization, at least once, in the order of each log but for what is tried
/// again.
#[async_trait]
pub trait EventSink: Send + Sync + std::fmt::Debug {
    /// Hands an event over, and answers once it is taken. Else says why not, within 20 seconds.
    async fn take(&self, outgoing: &Outgoing) -> Result<(), String>;
}
