//! A key is exchanged for leave to read the bucket; where there is none the relay is read, and then the last good manifest.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use flagforge::origin::{Credentials, Grant, GrantedOrigin, HttpOrigin, Origin};
use flagforge::{Client, Flag, Status};
use flagforge_flags::AccessKey;

use crate::kit::{Publisher, boolean, directory, now};

const FLAG: Flag<bool> = Flag::new("f", false);
const KEY: &str = "ff_server_demo.prod.k1_abcdefghijklmnopqrst_-";

/// What was asked of whom.
#[derive(Debug, Default)]
struct Counts {
    exchanges: AtomicUsize,
    bucket: AtomicUsize,
    relay: AtomicUsize,
}

/// A relay and the bucket, at one address.
#[derive(Debug, Clone)]
struct Side {
    folder: PathBuf,
    counts: Arc<Counts>,
    /// Seconds that a grant lives; 0: nothing is granted, below: the exchange fails.
    life: Arc<AtomicI64>,
    bucket_dark: Arc<AtomicBool>,
    relay_dark: Arc<AtomicBool>,
    endpoint: Arc<Mutex<String>>,
}

async fn answer(
    State(side): State<Side>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let Some(name) = uri.path().strip_prefix("/data/v1/demo/prod/") else {
        side.counts.bucket.fetch_add(1, Ordering::SeqCst);
        if side.bucket_dark.load(Ordering::SeqCst) {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        assert_eq!(headers["x-amz-security-token"], "session");
        return object(&side, uri.path().trim_start_matches("/flags/"));
    };
    if method == Method::POST && name == "grant" {
        side.counts.exchanges.fetch_add(1, Ordering::SeqCst);
        let endpoint = Some(side.endpoint.lock().unwrap().clone());
        return match side.life.load(Ordering::SeqCst) {
            0 => StatusCode::NO_CONTENT.into_response(),
            life if life < 0 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            life => {
                let credentials = Credentials {
                    access_key_id: "AKID".into(),
                    secret_access_key: "secret".into(),
                    session_token: Some("session".into()),
                };
                let expires = now().plus(Duration::from_secs(life.unsigned_abs()));
                let (bucket, region) = ("flags".into(), "eu-1".into());
                axum::Json(Grant { bucket, region, endpoint, credentials, expires }).into_response()
            }
        };
    }
    side.counts.relay.fetch_add(1, Ordering::SeqCst);
    if side.relay_dark.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match name {
        "trust" => object(&side, "trust.json"),
        "environment" => object(&side, "demo/prod/environment.jws"),
        "stream" => StatusCode::NOT_FOUND.into_response(),
        chunk => object(&side, &format!("demo/{chunk}")),
    }
}

fn object(side: &Side, name: &str) -> Response {
    std::fs::read(side.folder.join(name))
        .map_or_else(|_| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
}

async fn serve(folder: PathBuf, life: i64) -> (String, Side) {
    let side = Side {
        folder,
        counts: Arc::default(),
        life: Arc::new(life.into()),
        bucket_dark: Arc::default(),
        relay_dark: Arc::default(),
        endpoint: Arc::default(),
    };
    let app = Router::new().fallback(answer).with_state(side.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    *side.endpoint.lock().unwrap() = format!("http://{address}");
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, side)
}

fn published(folder: &std::path::Path) -> Publisher {
    let mut publisher = Publisher::new(folder);
    publisher.publish(&[boolean("f")], &[directory("acme", &[])]);
    publisher
}

fn connection(address: &str, publisher: &Publisher) -> String {
    format!("flagforge+http://{KEY}@{address}/demo/prod?grant=s3&roots={}", publisher.pinned()[0])
}

#[tokio::test]
async fn the_bucket_is_read_and_the_relay_where_it_is_dark_and_what_is_known_where_both_are() {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = published(folder.path());
    let (address, side) = serve(folder.path().to_owned(), 3_600).await;
    let poll = Duration::from_millis(50);
    let client = Client::connect(&connection(&address, &publisher)).poll_every(poll).await.unwrap();
    assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());
    let count = |of: &AtomicUsize| of.load(Ordering::SeqCst);
    assert_eq!(count(&side.counts.exchanges), 1);
    assert!(count(&side.counts.bucket) >= 3, "trust, root, chunks");

    side.bucket_dark.store(true, Ordering::SeqCst);
    publisher.publish(&[boolean("f")], &[directory("acme", &["f"])]);
    let newest = publisher.revision;
    client.wait_for(newest).within(Duration::from_secs(5)).await;
    assert_eq!(client.revision(), Some(newest), "the relay had it: {:?}", client.trouble());
    assert!(client.tenant("acme").unwrap().flags().get(&FLAG));

    side.relay_dark.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(client.status(), Status::LastKnownGood);
    assert_eq!(client.revision(), Some(newest));
    side.bucket_dark.store(false, Ordering::SeqCst);
    client.wait_for(newest).within(Duration::from_secs(1)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());
    assert_eq!(count(&side.counts.exchanges), 1, "the grant was good all the time");
}

#[tokio::test]
async fn a_grant_that_lapses_while_none_is_given_leaves_the_relay() {
    let folder = tempfile::tempdir().unwrap();
    let publisher = published(folder.path());
    // Shorter than what a read wants to be left: it is over as soon as it is given.
    let (address, side) = serve(folder.path().to_owned(), 60).await;
    let client = Client::connect(&connection(&address, &publisher)).await.unwrap();
    assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());
    assert_eq!(side.counts.bucket.load(Ordering::SeqCst), 0);
    for life in [0, -1] {
        let (address, side) = serve(folder.path().to_owned(), life).await;
        let client = Client::connect(&connection(&address, &publisher)).await.unwrap();
        assert_eq!(client.status(), Status::Ready, "{life}: {:?}", client.trouble());
        assert_eq!(side.counts.bucket.load(Ordering::SeqCst), 0);
        assert!(side.counts.relay.load(Ordering::SeqCst) >= 3);
    }
}

#[tokio::test]
async fn a_thousand_clients_go_through_a_flip_without_an_exchange() {
    const CLIENTS: usize = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = published(folder.path());
    // Half of it is 100 s less a fifth at most: nobody renews during the flip.
    let (address, side) = serve(folder.path().to_owned(), 200).await;
    let base = format!("http://{address}");
    let key = AccessKey::parse(KEY).unwrap();
    let origins: Vec<GrantedOrigin> =
        (0..CLIENTS).map(|_| GrantedOrigin::new(HttpOrigin::new(&base, &key).unwrap())).collect();
    let scope = publisher.environment();
    for origin in &origins {
        origin.root(&scope, None).await.unwrap();
    }
    assert_eq!(side.counts.exchanges.load(Ordering::SeqCst), CLIENTS);
    publisher.publish(&[boolean("f"), boolean("g")], &[directory("acme", &[])]);
    let reads =
        futures_util::future::join_all(origins.iter().map(|origin| origin.root(&scope, None)));
    assert!(reads.await.into_iter().all(|read| read.is_ok()));
    assert_eq!(side.counts.exchanges.load(Ordering::SeqCst), CLIENTS, "a flip costs no exchange");
    assert_eq!(side.counts.relay.load(Ordering::SeqCst), 0, "and no read of the relay");
}
