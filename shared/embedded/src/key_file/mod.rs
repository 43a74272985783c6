//! Secret keys in files: created once, whole, and readable by their owner alone.

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flagforge_flags::manifest::{KeyMaterialError, SecretKey};
use thiserror::Error;

use crate::files;

/// Bytes of a key file worth reading; a P-256 key in PEM has under 300.
const MAX_KEY_FILE_BYTES: u64 = 16 * 1024;
/// Draws for one key. One in 2³² is refused, so the second hardly ever happens.
const MAX_DRAWS: u32 = 8;

/// Why a key file cannot be used. Nothing of the key is in the message.
#[derive(Debug, Error)]
pub enum KeyFileError {
    #[error(
        "the key file {path} cannot be read or created: check that its folder is there and yours"
    )]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the key file {path} is open to others (mode {mode:04o}): run `chmod 600 {path}`, and replace the key if they may have read it"
    )]
    TooOpen { path: PathBuf, mode: u32 },
    #[error(
        "the key file {path} holds no P-256 key in PEM: restore it from a backup; it is never replaced by itself, \
         because whoever trusts the old key would refuse the new one"
    )]
    Corrupt {
        path: PathBuf,
        #[source]
        source: Option<KeyMaterialError>,
    },
    #[error("the machine gave no random bytes for a new key")]
    Random(#[source] getrandom::Error),
    #[error("no usable key in {MAX_DRAWS} draws: the machine's random numbers are broken")]
    Draws,
}

/// The key in the file, or `None` when there is no file. Blocks.
pub(crate) fn read(path: &Path) -> Result<Option<SecretKey>, KeyFileError> {
    let fault = |source| KeyFileError::File { path: path.to_owned(), source };
    let about = match fs::metadata(path) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
        about => about.map_err(fault)?,
    };
    refuse_open_file(path, &about)?;
    let corrupt = |source| KeyFileError::Corrupt { path: path.to_owned(), source };
    if about.len() > MAX_KEY_FILE_BYTES {
        return Err(corrupt(None));
    }
    let bytes = fs::read(path).map_err(fault)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| corrupt(None))?;
    SecretKey::from_pem(text).map(Some).map_err(|source| corrupt(Some(source)))
}

/// The key in the file, which is created with a new key when it is not there. Blocks.
pub(crate) fn read_or_create(path: &Path) -> Result<SecretKey, KeyFileError> {
    if let Some(key) = read(path)? {
        return Ok(key);
    }
    let key = draw()?;
    let fault = |source| KeyFileError::File { path: path.to_owned(), source };
    create(path, key.to_pem().as_bytes()).map_err(fault)?;
    Ok(key)
}

/// A new key from the machine's randomness.
pub(crate) fn draw() -> Result<SecretKey, KeyFileError> {
    for _ in 0..MAX_DRAWS {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(KeyFileError::Random)?;
        if let Ok(key) = SecretKey::from_bytes(&bytes) {
            return Ok(key);
        }
    }
    Err(KeyFileError::Draws)
}

/// Writes the file whole and lastingly: a crash leaves the key or no key, never a part of one.
fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        create_key_folder(folder)?;
    }
    let fresh = path.with_extension("pem-new");
    let mut file = files::create_private(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    files::sync_parent(path)
}

fn create_key_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    files::create_folders(folder)?;
    #[cfg(unix)]
    fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}

#[cfg(unix)]
fn refuse_open_file(path: &Path, about: &fs::Metadata) -> Result<(), KeyFileError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(KeyFileError::TooOpen { path: path.to_owned(), mode })
}

#[cfg(not(unix))]
fn refuse_open_file(_: &Path, _: &fs::Metadata) -> Result<(), KeyFileError> {
    // There are no mode bits there; the user's folder is the guard.
    Ok(())
}
