//! Following one scope: trust, then root, then the chunks that are missing, then a snapshot. Whatever is
//! refused on the way changes nothing.

mod asked;
mod bootstrap;
mod directory;
mod disk;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use flagforge_flags::manifest::{
    ChunkRef, Digest, HeldFlag, Listing, Named, Position, Refusal, Root, ScopeId, TenantShards,
    Thumbprint, Trust, load_some, missing_some, verify_root,
};
use flagforge_flags::time::Timestamp;
use flagforge_flags::{Revision, Snapshot, View};
use futures_util::{StreamExt, TryStreamExt, stream};
use thiserror::Error;
use tracing::warn;

pub(crate) use directory::OnDemand;
pub use directory::{BYTES_ON_DEMAND, Directory, MAX_WAITING, TENANTS_ON_DEMAND, TTL_ON_DEMAND};

use crate::cache::{DiskCache, Generation};
use crate::clock;
use crate::origin::{Fetched, FolderOrigin, Origin, OriginError};
use crate::trust::TrustKeeper;

/// Chunks fetched at a time.
const CHUNKS_AT_ONCE: usize = 8;

/// Why no newer manifest was loaded. What was loaded before stays.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The origin did not answer.
    #[error("the manifest could not be read")]
    Origin(#[from] OriginError),
    /// The origin answered with something that is not believed.
    #[error("the manifest was refused")]
    Refused(#[from] Refusal),
    /// The origin has nothing for this scope.
    #[error("there is no {0} at the origin")]
    Absent(&'static str),
}

/// A verified manifest, and when it was last known to be current.
#[derive(Debug)]
pub struct Manifest {
    snapshot: Snapshot,
    root: Option<Root>,
    confirmed: AtomicI64,
    there: bool,
}

impl Manifest {
    fn new(snapshot: Snapshot, root: Root, confirmed: Timestamp) -> Self {
        let confirmed = AtomicI64::new(confirmed.as_millis());
        Self { snapshot, root: Some(root), confirmed, there: true }
    }

    /// A manifest that was made, not loaded: it has no root, and its age is always zero.
    pub fn fixed(snapshot: Snapshot) -> Self {
        Self { snapshot, root: None, confirmed: AtomicI64::new(i64::MAX), there: true }
    }

    /// What is held before there is a manifest: nothing.
    pub(crate) fn none(scope: ScopeId) -> Self {
        let snapshot = Snapshot::from_parts(scope, Revision { org: 0, env: 0 }, [], []);
        Self { there: false, ..Self::fixed(snapshot) }
    }

    /// Whether it is a manifest at all.
    pub(crate) const fn is_there(&self) -> bool {
        self.there
    }

    /// What it says.
    pub const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Its root; `None` when it is fixed.
    pub const fn root(&self) -> Option<&Root> {
        self.root.as_ref()
    }

    /// The flags that it has in an earlier form.
    pub fn held(&self) -> &[HeldFlag] {
        &self.snapshot.root().held
    }

    /// When its origin last confirmed that it is current.
    pub fn confirmed(&self) -> Timestamp {
        Timestamp::from_millis(self.confirmed.load(Ordering::Relaxed))
    }

    /// Whether its root, or the trust behind it, should have been signed again by now.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.root.as_ref().is_some_and(|root| root.expired(now))
    }

    /// What evaluation needs of it.
    pub fn view(&self) -> View<'_> {
        View { snapshot: &self.snapshot, confirmed: self.confirmed() }
    }

    fn confirm(&self, now: Timestamp) {
        self.confirmed.store(now.as_millis(), Ordering::Relaxed);
    }
}

/// What a refresh came to.
#[derive(Debug, Clone)]
pub enum Refreshed {
    /// Another manifest than before.
    Changed(Arc<Manifest>),
    /// What is held is current.
    Confirmed,
}

/// What reading a root came to.
#[derive(Debug)]
pub enum RootNews {
    /// A root that is not the held one: verified, and not yet accepted.
    New(Box<Root>, Option<String>),
    /// The same, which came along with an announcement: as new as when it was signed, and no newer.
    Pushed(Box<Root>, Option<String>),
    /// The held one is current.
    Same,
}

/// Chunks and indexes in hand.
pub type Chunks = HashMap<Digest, Bytes>;

/// Follows the root of one scope: its signature, its owner, its place in time. The chunks are the [`Loader`]'s.
#[derive(Debug)]
pub struct RootReader {
    origin: Arc<dyn Origin>,
    scope: ScopeId,
    trust: TrustKeeper,
    held: Option<Digest>,
    etag: Option<String>,
    floor: Option<Position>,
}

