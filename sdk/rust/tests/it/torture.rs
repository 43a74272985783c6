//! What disks do to a cache, at more than a thousand points: cut, flipped, torn, exchanged, lost, full, another's. At
//! each a start has one of the two generations whole, with its own age, or nothing; never anything else.

mod scarce;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge::Loader;
use flagforge::origin::{Fetched, FolderOrigin, Origin, OriginError};
use flagforge_flags::manifest::{Named, ScopeId, Thumbprint};
use flagforge_flags::time::Timestamp;

use crate::kit::{Publisher, boolean, directory};

const SEED: u64 = 20_261_121;

/// An origin that is gone.
#[derive(Debug)]
struct Dark;

fn dark<T>() -> Result<T, OriginError> {
    Err(OriginError::Refused { status: 503, what: "anything".into() })
}

#[async_trait]
impl Origin for Dark {
    async fn trust(&self, _: &ScopeId, _: Option<u64>) -> Result<Option<Bytes>, OriginError> {
        dark()
    }

    async fn root(&self, _: &ScopeId, _: Option<&str>) -> Result<Fetched, OriginError> {
        dark()
    }

    async fn chunk(&self, _: &ScopeId, _: Named) -> Result<Option<Bytes>, OriginError> {
        dark()
    }
}

/// The files under a folder, by their paths there.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files(folder: &Path) -> Files {
    let mut found = Files::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

/// Makes the folder hold these files and no others.
fn lay(folder: &Path, wanted: &Files) {
    fs::create_dir_all(folder).unwrap();
    for (name, held) in files(folder) {
        if wanted.get(&name) != Some(&held) {
            fs::remove_file(folder.join(name)).unwrap();
        }
    }
    for (name, bytes) in wanted {
        let path = folder.join(name);
        if !path.exists() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}

/// What a start from disk came to: revision, what acme is answered, and when that was confirmed.
type Outcome = Option<(u64, bool, Timestamp)>;

struct Place {
    publisher: Publisher,
    pins: Vec<Thumbprint>,
    cache: tempfile::TempDir,
    _folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let publisher = Publisher::new(folder.path());
        let pins = publisher.pinned();
        Self { publisher, pins, cache: tempfile::tempdir().unwrap(), _folder: folder }
    }

    /// Publishes the next revision: in odd ones acme's override says on, in even ones it has none.
    fn publish(&mut self) {
        let on = self.publisher.revision.env.is_multiple_of(2);
        let overrides: &[&str] = if on { &["new-dashboard"] } else { &[] };
        self.publisher.publish(&[boolean("new-dashboard")], &[directory("acme", overrides)]);
    }

    fn loader(&self, origin: Arc<dyn Origin>) -> Loader {
        let scope = self.publisher.environment();
        Loader::new(origin, scope, self.pins.clone(), Some(self.cache.path()))
    }

    fn online(&self) -> Loader {
        self.loader(Arc::new(FolderOrigin::new(&self.publisher.folder)))
    }

    async fn start_in_the_dark(&self) -> Outcome {
        let manifest = self.loader(Arc::new(Dark)).restore().await?;
        let snapshot = manifest.snapshot();
        let acme = snapshot.tenant("acme").unwrap().unwrap();
        assert!(snapshot.flag("new-dashboard").unwrap().is_ok());
        assert_eq!((snapshot.flags().count(), snapshot.tenants().count()), (1, 1));
        Some((snapshot.revision().env, acme.overrides().count() == 1, manifest.confirmed()))
    }

    /// Two generations on disk, written by one process; answers what each is.
    async fn fill(&mut self) -> [Outcome; 2] {
        let mut loader = self.online();
        let mut made = [None; 2];
        for outcome in &mut made {
            self.publish();
            loader.refresh().await.unwrap();
            loader.store().await;
            *outcome = self.start_in_the_dark().await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        made
    }
}

fn named<'f>(files: &'f Files, name: &str) -> &'f PathBuf {
    files.keys().find(|path| path.ends_with(name)).unwrap()
}

/// Damage of one file, by seed.
fn damages(bytes: &[u8], others: &[&Vec<u8>]) -> Vec<Option<Vec<u8>>> {
    let mut chance = SEED ^ bytes.len() as u64;
    let mut below = |bound: usize| {
        chance =
            chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(chance >> 33).unwrap() % bound
    };
    let length = bytes.len();
    let cuts = (0..12).map(|eighth| length * eighth / 12).chain([1, length - 1]);
    let mut damages: Vec<Option<Vec<u8>>> = cuts.map(|end| Some(bytes[..end].to_vec())).collect();
    for _ in 0..80 {
        let mut flipped = bytes.to_vec();
        flipped[below(length)] ^= 1 << below(8);
        damages.push(Some(flipped));
    }
    for at in 1..6 {
        // A page that never reached the disk.
        let mut torn = bytes.to_vec();
        torn[length * at / 6..].fill(0);
        damages.push(Some(torn));
    }
    // Another file's bytes, half and whole; twice as much; nothing at all.
    for other in others {
        let half = other.len().min(length) / 2;
        damages.push(Some([&other[..half], &bytes[half..]].concat()));
        damages.push(Some((*other).clone()));
    }
    damages.push(Some([bytes, bytes].concat()));
    damages.push(None);
    damages
}

