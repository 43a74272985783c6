//! The last good manifest on disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flagforge::{Client, Flag, Status};
use flagforge_flags::hashed_ids;
use flagforge_flags::keys::SegmentKey;
use flagforge_flags::manifest::{Digest, Position};
use flagforge_flags::wire::{IdsWire, SegmentWire};
use serde_json::{Value as Json, json};

use crate::kit::{Publisher, ago, boolean, directory};

const DASHBOARD: Flag<bool> = Flag::new("new-dashboard", false);
const BOUND: Duration = Duration::from_millis(500);

struct Place {
    publisher: Publisher,
    cache: tempfile::TempDir,
    start_within: Duration,
    _folder: tempfile::TempDir,
}

impl Place {
    /// A published manifest that is on for acme, and an empty cache.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut publisher = Publisher::new(folder.path());
        publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
        let cache = tempfile::tempdir().unwrap();
        Self { publisher, cache, start_within: BOUND, _folder: folder }
    }

    async fn start(&self) -> Client {
        Client::connect(&self.publisher.connection())
            .start_within(self.start_within)
            .poll_every(Duration::from_millis(20))
            .cache_dir(self.cache.path())
            .await
            .unwrap()
    }

    /// Starts, waits until the cache is written, and stops.
    async fn fill(&self) {
        let client = self.start().await;
        assert_eq!(client.status(), Status::Ready);
        while found(self.cache.path(), "seen.json").is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn lose_the_origin(&self) {
        fs::remove_dir_all(&self.publisher.folder).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        found(self.cache.path(), name).unwrap()
    }
}

fn found(folder: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { found(&path, name) } else { (entry.file_name() == name).then_some(path) }
    })
}

fn on_for_acme(client: &Client) -> bool {
    client.tenant("acme").unwrap().flags().get(&DASHBOARD)
}

#[tokio::test]
async fn without_its_origin_a_start_serves_what_it_had_with_the_right_age() {
    let place = Place::new();
    place.fill().await;
    place.lose_the_origin();
    // An hour passes.
    let seen = place.file("seen.json");
    let mut json: Json = serde_json::from_slice(&fs::read(&seen).unwrap()).unwrap();
    let confirmed = ago(Duration::from_secs(3_600));
    let position: Position = serde_json::from_value(json["position"].clone()).unwrap();
    let note = format!("{}, {position}, confirmed {confirmed}", place.publisher.environment());
    json["confirmed"] = json!(confirmed);
    json["sha256"] = json!(Digest::of(note.as_bytes()));
    fs::write(&seen, json.to_string()).unwrap();

    let client = place.start().await;
    assert_eq!(client.status(), Status::LastKnownGood);
    assert!(on_for_acme(&client));
    let age = client.age().unwrap().as_secs();
    assert!((3_600..3_605).contains(&age), "{age}");
    let acme = client.tenant("acme").unwrap();
    let details_age = acme.flags().details(&DASHBOARD).basis.age.unwrap().as_secs();
    assert!((3_600..3_605).contains(&details_age), "{details_age}");
}

#[tokio::test]
async fn a_manifest_of_many_chunks_comes_back_whole() {
    let mut place = Place::new();
    place.publisher.shards = 128;
    let named = |n| boolean(&format!("flag-{n}"));
    let flags: Vec<_> = (0..200).map(named).chain([boolean("new-dashboard")]).collect();
    place.publisher.publish(&flags, &[directory("acme", &["new-dashboard"])]);
    place.fill().await;
    place.lose_the_origin();
    let client = place.start().await;
    assert_eq!((client.status(), on_for_acme(&client)), (Status::LastKnownGood, true));
}

