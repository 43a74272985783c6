//! The last good manifest of one scope, on disk. It is verified again when it is read, so nobody who can
//! write the folder gains more than deleting it would give; a cache that cannot be written is a warning.
//!
//! ```text
//! <cache>/<org>/<env>/<scope>-<pins>/trust.json    the trust documents, an array of texts
//!                                    root.jws      the root
//!                                    seen.json     how far the scope had got, and when it was last confirmed
//!                                    previous-…    the same three of the manifest before
//!                                    chunks/<sha256>
//! ```
//! A chunk is written before the root that names it, the root before `seen.json`: a process that dies
//! between leaves an older manifest or an older age, never a half one. Where a disk damages the newest manifest, the one
//! before is there whole; how far the scope had got holds for what the origin offers all the same.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flagforge_flags::manifest::{
    Digest, MAX_INDEX_BYTES, MAX_ROOT_BYTES, MAX_TRUST_BYTES, Named, Position, Root, Scope,
    ScopeId, Thumbprint,
};
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::loader::Chunks;
use crate::origin::folder::{Capped, read_capped};
use crate::origin::usize_of;

/// Bytes of `trust.json`: sixteen documents, far more than are ever walked through between two starts.
const MAX_CHAIN_BYTES: usize = 16 * MAX_TRUST_BYTES;
/// Bytes of `seen.json`, which has about 230.
const MAX_SEEN_BYTES: usize = 4 * 1024;

/// A file half written for so long has no writer any more.
const ABANDONED_AFTER: Duration = Duration::from_secs(60 * 60);

/// The names of one generation's files.
struct Names {
    trust: &'static str,
    root: &'static str,
    seen: &'static str,
}

const NEWEST: Names = Names { trust: "trust.json", root: "root.jws", seen: "seen.json" };
const PREVIOUS: Names =
    Names { trust: "previous-trust.json", root: "previous-root.jws", seen: "previous-seen.json" };
const CHUNKS: &str = "chunks";

/// The folder of one scope. Reads and writes go to tokio's blocking threads.
#[derive(Debug, Clone)]
pub(crate) struct DiskCache {
    folder: Arc<Folder>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Whose manifests it holds: notes of any other are none of ours.
    whose: String,
}

/// What was found on disk; nothing of it is believed yet.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// The newest first.
    generations: [Found; 2],
    folder: PathBuf,
}

/// One generation as it was found: what is absent or unreadable is empty.
#[derive(Debug, Default)]
struct Found {
    trust: Vec<String>,
    root: Vec<u8>,
    seen: Option<Seen>,
}

impl Stored {
    /// The trust documents, the newest first.
    pub(crate) fn trusts(&self) -> impl Iterator<Item = &[String]> {
        self.generations.iter().map(|found| &*found.trust).filter(|trust| !trust.is_empty())
    }

    /// The roots, the newest first.
    pub(crate) fn roots(&self) -> impl Iterator<Item = &[u8]> {
        self.generations.iter().map(|found| &*found.root).filter(|root| !root.is_empty())
    }

    /// How far the scope had got: no root behind it is taken from an origin.
    pub(crate) fn position(&self) -> Option<Position> {
        self.seen().map(|seen| seen.position).next()
    }

    /// When a root of this position was last known to be current.
    pub(crate) fn confirmed(&self, position: Position) -> Option<Timestamp> {
        self.seen().find(|seen| seen.position == position).map(|seen| seen.confirmed)
    }

    fn seen(&self) -> impl Iterator<Item = &Seen> {
        self.generations.iter().filter_map(|found| found.seen.as_ref())
    }

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

/// A manifest that was verified, as the disk keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Generation {
    /// The documents from the pinned roots to the current one.
    pub(crate) trust: Vec<String>,
    pub(crate) root: Root,
    /// All that the root lists, with its indexes.
    pub(crate) named: HashSet<Digest>,
    pub(crate) confirmed: Timestamp,
}

impl Generation {
    /// Notes that it was current at that time, if it is the one.
    pub(crate) fn confirmed_at(&mut self, root: &Root, confirmed: Timestamp) {
        if self.root.digest() == root.digest() {
            self.confirmed = confirmed;
        }
    }

    const fn seen(&self) -> Seen {
        Seen { position: self.root.position(), confirmed: self.confirmed }
    }
}

/// A manifest for the disk.
pub(crate) struct ToStore {
    pub(crate) newest: Generation,
    /// What is known to be good of what is on disk: it stays there, as the generation before.
    pub(crate) previous: Option<Generation>,
    /// The newest's indexes and chunks that are not on disk yet.
    pub(crate) chunks: Chunks,
}

/// How far a scope had got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    position: Position,
    confirmed: Timestamp,
}

impl Seen {
    /// Of the scope, the position and the confirmation: a disk that turns a digit round makes no age lower.
    fn digest(&self, whose: &str) -> Digest {
        let Self { position, confirmed } = self;
        Digest::of(format!("{whose}, {position}, confirmed {confirmed}").as_bytes())
    }
}