#[tokio::test]
async fn a_thousand_damages_of_one_file_give_a_good_generation_or_none() {
    let mut place = Place::new();
    let [before, newest] = place.fill().await;
    assert_eq!(newest.unwrap().0, 2);
    let whole = files(place.cache.path());
    let (mut points, mut older, mut none) = (0, 0, Vec::new());
    for (name, bytes) in &whole {
        let others: Vec<&Vec<u8>> =
            whole.iter().filter(|(other, _)| *other != name).map(|(_, bytes)| bytes).collect();
        for damage in damages(bytes, &others) {
            let mut damaged = whole.clone();
            let is_gone = damage.is_none();
            match damage {
                Some(damage) => _ = damaged.insert(name.clone(), damage),
                None => _ = damaged.remove(name),
            }
            lay(place.cache.path(), &damaged);
            points += 1;
            let outcome = place.start_in_the_dark().await;
            match outcome {
                // A note that is lost, or of another time, makes the age that of the signature: too high, never too low.
                Some((2, on, confirmed)) => {
                    assert!(!on && confirmed <= newest.unwrap().2, "{name:?}: {confirmed}");
                }
                Some((1, on, confirmed)) => {
                    assert!(on && confirmed <= before.unwrap().2, "{name:?}: {confirmed}");
                    older += 1;
                }
                None => none.push((name.clone(), is_gone)),
                Some(other) => panic!("{name:?}: {other:?}"),
            }
        }
    }
    assert!(points >= 1_000, "only {points} points");
    assert!(older >= 200, "the generation before was used {older} times");
    // Only what both have in common, the flags, leaves nothing.
    let (chunks, others): (Vec<_>, Vec<_>) = none
        .iter()
        .partition(|(name, _)| name.parent().is_some_and(|parent| parent.ends_with("chunks")));
    assert!(others.is_empty(), "{others:?}");
    assert!(chunks.len() < points / 3, "{} of {points} left nothing", chunks.len());
}

#[tokio::test]
async fn a_write_that_ends_anywhere_leaves_a_generation() {
    let mut place = Place::new();
    place.fill().await;
    let before = files(place.cache.path());
    place.publish();
    let mut loader = place.online();
    loader.restore().await.unwrap();
    loader.refresh().await.unwrap();
    loader.store().await;
    let after = files(place.cache.path());
    // In the order of writing; what is swept comes last.
    let chunks = after.keys().filter(|name| name.parent().unwrap().ends_with("chunks"));
    let order: Vec<&PathBuf> = chunks
        .chain(
            [
                "previous-trust.json",
                "previous-root.jws",
                "previous-seen.json",
                "trust.json",
                "root.jws",
                "seen.json",
            ]
            .map(|name| named(&after, name)),
        )
        .collect();
    assert_eq!(order.len(), after.len());
    let mut state = before.clone();
    let mut seen = Vec::new();
    for step in 0..=order.len() {
        for half in [false, true] {
            let mut torn = state.clone();
            if let (Some(name), true) = (order.get(step), half) {
                // The rename is whole; the file beside is not.
                let beside = name.with_extension("1-1.tmp");
                torn.insert(beside, after[*name][..after[*name].len() / 2].to_vec());
            }
            lay(place.cache.path(), &torn);
            let (revision, on, _) = place.start_in_the_dark().await.unwrap();
            assert_eq!(on, revision % 2 == 1, "step {step}");
            seen.push(revision);
        }
        if let Some(name) = order.get(step) {
            state.insert((*name).clone(), after[*name].clone());
        }
    }
    assert!(seen.is_sorted() && seen.first() == Some(&2) && seen.last() == Some(&3), "{seen:?}");
}

#[tokio::test]
async fn the_generation_before_does_not_lower_what_the_origin_may_offer() {
    let mut place = Place::new();
    let old = {
        place.publish();
        place.publisher.keep()
    };
    let mut loader = place.online();
    loader.refresh().await.unwrap();
    loader.store().await;
    place.publish();
    let newest = place.publisher.keep();
    loader.refresh().await.unwrap();
    loader.store().await;
    let whole = files(place.cache.path());
    let root = place.cache.path().join(named(&whole, "root.jws"));
    fs::write(root.with_file_name("root.jws"), b"damaged").unwrap();

    let mut again = place.online();
    assert_eq!(again.restore().await.unwrap().snapshot().revision().env, 1);
    place.publisher.restore(old.path());
    let refused = again.refresh().await.unwrap_err();
    assert!(flagforge::chain(&refused).contains("goes back"), "{refused}");
    assert_eq!(again.held().unwrap().snapshot().revision().env, 1, "what was held goes on");
    place.publisher.restore(newest.path());
    again.refresh().await.unwrap();
    again.store().await;
    assert_eq!(place.start_in_the_dark().await.unwrap().0, 2, "the disk is whole again");
    let whole = files(place.cache.path());
    assert!(whole.keys().any(|name| name.ends_with("previous-root.jws")));
}

#[tokio::test]
async fn what_the_newest_trust_revoked_stays_revoked_on_disk() {
    let mut place = Place::new();
    place.fill().await;
    let root = place.publisher.roots.clone();
    (place.publisher.online, place.publisher.epoch) = (crate::kit::secret_key(70), 2);
    place.publisher.publish_trust(&root);
    place.publish();
    let mut loader = place.online();
    loader.restore().await.unwrap();
    loader.refresh().await.unwrap();
    loader.store().await;
    let whole = files(place.cache.path());
    // The generation before is of the revoked epoch; the trust document that says so is whole.
    let mut damaged = whole.clone();
    damaged.insert(named(&whole, "root.jws").clone(), Vec::new());
    lay(place.cache.path(), &damaged);
    assert_eq!(place.start_in_the_dark().await, None);
}
