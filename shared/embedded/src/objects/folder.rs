//! Objects in a folder: the object `a/b` is the file `<folder>/a/b`, so that an SDK on the same machine reads it directly.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{
    ETag, Fetched, ListedObject, MAX_LISTED_OBJECTS, MAX_OBJECT_BYTES, ObjectError, Objects, PutIf,
};
use thiserror::Error;

use super::{ObjectTooLarge, allows, check_size, fetched, name, tag_of, unavailable};
use crate::files;

/// Half-written files. No object name has a `+`, so none of them can be read as an object.
const PARTIAL: &str = "+partial";
/// Names are spread over this many locks; two names on one lock only wait for each other's rename.
const LOCKS: usize = 16;
/// One count for the process, so that no two half-written files share a name.
static NEXT_PARTIAL: AtomicU64 = AtomicU64::new(0);

/// A folder or file of the object store did not do as it should.
#[derive(Debug, Error)]
pub enum FolderError {
    #[error(
        "the object folder {path} cannot be used: check that it is a folder, is yours and has room"
    )]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the object file {path} could not be read: check that it is yours and its disk is sound"
    )]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the object file {path} could not be written: check that its disk has room, and that no part of its path is a file"
    )]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the work on the object file {path} was stopped before it was done")]
    Stopped {
        path: PathBuf,
        #[source]
        source: tokio::task::JoinError,
    },
}

/// Objects in a folder. A put is whole or absent, also across a crash, and lasting when it is acknowledged. Conditions hold among all puts of this process: two
/// processes must not write to one folder ([`Embedded`](crate::Embedded) sees to it). The content type is not kept.
///
/// File systems want more than object stores: where `a` is an object `a/b` cannot be, and on one that ignores case `A` is `a`.
#[derive(Debug)]
pub struct FolderObjects {
    disk: Arc<Disk>,
}

#[derive(Debug)]
struct Disk {
    folder: PathBuf,
    locks: [Mutex<()>; LOCKS],
    spread: RandomState,
}

impl FolderObjects {
    /// Opens the folder, creating it when it is not there, and clears away what a crash left half-written. Blocks.
    pub fn open(folder: &Path) -> Result<Self, FolderError> {
        let partial = folder.join(PARTIAL);
        let fault = |source| FolderError::Folder { path: folder.to_owned(), source };
        files::create_folders(&partial).map_err(fault)?;
        for left in fs::read_dir(&partial).map_err(fault)? {
            fs::remove_file(left.map_err(fault)?.path()).map_err(fault)?;
        }
        let disk = Disk {
            folder: folder.to_owned(),
            locks: Default::default(),
            spread: RandomState::new(),
        };
        Ok(Self { disk: Arc::new(disk) })
    }

    /// Where the objects are.
    pub fn folder(&self) -> &Path {
        &self.disk.folder
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        object: &str,
        act: impl FnOnce(&Disk, &Path) -> Result<T, ObjectError> + Send + 'static,
    ) -> Result<T, ObjectError> {
        name::check(object).map_err(unavailable)?;
        let path = self.disk.folder.join(object);
        let (disk, at) = (self.disk.clone(), path.clone());
        match tokio::task::spawn_blocking(move || act(&disk, &at)).await {
            Ok(outcome) => outcome,
            Err(source) => Err(unavailable(FolderError::Stopped { path, source })),
        }
    }
}

#[async_trait]
impl Objects for FolderObjects {
    async fn get(&self, name: &str, held: Option<&ETag>) -> Result<Fetched, ObjectError> {
        let held = held.cloned();
        self.on_disk(name, move |_, path| {
            Ok(read(path)?.map_or(Fetched::Absent, |bytes| fetched(bytes, held.as_ref())))
        })
        .await
    }

