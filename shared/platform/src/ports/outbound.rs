//! Calls to addresses that customers name: webhooks.

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

/// Why nothing was answered.
#[derive(Debug, Error)]
pub enum OutboundError {
    /// The address is one that this installation calls for nobody.
    #[error("the address is not called: {0}")]
    Refused(String),
    /// It did not answer, or not in time.
    #[error("no answer: {0}")]
    Failed(String),
}

/// An HTTP client that can be let loose on strangers' addresses. It resolves a name once and calls only what it
/// checked then, follows no redirect, reads no body, and gives up after some seconds. Unless the installation
/// says otherwise it calls public addresses over TLS only ([`crate::webhooks::is_public`]).
#[async_trait]
pub trait Outbound: Send + Sync + std::fmt::Debug {
    /// Posts a JSON body; answers the status.
    async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<u16, OutboundError>;
}
