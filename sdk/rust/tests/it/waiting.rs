//! Waiting for a revision, and for the end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use flagforge::origin::HttpOrigin;
use flagforge::{Client, Connect, Flag, Revision, Snapshot, Status};
use flagforge_flags::{AccessKey, KeyKind};
use futures_util::FutureExt;
use serde_json::json;

use crate::kit::{Publisher, SECRET, boolean, directory};

const DASHBOARD: Flag<bool> = Flag::new("new-dashboard", false);
const LONG: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(100);

/// Serves a folder as a data plane does, and counts how often its root was asked for.
#[derive(Clone)]
struct Served {
    folder: PathBuf,
    roots: Arc<AtomicUsize>,
}

impl Served {
    fn asked(&self) -> usize {
        self.roots.load(Ordering::SeqCst)
    }

    async fn start(folder: &Path) -> (Self, String) {
        let served = Self { folder: folder.to_owned(), roots: Arc::default() };
        let app = Router::new().fallback(object).with_state(served.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (served, base)
    }
}

async fn object(State(served): State<Served>, uri: Uri) -> Result<Vec<u8>, StatusCode> {
    let path = uri.path().strip_prefix("/data/v1/demo/prod/").ok_or(StatusCode::NOT_FOUND)?;
    let name = match path {
        "trust" => "trust.json".to_owned(),
        "environment" => "demo/prod/environment.jws".to_owned(),
        rest => format!("demo/{rest}"),
    };
    if path == "environment" {
        served.roots.fetch_add(1, Ordering::SeqCst);
    }
    std::fs::read(served.folder.join(name)).map_err(|_| StatusCode::NOT_FOUND)
}

/// A client of a data plane there.
fn connect(publisher: &Publisher, base: &str) -> Connect {
    let key = AccessKey::new(KeyKind::Server, publisher.org.clone(), None, "k1", SECRET).unwrap();
    let origin = Arc::new(HttpOrigin::new(base, &key).unwrap());
    Client::over(origin, publisher.environment(), publisher.pinned())
}

fn revision(text: &str) -> Revision {
    text.parse().unwrap()
}

async fn started(poll: Duration) -> (tempfile::TempDir, Publisher, Served, Client) {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &[])]);
    let (served, base) = Served::start(&publisher.folder).await;
    let client = connect(&publisher, &base).poll_every(poll).await.unwrap();
    assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());
    (folder, publisher, served, client)
}

#[tokio::test]
async fn a_revision_that_is_there_is_waited_for_no_longer_than_it_takes() {
    let (_folder, mut publisher, served, client) = started(Duration::from_secs(3_600)).await;
    let before = served.asked();
    assert!(client.wait_for(revision("1.1")).within(Duration::ZERO).await);
    assert!(client.wait_for(revision("0.1")).within(Duration::ZERO).await);
    assert_eq!(served.asked(), before, "what is held is not asked for");
    // Of two logs both have to be there.
    for more in ["1.2", "2.1", "2.0"] {
        assert!(!client.wait_for(revision(more)).within(SHORT).await, "{more}");
    }
    assert_eq!(served.asked(), before + 3, "each asks once, and then waits");
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
    assert!(client.wait_for(revision("1.2")).within(LONG).await);
    assert!(client.tenant("acme").unwrap().flags().get(&DASHBOARD));
    assert_eq!(served.asked(), before + 4);
}

#[tokio::test]
async fn whoever_waits_wakes_when_it_comes() {
    let (_folder, mut publisher, _, client) = started(Duration::from_millis(20)).await;
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.wait_for(revision("1.2")).within(LONG).await })
        })
        .collect();
    tokio::time::sleep(SHORT).await;
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &[])]);
    let begun = Instant::now();
    for waiting in waiting {
        assert!(waiting.await.unwrap());
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn nothing_is_followed_after_the_end_and_nobody_waits_for_it() {
    let (_folder, mut publisher, served, client) = started(Duration::from_millis(10)).await;
    let other = client.clone();
    let waiting =
        tokio::spawn(async move { other.wait_for(revision("9.9")).within(10 * LONG).await });
    tokio::time::sleep(SHORT).await;
    assert!(client.close().within(LONG).await);
    assert!(!waiting.await.unwrap(), "the end is told to those who wait");

    let asked = served.asked();
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
    let begun = Instant::now();
    assert_eq!(client.refresh_if_older(Duration::ZERO).within(LONG).await, Status::LastKnownGood);
    assert!(!client.wait_for(revision("1.2")).within(LONG).await);
    assert!(begun.elapsed() < LONG / 5, "{:?}", begun.elapsed());
    assert_eq!(served.asked(), asked);
    assert!(client.trouble().unwrap().contains("closed"));
    assert!(!client.tenant("acme").unwrap().flags().get(&DASHBOARD), "what it had answers on");
    assert!(client.close().within(Duration::from_millis(1)).await, "twice is as good as once");
}

#[tokio::test]
async fn an_origin_that_never_answers_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let publisher = Publisher::new(folder.path());
    // It is connected to and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", silent.local_addr().unwrap());
    let client = connect(&publisher, &base).start_within(SHORT).await.unwrap();
    let begun = Instant::now();
    assert!(client.close().await);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn what_is_fixed_waits_for_nothing_and_needs_no_runtime() {
    let scope = json!({"org": "demo", "env": "test", "scope": "environment"});
    let scope = serde_json::from_value(scope).unwrap();
    let client = Client::fixed(Snapshot::from_parts(scope, revision("7.8"), [], []));
    let waits = |text| client.wait_for(revision(text)).within(LONG).now_or_never();
    assert_eq!((waits("7.8"), waits("7.9")), (Some(true), Some(false)));
    let refreshed = client.refresh_if_older(Duration::ZERO).within(LONG).now_or_never();
    assert_eq!(refreshed, Some(Status::Ready));
    assert_eq!(client.close().within(LONG).now_or_never(), Some(true));
    assert_eq!(client.status(), Status::Ready);
}
