//! What may change while a relay runs, by a file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use flagforge_relay::{TuningFile, operation};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::world::{Reply, World, call, publish};

/// What nothing takes that does as it should.
const LONG: Duration = Duration::from_secs(20);

struct Tuned {
    world: World,
    file: Arc<TuningFile>,
    path: PathBuf,
    operation: Router,
    /// The filters of logs that were set.
    logs: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

impl Tuned {
    fn new(begins: &Json) -> Self {
        let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
        let path = folder.path().join("relay.json");
        write(&path, begins);
        let logs: Arc<Mutex<Vec<String>>> = Arc::default();
        let set = Arc::clone(&logs);
        let set = Box::new(move |filter: &str| set.lock().unwrap().push(filter.to_owned()));
        let file = TuningFile::read(&path, &world.relay, "info", set).unwrap();
        let operation = operation(Arc::clone(&world.relay));
        Self { world, file, path, operation, logs, _folder: folder }
    }

    /// Writes the file and reads it again; the fault, if it has one.
    fn put(&self, file: &Json) -> Result<bool, String> {
        write(&self.path, file);
        self.file.read_again().map_err(|error| error.to_string())
    }

    async fn told(&self, path: &str) -> Reply {
        call(&self.operation, "GET", path, &[], Body::empty()).await
    }

    async fn in_force(&self) -> Json {
        self.told("/configuration").await.json()
    }

