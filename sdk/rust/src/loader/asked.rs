//! Loading the tenants that were asked for, into the manifest that is held.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flagforge_flags::Snapshot;
use flagforge_flags::keys::TenantKey;
use flagforge_flags::manifest::{ChunkKind, Digest, Listing, Named, Refusal, Root, tenant_shard};
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::directory::{Asked, OnDemand, Outcome};
use super::{CHUNKS_AT_ONCE, Chunks, LoadError, Loader, Manifest, chain, compile};
use crate::load_tenant::LoadTenantError;
use crate::origin::Origin;

/// How long one load may take: the root is not looked after meanwhile.
const LOAD_WITHIN: Duration = Duration::from_secs(5);

/// What a load came to: a manifest to be taken up, and then told of.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) manifest: Option<Arc<Manifest>>,
    answers: Vec<(Asked, Outcome)>,
}

impl Loaded {
    /// Tells those who wait.
    pub(crate) fn tell(self) {
        self.answers.into_iter().for_each(|(asked, outcome)| asked.answer(outcome));
    }
}

impl Loader {
    /// Loads tenants on demand only.
    pub(crate) fn on_demand(mut self, directory: Option<Arc<OnDemand>>) -> Self {
        self.directory = directory;
        self
    }

    /// The shards of the directory to hold of a root; `None` is all.
    pub(super) fn wanted(&self, root: &Root, listing: &Listing) -> Option<BTreeSet<u32>> {
        let directory = self.directory.as_ref()?;
        Some(directory.fit(listing, root.claims().tenant_shards, &[]))
    }

    /// Loads those who wait, as many as have a place, into the manifest that is held. Nobody is let go for one who
    /// cannot be loaded.
    pub(crate) async fn load_asked(&mut self) -> Loaded {
        let mut loaded = Loaded::default();
        let (Some(directory), Some(held)) = (self.directory.clone(), self.held.clone()) else {
            return loaded;
        };
        let shelves = Shelves::of(held.snapshot());
        let (asked, lacking) = shelves.sort_out(&directory, &mut loaded);
        let (mut chunks, mut there) = (Chunks::new(), shelves.loaded.clone());
        let mut failed: HashMap<u32, Arc<str>> = HashMap::new();
        for (shard, digest, fetched) in self.fetch_somewhere(lacking).await {
            match fetched {
                Ok(bytes) => {
                    there.insert(shard);
                    chunks.insert(digest, bytes);
                }
                Err(why) => drop(failed.insert(shard, why)),
            }
        }
        let good = |asked: &Asked| !failed.contains_key(&shelves.of_tenant(&asked.tenant));
        let keys: Vec<_> = asked.iter().filter(|it| good(it)).map(|it| &it.tenant).collect();
        let fitting = directory.fit(held.snapshot().listing(), shelves.shards, &keys);
        let kept = fitting.intersection(&there).copied().collect();
        let refused = match self.hold(&held, kept, chunks).await {
            Ok(manifest) => {
                loaded.manifest = Some(manifest);
                None
            }
            Err(error) => Some(Arc::from(chain(&error))),
        };
        for asked in asked {
            let why = failed.get(&shelves.of_tenant(&asked.tenant)).or(refused.as_ref());
            let outcome = why.map_or(Ok(()), |why| Err(LoadTenantError::Unloadable(why.clone())));
            loaded.answers.push((asked, outcome));
        }
        loaded
    }

    /// Lets go who was not asked for since long, after the origin has answered. `None` where all stay.
    pub(crate) async fn trim(&mut self) -> Option<Arc<Manifest>> {
        let (directory, held) = (self.directory.clone()?, self.held.clone()?);
        directory.expire();
        let shelves = Shelves::of(held.snapshot());
        let fitting = directory.fit(held.snapshot().listing(), shelves.shards, &[]);
        let kept: BTreeSet<u32> = fitting.intersection(&shelves.loaded).copied().collect();
        if kept == shelves.loaded {
            return None;
        }
        self.hold(&held, kept, Chunks::new()).await.ok()
    }

    /// Holds the same manifest with these shards of its directory.
    async fn hold(
        &mut self,
        held: &Arc<Manifest>,
        shards: BTreeSet<u32>,
        chunks: Chunks,
    ) -> Result<Arc<Manifest>, LoadError> {
        let root = held.root().ok_or(LoadError::Absent("root"))?.clone();
        let snapshot =
            compile(root.clone(), Some(shards), chunks.clone(), Some(Arc::clone(held))).await?;
        let manifest = Arc::new(Manifest::new(snapshot, root, held.confirmed()));
        self.held = Some(Arc::clone(&manifest));
        if self.cache.is_some() {
            self.unstored.extend(chunks);
        }
        Ok(manifest)
    }

