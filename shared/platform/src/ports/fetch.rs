//! Reading from addresses that customers name: what issuers publish, where tenants come from.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::OutboundError;

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Got {
    pub status: u16,
    pub body: Bytes,
}

/// What is asked of an address, and how much of an answer is waited for and read.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    pub url: &'a str,
    /// Sent as `Authorization: Bearer …`.
    pub bearer: Option<&'a str>,
    pub within: Duration,
    pub max_bytes: usize,
}

/// An HTTP client that can be let loose on strangers' addresses, as [`super::Outbound`] is: it calls only what it
/// resolved and checked, follows no redirect, and gives up on an answer that is too long or too late.
#[async_trait]
pub trait Fetch: Send + Sync + std::fmt::Debug {
    async fn get(&self, ask: &Ask<'_>) -> Result<Got, OutboundError>;
}
