//! All hands together, over one data folder or in memory.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flagforge_platform::Platform;
use flagforge_platform::ports::{Objects, OneTable, SystemTimer, Timer};
use thiserror::Error;

use crate::bus::LocalBus;
use crate::data_folder::{FolderLock, FolderLockError};
use crate::key_file::KeyFileError;
use crate::objects::{FolderError, FolderObjects, MemoryObjects};
use crate::signer::LocalSigner;
use crate::table::{EmbeddedTable, StoreError};
use crate::trust::{LocalRoot, LocalTrust, TrustError, ensure_trust};

/// The hands of one machine. The data folder stays taken until this value is dropped, so it is kept as long as its parts.
#[derive(Debug)]
pub struct Embedded {
    pub table: Arc<EmbeddedTable>,
    pub objects: Arc<dyn Objects>,
    pub signer: Arc<LocalSigner>,
    pub bus: Arc<LocalBus>,
    pub timer: Arc<dyn Timer>,
    pub root: LocalRoot,
    folder: Option<Folder>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    #[expect(dead_code, reason = "held until the hands are dropped")]
    lock: FolderLock,
}

/// Why the hands could not be made. The source says what to do.
#[derive(Debug, Error)]
pub enum EmbeddedError {
    #[error("the data folder could not be taken")]
    Folder(#[from] FolderLockError),
    #[error("the table could not be opened")]
    Table(#[from] StoreError),
    #[error("the objects could not be opened")]
    Objects(#[from] FolderError),
    #[error("the online key could not be used")]
    Key(#[from] KeyFileError),
}

impl Embedded {
    /// The hands over `folder`, which is created when it is not there: `table.redb`, `objects/`, `keys/online.pem`,
    /// `keys/root.pem` (by [`ensure_trust`](Self::ensure_trust)) and `lock`. Blocks, for as long as it takes to read the whole table
    /// file after a crash.
    pub fn open(folder: &Path) -> Result<Self, EmbeddedError> {
        let lock = FolderLock::take(folder)?;
        let timer: Arc<dyn Timer> = Arc::new(SystemTimer);
        Ok(Self {
            table: Arc::new(EmbeddedTable::open(&folder.join("table.redb"), timer.clone())?),
            objects: Arc::new(FolderObjects::open(&folder.join("objects"))?),
            signer: Arc::new(LocalSigner::open(&folder.join("keys").join("online.pem"))?),
            bus: Arc::new(LocalBus::new()),
            timer,
            root: LocalRoot::File(folder.join("keys").join("root.pem")),
            folder: Some(Folder { path: folder.to_owned(), lock }),
        })
    }

    /// Hands in memory with new keys, on the machine's clock.
    pub fn memory() -> Result<Self, EmbeddedError> {
        Self::memory_at(Arc::new(SystemTimer))
    }

    /// The same, on this timer.
    pub fn memory_at(timer: Arc<dyn Timer>) -> Result<Self, EmbeddedError> {
        Ok(Self {
            table: Arc::new(EmbeddedTable::memory(timer.clone())?),
            objects: Arc::new(MemoryObjects::new(timer.clone())),
            signer: Arc::new(LocalSigner::ephemeral()?),
            bus: Arc::new(LocalBus::new()),
            timer,
            root: LocalRoot::ephemeral()?,
            folder: None,
        })
    }

    /// A platform on these hands. Its operator's key is in the table, not in the configuration.
    pub fn platform(&self) -> Platform {
        let (table, objects) = (self.table.clone(), self.objects.clone());
        let (signer, bus, timer) = (self.signer.clone(), self.bus.clone(), self.timer.clone());
        Platform::new(Arc::new(OneTable(table)), objects, signer, bus, timer, None)
    }

    /// The data folder; `None` in memory.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(|folder| folder.path.as_path())
    }

    /// Where the objects are files, for an SDK on the same machine; `None` in memory.
    pub fn object_folder(&self) -> Option<PathBuf> {
        self.folder().map(|folder| folder.join("objects"))
    }

    /// The trust document of this installation, issued or renewed when needed: see [`ensure_trust`].
    pub async fn ensure_trust(&self) -> Result<LocalTrust, TrustError> {
        let now = self.timer.now();
        ensure_trust(&self.root, &self.signer.public(), &*self.objects, now).await
    }
}
