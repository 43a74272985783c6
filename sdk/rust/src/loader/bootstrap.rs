//! A first manifest from a folder that was shipped with the host, for starts before any origin has answered.

use std::path::Path;
use std::sync::Arc;

use super::{LoadError, Loader, Manifest};
use crate::clock;
use crate::origin::FolderOrigin;

impl Loader {
    /// Takes up the manifest of a folder of objects, verifying all of it as if it came from the origin. From there
    /// on the origin is held to it: an older root of the origin is refused. Its age counts from when it was
    /// signed, because nobody has confirmed it since.
    pub(crate) async fn bootstrap(&mut self, folder: &Path) -> Result<Arc<Manifest>, LoadError> {
        let bundle = Arc::new(FolderOrigin::new(folder));
        // Where tenants are loaded on demand, it may be asked for theirs later.
        self.bundle = Some(FolderOrigin::new(folder));
        let origin = std::mem::replace(&mut self.reader.origin, bundle);
        let outcome = self.refresh().await;
        self.reader.origin = origin;
        // The origin's own tags, and its own trust, are asked for at once.
        self.reader.etag = None;
        self.reader.trust.ask_again();
        outcome?;
        let manifest = self.held.clone().ok_or(LoadError::Absent("root"))?;
        let signed = manifest.root().map(|root| root.claims().issued);
        manifest.confirm(signed.unwrap_or_default().min(clock::now()));
        Ok(manifest)
    }
}