    async fn put(
        &self,
        name: &str,
        bytes: Bytes,
        _content_type: &str,
        condition: PutIf,
    ) -> Result<ETag, ObjectError> {
        check_size(name, bytes.len())?;
        self.on_disk(name, move |disk, path| disk.put(path, &bytes, &condition)).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Vec<ListedObject>, ObjectError> {
        let (start, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.on_disk(prefix.trim_end_matches('/'), move |_, path| {
            let fault = |source| read_fault(path, source);
            let mut listed = Vec::new();
            walk(path, &start, &mut listed).map_err(fault)?;
            listed.retain(|object| after.as_ref().is_none_or(|after| object.name > *after));
            listed.sort_unstable_by(|one, other| one.name.cmp(&other.name));
            listed.truncate(MAX_LISTED_OBJECTS);
            Ok(listed)
        })
        .await
    }

    async fn delete(&self, name: &str, before: Timestamp) -> Result<bool, ObjectError> {
        self.on_disk(name, move |disk, path| disk.delete(path, before)).await
    }
}

impl Disk {
    fn put(&self, path: &Path, bytes: &[u8], condition: &PutIf) -> Result<ETag, ObjectError> {
        // A put that has lost already costs no write.
        allows_at(path, condition)?;
        let fault = |source| unavailable(FolderError::Write { path: path.to_owned(), source });
        let number = NEXT_PARTIAL.fetch_add(1, Ordering::Relaxed);
        let partial = self.folder.join(PARTIAL).join(number.to_string());
        write_synced(&partial, bytes).map_err(fault)?;
        if let Some(parent) = path.parent() {
            files::create_folders(parent).map_err(fault)?;
        }
        let outcome = self.move_into_place(&partial, path, condition);
        if outcome.is_err() {
            // What stays behind is cleared away at the next start.
            let _ = fs::remove_file(&partial);
        }
        outcome.map(|()| tag_of(bytes))
    }

    fn move_into_place(
        &self,
        partial: &Path,
        path: &Path,
        condition: &PutIf,
    ) -> Result<(), ObjectError> {
        let fault = |source| unavailable(FolderError::Write { path: path.to_owned(), source });
        let _guard = self.lock(path);
        allows_at(path, condition)?;
        fs::rename(partial, path).map_err(fault)?;
        files::sync_parent(path).map_err(fault)
    }

    fn delete(&self, path: &Path, before: Timestamp) -> Result<bool, ObjectError> {
        let fault = |source| unavailable(FolderError::Write { path: path.to_owned(), source });
        let _guard = self.lock(path);
        match fs::metadata(path) {
            Ok(about) if about.is_file() && put_at(&about).map_err(fault)? < before => {
                fs::remove_file(path).map_err(fault)?;
                files::sync_parent(path).map_err(fault)?;
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(fault(source)),
        }
    }

    fn lock(&self, path: &Path) -> Option<MutexGuard<'_, ()>> {
        // The remainder is below `LOCKS`, so it fits and the lock is there.
        let index = usize::try_from(self.spread.hash_one(path) % LOCKS as u64).unwrap_or(0);
        self.locks.get(index).map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Every object below a folder, whose names begin with `prefix`. Recurses as deep as names have parts.
fn walk(folder: &Path, prefix: &str, into: &mut Vec<ListedObject>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let about = match entry.metadata() {
            // Somebody was faster.
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => continue,
            about => about?,
        };
        if about.is_dir() {
            walk(&entry.path(), &format!("{name}/"), into)?;
        } else {
            into.push(ListedObject { name, put: put_at(&about)? });
        }
    }
    Ok(())
}

fn put_at(about: &fs::Metadata) -> io::Result<Timestamp> {
    let since_epoch = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp::from_millis(0).plus(since_epoch))
}

fn allows_at(path: &Path, condition: &PutIf) -> Result<(), ObjectError> {
    match condition {
        PutIf::Any => Ok(()),
        // Whether it stands there is enough to know.
        PutIf::Absent => match path.try_exists() {
            Ok(false) => Ok(()),
            Ok(true) => Err(ObjectError::Lost),
            Err(source) => Err(read_fault(path, source)),
        },
        PutIf::Matches(_) => {
            let standing = read(path)?.map(|bytes| tag_of(&bytes));
            allows(condition, standing.as_ref())
        }
    }
}

fn read(path: &Path) -> Result<Option<Bytes>, ObjectError> {
    let about = match fs::metadata(path) {
        Err(fault)
            if matches!(fault.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        about => about.map_err(|source| read_fault(path, source))?,
    };
    // A name that is only the beginning of other names is a folder here, and no object.
    if about.is_dir() {
        return Ok(None);
    }
    if about.len() > MAX_OBJECT_BYTES as u64 {
        let name = path.display().to_string();
        return Err(unavailable(ObjectTooLarge { name, actual: about.len() }));
    }
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(read_fault(path, source)),
    }
}

fn read_fault(path: &Path, source: io::Error) -> ObjectError {
    unavailable(FolderError::Read { path: path.to_owned(), source })
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    async fn put(objects: &FolderObjects, name: &str) -> Result<ETag, ObjectError> {
        objects.put(name, Bytes::from_static(b"{}"), "", PutIf::Any).await
    }

    #[tokio::test]
    async fn a_name_is_a_path_and_nothing_else_is_left_in_the_folder() {
        let folder = TempDir::new().unwrap();
        let objects = FolderObjects::open(folder.path()).unwrap();
        put(&objects, "trust.json").await.unwrap();
        put(&objects, "demo/chunks/00ff").await.unwrap();
        let lost = objects.put("trust.json", Bytes::new(), "", PutIf::Absent).await;
        assert!(matches!(lost, Err(ObjectError::Lost)));
        assert_eq!(fs::read(folder.path().join("demo/chunks/00ff")).unwrap(), b"{}");
        assert_eq!(fs::read(folder.path().join("trust.json")).unwrap(), b"{}");
        assert_eq!(fs::read_dir(folder.path().join(PARTIAL)).unwrap().count(), 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[tokio::test]
    async fn what_a_crash_left_half_written_is_cleared_away() {
        let folder = TempDir::new().unwrap();
        drop(FolderObjects::open(folder.path()).unwrap());
        fs::write(folder.path().join(PARTIAL).join("17"), "hal").unwrap();
        let objects = FolderObjects::open(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path().join(PARTIAL)).unwrap().count(), 0);
        assert!(objects.get("+partial/17", None).await.is_err());
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_named() {
        let folder = TempDir::new().unwrap();
        let objects = FolderObjects::open(folder.path()).unwrap();
        put(&objects, "a").await.unwrap();
        let Err(ObjectError::Unavailable(source)) = put(&objects, "a/b").await else {
            panic!("`a` cannot be both")
        };
        assert!(source.to_string().contains("a/b"), "{source}");
        let refused = FolderObjects::open(&folder.path().join("a")).unwrap_err();
        assert!(refused.to_string().contains("object folder"), "{refused}");
    }
}
