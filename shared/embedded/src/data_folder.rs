//! The data folder: one process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::files;

/// Why a data folder cannot be used.
#[derive(Debug, Error)]
pub enum FolderLockError {
    #[error(
        "the data folder {folder} cannot be used: check that it is a folder, is yours and its disk has room"
    )]
    Unusable {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the data folder {folder} is in use by {holder}: stop that process, or give this one another folder with --data"
    )]
    InUse { folder: PathBuf, holder: String },
}

/// Held while a process uses the folder. The operating system gives it back when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct FolderLock(
    #[expect(dead_code, reason = "the lock lives as long as the file")] File,
);

impl FolderLock {
    /// Takes the folder, creating it when it is not there.
    pub(crate) fn take(folder: &Path) -> Result<Self, FolderLockError> {
        let fault = |source| FolderLockError::Unusable { folder: folder.to_owned(), source };
        files::create_folders(folder).map_err(fault)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(folder.join("lock")).map_err(fault)?;
        match file.try_lock() {
            Ok(()) => {
                note_holder(&mut file).map_err(fault)?;
                Ok(Self(file))
            }
            Err(TryLockError::WouldBlock) => {
                Err(FolderLockError::InUse { folder: folder.to_owned(), holder: holder(&mut file) })
            }
            Err(TryLockError::Error(source)) => Err(fault(source)),
        }
    }
}

fn note_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(std::process::id().to_string().as_bytes())
}

fn holder(file: &mut File) -> String {
    // The number is a courtesy: without it the message is still true.
    let mut text = String::new();
    let _ = file.take(20).read_to_string(&mut text);
    match text.trim().parse::<u32>() {
        Ok(process) => format!("process {process}"),
        Err(_) => "another process".to_owned(),
    }
}