#[tokio::test]
async fn a_segment_of_a_million_ids_is_fetched_kept_and_comes_back() {
    let mut place = Place::new();
    place.start_within = 60 * BOUND;
    let ids: Vec<String> = (0..1_000_000).map(|n| format!("u-{n}")).collect();
    place.publisher.segments = vec![SegmentWire {
        key: SegmentKey::new("beta").unwrap(),
        version: 1,
        entity: "user".to_owned(),
        excluded: IdsWire::default(),
        included: hashed_ids("salt", ids.iter().map(String::as_str)),
        when: None,
    }];
    let rule = json!([{"id": "r", "when": {"inSegment": "beta"}, "serve": {"variant": "on"}}]);
    let mut flag = serde_json::to_value(boolean("new-dashboard")).unwrap();
    flag["state"]["rules"] = rule;
    place.publisher.publish(&[serde_json::from_value(flag).unwrap()], &[]);
    place.fill().await;
    place.lose_the_origin();
    let client = place.start().await;
    let acme = client.tenant("acme").unwrap();
    assert_eq!(client.status(), Status::LastKnownGood);
    assert!(acme.user("u-999999").flags().get(&DASHBOARD));
    assert!(!acme.user("u-1000000").flags().get(&DASHBOARD));
}

#[tokio::test]
async fn age_counts_the_time_between_two_runs() {
    let place = Place::new();
    place.fill().await;
    place.lose_the_origin();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let age = place.start().await.age().unwrap();
    assert!(age >= Duration::from_millis(1_100) && age < Duration::from_secs(5), "{age:?}");
}

#[tokio::test]
async fn a_rollback_is_refused_across_a_restart() {
    let mut place = Place::new();
    let old = place.publisher.keep();
    place.publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &[])]);
    place.fill().await;
    place.publisher.restore(old.path());

    let client = place.start().await;
    assert_eq!(client.status(), Status::LastKnownGood);
    assert!(!on_for_acme(&client), "revision 1.2 turned it off");
    assert!(client.trouble().unwrap().contains("goes back"), "{:?}", client.trouble());
    drop(client);

    // Even when only the note of how far it had got is left.
    fs::remove_file(place.file("root.jws")).unwrap();
    let client = place.start().await;
    assert_eq!(client.status(), Status::Defaults);
    assert!(client.trouble().unwrap().contains("goes back"), "{:?}", client.trouble());
}

#[tokio::test]
async fn what_was_tampered_with_on_disk_is_not_believed() {
    for name in ["root.jws", "trust.json"] {
        let place = Place::new();
        place.fill().await;
        place.lose_the_origin();
        let file = place.file(name);
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
        assert_eq!(place.start().await.status(), Status::Defaults, "{name}");
    }
    let place = Place::new();
    place.fill().await;
    place.lose_the_origin();
    let chunks = place.file("root.jws").with_file_name("chunks");
    for entry in fs::read_dir(&chunks).unwrap().flatten() {
        fs::write(entry.path(), b"{\"flags\":{}}").unwrap();
    }
    assert_eq!(place.start().await.status(), Status::Defaults, "chunks");
}

#[tokio::test]
async fn a_cache_of_another_authority_is_no_cache() {
    let mut place = Place::new();
    place.fill().await;
    place.lose_the_origin();
    place.publisher.roots = vec![crate::kit::secret_key(9)];
    assert_eq!(place.start().await.status(), Status::Defaults);
}

#[tokio::test]
async fn a_chunk_lost_from_the_disk_is_written_again_and_old_ones_are_removed() {
    let mut place = Place::new();
    place.fill().await;
    let chunks = place.file("root.jws").with_file_name("chunks");
    let client = place.start().await;
    fs::remove_dir_all(&chunks).unwrap();
    place
        .publisher
        .publish(&[boolean("new-dashboard"), boolean("second")], &[directory("acme", &[])]);
    while client.revision().unwrap().env < 2 || !chunks.is_dir() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(client);
    let left: usize = fs::read_dir(&chunks).unwrap().count();
    assert!(left <= 4, "{left} chunks for a root of at most four different ones");
    place.lose_the_origin();
    let client = place.start().await;
    assert_eq!(client.status(), Status::LastKnownGood);
    assert_eq!(client.revision().unwrap().to_string(), "1.2");
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_stops_nothing() {
    let place = Place::new();
    let file = place.cache.path().join("file");
    fs::write(&file, b"no folder").unwrap();
    let client = Client::connect(&place.publisher.connection()).cache_dir(&file).await.unwrap();
    assert_eq!(client.status(), Status::Ready);
}
