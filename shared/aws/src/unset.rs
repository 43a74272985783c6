//! Hands that a function was not given. Its role would refuse them anyway; this says so before a request is sent.

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_flags::manifest::PublicKey;
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{
    Bus, BusError, ETag, Fetched, Item, ItemKey, ListedObject, Notice, ObjectError, Objects, Page,
    PutIf, Query, Signer, SignerError, Table, TableError, Write,
};

use crate::settings::{SettingsError, Variable};

/// A hand whose variable is not set: every use answers which.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unset(pub(crate) Variable);

impl Unset {
    pub(crate) fn fault(self) -> Box<dyn std::error::Error + Send + Sync> {
        Box::new(SettingsError::Missing(self.0))
    }
}

#[async_trait]
impl Table for Unset {
    async fn get(&self, _: &ItemKey) -> Result<Option<Item>, TableError> {
        Err(TableError::Unavailable(self.fault()))
    }

    async fn query(&self, _: &Query) -> Result<Page, TableError> {
        Err(TableError::Unavailable(self.fault()))
    }

    async fn transact(&self, _: Vec<Write>, _: Option<&str>) -> Result<(), TableError> {
        Err(TableError::Unavailable(self.fault()))
    }
}

#[async_trait]
impl Objects for Unset {
    async fn get(&self, _: &str, _: Option<&ETag>) -> Result<Fetched, ObjectError> {
        Err(ObjectError::Unavailable(self.fault()))
    }

    async fn put(&self, _: &str, _: Bytes, _: &str, _: PutIf) -> Result<ETag, ObjectError> {
        Err(ObjectError::Unavailable(self.fault()))
    }

    async fn list(&self, _: &str, _: Option<&str>) -> Result<Vec<ListedObject>, ObjectError> {
        Err(ObjectError::Unavailable(self.fault()))
    }

    async fn delete(&self, _: &str, _: Timestamp) -> Result<bool, ObjectError> {
        Err(ObjectError::Unavailable(self.fault()))
    }
}

#[async_trait]
impl Signer for Unset {
    async fn public_key(&self) -> Result<PublicKey, SignerError> {
        Err(SignerError(self.fault()))
    }

    async fn sign(&self, _: &[u8]) -> Result<[u8; 64], SignerError> {
        Err(SignerError(self.fault()))
    }
}

#[async_trait]
impl Bus for Unset {
    async fn publish(&self, _: &Notice) -> Result<(), BusError> {
        Err(BusError(self.fault()))
    }
}
