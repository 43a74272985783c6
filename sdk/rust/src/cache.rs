//! The last good manifest of one scope, on disk. It is verified again when it is read, so nobody who can
//! write the folder gains more than deleting it would give; a cache that cannot be written is a warning.
//!
//! ```text
//! <cache>/<org>/<env>/<scope>-<pins>/trust.json    the trust documents, an array of texts
//!                                    root.jws      the root
//!                                    seen.json     how far the scope had got, and when it was last confirmed
//!                                    chunks/<sha256>
//! ```
//! A chunk is written before the root that names it, the root before `seen.json`: a process that dies
//! between leaves an older manifest or an older age, never a half one.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flagforge_flags::manifest::{
    Digest, Listing, MAX_INDEX_BYTES, MAX_ROOT_BYTES, MAX_TRUST_BYTES, Named, Position, Root,
    Scope, ScopeId, Thumbprint,
};
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::loader::Chunks;
use crate::origin::folder::{Capped, read_capped};
use crate::origin::usize_of;

/// Bytes of `trust.json`: sixteen documents, far more than are ever walked through between two starts.
const MAX_CHAIN_BYTES: usize = 16 * MAX_TRUST_BYTES;
/// Bytes of `seen.json`, which has about 150.
const MAX_SEEN_BYTES: usize = 4 * 1024;

/// A file half written for so long has no writer any more.
const ABANDONED_AFTER: Duration = Duration::from_secs(60 * 60);

const TRUST: &str = "trust.json";
const ROOT: &str = "root.jws";
const SEEN: &str = "seen.json";
const CHUNKS: &str = "chunks";

/// The folder of one scope. Reads and writes go to tokio's blocking threads.
#[derive(Debug, Clone)]
pub(crate) struct DiskCache {
    folder: Arc<Path>,
}

/// What was found on disk; nothing of it is believed yet.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) trust: Vec<String>,
    pub(crate) root: Vec<u8>,
    pub(crate) position: Option<Position>,
    pub(crate) confirmed: Timestamp,
    folder: PathBuf,
}

impl Stored {
    /// An index, whose size the verified root says and its reader checks.
    pub(crate) fn index(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.chunk(Named { sha256: *digest, bytes: MAX_INDEX_BYTES })
    }

    pub(crate) fn chunk(&self, named: Named) -> Option<Vec<u8>> {
        let path = self.folder.join(CHUNKS).join(named.sha256.to_string());
        match read_capped(&path, usize_of(named.bytes)) {
            Ok(Capped::Whole(bytes)) => Some(bytes),
            Ok(Capped::Absent | Capped::TooLarge) | Err(_) => None,
        }
    }
}

/// A manifest for the disk.
pub(crate) struct ToStore {
    /// The documents from the pinned roots to the current one.
    pub(crate) trust: Vec<String>,
    pub(crate) root: Root,
    /// All that the root lists, with its indexes.
    pub(crate) named: HashSet<Digest>,
    /// Those of them that are not on disk yet.
    pub(crate) chunks: Chunks,
    pub(crate) confirmed: Timestamp,
}

/// How far a scope had got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    position: Position,
    confirmed: Timestamp,
}

impl DiskCache {
    /// The folder of a scope under pins: other pins are another authority, whose positions mean nothing here.
    pub(crate) fn new(cache: &Path, scope: &ScopeId, pinned: &[Thumbprint]) -> Self {
        let mut pins: Vec<String> = pinned.iter().map(ToString::to_string).collect();
        pins.sort();
        let pins = short(&pins.join(","));
        let last = match &scope.scope {
            Scope::Environment => format!("environment-{pins}"),
            Scope::Relay => format!("relay-{pins}"),
            // A tenant's key may have characters, and a length, that file names may not.
            Scope::Tenant(tenant) => {
                format!("tenant-{}-{pins}", Digest::of(tenant.as_str().as_bytes()))
            }
        };
        let folder = cache.join(scope.org.as_str()).join(scope.env.as_str()).join(last);
        Self { folder: folder.into() }
    }

    /// What is there. `None` when nothing was ever stored.
    pub(crate) async fn read(&self) -> Option<Stored> {
        let folder = Arc::clone(&self.folder);
        blocking(move || Ok(read(&folder))).await.flatten()
    }

    /// Which of a root's indexes and chunks are neither on disk nor among those in hand.
    pub(crate) async fn lacks(&self, listing: &Listing, in_hand: &Chunks) -> Vec<Named> {
        let folder = self.folder.join(CHUNKS);
        let wanted: Vec<Named> =
            listing.named().filter(|named| !in_hand.contains_key(&named.sha256)).collect();
        let on_disk = move |named: &Named| folder.join(named.sha256.to_string()).exists();
        let missing = move || Ok(wanted.into_iter().filter(|named| !on_disk(named)).collect());
        blocking(missing).await.unwrap_or_default()
    }