impl RootReader {
    /// A reader that has read nothing yet.
    pub fn new(origin: Arc<dyn Origin>, scope: ScopeId, pinned: Vec<Thumbprint>) -> Self {
        let trust = TrustKeeper::new(pinned);
        Self { origin, scope, trust, held: None, etag: None, floor: None }
    }

    /// The trust document that roots are verified with.
    pub fn trust(&self) -> Option<&Trust> {
        self.trust.current()
    }

    /// Reads the current root and verifies it. Nothing changes until [`RootReader::accept`].
    pub async fn read(&mut self) -> Result<RootNews, LoadError> {
        self.refresh_trust_when_due().await?;
        let mut fetched = self.origin.root(&self.scope, self.etag.as_deref()).await?;
        if let Fetched::Pushed { bytes, etag } = fetched {
            // A push may have been overtaken, by trust or by another root. Then the origin is asked, as without it.
            match self.verify(&bytes) {
                Ok(root) if self.held != Some(root.digest()) => {
                    return Ok(RootNews::Pushed(Box::new(root), Some(etag)));
                }
                Ok(_) | Err(_) => {}
            }
            fetched = self.origin.root(&self.scope, self.etag.as_deref()).await?;
        }
        let (bytes, etag) = match fetched {
            Fetched::NotModified => return Ok(RootNews::Same),
            Fetched::Absent => return Err(LoadError::Absent("root")),
            Fetched::Found { bytes, etag } => (bytes, etag),
            Fetched::Pushed { bytes, etag } => (bytes, Some(etag)),
        };
        let root = match self.verify(&bytes) {
            // The key may be newer than the trust that is held, or trust newer than the root.
            Err(Refusal::UnknownKey { .. } | Refusal::WrongEpoch { .. }) => {
                self.trust.refresh(&*self.origin, &self.scope).await?;
                self.verify(&bytes)?
            }
            other => other?,
        };
        if self.held == Some(root.digest()) {
            self.etag = etag;
            return Ok(RootNews::Same);
        }
        Ok(RootNews::New(Box::new(root), etag))
    }

    /// From here on the root is the held one, and none before it will do.
    pub fn accept(&mut self, root: &Root, etag: Option<String>) {
        self.held = Some(root.digest());
        self.etag = etag;
        self.floor = Some(root.position());
    }

    /// Every chunk that a root lists, by itself or by its indexes. `held` is what was listed before: only what changed since
    /// is fetched. Besides the listing it answers what was fetched for it.
    pub async fn list(
        &self,
        root: &Root,
        held: Option<&Listing>,
    ) -> Result<(Listing, Chunks), LoadError> {
        let fetched = self.fetch(Listing::lacking(root, held).copied().collect()).await?;
        let listing = Listing::of(root, &mut |digest| fetched.get(digest), held)?;
        Ok((listing, fetched))
    }

    /// Fetches chunks, several at a time; one that is not there is an error.
    pub async fn fetch(&self, wanted: Vec<Named>) -> Result<Chunks, LoadError> {
        let (origin, scope) = (&*self.origin, &self.scope);
        stream::iter(wanted)
            .map(|named| async move {
                let digest = named.sha256;
                let bytes = origin.chunk(scope, named).await?;
                bytes.map(|b| (digest, b)).ok_or_else(|| Refusal::ChunkMissing(digest).into())
            })
            .buffer_unordered(CHUNKS_AT_ONCE)
            .try_collect()
            .await
    }

    fn verify(&self, bytes: &[u8]) -> Result<Root, Refusal> {
        match self.trust.current() {
            Some(trust) => {
                verify_root(bytes, trust, &self.scope, self.floor.as_ref(), clock::now())
            }
            // `read` has trust before it has a root.
            None => Err(Refusal::Malformed { what: "trust document", why: "none held".into() }),
        }
    }

    async fn refresh_trust_when_due(&mut self) -> Result<(), LoadError> {
        if !self.trust.due() {
            return Ok(());
        }
        match self.trust.refresh(&*self.origin, &self.scope).await {
            // The root has to stand before the new trust, so the whole of it is asked for.
            Ok(true) => self.etag = None,
            Ok(false) => {}
            Err(error) if self.trust.current().is_none() => return Err(error),
            Err(error) => warn!(scope = %self.scope, error = chain(&error), "kept the trust held"),
        }
        Ok(())
    }
}