    async fn evaluated(&self) -> (StatusCode, Json) {
        let reply = self.world.evaluate("theme", "acme", json!({})).await;
        (reply.status, reply.json()["value"].clone())
    }
}

fn write(path: &Path, file: &Json) {
    std::fs::write(path, file.to_string()).unwrap();
}

#[tokio::test]
async fn rates_change_while_it_runs() {
    let tuned = Tuned::new(&json!({"requestsPerSecondOfATenant": 1}));
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(tuned.evaluated().await.0);
    }
    assert!(statuses[..5].iter().all(|status| *status == StatusCode::OK), "{statuses:?}");
    assert_eq!(statuses[5], StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(tuned.put(&json!({"requestsPerSecondOfATenant": 1_000})), Ok(true));
    sleep(Duration::from_millis(20)).await;
    assert_eq!(tuned.evaluated().await.0, StatusCode::OK);
    // What a file leaves out is as it was at the start.
    assert_eq!(tuned.put(&json!({"requestsPerSecondOfAKey": 1})), Ok(true));
    assert_eq!(tuned.in_force().await["settings"]["requestsPerSecondOfATenant"], 2_000);
    let mut last = StatusCode::OK;
    for _ in 0..6 {
        last = tuned.evaluated().await.0;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS, "the key's own rate");
}

#[tokio::test]
async fn limits_of_streams_change_and_who_has_one_keeps_it() {
    let tuned = Tuned::new(&json!({}));
    let open = async || {
        let path = "/data/v1/demo/prod/stream";
        let request = axum::http::Request::get(path).header("x-api-key", &tuned.world.server);
        let request = request.body(Body::empty()).unwrap();
        tower::ServiceExt::oneshot(tuned.world.app.clone(), request).await.unwrap()
    };
    let held = [open().await, open().await];
    assert!(held.iter().all(|stream| stream.status() == StatusCode::OK));
    assert_eq!(tuned.put(&json!({"maxStreams": 2, "maxStreamsOfAKey": 2})), Ok(true));
    assert_eq!(open().await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(tuned.put(&json!({"maxStreams": 3, "maxStreamsOfAKey": 3})), Ok(true));
    assert_eq!(open().await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_so() {
    let tuned = Tuned::new(&json!({"maxWaits": 7, "maxWaitsOfAKey": 7, "log": "warn"}));
    let before = tuned.in_force().await;
    assert_eq!((&before["settings"]["maxWaits"], &before["refused"]), (&json!(7), &Json::Null));
    let fault = tuned.put(&json!({"log": "debug", "maxWaits": 0})).unwrap_err();
    assert!(
        fault.contains("relay.json: maxWaits: 0 is not a whole number from 1 to 24000"),
        "{fault}"
    );
    let after = tuned.in_force().await;
    assert_eq!(after["refused"]["why"], json!("maxWaits: 0 is not a whole number from 1 to 24000"));
    for same in ["digest", "since", "settings"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    assert_eq!(tuned.put(&json!({"log": "debug", "maxWaits": 0})).unwrap_err(), fault, "still");
    assert_eq!(*tuned.logs.lock().unwrap(), ["warn"], "all of it counts or none");
    #[cfg(feature = "metrics")]
    {
        let text = String::from_utf8(tuned.told("/metrics").await.bytes).unwrap();
        let digest = before["digest"].as_str().unwrap();
        assert!(
            text.contains(&format!("flagforge_relay_configuration{{digest=\"{digest}\"}} 1\n"))
        );
        assert!(text.contains("flagforge_relay_configuration_refused 1\n"), "{text}");
    }
    std::fs::remove_file(&tuned.path).unwrap();
    assert!(tuned.file.read_again().is_err());
    assert_eq!(tuned.in_force().await["settings"], before["settings"]);
    assert_eq!(tuned.put(&json!({"maxWaits": 9, "maxWaitsOfAKey": 9})), Ok(true));
    let good = tuned.in_force().await;
    assert_eq!((&good["settings"]["maxWaits"], &good["refused"]), (&json!(9), &Json::Null));
    assert_eq!(good["settings"]["log"], "info", "as at the start");
    assert_eq!(tuned.put(&json!({"maxWaits": 9, "maxWaitsOfAKey": 9})), Ok(false));
}

#[tokio::test]
async fn polls_begin_to_come_as_often_as_it_says() {
    let mut tuned = Tuned::new(&json!({}));
    assert_eq!(tuned.evaluated().await.1, "dark");
    publish(&mut tuned.world.publisher, "blue");
    sleep(Duration::from_millis(300)).await;
    assert_eq!(tuned.evaluated().await.1, "dark", "it polls once an hour");
    assert_eq!(tuned.put(&json!({"pollSeconds": 1})), Ok(true));
    let seen = async {
        while tuned.evaluated().await.1 != "blue" {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, seen).await.unwrap();
}

#[tokio::test]
async fn what_it_names_is_loaded_and_a_wrong_name_takes_no_relay_out() {
    let tuned = Tuned::new(&json!({"beginWith": ["nobody/nowhere", "demo/prod"]}));
    let loaded = async {
        while tuned.told("/readyz").await.json()["environments"] != 1 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, loaded).await.unwrap();
    assert_eq!(tuned.told("/readyz").await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_replaced_is_seen() {
    let tuned = Tuned::new(&json!({"maxWaitsOfAKey": 1}));
    tokio::spawn(Arc::clone(&tuned.file).follow());
    let is = async |limit: u64| {
        let follows = async {
            while tuned.in_force().await["settings"]["maxWaitsOfAKey"] != limit {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(Duration::from_secs(6), follows).await.unwrap();
    };
    is(1).await;
    // As editors and mounted configurations do it: another file under the same name.
    let other = tuned.path.with_extension("new");
    write(&other, &json!({"maxWaitsOfAKey": 2}));
    std::fs::rename(&other, &tuned.path).unwrap();
    is(2).await;
    write(&tuned.path, &json!({"maxWaitsOfAKey": false}));
    sleep(Duration::from_secs(6)).await;
    is(2).await;
    write(&tuned.path, &json!({"maxWaitsOfAKey": 3}));
    is(3).await;
}

#[tokio::test]
async fn a_file_is_read_up_to_its_limit_and_not_at_the_start_if_it_is_bad() {
    let tuned = Tuned::new(&json!({}));
    let limit = 128 * 1024;
    let padded = |bytes: usize| format!("{{{}}}", " ".repeat(bytes - 2));
    std::fs::write(&tuned.path, padded(limit)).unwrap();
    assert_eq!(tuned.file.read_again(), Ok(true));
    std::fs::write(&tuned.path, padded(limit + 1)).unwrap();
    assert!(tuned.file.read_again().unwrap_err().to_string().contains("over 131072 bytes"));
    let again = TuningFile::read(&tuned.path, &tuned.world.relay, "info", Box::new(|_| {}));
    assert!(again.is_err());
}
