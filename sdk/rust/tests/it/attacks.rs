//! An origin that lies, through the loader: by seed, more than seven hundred times. Each lie is refused, and what was
//! held goes on, unmoved.

mod confused;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge::origin::{Fetched, Origin, OriginError, names};
use flagforge::{Client, Flag, Loader, Status};
use flagforge_flags::Revision;
use flagforge_flags::manifest::{Named, Scope, ScopeId};

use crate::kit::{Publisher, boolean, directory, now, secret_key};

const DASHBOARD: Flag<bool> = Flag::new("new-dashboard", false);
const SEED: u64 = 20_261_121;

type Objects = BTreeMap<String, Vec<u8>>;

/// A store in memory, whose owner may be anybody.
#[derive(Debug, Default)]
struct Memory(Mutex<Objects>);

impl Memory {
    fn get(&self, name: &str) -> Option<Bytes> {
        self.0.lock().unwrap().get(name).map(|bytes| Bytes::copy_from_slice(bytes))
    }

    fn offer(&self, objects: &Objects) {
        self.0.lock().unwrap().clone_from(objects);
    }
}

#[async_trait]
impl Origin for Memory {
    async fn trust(&self, _: &ScopeId, number: Option<u64>) -> Result<Option<Bytes>, OriginError> {
        Ok(self.get(&number.map_or_else(|| names::TRUST.to_owned(), names::trust)))
    }

    async fn root(&self, scope: &ScopeId, _: Option<&str>) -> Result<Fetched, OriginError> {
        let found = self.get(&names::root(scope));
        Ok(found.map_or(Fetched::Absent, |bytes| Fetched::Found { bytes, etag: None }))
    }

    async fn chunk(&self, scope: &ScopeId, named: Named) -> Result<Option<Bytes>, OriginError> {
        Ok(self.get(&names::chunk(&scope.org, &named.sha256)))
    }
}

fn objects(folder: &Path) -> Objects {
    fn walk(folder: &Path, prefix: &str, found: &mut Objects) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                walk(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    let mut found = Objects::new();
    walk(folder, "", &mut found);
    found
}

const ROOT: &str = "demo/prod/environment.jws";

/// A reader that holds revision 2, and an origin that has revision 3 whole.
struct Scene {
    origin: Arc<Memory>,
    loader: Loader,
    publisher: Publisher,
    old: Objects,
    next: Objects,
    attempts: usize,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut publisher = Publisher::new(folder.path());
        publisher.shards = 8;
        let flags = |n| (0..n).map(|i| boolean(&format!("flag-{i}"))).collect::<Vec<_>>();
        publisher.publish(&flags(20), &[directory("acme", &["flag-1"])]);
        let old = objects(folder.path());
        publisher.publish(&flags(21), &[directory("acme", &["flag-2"])]);
        let origin = Arc::new(Memory::default());
        origin.offer(&objects(folder.path()));
        let (scope, pins) = (publisher.environment(), publisher.pinned());
        let mut loader = Loader::new(Arc::clone(&origin) as Arc<dyn Origin>, scope, pins, None);
        loader.refresh().await.unwrap();
        let more: Vec<_> = (0..60).map(|i| boolean(&format!("flag-{i}"))).collect();
        let tenants = ["acme", "globex", "initech"].map(|key| directory(key, &["flag-3"]));
        publisher.publish(&more, &tenants);
        let next = objects(folder.path());
        Self { origin, loader, publisher, old, next, attempts: 0, _folder: folder }
    }

    /// Offers a store that must be refused, to the reader that holds a manifest.
    async fn refuses(&mut self, what: &str, offered: &Objects) {
        let held = Arc::clone(self.loader.held().unwrap());
        self.origin.offer(offered);
        let outcome = self.loader.refresh().await;
        assert!(outcome.is_err(), "{what} was accepted: {outcome:?}");
        assert!(Arc::ptr_eq(&held, self.loader.held().unwrap()), "{what}: what was held has moved");
        self.attempts += 1;
    }

    /// The same to a reader at first contact.
    async fn refused_at_first(&mut self, what: &str, offered: &Objects) {
        self.origin.offer(offered);
        let (scope, pins) = (self.publisher.environment(), self.publisher.pinned());
        let origin = Arc::clone(&self.origin) as Arc<dyn Origin>;
        let mut fresh = Loader::new(origin, scope, pins, None);
        assert!(fresh.refresh().await.is_err() && fresh.held().is_none(), "{what} was accepted");
        self.attempts += 1;
    }

    fn with(&self, name: &str, bytes: Vec<u8>) -> Objects {
        let mut objects = self.next.clone();
        objects.insert(name.to_owned(), bytes);
        objects
    }

    /// What only the next revision's root names.
    fn new_chunks(&self) -> Vec<String> {
        let before: BTreeSet<_> = self.old.keys().collect();
        let held: BTreeSet<_> = self
            .loader
            .held()
            .unwrap()
            .snapshot()
            .listing()
            .named()
            .map(|n| n.sha256.to_string())
            .collect();
        let new = |name: &&String| {
            name.contains("/chunks/")
                && !before.contains(name)
                && !held.contains(&name[name.len() - 64..])
        };
        self.next.keys().filter(new).cloned().collect()
    }
}

