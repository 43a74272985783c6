//! The table on one machine: redb, one writer thread, strongly consistent reads.

mod apply;
mod check;
mod group;
mod range;
mod store;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use flagforge_platform::ports::{
    Item, ItemKey, Page, Query, Table, TableError, Timer, Write, check_transaction,
};
use thiserror::Error;

pub use self::check::{MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES, MAX_TOKEN_CHARACTERS, Misuse};
use self::group::Writer;
pub use self::range::MAX_PAGE_BYTES;
use self::store::Store;
pub use self::store::{StoreError, TOKEN_LIFETIME};
use crate::feed::{Feed, FeedChaos, FeedHub};

/// A table in one file, or in memory. One item is read where it is asked for, a range on tokio's blocking pool; writes are made on one
/// thread of the table's own, which carries out every transaction that waits in one commit to disk (see the crate's README for what that costs).
///
/// Dropping it waits for the commit under way, so that the file can be opened again at once.
#[derive(Debug)]
pub struct EmbeddedTable {
    store: Arc<Store>,
    feed: Arc<FeedHub>,
    timer: Arc<dyn Timer>,
    writer: Writer,
}

/// The table's answer to a caller that cannot be served now.
#[derive(Debug, Error)]
enum Stopped {
    #[error("the table's writer thread has stopped: an earlier message in the log says why")]
    Writer,
    #[error("the read was stopped before it was done")]
    Read(#[source] tokio::task::JoinError),
}

impl EmbeddedTable {
    /// Opens the file at `path`, creating it when it is not there. `timer` dates tokens and expiry. Blocks.
    ///
    /// A file that a crash left behind is repaired first, which reads all of it.
    pub fn open(path: &Path, timer: Arc<dyn Timer>) -> Result<Self, StoreError> {
        Self::over(Store::open(path)?, timer)
    }

    /// A table that lives as long as this value.
    pub fn memory(timer: Arc<dyn Timer>) -> Result<Self, StoreError> {
        Self::over(Store::memory()?, timer)
    }

    fn over(store: Store, timer: Arc<dyn Timer>) -> Result<Self, StoreError> {
        let store = Arc::new(store);
        let feed = Arc::new(FeedHub::default());
        let writer = Writer::start(store.clone(), feed.clone(), timer.clone())?;
        Ok(Self { store, feed, timer, writer })
    }

    /// What is committed from now on, in order, once. The feed remembers nothing from before: after a restart its reader must
    /// look at the logs themselves.
    pub fn feed(&self) -> Feed {
        self.feed.subscribe()
    }

    /// The same, shuffled, repeated and held back by seed as the cloud's stream may do.
    pub fn feed_with(&self, chaos: FeedChaos) -> Feed {
        self.feed.subscribe().with(chaos, self.timer.clone())
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, TableError> {
        // A range may wait for the disk many times, and is up to a megabyte to copy.
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || read(&store)).await {
            Ok(outcome) => outcome.map_err(unavailable),
            Err(stopped) => Err(unavailable(Stopped::Read(stopped))),
        }
    }
}

fn unavailable(source: impl std::error::Error + Send + Sync + 'static) -> TableError {
    TableError::Unavailable(Box::new(source))
}

#[async_trait]
impl Table for EmbeddedTable {
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, TableError> {
        // A few pages that are nearly always in memory: some microseconds, where handing it to another thread takes tens, and
        // hundreds when that thread sleeps. Whoever reads many lets others have their turn in between.
        tokio::task::coop::consume_budget().await;
        self.store.get(key).map_err(unavailable)
    }

    async fn query(&self, query: &Query) -> Result<Page, TableError> {
        check::query(query)?;
        let query = query.clone();
        self.read(move |store| store.query(&query)).await
    }

    async fn transact(&self, writes: Vec<Write>, token: Option<&str>) -> Result<(), TableError> {
        check_transaction(&writes)?;
        check::writes(&writes)?;
        check::token(token)?;
        if writes.is_empty() {
            return Ok(());
        }
        match self.writer.transact(writes, token.map(str::to_owned)).await {
            Some(outcome) => outcome,
            None => Err(unavailable(Stopped::Writer)),
        }
    }
}
