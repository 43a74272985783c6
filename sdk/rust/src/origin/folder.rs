//! A folder of objects: what the embedded publisher writes, a mounted volume, a bundle in an image.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_flags::manifest::{Digest, MAX_ROOT_BYTES, MAX_TRUST_BYTES, Named, ScopeId};

use super::{Fetched, Origin, OriginError, names, usize_of};

/// An origin over a folder. Reads go to tokio's blocking threads.
#[derive(Debug, Clone)]
pub struct FolderOrigin {
    root: PathBuf,
}

impl FolderOrigin {
    /// An origin over the folder that holds `trust.json`. The folder need not exist yet.
    pub fn new(root: impl AsRef<Path>) -> Self {
        Self { root: root.as_ref().to_owned() }
    }

    async fn read(&self, name: String, limit: usize) -> Result<Option<Bytes>, OriginError> {
        let path = self.root.join(&name);
        let read = tokio::task::spawn_blocking(move || read_capped(&path, limit)).await;
        match read {
            Ok(Ok(Capped::Absent)) => Ok(None),
            Ok(Ok(Capped::Whole(bytes))) => Ok(Some(bytes.into())),
            Ok(Ok(Capped::TooLarge)) => Err(OriginError::TooLarge { what: name, limit }),
            Ok(Err(source)) => {
                Err(OriginError::Unreachable { what: name, source: Box::new(source) })
            }
            Err(source) => Err(OriginError::Unreachable { what: name, source: Box::new(source) }),
        }
    }
}

#[async_trait]
impl Origin for FolderOrigin {
    async fn trust(&self, _: &ScopeId, number: Option<u64>) -> Result<Option<Bytes>, OriginError> {
        let name = number.map_or_else(|| names::TRUST.to_owned(), names::trust);
        self.read(name, MAX_TRUST_BYTES).await
    }

    async fn root(&self, scope: &ScopeId, held: Option<&str>) -> Result<Fetched, OriginError> {
        let name = names::root(scope);
        let Some(bytes) = self.read(name, MAX_ROOT_BYTES).await? else {
            return Ok(Fetched::Absent);
        };
        let etag = Digest::of(&bytes).to_string();
        if held == Some(etag.as_str()) {
            return Ok(Fetched::NotModified);
        }
        Ok(Fetched::Found { bytes, etag: Some(etag) })
    }

    async fn chunk(&self, scope: &ScopeId, named: Named) -> Result<Option<Bytes>, OriginError> {
        self.read(names::chunk(&scope.org, &named.sha256), usize_of(named.bytes)).await
    }
}

/// What reading a file with a cap came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Capped {
    Whole(Vec<u8>),
    Absent,
    TooLarge,
}

/// The whole file, at most `limit` bytes of it in memory.
pub(crate) fn read_capped(path: &Path, limit: usize) -> io::Result<Capped> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Capped::Absent),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    let one_past = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(one_past).read_to_end(&mut bytes)?;
    if bytes.len() > limit { Ok(Capped::TooLarge) } else { Ok(Capped::Whole(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_at_the_limit_and_one_byte_past_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read_capped(&path, 5).unwrap(), Capped::Whole(b"12345".to_vec()));
        assert_eq!(read_capped(&path, 4).unwrap(), Capped::TooLarge);
        assert_eq!(read_capped(&folder.path().join("no"), 4).unwrap(), Capped::Absent);
    }
}
