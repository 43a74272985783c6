//! An origin that remembers chunks: a flip makes every SDK fetch the same one or two.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use flagforge::origin::{Announcements, Fetched, Origin, OriginError};
use flagforge_flags::manifest::{Digest, Named, ScopeId};
use flagforge_flags::propagation::Reports;

use crate::env_id::EnvId;

/// An origin behind a bounded memory of chunks.
#[derive(Debug)]
pub(crate) struct ChunkCache {
    origin: Arc<dyn Origin>,
    held: Mutex<Held>,
    /// How often a chunk was there, and was not.
    found: AtomicU64,
    fetched: AtomicU64,
}

#[derive(Debug)]
struct Held {
    chunks: HashMap<(EnvId, Digest), (Bytes, u64)>,
    bytes: usize,
    max_bytes: usize,
    /// Counts uses; a chunk's number says how long ago its last use was.
    uses: u64,
}

impl ChunkCache {
    pub(crate) fn new(origin: Arc<dyn Origin>, max_bytes: usize) -> Self {
        let held = Held { chunks: HashMap::new(), bytes: 0, max_bytes, uses: 0 };
        let (found, fetched) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { origin, held: Mutex::new(held), found, fetched }
    }

    /// How many bytes are held.
    #[cfg(feature = "metrics")]
    pub(crate) fn bytes(&self) -> usize {
        self.held().bytes
    }

    /// How often a chunk was here, and how often the origin was asked.
    #[cfg(feature = "metrics")]
    pub(crate) fn asked(&self) -> (u64, u64) {
        (self.found.load(Ordering::Relaxed), self.fetched.load(Ordering::Relaxed))
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        // Every change of it is whole, so a panic elsewhere leaves nothing half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn get(&mut self, key: &(EnvId, Digest)) -> Option<Bytes> {
        self.uses += 1;
        let (bytes, used) = self.chunks.get_mut(key)?;
        *used = self.uses;
        Some(bytes.clone())
    }

    fn put(&mut self, key: (EnvId, Digest), bytes: Bytes) {
        if bytes.len() > self.max_bytes {
            return;
        }
        self.uses += 1;
        self.bytes += bytes.len();
        if let Some((old, _)) = self.chunks.insert(key, (bytes, self.uses)) {
            self.bytes -= old.len();
        }
        while self.bytes > self.max_bytes {
            let oldest = self.chunks.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { return };
            if let Some((bytes, _)) = self.chunks.remove(&oldest) {
                self.bytes -= bytes.len();
            }
        }
    }
}

#[async_trait]
impl Origin for ChunkCache {
    async fn trust(
        &self,
        scope: &ScopeId,
        number: Option<u64>,
    ) -> Result<Option<Bytes>, OriginError> {
        self.origin.trust(scope, number).await
    }

    async fn root(&self, scope: &ScopeId, held: Option<&str>) -> Result<Fetched, OriginError> {
        self.origin.root(scope, held).await
    }

    /// The chunk, from memory where it was asked for before. Only bytes that have the digest are held.
    async fn chunk(&self, scope: &ScopeId, named: Named) -> Result<Option<Bytes>, OriginError> {
        let key = (EnvId::of(scope), named.sha256);
        if let Some(bytes) = self.held().get(&key) {
            self.found.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(bytes));
        }
        self.fetched.fetch_add(1, Ordering::Relaxed);
        let found = self.origin.chunk(scope, named).await?;
        if let Some(bytes) = found.as_ref().filter(|bytes| Digest::of(bytes) == named.sha256) {
            self.held().put(key, bytes.clone());
        }
        Ok(found)
    }

    async fn watch(&self, scope: &ScopeId) -> Result<Option<Announcements>, OriginError> {
        self.origin.watch(scope).await
    }

    async fn report(&self, scope: &ScopeId, reports: &Reports) -> Result<bool, OriginError> {
        self.origin.report(scope, reports).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flagforge_flags::keys::{EnvKey, OrgKey};

    fn key(text: &[u8]) -> (EnvId, Digest) {
        let id = EnvId { org: OrgKey::new("o").unwrap(), env: EnvKey::new("e").unwrap() };
        (id, Digest::of(text))
    }

    #[test]
    fn memory_stays_within_its_bytes_and_forgets_what_was_used_longest_ago() {
        let mut held = Held { chunks: HashMap::new(), bytes: 0, max_bytes: 10, uses: 0 };
        held.put(key(b"a"), Bytes::from_static(b"12345"));
        held.put(key(b"b"), Bytes::from_static(b"12345"));
        assert!(held.get(&key(b"a")).is_some(), "both fit exactly");
        held.put(key(b"c"), Bytes::from_static(b"1"));
        assert_eq!((held.bytes, held.get(&key(b"b"))), (6, None));
        assert!(held.get(&key(b"a")).is_some() && held.get(&key(b"c")).is_some());
        held.put(key(b"d"), Bytes::from_static(b"12345678901"));
        assert!(held.get(&key(b"d")).is_none(), "one byte over the whole memory");
        held.put(key(b"a"), Bytes::from_static(b"123"));
        assert_eq!(held.bytes, 4);
    }

    #[test]
    fn one_organizations_chunk_is_not_anothers() {
        let mut held = Held { chunks: HashMap::new(), bytes: 0, max_bytes: 10, uses: 0 };
        held.put(key(b"a"), Bytes::from_static(b"1"));
        let (mut other, digest) = key(b"a");
        other.org = OrgKey::new("p").unwrap();
        assert_eq!(held.get(&(other, digest)), None);
    }
}
