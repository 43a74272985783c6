//! The last good manifest on disk: taken up at a start, written when there is a newer one or when it is confirmed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use flagforge_flags::Snapshot;
use flagforge_flags::manifest::{ChunkRef, Digest, Listing, Named, Refusal, Root, load_some};
use tracing::warn;

use super::{Loader, Manifest, chain, shards};
use crate::cache::{Generation, Stored, ToStore};
use crate::clock;

/// How often a confirmation is written to disk: after a restart an age may be this much too high, never too low.
const STORE_CONFIRMATION_EVERY: Duration = Duration::from_secs(5);

impl Loader {
    /// Takes up the last good manifest from the cache, verifying all of it again; where the newest is damaged, the one
    /// before, with its own age. `None` when there is none, or none that is believed. How far the scope had got is
    /// remembered in each case.
    pub async fn restore(&mut self) -> Option<Arc<Manifest>> {
        let stored = self.cache.as_ref()?.read().await?;
        // Earlier trust only where the newest is damaged: what the newest revoked stays revoked.
        for trust in stored.trusts() {
            let restored = self.reader.trust.restore(trust.iter().map(String::as_str));
            if self.believed(restored).is_some() {
                break;
            }
        }
        let mut found = None;
        for root in stored.roots() {
            let taken = self.take_up(&stored, root);
            found = self.believed(taken);
            if found.is_some() {
                break;
            }
        }
        self.reader.floor = match (stored.position(), self.reader.floor) {
            // What was taken up may be behind what was seen, and what is offered may not.
            (Some(seen), Some(taken)) if !seen.allows(&taken) => Some(seen),
            (seen, taken) => taken.or(seen),
        };
        let manifest = found?;
        self.held = Some(Arc::clone(&manifest));
        self.stored = Some(manifest.confirmed());
        self.on_disk = self.generation(&manifest);
        Some(manifest)
    }

    fn believed<T>(&self, read: Result<T, Refusal>) -> Option<T> {
        let warn = |refusal: &Refusal| {
            let scope = &self.reader.scope;
            warn!(%scope, error = chain(refusal), "a cached manifest was refused");
        };
        read.inspect_err(warn).ok()
    }

    fn take_up(&mut self, stored: &Stored, root: &[u8]) -> Result<Arc<Manifest>, Refusal> {
        let root = self.reader.verify(root)?;
        let listing = Listing::of(&root, &mut |digest| stored.index(digest), None)?;
        let sizes: HashMap<Digest, Named> =
            listing.named().map(|named| (named.sha256, named)).collect();
        let mut chunk = |digest: &Digest| stored.chunk(*sizes.get(digest)?);
        let wanted = self.wanted(&root, &listing);
        let snapshot = load_some(root.clone(), shards(wanted.as_ref()), &mut chunk, None)?;
        self.reader.accept(&root, None);
        // A writer that died before the note left a root that was current when it was signed; more is not known.
        let known = stored.confirmed(root.position()).unwrap_or(root.claims().issued);
        // A clock that was set back must not make the age negative.
        let confirmed = known.min(clock::now());
        Ok(Arc::new(Manifest::new(snapshot, root, confirmed)))
    }

    /// Writes to the cache what it does not have yet: the manifest, or that it is still current. Apart
    /// from [`Loader::refresh`], so that a new manifest is in use before the disk is.
    pub async fn store(&mut self) {
        let (Some(cache), Some(held)) = (&self.cache, &self.held) else {
            self.unstored.clear();
            return;
        };
        let (Some(root), confirmed) = (held.root(), held.confirmed()) else { return };
        match self.stored {
            None => {
                let (held, named) = (Arc::clone(held), named(held.snapshot()));
                let mut chunks = std::mem::take(&mut self.unstored);
                // Chunks that were reused in memory may have gone from the disk.
                match self.reader.fetch(cache.lacks(named, &chunks).await).await {
                    Ok(lacking) => chunks.extend(lacking),
                    Err(error) => {
                        warn!(error = chain(&error), "the manifest was not cached on disk");
                        self.unstored = chunks;
                        return;
                    }
                }
                let Some(newest) = self.generation(&held) else { return };
                let previous = self.on_disk.clone();
                if cache.store(ToStore { newest: newest.clone(), previous, chunks }).await {
                    self.on_disk = Some(newest);
                }
            }
            Some(_) if !self.unstored.is_empty() => {
                // Tenants that were loaded into the manifest that is on disk.
                let chunks = std::mem::take(&mut self.unstored);
                if let Some(on_disk) = &mut self.on_disk {
                    on_disk.named.extend(chunks.keys());
                }
                cache.add(chunks).await;
                return;
            }
            Some(stored) if confirmed.since(stored) < STORE_CONFIRMATION_EVERY => return,
            Some(_) => {
                cache.confirm(root.position(), confirmed).await;
                if let Some(on_disk) = &mut self.on_disk {
                    on_disk.confirmed_at(root, confirmed);
                }
            }
        }
        self.stored = Some(confirmed);
    }

    /// A manifest as the disk keeps it; `None` of one that was made and not loaded.
    fn generation(&self, manifest: &Manifest) -> Option<Generation> {
        let root: Root = manifest.root()?.clone();
        let trust = self.reader.trust.chain().map(str::to_owned).collect();
        let named = named(manifest.snapshot()).into_iter().map(|named| named.sha256).collect();
        Some(Generation { trust, root, named, confirmed: manifest.confirmed() })
    }
}

/// What a snapshot was loaded from: the indexes, and the chunks that it holds.
fn named(snapshot: &Snapshot) -> Vec<Named> {
    let listing = snapshot.listing();
    let held = listing.chunks().filter(|listed| snapshot.has_loaded_chunk(listed));
    listing.indexes().chain(held.map(ChunkRef::named)).collect()
}