    /// Stores a manifest, unless another process has stored a later one.
    pub(crate) async fn store(&self, manifest: ToStore) {
        let folder = Arc::clone(&self.folder);
        blocking(move || store(&folder, &manifest)).await;
    }

    /// Notes that the manifest stored was current at that time.
    pub(crate) async fn confirm(&self, position: Position, confirmed: Timestamp) {
        let folder = Arc::clone(&self.folder);
        blocking(move || see(&folder, Seen { position, confirmed })).await;
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Option<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
    done.flatten().inspect_err(|error| warn!(%error, "the manifest cache on disk failed")).ok()
}

fn read(folder: &Path) -> Option<Stored> {
    let seen = read_seen(folder);
    let whole = |name: &str, limit| match read_capped(&folder.join(name), limit) {
        Ok(Capped::Whole(bytes)) => bytes,
        Ok(Capped::Absent | Capped::TooLarge) | Err(_) => Vec::new(),
    };
    let root = whole(ROOT, MAX_ROOT_BYTES);
    let trust = serde_json::from_slice(&whole(TRUST, MAX_CHAIN_BYTES)).unwrap_or_default();
    if seen.is_none() && root.is_empty() {
        return None;
    }
    Some(Stored {
        trust,
        root,
        position: seen.map(|seen| seen.position),
        // Without a confirmation the age is that of the epoch's beginning: too high, never too low.
        confirmed: seen.map(|seen| seen.confirmed).unwrap_or_default(),
        folder: folder.to_owned(),
    })
}

fn read_seen(folder: &Path) -> Option<Seen> {
    match read_capped(&folder.join(SEEN), MAX_SEEN_BYTES) {
        Ok(Capped::Whole(bytes)) => serde_json::from_slice(&bytes).ok(),
        Ok(Capped::Absent | Capped::TooLarge) | Err(_) => None,
    }
}

fn store(folder: &Path, manifest: &ToStore) -> io::Result<()> {
    let ToStore { trust, root, named, chunks, confirmed } = manifest;
    let position = root.position();
    if read_seen(folder).is_some_and(|seen| !seen.position.allows(&position)) {
        return Ok(());
    }
    let chunk_folder = folder.join(CHUNKS);
    private_folder(&chunk_folder)?;
    for (digest, bytes) in chunks {
        // A chunk that a power cut left torn is noticed by its digest; thousands of syncs would be, too.
        write(&chunk_folder.join(digest.to_string()), bytes, Sync::No)?;
    }
    let chain = serde_json::to_vec(trust).map_err(io::Error::other)?;
    write(&folder.join(TRUST), &chain, Sync::Yes)?;
    write(&folder.join(ROOT), root.text().as_bytes(), Sync::Yes)?;
    see(folder, Seen { position, confirmed: *confirmed })?;
    sweep(&chunk_folder, named)
}

fn see(folder: &Path, seen: Seen) -> io::Result<()> {
    if read_seen(folder).is_some_and(|held| !held.position.allows(&seen.position)) {
        return Ok(());
    }
    let seen = serde_json::to_vec(&seen).map_err(io::Error::other)?;
    write(&folder.join(SEEN), &seen, Sync::Yes)
}

/// Removes the chunks that are not named, and what dead processes left half written.
fn sweep(chunks: &Path, named: &HashSet<Digest>) -> io::Result<()> {
    let named: HashSet<String> = named.iter().map(ToString::to_string).collect();
    for entry in fs::read_dir(chunks)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        let being_written = path.extension().is_some_and(|end| end == "tmp")
            && entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age < ABANDONED_AFTER);
        if being_written || name.to_str().is_some_and(|name| named.contains(name)) {
            continue;
        }
        // Another process may have been faster.
        let _ = fs::remove_file(path);
    }
    Ok(())
}

/// Whether a write waits for the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    Yes,
    No,
}

/// Writes a file whole or not at all: beside it first, then over it.
fn write(path: &Path, bytes: &[u8], sync: Sync) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_extension(format!("{}-{count}.tmp", std::process::id()));
    let mut file = File::create(&beside)?;
    let written = file
        .write_all(bytes)
        .and_then(|()| if sync == Sync::Yes { file.sync_all() } else { Ok(()) });
    written.and_then(|()| fs::rename(&beside, path)).inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })
}

/// A folder that only its owner may enter: a relay's chunks hold the hashes of keys.
fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn short(text: &str) -> String {
    let mut digest = Digest::of(text.as_bytes()).to_string();
    digest.truncate(16);
    digest
}
