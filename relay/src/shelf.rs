//! What a relay hands out of one environment.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flagforge::loader::Manifest;
use flagforge_flags::manifest::{Digest, Listing, Named, Root, Trust};

use crate::sheet::Sheet;

/// Roots whose chunks are still handed out: an SDK may be fetching the chunks of one while the next appears.
const RECENT_ROOTS: usize = 4;

/// A root to pass on, and the chunks that may be fetched because of it and the few before it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Document {
    pub(crate) text: Bytes,
    pub(crate) etag: String,
    /// Those of the newest root first: by digest, how many bytes each has.
    chunks: VecDeque<Arc<HashMap<Digest, u64>>>,
}

impl Document {
    pub(crate) fn followed_by(&self, root: &Root, listing: &Listing) -> Self {
        let mut chunks = self.chunks.clone();
        chunks.push_front(Arc::new(listing.named().map(|n| (n.sha256, n.bytes)).collect()));
        chunks.truncate(RECENT_ROOTS);
        let text = Bytes::copy_from_slice(root.text().as_bytes());
        Self { text, etag: format!("\"{}\"", root.digest()), chunks }
    }

    pub(crate) fn followed_by_manifest(&self, manifest: &Manifest) -> Self {
        let followed =
            manifest.root().map(|root| self.followed_by(root, manifest.snapshot().listing()));
        followed.unwrap_or_else(|| self.clone())
    }

    /// Whether the newest root names it.
    pub(crate) fn newest(&self, digest: &Digest) -> bool {
        self.chunks.front().is_some_and(|chunks| chunks.contains_key(digest))
    }

    pub(crate) fn named(&self, digest: Digest) -> Option<Named> {
        let bytes = self.chunks.iter().find_map(|chunks| chunks.get(&digest))?;
        Some(Named { sha256: digest, bytes: *bytes })
    }
}

/// What is handed out.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    /// What is answered from: the relay scope's, or for a relay among the canaries theirs.
    pub(crate) manifest: Arc<Manifest>,
    /// The relay scope's, which alone has the keys.
    pub(crate) keys: Arc<Manifest>,
    /// The root of the relay scope.
    pub(crate) relay: Document,
    /// The root of the environment scope, once there is one.
    pub(crate) environment: Option<Document>,
    pub(crate) trust: Option<Trust>,
    /// What answers to all flags are made of, once somebody asked for them.
    sheet: Arc<OnceLock<Sheet>>,
    #[cfg(feature = "flagd")]
    pub(crate) exports: Arc<crate::flagd::Exports>,
}

impl Shelf {
    /// The first of an environment.
    pub(crate) fn of(keys: Arc<Manifest>, trust: Option<Trust>) -> Self {
        let relay = Document::default().followed_by_manifest(&keys);
        let manifest = Arc::clone(&keys);
        Self {
            manifest,
            keys,
            relay,
            environment: None,
            trust,
            sheet: Arc::default(),
            #[cfg(feature = "flagd")]
            exports: Arc::default(),
        }
    }

    /// The same with other manifests.
    pub(crate) fn with(
        &self,
        keys: &Arc<Manifest>,
        manifest: &Arc<Manifest>,
        trust: Option<&Trust>,
    ) -> Self {
        let same = Arc::ptr_eq(&self.keys, keys);
        let relay = if same { self.relay.clone() } else { self.relay.followed_by_manifest(keys) };
        Self {
            manifest: Arc::clone(manifest),
            keys: Arc::clone(keys),
            relay,
            environment: self.environment.clone(),
            trust: trust.cloned(),
            sheet: Arc::default(),
            #[cfg(feature = "flagd")]
            exports: Arc::default(),
        }
    }

    /// The same with another root for SDKs.
    pub(crate) fn with_environment(
        &self,
        root: &Root,
        listing: &Listing,
        trust: Option<Trust>,
    ) -> Self {
        let before = self.environment.clone().unwrap_or_default();
        let environment = Some(before.followed_by(root, listing));
        Self { environment, trust, ..self.clone() }
    }

    pub(crate) fn sheet(&self) -> &Sheet {
        self.sheet.get_or_init(|| Sheet::of(self.manifest.snapshot()))
    }
}