    /// Fetches chunks from the disk, the origin, or what was shipped with the host; each that is not had says why.
    async fn fetch_somewhere(
        &self,
        lacking: Vec<(u32, Named)>,
    ) -> Vec<(u32, Digest, Result<Bytes, Arc<str>>)> {
        let deadline = Instant::now() + LOAD_WITHIN;
        stream::iter(lacking)
            .map(|(shard, named)| async move {
                let fetched = match timeout_at(deadline, self.fetch_chunk(named)).await {
                    Ok(fetched) => fetched.map_err(|error| Arc::from(chain(&error))),
                    Err(_) => Err(Arc::from(format!("it took over {LOAD_WITHIN:?}"))),
                };
                (shard, named.sha256, fetched)
            })
            .buffer_unordered(CHUNKS_AT_ONCE)
            .collect()
            .await
    }

    async fn fetch_chunk(&self, named: Named) -> Result<Bytes, LoadError> {
        if let Some(cache) = &self.cache
            && let Some(bytes) = cache.chunk(named).await
            && let Ok(bytes) = checked(named, bytes)
        {
            return Ok(bytes);
        }
        let fetched = self.chunk_from(&*self.reader.origin, named).await;
        match (&self.bundle, fetched) {
            (Some(bundle), Err(error)) => self.chunk_from(bundle, named).await.map_err(|_| error),
            (_, fetched) => fetched,
        }
    }

    async fn chunk_from(&self, origin: &dyn Origin, named: Named) -> Result<Bytes, LoadError> {
        let bytes = origin.chunk(&self.reader.scope, named).await?;
        Ok(checked(named, bytes.ok_or(Refusal::ChunkMissing(named.sha256))?)?)
    }
}

/// The directory's shards as a manifest lists and holds them.
struct Shelves {
    shards: u32,
    listed: HashMap<u32, Named>,
    loaded: BTreeSet<u32>,
}

impl Shelves {
    fn of(snapshot: &Snapshot) -> Self {
        let of_tenants =
            || snapshot.listing().chunks().filter(|listed| listed.kind == ChunkKind::Tenants);
        let loaded = of_tenants().filter(|listed| snapshot.has_loaded_chunk(listed));
        Self {
            shards: snapshot.root().tenant_shards,
            listed: of_tenants().map(|listed| (listed.shard, listed.named())).collect(),
            loaded: loaded.map(|listed| listed.shard).collect(),
        }
    }

    fn of_tenant(&self, tenant: &TenantKey) -> u32 {
        tenant_shard(tenant.as_str(), self.shards)
    }

    /// Those to be loaded together, and what is lacking for them: at most what may be held. Others wait for the next
    /// round; one whose chunk can never be held is answered.
    fn sort_out(&self, directory: &OnDemand, told: &mut Loaded) -> (Vec<Asked>, Vec<(u32, Named)>) {
        let (mut now, mut later, mut lacking, mut bytes) =
            (Vec::new(), Vec::new(), HashMap::new(), 0);
        for asked in directory.take() {
            let shard = self.of_tenant(&asked.tenant);
            // One that is not listed is empty, and loaded.
            let named = self.listed.get(&shard).filter(|_| !self.loaded.contains(&shard));
            let Some(named) = named.filter(|_| !lacking.contains_key(&shard)) else {
                now.push(asked);
                continue;
            };
            if named.bytes > directory.bytes {
                let (bytes, limit) = (named.bytes, directory.bytes);
                told.answers.push((asked, Err(LoadTenantError::TooLarge { bytes, limit })));
            } else if named.bytes + bytes > directory.bytes {
                later.push(asked);
            } else {
                bytes += named.bytes;
                lacking.insert(shard, *named);
                now.push(asked);
            }
        }
        directory.put_back(later);
        (now, lacking.into_iter().collect())
    }
}

/// The bytes, if they are those that the root names: a bad chunk spoils the load of its own tenants only.
fn checked(named: Named, bytes: Bytes) -> Result<Bytes, Refusal> {
    if Digest::of(&bytes) == named.sha256 {
        Ok(bytes)
    } else {
        Err(Refusal::ChunkDigest(named.sha256))
    }
}