/// Follows the manifest of one scope.
#[derive(Debug)]
pub struct Loader {
    reader: RootReader,
    held: Option<Arc<Manifest>>,
    /// Who is held of the tenant directory; `None` is everybody.
    directory: Option<Arc<OnDemand>>,
    /// What was shipped with the host, where that was begun from.
    bundle: Option<FolderOrigin>,
    cache: Option<DiskCache>,
    /// Fetched since the cache was last written.
    unstored: Chunks,
    /// The confirmation that the cache has; `None` when it does not have what is held.
    stored: Option<Timestamp>,
    /// What is known to be good of what the cache has.
    on_disk: Option<Generation>,
}

impl Loader {
    /// A loader that holds nothing yet. With a cache folder it keeps the last good manifest there;
    /// the folder may be shared by scopes and processes.
    pub fn new(
        origin: Arc<dyn Origin>,
        scope: ScopeId,
        pinned: Vec<Thumbprint>,
        cache: Option<&Path>,
    ) -> Self {
        let cache = cache.map(|folder| DiskCache::new(folder, &scope, &pinned));
        let reader = RootReader::new(origin, scope, pinned);
        let (directory, bundle, unstored) = (None, None, HashMap::new());
        let (held, stored, on_disk) = (None, None, None);
        Self { reader, held, directory, bundle, cache, unstored, stored, on_disk }
    }

    /// Which manifest it is.
    pub const fn scope(&self) -> &ScopeId {
        &self.reader.scope
    }

    /// What is held.
    pub const fn held(&self) -> Option<&Arc<Manifest>> {
        self.held.as_ref()
    }

    /// The trust document that roots are verified with.
    pub fn trust(&self) -> Option<&Trust> {
        self.reader.trust()
    }

    /// Asks the origin, and loads what is new. After an error everything is as it was.
    pub async fn refresh(&mut self) -> Result<Refreshed, LoadError> {
        // What an answer confirms is how things stood when it was asked for: it may be long on its way, and a process
        // that is frozen meanwhile does not notice.
        let asked = clock::now();
        let previous = self.held.clone();
        let (root, etag, confirmed) = match self.reader.read().await? {
            RootNews::New(root, etag) => (*root, etag, asked),
            RootNews::Pushed(root, etag) => {
                let before = previous.as_ref().map(|held| held.confirmed());
                let confirmed = root.claims().issued.min(asked).max(before.unwrap_or_default());
                (*root, etag, confirmed)
            }
            RootNews::Same => return self.confirm(asked),
        };
        let held = previous.as_deref().map(Manifest::snapshot);
        let (listing, mut chunks) = self.reader.list(&root, held.map(Snapshot::listing)).await?;
        let wanted = self.wanted(&root, &listing);
        let lacking = missing_some(&root, shards(wanted.as_ref()), &listing, held);
        let lacking = lacking.into_iter().map(ChunkRef::named).collect();
        chunks.extend(self.reader.fetch(lacking).await?);
        let snapshot = compile(root.clone(), wanted, chunks.clone(), previous).await?;
        self.reader.accept(&root, etag);
        let manifest = Arc::new(Manifest::new(snapshot, root, confirmed));
        self.held = Some(Arc::clone(&manifest));
        if self.cache.is_some() {
            self.unstored.extend(chunks);
        }
        self.stored = None;
        Ok(Refreshed::Changed(manifest))
    }

    fn confirm(&mut self, asked: Timestamp) -> Result<Refreshed, LoadError> {
        let Some(held) = &self.held else {
            // An origin that confirms what it never gave.
            self.reader.etag = None;
            return Err(LoadError::Absent("root"));
        };
        held.confirm(asked);
        Ok(Refreshed::Confirmed)
    }
}

/// Compiles on a thread that may be busy for as long as a large manifest takes.
async fn compile(
    root: Root,
    wanted: Option<BTreeSet<u32>>,
    chunks: Chunks,
    previous: Option<Arc<Manifest>>,
) -> Result<Snapshot, LoadError> {
    let work = move || {
        let previous = previous.as_deref().map(Manifest::snapshot);
        let mut chunk = |digest: &Digest| chunks.get(digest).cloned();
        load_some(root, shards(wanted.as_ref()), &mut chunk, previous)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(loaded) => Ok(loaded?),
        Err(ended) => {
            Err(OriginError::Unreachable { what: "loading".into(), source: Box::new(ended) }.into())
        }
    }
}

fn shards(wanted: Option<&BTreeSet<u32>>) -> TenantShards<'_> {
    wanted.map_or(TenantShards::All, TenantShards::Only)
}

/// An error and its causes in one line, for a log.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
