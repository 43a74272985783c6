//! Roots and chunks that come along with their announcements.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flagforge::Status;
use flagforge_flags::manifest::Digest;
use futures_util::{StreamExt, stream};
use serde_json::{Value as Json, json};
use tokio::sync::broadcast;
use tokio::time::timeout;
use tower::ServiceExt;

use crate::live::{LONG, Served, sees};
use crate::world::World;

/// Counts what is asked for besides the stream.
fn counted(app: Router, asked: &Arc<AtomicUsize>) -> Router {
    let asked = Arc::clone(asked);
    app.layer(from_fn(move |request: Request, next: Next| {
        let path = request.uri().path();
        let counts = path.ends_with("/environment") || path.contains("/chunks/");
        asked.fetch_add(usize::from(counts), Ordering::SeqCst);
        next.run(request)
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flip_costs_no_request() {
    let asked = Arc::default();
    let mut served = Served::through(|_| {}, |app| counted(app, &asked)).await;
    let client = served.client(LONG).await;
    // The stream opens a moment after the start, and rings once.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = asked.load(Ordering::SeqCst);
    assert!(before > 1, "a root and its chunks at the start");
    for n in 0..10 {
        let theme = format!("theme-{n}");
        served.flip(&theme).await;
        sees(&client, &theme).await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), before, "what was pushed was asked for");
    assert_eq!(client.status(), Status::Ready);
    assert!(client.trouble().is_none(), "{:?}", client.trouble());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_a_push_is_asked_for() {
    let asked = Arc::default();
    let mut served = Served::through(|_| {}, |app| counted(app, &asked)).await;
    let client = served.client(LONG).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = asked.load(Ordering::SeqCst);
    let large = "x".repeat(flagforge::origin::MAX_PUSHED_BYTES);
    served.flip(&large).await;
    sees(&client, &large).await;
    assert!(asked.load(Ordering::SeqCst) > before);
}

/// A relay whose stream says whatever it is told to.
fn lying(app: Router, told: &broadcast::Sender<String>) -> Router {
    let told = told.clone();
    let hear = move || {
        let first = "event: root\ndata: {\"revision\":\"1.1\",\"serial\":1}\n\n".to_owned();
        let told = stream::unfold(told.subscribe(), |mut told| async {
            Some((told.recv().await.ok()?, told))
        });
        let events = stream::once(async { first }).chain(told).map(Ok::<_, Infallible>);
        let body = Body::from_stream(events);
        async { ([(CONTENT_TYPE, "text/event-stream")], body).into_response() }
    };
    let lies = Router::new().route("/data/v1/demo/prod/stream", get(hear));
    lies.fallback_service(app)
}

fn event(root: &str, chunks: &[&str]) -> String {
    let data = json!({"revision": "9.9", "serial": 9, "root": root, "chunks": chunks});
    format!("event: root\ndata: {data}\n\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pushed_is_believed_no_more_than_an_answer() {
    let (tell, _held) = broadcast::channel(8);
    let mut served = Served::through(|_| {}, |app| lying(app, &tell)).await;
    let client = served.client(LONG).await;
    let root = |served: &Served| {
        String::from_utf8(served.world.publisher.read("demo/prod/environment.jws")).unwrap()
    };
    let genuine = root(&served);
    let flipped = genuine.replacen('e', "f", 1);
    let relays = served.world.publisher.read("demo/prod/relay.jws");
    let relays = String::from_utf8(relays).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Another root each time, so that the origin has something new to say where the push is no good: garbage, a byte changed,
    // an earlier root, another scope's, none.
    let lies = ["{}", &flipped, &genuine, &relays, ""];
    for (n, lie) in lies.iter().enumerate() {
        let theme = format!("theme-{n}");
        served.flip(&theme).await;
        tell.send(event(lie, &["[]"])).unwrap();
        sees(&client, &theme).await;
        assert_eq!(client.status(), Status::Ready, "{n}: {:?}", client.trouble());
        assert!(client.trouble().is_none(), "{n}: {:?}", client.trouble());
    }
    // A genuine root whose chunks are not the ones that it names: they are fetched.
    served.flip("last").await;
    tell.send(event(&root(&served), &["[]", "{}"])).unwrap();
    sees(&client, "last").await;
    assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());
}

async fn first(response: Response, count: usize) -> Vec<String> {
    let mut body = response.into_body().into_data_stream();
    let mut events = Vec::new();
    while events.len() < count {
        let next = timeout(Duration::from_secs(5), body.next()).await;
        let piece = next.unwrap().unwrap().unwrap();
        events.push(String::from_utf8(piece.to_vec()).unwrap());
    }
    events
}

async fn open(world: &World, path: &str) -> Response {
    let request = Request::builder().uri(format!("/data/v1/demo/prod/{path}"));
    let request = request.header("x-api-key", &world.server).header("flagforge-tenant", "acme");
    world.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn data(event: &str) -> Json {
    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    serde_json::from_str(data).unwrap()
}

#[tokio::test]
async fn only_who_asks_for_it_is_pushed_to_and_no_more_than_it_takes() {
    let mut served = Served::through(|_| {}, |app| app).await;
    for (path, pushed) in [
        ("stream?push=32768", true),
        ("stream?push=100", false),
        ("stream?push=0", false),
        ("stream", false),
    ] {
        let stream = open(&served.world, path).await;
        assert_eq!(stream.status(), StatusCode::OK, "{path}");
        let next = tokio::spawn(first(stream, 2));
        tokio::time::sleep(Duration::from_millis(50)).await;
        served.flip(path).await;
        let [ring, news] = next.await.unwrap().try_into().unwrap();
        assert_eq!(data(&ring).get("root"), None, "{path}: the first is a ring");
        let news = data(&news);
        let root = news.get("root").and_then(Json::as_str);
        assert_eq!(root.is_some(), pushed, "{path}: {news}");
        let Some(root) = root else { continue };
        let published = served.world.publisher.read("demo/prod/environment.jws");
        assert_eq!(root.as_bytes(), published);
        // The one chunk of flags, and nothing that was there before.
        let chunks = news["chunks"].as_array().unwrap();
        assert_eq!(chunks.len(), 1, "{news}");
        let digest = Digest::of(chunks[0].as_str().unwrap().as_bytes());
        let there = served.world.get(&format!("chunks/{digest}"), &served.world.server).await;
        assert_eq!(there.status, StatusCode::OK);
    }
    let bad = open(&served.world, "stream?push=much").await;
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
}
