//! Files of others in our place, and a disk that takes no more.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use flagforge::Loader;
use flagforge::origin::FolderOrigin;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::{Scope, ScopeId};

use super::{Files, Place, files, lay, named};
use crate::kit::{Publisher, boolean, directory};

#[tokio::test]
async fn another_tenants_environments_or_organizations_files_are_not_believed() {
    let mut place = Place::new();
    let [_, newest] = place.fill().await;
    let whole = files(place.cache.path());
    // The same keys sign for all of them: nothing but the scope is wrong.
    for (org, env, relay) in
        [("demo", "dev", false), ("other", "prod", false), ("demo", "prod", true)]
    {
        let (elsewhere, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut publisher = Publisher::of(elsewhere.path(), org, env);
        publisher.revision.env = 40;
        publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
        let scope = if relay { publisher.scope(Scope::Relay) } else { publisher.environment() };
        let origin = Arc::new(FolderOrigin::new(elsewhere.path()));
        let mut loader = Loader::new(origin, scope, place.pins.clone(), Some(cache.path()));
        loader.refresh().await.unwrap();
        loader.store().await;
        let theirs = files(cache.path());
        let by_name: BTreeMap<_, _> =
            theirs.iter().map(|(name, bytes)| (name.file_name().unwrap(), bytes)).collect();
        for name in ["root.jws", "trust.json", "seen.json"] {
            let mut mixed = whole.clone();
            let bytes = by_name[std::ffi::OsStr::new(name)].clone();
            mixed.insert(named(&whole, name).clone(), bytes);
            lay(place.cache.path(), &mixed);
            let (revision, ..) = place.start_in_the_dark().await.unwrap();
            assert!(revision == 1 || revision == newest.unwrap().0, "{org}/{env}: {name}");
        }
        // All of it, under our folder's name.
        let mut all = Files::new();
        for (name, bytes) in &theirs {
            let file = name.file_name().unwrap();
            let ours = named(&whole, "root.jws").clone();
            let folder = ours.parent().unwrap();
            let inside = name.parent().unwrap().ends_with("chunks");
            all.insert(
                if inside { folder.join("chunks").join(file) } else { folder.join(file) },
                bytes.clone(),
            );
        }
        lay(place.cache.path(), &all);
        assert_eq!(place.start_in_the_dark().await, None, "{org}/{env}");
    }
}

#[tokio::test]
async fn places_that_cannot_be_written_stop_nothing() {
    let names = [
        "chunks",
        "trust.json",
        "root.jws",
        "seen.json",
        "previous-trust.json",
        "previous-root.jws",
    ];
    for name in names {
        let mut place = Place::new();
        let _ = place.fill().await;
        let whole = files(place.cache.path());
        let folder =
            place.cache.path().join(named(&whole, "root.jws")).parent().unwrap().to_owned();
        let path = folder.join(name);
        if name == "chunks" {
            fs::remove_dir_all(&path).unwrap();
            fs::write(&path, b"no folder").unwrap();
        } else {
            // A folder with something in it, over which no file is renamed.
            fs::remove_file(&path).unwrap();
            fs::create_dir_all(path.join("in the way")).unwrap();
        }
        // Whoever is not root may write nothing else here either.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
        place.publish();
        let mut loader = place.online();
        let _ = loader.restore().await;
        loader.refresh().await.unwrap();
        for _ in 0..2 {
            loader.store().await;
        }
        assert_eq!(loader.held().unwrap().snapshot().revision().env, 3, "{name}");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let started = place.start_in_the_dark().await;
        assert_eq!(started.is_none(), name == "chunks", "{name}: the other generation is whole");
        assert!(started.is_none_or(|(revision, on, _)| on == (revision % 2 == 1)), "{name}");
    }
}

const LIMITED: &str = "FLAGFORGE_TEST_FULL_DISK";

/// A disk on which files end after some blocks: in a process of its own, whose files may not be larger.
#[tokio::test]
async fn a_full_disk_stops_nothing_and_leaves_a_generation() {
    if let Some(folder) = std::env::var_os(LIMITED) {
        return store_on_a_full_disk(Path::new(&folder)).await;
    }
    for blocks in 0..6 {
        let mut place = Place::new();
        let _ = place.fill().await;
        place.publish();
        let name = "torture::scarce::a_full_disk_stops_nothing_and_leaves_a_generation";
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" --exact {name}");
        // The child finds the origin and the cache under one folder.
        let folder = tempfile::tempdir().unwrap();
        lay(&folder.path().join("origin"), &files(&place.publisher.folder));
        lay(&folder.path().join("cache"), &files(place.cache.path()));
        let child = Command::new("sh")
            .args(["-c", &script, std::env::current_exe().unwrap().to_str().unwrap()])
            .env(LIMITED, folder.path())
            .output()
            .unwrap();
        assert!(
            child.status.success(),
            "{blocks} blocks: {}",
            String::from_utf8_lossy(&child.stderr)
        );
        lay(place.cache.path(), &files(&folder.path().join("cache")));
        let (revision, on, _) = place.start_in_the_dark().await.unwrap();
        assert!(
            (2..=3).contains(&revision) && on == (revision % 2 == 1),
            "{blocks} blocks: {revision}"
        );
    }
}

async fn store_on_a_full_disk(folder: &Path) {
    // Of the publisher only its name and its public keys are wanted: it must not write.
    let scope = ScopeId {
        org: OrgKey::new("demo").unwrap(),
        env: EnvKey::new("prod").unwrap(),
        scope: Scope::Environment,
    };
    let pins = vec![crate::kit::secret_key(1).public().thumbprint()];
    let origin = Arc::new(FolderOrigin::new(folder.join("origin")));
    let mut loader = Loader::new(origin, scope, pins, Some(&folder.join("cache")));
    assert_eq!(loader.restore().await.unwrap().snapshot().revision().env, 2);
    loader.refresh().await.unwrap();
    for _ in 0..3 {
        loader.store().await;
        let held = loader.held().unwrap().snapshot();
        assert_eq!(held.revision().env, 3);
        assert_eq!(held.tenant("acme").unwrap().unwrap().overrides().count(), 1);
    }
}
