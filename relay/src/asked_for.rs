//! Roots of single tenants and of the canaries, to be passed on. They are read when somebody asks, and again when the
//! environment's were: what nobody asks for costs nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use flagforge::loader::{LoadError, RootNews, RootReader};
use flagforge::origin::Origin;
use flagforge_flags::manifest::{Listing, Root, Scope, ScopeId, Thumbprint};
use tokio::time::timeout;
use tracing::warn;

use crate::env_id::EnvId;
use crate::news::News;
use crate::shelf::Document;

/// Scopes whose roots are held for one environment: of 64 KiB each and the chunks that they list, 256 MiB at most, and a
/// tenth of it as a rule. Beyond it the one that was asked for longest ago is forgotten.
const MAX_SCOPES: usize = 1_024;
/// How long one reading may take, with all indexes. Who waits gets what is held.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// Such roots of one environment.
#[derive(Debug, Default)]
pub(crate) struct AskedFor {
    held: Mutex<HashMap<Scope, Arc<AskedRoot>>>,
    uses: AtomicU64,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct AskedRoot {
    scope: ScopeId,
    reading: tokio::sync::Mutex<Reading>,
    current: ArcSwapOption<Current>,
    used: AtomicU64,
}

/// A root as it is handed out.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) document: Document,
    pub(crate) news: Arc<News>,
}

#[derive(Debug)]
struct Reading {
    reader: RootReader,
    listing: Option<Listing>,
    /// The environment's round that the root was last read in.
    round: Option<u64>,
}

impl AskedFor {
    /// A scope's place. Nothing is read yet.
    pub(crate) fn of(
        &self,
        id: &EnvId,
        scope: &Scope,
        origin: &Arc<dyn Origin>,
        pinned: &[Thumbprint],
    ) -> Arc<AskedRoot> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let used = self.uses.fetch_add(1, Ordering::Relaxed);
        if let Some(root) = held.get(scope) {
            root.used.store(used, Ordering::Relaxed);
            return Arc::clone(root);
        }
        if held.len() >= MAX_SCOPES {
            let oldest = held.iter().min_by_key(|(_, root)| root.used.load(Ordering::Relaxed));
            let oldest = oldest.map(|(scope, _)| scope.clone());
            oldest.and_then(|oldest| held.remove(&oldest));
        }
        let full = id.scope(scope.clone());
        let reader = RootReader::new(Arc::clone(origin), full.clone(), pinned.to_vec());
        let root = Arc::new(AskedRoot {
            scope: full,
            reading: Reading { reader, listing: None, round: None }.into(),
            current: ArcSwapOption::empty(),
            used: AtomicU64::new(used),
        });
        held.insert(scope.clone(), Arc::clone(&root));
        root
    }
}

impl AskedRoot {
    /// The root as it was read last.
    pub(crate) fn held(&self) -> Option<Arc<Current>> {
        self.current.load_full()
    }

    pub(crate) const fn scope(&self) -> &ScopeId {
        &self.scope
    }

    /// The root as it is in a round of the environment's; `None` when there is none. Whoever asks meanwhile waits for the
    /// same reading. What cannot be read leaves what is held.
    pub(crate) async fn in_round(&self, round: u64) -> Option<Arc<Current>> {
        let mut reading = self.reading.lock().await;
        if reading.round.is_none_or(|read| read < round) {
            let before = self.held();
            let before = before.as_ref().map(|current| &current.document);
            match timeout(READ_WITHIN, reading.next(before)).await {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(step))) => self.take(step, before),
                // Its last key is gone, and so is the root.
                Ok(Err(LoadError::Absent("root"))) => self.current.store(None),
                Ok(Err(error)) => {
                    warn!(scope = %self.scope, error = flagforge::chain(&error), "not refreshed");
                }
                Err(late) => warn!(scope = %self.scope, error = %late, "not refreshed"),
            }
            reading.round = Some(round);
        }
        self.current.load_full()
    }

    fn take(&self, Step { root, listing, news }: Step, before: Option<&Document>) {
        let document = before.cloned().unwrap_or_default().followed_by(&root, &listing);
        self.current.store(Some(Arc::new(Current { document, news: Arc::new(news) })));
    }
}

/// From one root to the next.
struct Step {
    root: Box<Root>,
    listing: Listing,
    news: News,
}

impl Reading {
    /// The root, where it is another than before.
    async fn next(&mut self, before: Option<&Document>) -> Result<Option<Step>, LoadError> {
        let (root, etag) = match self.reader.read().await? {
            RootNews::New(root, etag) | RootNews::Pushed(root, etag) => (root, etag),
            RootNews::Same => return Ok(None),
        };
        let (listing, _) = self.reader.list(&root, self.listing.as_ref()).await?;
        let news = News::of(&root, &listing, before, &self.reader).await;
        self.reader.accept(&root, etag);
        self.listing = Some(listing.clone());
        Ok(Some(Step { root, listing, news }))
    }
}
