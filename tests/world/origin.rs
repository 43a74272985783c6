//! Objects of any store as the origin of a relay or SDK in the same process.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge::origin::{Fetched, Origin, OriginError};
use flagforge_flags::manifest::{Named, ScopeId};
use flagforge_platform::ports;

/// Reads manifests where the publisher put them.
#[derive(Debug)]
pub struct ObjectsOrigin(pub Arc<dyn ports::Objects>);

impl ObjectsOrigin {
    async fn read(&self, name: &str, held: Option<&str>) -> Result<ports::Fetched, OriginError> {
        let held = held.map(|tag| ports::ETag(tag.to_owned()));
        self.0.get(name, held.as_ref()).await.map_err(|error| OriginError::Unreachable {
            what: name.to_owned(),
            source: Box::new(error),
        })
    }

    async fn bytes(&self, name: &str) -> Result<Option<Bytes>, OriginError> {
        match self.read(name, None).await? {
            ports::Fetched::Found { bytes, .. } => Ok(Some(bytes)),
            ports::Fetched::NotModified | ports::Fetched::Absent => Ok(None),
        }
    }
}

#[async_trait]
impl Origin for ObjectsOrigin {
    async fn trust(&self, _: &ScopeId, number: Option<u64>) -> Result<Option<Bytes>, OriginError> {
        match number {
            None => self.bytes("trust.json").await,
            Some(number) => self.bytes(&format!("trust/{number}.json")).await,
        }
    }

    async fn root(&self, scope: &ScopeId, held: Option<&str>) -> Result<Fetched, OriginError> {
        let name = scope.root_name();
        Ok(match self.read(&name, held).await? {
            ports::Fetched::Found { bytes, etag } => Fetched::Found { bytes, etag: Some(etag.0) },
            ports::Fetched::NotModified => Fetched::NotModified,
            ports::Fetched::Absent => Fetched::Absent,
        })
    }

    async fn chunk(&self, scope: &ScopeId, named: Named) -> Result<Option<Bytes>, OriginError> {
        self.bytes(&format!("{}/chunks/{}", scope.org, named.sha256)).await
    }
}