fn next(chance: &mut u64) -> usize {
    *chance =
        chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*chance >> 33).unwrap()
}

fn flipped(bytes: &[u8], chance: &mut u64) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    let place = next(chance) % bytes.len();
    flipped[place] ^= 1 << (next(chance) % 8);
    flipped
}

#[tokio::test]
async fn seven_hundred_lies_of_an_origin_move_nothing() {
    let mut scene = Scene::new().await;
    let mut chance = SEED;
    let root = scene.next[ROOT].clone();
    for n in 0..300 {
        let offered = scene.with(ROOT, flipped(&root, &mut chance));
        scene.refuses(&format!("root {n}"), &offered).await;
    }
    for n in 0..60 {
        let offered = scene.with(ROOT, root[..next(&mut chance) % root.len()].to_vec());
        scene.refuses(&format!("cut root {n}"), &offered).await;
    }
    let trust = scene.next["trust.json"].clone();
    for n in 0..150 {
        let mut offered = scene.with("trust.json", flipped(&trust, &mut chance));
        // With the numbered one, which is whole, a reader would come to the truth by walking.
        offered.remove("trust/1.json");
        scene.refused_at_first(&format!("trust document {n}"), &offered).await;
    }
    let chunks = scene.new_chunks();
    let listed: Vec<&String> = chunks.iter().collect();
    assert!(listed.len() >= 8, "{} chunks are new", listed.len());
    let whole = scene.next.clone();
    let is_read = |name: &str| {
        // The relay's keys are stored too, and not read here.
        !whole[name].starts_with(br#"{"keys""#)
    };
    for name in listed.iter().filter(|name| is_read(name)) {
        let bytes = &whole[*name];
        for n in 0..12 {
            let offered = scene.with(name, flipped(bytes, &mut chance));
            scene.refuses(&format!("{name} flipped {n}"), &offered).await;
        }
        for other in chunks.iter().filter(|other| other != name) {
            let offered = scene.with(name, whole[other].clone());
            scene.refuses(&format!("{name} as {other}"), &offered).await;
        }
        for bytes in
            [Vec::new(), bytes[1..].to_vec(), [bytes, &b" "[..]].concat(), vec![0; bytes.len()]]
        {
            let offered = scene.with(name, bytes);
            scene.refuses(name, &offered).await;
        }
        let mut gone = whole.clone();
        gone.remove(*name);
        scene.refuses(&format!("{name} gone"), &gone).await;
    }
    assert!(scene.attempts >= 720, "only {} attempts", scene.attempts);
    scene.origin.offer(&whole);
    scene.loader.refresh().await.unwrap();
    assert_eq!(scene.loader.held().unwrap().snapshot().revision().env, 3, "the truth is taken");
}

#[tokio::test]
async fn what_was_signed_for_another_time_or_place_is_refused() {
    let mut scene = Scene::new().await;
    let (old, whole) = (scene.old.clone(), scene.next.clone());
    scene.refuses("rollback: all of revision 1", &old).await;
    let offered = scene.with(ROOT, old[ROOT].clone());
    scene.refuses("rollback: the root of revision 1", &offered).await;
    // The same keys, and a higher position in everything.
    for (org, env) in [("demo", "dev"), ("other", "prod"), ("other", "dev")] {
        let folder = tempfile::tempdir().unwrap();
        let mut other = Publisher::of(folder.path(), org, env);
        (other.revision, other.serial) = (Revision { org: 50, env: 50 }, 50);
        other.publish(&[boolean("flag-1")], &[directory("acme", &["flag-1"])]);
        let theirs = objects(folder.path());
        for scope in ["environment", "relay"] {
            let root = theirs[&format!("{org}/{env}/{scope}.jws")].clone();
            let mut offered: Objects = scene.with(ROOT, root);
            // Their chunks too, where ours are looked for.
            for (name, bytes) in theirs.iter().filter(|(name, _)| name.contains("/chunks/")) {
                offered.insert(name.replacen(org, "demo", 1), bytes.clone());
            }
            scene.refuses(&format!("{org}/{env}/{scope}"), &offered).await;
        }
    }
    let offered = scene.with(ROOT, whole["demo/prod/relay.jws"].clone());
    scene.refuses("the relay's root", &offered).await;
    let offered = scene.with(ROOT, whole["trust.json"].clone());
    scene.refuses("a trust document as a root", &offered).await;
    let offered = scene.with("trust.json", whole[ROOT].clone());
    scene.refused_at_first("a root as a trust document", &offered).await;
    let scope = scene.publisher.scope(Scope::Relay);
    let (origin, pins) = (Arc::new(Memory::default()), scene.publisher.pinned());
    origin.offer(&Objects::from([
        ("trust.json".to_owned(), whole["trust.json"].clone()),
        ("demo/prod/relay.jws".to_owned(), whole[ROOT].clone()),
    ]));
    assert!(Loader::new(origin, scope, pins, None).refresh().await.is_err());
}

#[tokio::test]
async fn keys_that_were_revoked_or_stolen_are_of_no_use() {
    let mut scene = Scene::new().await;
    let folder = scene.publisher.folder.clone();
    // An online key that somebody made: nobody certified it, whatever signs with it.
    let honest = scene.publisher.online.clone();
    scene.publisher.online = secret_key(66);
    scene.publisher.publish(&[boolean("flag-1")], &[]);
    scene.refuses("a certificate of a stranger", &objects(&folder)).await;
    // It is revoked: what it certified before is refused from then on, and a lower epoch with it.
    scene.publisher.online = honest.clone();
    scene.publisher.publish(&[boolean("flag-1")], &[]);
    let before = objects(&folder);
    (scene.publisher.online, scene.publisher.epoch) = (secret_key(67), 2);
    scene.publisher.publish_trust(&[]);
    scene.publisher.revision = Revision { org: 1, env: 9 };
    scene.publisher.publish(&[boolean("flag-1")], &[]);
    let after = objects(&folder);
    scene.origin.offer(&after);
    scene.loader.refresh().await.unwrap();
    let mut offered = after.clone();
    offered.insert(ROOT.to_owned(), before[ROOT].clone());
    scene.refuses("what the revoked key certified", &offered).await;
    scene.refuses("and the trust document of its time", &before).await;
    // With the revoked key, new and far ahead.
    scene.publisher.online = honest;
    scene.publisher.revision = Revision { org: u64::MAX - 9, env: u64::MAX - 9 };
    scene.publisher.publish(&[boolean("flag-1")], &[]);
    scene.refuses("the revoked key's absurd revision", &objects(&folder)).await;
    scene.origin.offer(&after);
    scene.loader.refresh().await.unwrap();
}

#[tokio::test]
async fn a_freeze_is_said_within_one_expiry() {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    publisher.expires = now().plus(Duration::from_millis(1_500));
    // The trust document stands for longer: it is the root that is frozen.
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
    let client = Client::connect(&publisher.connection())
        .poll_every(Duration::from_millis(20))
        .await
        .unwrap();
    assert_eq!(client.status(), Status::Ready);
    // The origin answers, and always with the same: confirmed, and yet nobody signs any more.
    while now() < publisher.expires {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(client.status(), Status::LastKnownGood, "as soon as the root has expired");
    assert!(client.tenant("acme").unwrap().flags().get(&DASHBOARD), "and it answers on");
    publisher.expires = now().plus(Duration::from_secs(60));
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
    for _ in 0..500 {
        if client.status() == Status::Ready {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the thaw was not seen: {:?}", client.trouble());
}

#[tokio::test]
async fn fifty_rotations_and_one_who_sleeps_through_twenty_five() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut publisher = Publisher::new(folder.path());
    let pins = publisher.pinned();
    publisher.publish(&[boolean("flag-0")], &[]);
    let origin = Arc::new(Memory::default());
    let loader = |pins: &Vec<_>| {
        let origin = Arc::clone(&origin) as Arc<dyn Origin>;
        Loader::new(origin, publisher_scope(), pins.clone(), Some(cache.path()))
    };
    origin.offer(&objects(folder.path()));
    let mut awake = loader(&pins);
    let mut sleeper = Some(loader(&pins));
    awake.refresh().await.unwrap();
    sleeper.as_mut().unwrap().refresh().await.unwrap();
    for rotation in 1..=50_u8 {
        let before = std::mem::replace(&mut publisher.roots, vec![secret_key(100 + rotation)]);
        publisher.online = secret_key(180 + rotation);
        publisher.publish_trust(&before);
        publisher.publish(&[boolean(&format!("flag-{rotation}"))], &[]);
        origin.offer(&objects(folder.path()));
        awake.refresh().await.unwrap_or_else(|error| panic!("{rotation}: {error}"));
        awake.store().await;
        if rotation == 25 {
            // It wakes at the twenty-fifth; then it sleeps again, and another starts from the disk at the last.
            let mut sleeper = sleeper.take().unwrap();
            sleeper.refresh().await.unwrap();
            assert_eq!(sleeper.trust().unwrap().claims().number, 26);
            sleeper.store().await;
        }
    }
    assert_eq!(awake.trust().unwrap().claims().number, 51);
    let mut restored = loader(&pins);
    let manifest = restored.restore().await.unwrap();
    assert!(
        manifest.snapshot().flag("flag-50").is_some(),
        "the whole way is verified again from disk"
    );
    let mut fresh = Loader::new(origin, publisher_scope(), pins, None);
    fresh.refresh().await.unwrap();
}

fn publisher_scope() -> ScopeId {
    let folder = tempfile::tempdir().unwrap();
    Publisher::new(folder.path()).environment()
}
