//! The file: which redb tables it holds, how it is opened, and the two reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flagforge_platform::ports::{Item, ItemKey, Page, Query};
use redb::{Database, ReadableDatabase, TableDefinition};
use thiserror::Error;

use super::range;
use crate::files;

/// How long a repeated token is a success without a second effect. DynamoDB's is ten minutes too.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

/// Memory for pages of the file. A thousand flags with their logs fit many times over; redb's own default is 1 GiB.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// (partition key, sort key) → (version, expires at seconds, body). Keys compare bytewise.
pub(super) const ITEMS: TableDefinition<'_, (&str, &str), Stored<'_>> =
    TableDefinition::new("items");
/// (expires at seconds, partition key, sort key), so that what has expired is found without a scan.
pub(super) const EXPIRIES: TableDefinition<'_, (i64, &str, &str), ()> =
    TableDefinition::new("expiries");
/// Token → (committed at milliseconds, digest of the transaction).
pub(super) const TOKENS: TableDefinition<'_, &str, (i64, [u8; 32])> =
    TableDefinition::new("tokens");
/// (committed at milliseconds, token), so that old tokens are found without a scan.
pub(super) const TOKEN_TIMES: TableDefinition<'_, (i64, &str), ()> =
    TableDefinition::new("token-times");

/// The value of an item: version, expiry in Unix seconds, body.
pub(super) type Stored<'a> = (u64, Option<i64>, &'a str);

/// Why the file could not be opened, read or written.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    #[error("the table file {path} is open in another process: stop that one first")]
    InUse { path: PathBuf },
    #[error(
        "the table file {path} cannot be opened: check the folder and its disk, or restore it from a backup"
    )]
    Open {
        path: PathBuf,
        #[source]
        source: Arc<redb::Error>,
    },
    #[error(
        "the table file {path} cannot be created: check that its folder is there, is yours and has room"
    )]
    Create {
        path: PathBuf,
        #[source]
        source: Arc<std::io::Error>,
    },
    #[error("the table file {path} could not be read: check its disk, then restart")]
    Read {
        path: PathBuf,
        #[source]
        source: Arc<redb::Error>,
    },
    #[error(
        "the table file {path} could not be written, and takes no more writes: check that its disk has room and is sound, then restart"
    )]
    Write {
        path: PathBuf,
        #[source]
        source: Arc<redb::Error>,
    },
    #[error("no thread could be started for the table's writes")]
    Thread(#[source] Arc<std::io::Error>),
}

#[derive(Debug)]
pub(super) struct Store {
    pub(super) db: Database,
    /// For messages only.
    path: PathBuf,
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        create_whole(path)?;
        let db = options().open(path).map_err(|fault| open_fault(path, fault))?;
        Self::over(db, path)
    }

    pub(super) fn memory() -> Result<Self, StoreError> {
        let path = Path::new("(in memory)");
        let backend = redb::backends::InMemoryBackend::new();
        let db = options().create_with_backend(backend).map_err(|fault| open_fault(path, fault))?;
        Self::over(db, path)
    }

    fn over(db: Database, path: &Path) -> Result<Self, StoreError> {
        let store = Self { db, path: path.to_owned() };
        // Readers expect the tables, so they are made before the first of them.
        store.create_tables().map_err(|source| store.write_fault(source))?;
        Ok(store)
    }

    fn create_tables(&self) -> Result<(), redb::Error> {
        let transaction = self.db.begin_write()?;
        transaction.open_table(ITEMS)?;
        transaction.open_table(EXPIRIES)?;
        transaction.open_table(TOKENS)?;
        transaction.open_table(TOKEN_TIMES)?;
        Ok(transaction.commit()?)
    }

    pub(super) fn get(&self, key: &ItemKey) -> Result<Option<Item>, StoreError> {
        let read = || -> Result<Option<Item>, redb::Error> {
            let items = self.db.begin_read()?.open_table(ITEMS)?;
            let stored = items.get_owned((key.pk.as_str(), key.sk.as_str()))?;
            Ok(stored.map(|stored| item(key.clone(), stored.value())))
        };
        read().map_err(|source| self.read_fault(source))
    }

    pub(super) fn query(&self, query: &Query) -> Result<Page, StoreError> {
        let read = || -> Result<Page, redb::Error> {
            let items = self.db.begin_read()?.open_table(ITEMS)?;
            range::page(&items, query)
        };
        read().map_err(|source| self.read_fault(source))
    }

    fn read_fault(&self, source: redb::Error) -> StoreError {
        StoreError::Read { path: self.path.clone(), source: Arc::new(source) }
    }

    pub(super) fn write_fault(&self, source: redb::Error) -> StoreError {
        StoreError::Write { path: self.path.clone(), source: Arc::new(source) }
    }
}

pub(super) fn item(key: ItemKey, (version, expires_at_seconds, body): Stored<'_>) -> Item {
    Item { key, version, body: body.to_owned(), expires_at_seconds }
}

fn options() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn open_fault(path: &Path, fault: redb::DatabaseError) -> StoreError {
    match fault {
        redb::DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.to_owned() },
        other => StoreError::Open { path: path.to_owned(), source: Arc::new(other.into()) },
    }
}

/// Creates the file under another name and moves it into place, because redb refuses for ever a file whose
/// first initialization was cut short.
fn create_whole(path: &Path) -> Result<(), StoreError> {
    let create_fault =
        |source| StoreError::Create { path: path.to_owned(), source: Arc::new(source) };
    if path.try_exists().map_err(create_fault)? {
        return Ok(());
    }
    let fresh = path.with_extension("redb-new");
    let file = files::create_private(&fresh).map_err(create_fault)?;
    drop(options().create_file(file).map_err(|fault| open_fault(&fresh, fault))?);
    fs::rename(&fresh, path).map_err(create_fault)?;
    files::sync_parent(path).map_err(create_fault)
}
