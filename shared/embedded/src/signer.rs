//! The online key on one machine: a file.

use std::path::Path;

use async_trait::async_trait;
use flagforge_flags::manifest::{PublicKey, SecretKey};
use flagforge_platform::ports::{Signer, SignerError};

use crate::key_file::{self, KeyFileError};

/// Signs with a key of this process. The key is read once; changing the file changes nothing until the next start.
#[derive(Debug)]
pub struct LocalSigner(SecretKey);

impl LocalSigner {
    /// The key in the PEM file at `path`, which is created, with mode 0600, when it is not there. Refuses a file that others
    /// may read, and one that holds no key. Blocks.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        key_file::read_or_create(path).map(Self)
    }

    /// A new key that nothing keeps.
    pub fn ephemeral() -> Result<Self, KeyFileError> {
        key_file::draw().map(Self)
    }

    /// This key: for tests that must be the same every time.
    pub fn from_key(key: SecretKey) -> Self {
        Self(key)
    }

    /// The public half, without a wait.
    pub fn public(&self) -> PublicKey {
        self.0.public()
    }
}

#[async_trait]
impl Signer for LocalSigner {
    async fn public_key(&self) -> Result<PublicKey, SignerError> {
        Ok(self.0.public())
    }

    async fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        Ok(self.0.sign(message))
    }
}