/// How far a scope had got, as it stands on disk. Unsigned: who can write here can as well delete it.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    #[serde(flatten)]
    seen: Seen,
    sha256: Digest,
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
            Scope::Canary => format!("canary-{pins}"),
            // A tenant's key may have characters, and a length, that file names may not.
            Scope::Tenant(tenant) => {
                format!("tenant-{}-{pins}", Digest::of(tenant.as_str().as_bytes()))
            }
        };
        let path = cache.join(scope.org.as_str()).join(scope.env.as_str()).join(last);
        Self { folder: Arc::new(Folder { path, whose: scope.to_string() }) }
    }

    /// What is there. `None` when nothing was ever stored.
    pub(crate) async fn read(&self) -> Option<Stored> {
        let folder = Arc::clone(&self.folder);
        blocking(move || Ok(read(&folder))).await.flatten()
    }

    /// A chunk, if it is there. It is not looked into.
    pub(crate) async fn chunk(&self, named: Named) -> Option<Bytes> {
        let folder = self.folder.path.clone();
        let read = move || Ok(Stored { folder, ..Stored::default() }.chunk(named));
        blocking(read).await.flatten().map(Bytes::from)
    }

    /// Puts chunks to those that are there, until the next manifest is stored without naming them.
    pub(crate) async fn add(&self, chunks: Chunks) {
        let folder = self.folder.path.join(CHUNKS);
        blocking(move || put_chunks(&folder, &chunks)).await;
    }

    /// Which of these are neither on disk nor among those in hand.
    pub(crate) async fn lacks(&self, mut wanted: Vec<Named>, in_hand: &Chunks) -> Vec<Named> {
        let folder = self.folder.path.join(CHUNKS);
        wanted.retain(|named| !in_hand.contains_key(&named.sha256));
        let on_disk = move |named: &Named| folder.join(named.sha256.to_string()).exists();
        let missing = move || Ok(wanted.into_iter().filter(|named| !on_disk(named)).collect());
        blocking(missing).await.unwrap_or_default()
    }

    /// Stores a manifest, unless another process has stored a later one. Answers whether the disk took it.
    pub(crate) async fn store(&self, manifest: ToStore) -> bool {
        let folder = Arc::clone(&self.folder);
        blocking(move || store(&folder, &manifest)).await.is_some()
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

fn read(folder: &Folder) -> Option<Stored> {
    let generations = [NEWEST, PREVIOUS].map(|names| Found {
        trust: serde_json::from_slice(&whole(folder, names.trust, MAX_CHAIN_BYTES))
            .unwrap_or_default(),
        root: whole(folder, names.root, MAX_ROOT_BYTES),
        seen: read_seen(folder, &names),
    });
    let is_there = |found: &Found| found.seen.is_some() || !found.root.is_empty();
    let folder = folder.path.clone();
    generations.iter().any(is_there).then_some(Stored { generations, folder })
}

/// A file's bytes; none where it is absent, too large or unreadable.
fn whole(folder: &Folder, name: &str, limit: usize) -> Vec<u8> {
    match read_capped(&folder.path.join(name), limit) {
        Ok(Capped::Whole(bytes)) => bytes,
        Ok(Capped::Absent | Capped::TooLarge) | Err(_) => Vec::new(),
    }
}

fn read_seen(folder: &Folder, names: &Names) -> Option<Seen> {
    let note: Note = serde_json::from_slice(&whole(folder, names.seen, MAX_SEEN_BYTES)).ok()?;
    (note.sha256 == note.seen.digest(&folder.whose)).then_some(note.seen)
}

fn store(folder: &Folder, manifest: &ToStore) -> io::Result<()> {
    let ToStore { newest, previous, chunks } = manifest;
    let seen = newest.seen();
    if read_seen(folder, &NEWEST).is_some_and(|held| !held.position.allows(&seen.position)) {
        return Ok(());
    }
    let chunk_folder = folder.path.join(CHUNKS);
    put_chunks(&chunk_folder, chunks)?;
    if whole(folder, NEWEST.root, MAX_ROOT_BYTES) == newest.root.text().as_bytes() {
        // Another process was faster, and has kept the generation before.
        return put(folder, &NEWEST, newest);
    }
    let mut named: HashSet<&Digest> = newest.named.iter().collect();
    if let Some(previous) = previous {
        put(folder, &PREVIOUS, previous)?;
        named.extend(&previous.named);
    }
    put(folder, &NEWEST, newest)?;
    sweep(&chunk_folder, &named)
}

fn put_chunks(folder: &Path, chunks: &Chunks) -> io::Result<()> {
    private_folder(folder)?;
    for (digest, bytes) in chunks {
        // A chunk that a power cut left torn is noticed by its digest; thousands of syncs would be, too.
        write(&folder.join(digest.to_string()), bytes, Sync::No)?;
    }
    Ok(())
}

fn put(folder: &Folder, names: &Names, generation: &Generation) -> io::Result<()> {
    let chain = serde_json::to_vec(&generation.trust).map_err(io::Error::other)?;
    write(&folder.path.join(names.trust), &chain, Sync::Yes)?;
    write(&folder.path.join(names.root), generation.root.text().as_bytes(), Sync::Yes)?;
    write_seen(folder, names, generation.seen())
}

fn see(folder: &Folder, seen: Seen) -> io::Result<()> {
    if read_seen(folder, &NEWEST).is_some_and(|held| !held.position.allows(&seen.position)) {
        return Ok(());
    }
    write_seen(folder, &NEWEST, seen)
}

fn write_seen(folder: &Folder, names: &Names, seen: Seen) -> io::Result<()> {
    let note = Note { seen, sha256: seen.digest(&folder.whose) };
    let note = serde_json::to_vec(&note).map_err(io::Error::other)?;
    write(&folder.path.join(names.seen), &note, Sync::Yes)
}

/// Removes the chunks that are not named, and what dead processes left half written.
fn sweep(chunks: &Path, named: &HashSet<&Digest>) -> io::Result<()> {
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
