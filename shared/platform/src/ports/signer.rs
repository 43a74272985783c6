//! The signer: the online key, which never leaves where it lives.

use async_trait::async_trait;
use flagforge_flags::manifest::PublicKey;
use thiserror::Error;

/// The signer did not answer, or refused.
#[derive(Debug, Error)]
#[error("the online key could not be used")]
pub struct SignerError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// The online key (ECDSA P-256, SHA-256). Used about once a day for each publisher, to certify a short-lived key.
#[async_trait]
pub trait Signer: Send + Sync + std::fmt::Debug {
    /// The public half, as the trust document names it.
    async fn public_key(&self) -> Result<PublicKey, SignerError>;

    /// The raw 64-byte signature `r || s` over `message` (hashed with SHA-256 by the signer).
    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError>;
}
