//! Reads of a root that wait for another one, and SDKs that live on them where streams are held back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use flagforge::{Client, Flag, Status};
use flagforge_flags::KeyKind;
use flagforge_relay::{Config, Freshness, app};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use crate::world::{Reply, World, call, publish, relay};

const THEME: Flag<&str> = Flag::new("theme", "-");
const LONG: Duration = Duration::from_secs(3_600);
const SOON: Duration = Duration::from_secs(5);
const ROOT: &str = "/data/v1/demo/prod/environment";

async fn ask(world: &World, path: &str, key: &str, etag: &str, prefer: &str) -> Reply {
    let headers = [("x-api-key", key), ("if-none-match", etag), ("prefer", prefer)];
    call(&world.app, "GET", path, &headers, "").await
}

impl World {
    fn made_with(edit: impl FnOnce(&mut Config)) -> Self {
        let mut world = Self::new();
        world.set_up(edit);
        world
    }

    fn set_up(&mut self, edit: impl FnOnce(&mut Config)) {
        self.relay = relay(&self.publisher, edit);
        self.app = app(Arc::clone(&self.relay));
    }

    async fn flip(&mut self, theme: &str) {
        publish(&mut self.publisher, theme);
        self.relay.notify(&self.publisher.org, &self.publisher.env).await;
    }

    async fn etag(&self, path: &str, key: &str) -> String {
        ask(self, path, key, "", "").await.header("etag").to_owned()
    }

    /// A long poll that is under way by the time it is answered here.
    async fn waiting(&self, path: &str, key: &str) -> tokio::task::JoinHandle<Reply> {
        let etag = self.etag(path, key).await;
        let (app, path, key) = (self.app.clone(), path.to_owned(), key.to_owned());
        let waiting = tokio::spawn(async move {
            let headers = [("x-api-key", &*key), ("if-none-match", &*etag), ("prefer", "wait=20")];
            call(&app, "GET", &path, &headers, "").await
        });
        sleep(Duration::from_millis(50)).await;
        assert!(!waiting.is_finished());
        waiting
    }
}

#[tokio::test]
async fn a_root_is_waited_for_until_it_is_another_or_time_is_over() {
    let mut world = World::new();
    let key = world.server.clone();
    let etag = world.etag(ROOT, &key).await;
    let begun = Instant::now();
    let same = ask(&world, ROOT, &key, &etag, "wait=1").await;
    assert_eq!(
        (same.status, same.header("preference-applied")),
        (StatusCode::NOT_MODIFIED, "wait=1")
    );
    assert!(begun.elapsed() >= Duration::from_secs(1));

    let waiting = world.waiting(ROOT, &key).await;
    world.flip("blue").await;
    let another = timeout(SOON, waiting).await.unwrap().unwrap();
    assert_eq!((another.status, another.header("preference-applied")), (StatusCode::OK, "wait=20"));
    assert_ne!(another.header("etag"), etag);

    // Whoever does not hold the newest waits for nothing, and neither does whoever does not ask to.
    for (etag, prefer, status) in [
        (etag.as_str(), "wait=20", StatusCode::OK),
        (another.header("etag"), "wait=0", StatusCode::NOT_MODIFIED),
        (another.header("etag"), "", StatusCode::NOT_MODIFIED),
    ] {
        let reply = timeout(SOON, ask(&world, ROOT, &key, etag, prefer)).await.unwrap();
        assert_eq!(reply.status, status, "{prefer}");
        assert_eq!(reply.header("preference-applied"), prefer);
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_while_it_waits_gets_nothing_new() {
    let mut relays = String::new();
    let mut world = World::with(|p| relays = p.key(KeyKind::Relay, "r1", |_| {}));
    let key = world.server.clone();
    let waiting = world.waiting(ROOT, &key).await;
    let path = "/data/v1/demo/prod/relay";
    let relay = world.waiting(path, &relays).await;
    world.publisher.keys.retain(|(id, _)| id.contains("r1"));
    world.flip("blue").await;
    let refused = timeout(SOON, waiting).await.unwrap().unwrap();
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let passed = timeout(SOON, relay).await.unwrap().unwrap();
    assert_eq!(passed.status, StatusCode::OK, "the relay scope is waited for as well");
}

#[tokio::test]
async fn as_many_wait_as_there_are_places_and_one_more_is_told_when_to_come_again() {
    let world = World::made_with(|config| config.max_waits = 2);
    let key = world.server.clone();
    let waiting = [world.waiting(ROOT, &key).await, world.waiting(ROOT, &key).await];
    let etag = world.etag(ROOT, &key).await;
    let third = ask(&world, ROOT, &key, &etag, "wait=20").await;
    assert_eq!((third.status, third.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    let plain = ask(&world, ROOT, &key, &etag, "").await;
    assert_eq!(plain.status, StatusCode::NOT_MODIFIED, "who does not wait needs no place");
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    sleep(Duration::from_millis(50)).await;
    let again = ask(&world, ROOT, &key, &etag, "wait=1").await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn long_polls_count_as_their_keys_requests() {
    let world = World::made_with(|config| config.requests_per_second_of_a_key = 1);
    let key = world.server.clone();
    let etag = world.etag(ROOT, &key).await;
    let mut answered = 1;
    while ask(&world, ROOT, &key, &etag, "wait=0").await.status == StatusCode::NOT_MODIFIED {
        answered += 1;
        assert!(answered < 20);
    }
    let beyond = ask(&world, ROOT, &key, &etag, "wait=20").await;
    assert_eq!(beyond.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_function_holds_no_answer_and_says_so() {
    let within = Duration::from_millis(500);
    let world = World::made_with(|config| config.freshness = Freshness::OnRequest(within));
    let key = world.server.clone();
    let etag = world.etag(ROOT, &key).await;
    let reply = timeout(SOON, ask(&world, ROOT, &key, &etag, "wait=20")).await.unwrap();
    assert_eq!((reply.status, reply.header("preference-applied")), (StatusCode::NOT_MODIFIED, ""));
}

async fn open(address: &str, key: &str, etag: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET {ROOT} HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {key}\r\nIf-None-Match: {etag}\r\nPrefer: wait=20\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

#[tokio::test]
async fn a_client_that_hangs_up_waits_no_more() {
    let world = World::made_with(|config| config.max_waits = 1);
    let key = world.server.clone();
    let etag = world.etag(ROOT, &key).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = world.app.clone();
    tokio::spawn(async move { axum::serve(listener, serving).await });
    let socket = open(&address, &key, &etag).await;
    let taken = async || {
        ask(&world, ROOT, &key, &etag, "wait=1").await.status == StatusCode::SERVICE_UNAVAILABLE
    };
    sleep(Duration::from_millis(100)).await;
    assert!(taken().await);
    let begun = Instant::now();
    drop(socket);
    while taken().await {
        assert!(begun.elapsed() < 2 * SOON, "its place is not free");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_relay_that_shuts_down_ends_what_waits_and_what_streams() {
    let world = World::new();
    let key = world.server.clone();
    let etag = world.etag(ROOT, &key).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (app, ending) = (world.app.clone(), Arc::clone(&world.relay));
    let serving = tokio::spawn(async move {
        let until = async move {
            sleep(Duration::from_millis(200)).await;
            ending.close();
        };
        axum::serve(listener, app).with_graceful_shutdown(until).await.unwrap();
    });
    let mut poll = open(&address, &key, &etag).await;
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = format!(
        "GET /data/v1/demo/prod/stream HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {key}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut told = String::new();
    timeout(SOON, poll.read_to_string(&mut told)).await.unwrap().unwrap();
    assert!(told.starts_with("HTTP/1.1 304"), "{told}");
    let mut streamed = String::new();
    timeout(SOON, stream.read_to_string(&mut streamed)).await.unwrap().unwrap();
    assert!(streamed.ends_with("\r\n0\r\n\r\n"), "{streamed}");
    timeout(SOON, serving).await.unwrap().unwrap();
}

/// What stands between client and relay, and spoils streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hindrance {
    /// The head passes, and nothing of the body.
    Swallows,
    /// Nothing passes at all.
    Holds,
    /// A page of its own, with status 200.
    Page,
    Status(StatusCode),
    /// Everything passes.
    Nothing,
}

struct Proxy {
    relay: Router,
    hindrance: std::sync::Mutex<Hindrance>,
    streams: AtomicUsize,
    waits: AtomicUsize,
}

async fn pass(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    let hindrance = *proxy.hindrance.lock().unwrap();
    if request.headers().get("prefer").is_some_and(|prefer| prefer != "wait=0") {
        proxy.waits.fetch_add(1, Ordering::SeqCst);
    }
    if !request.uri().path().ends_with("/stream") || hindrance == Hindrance::Nothing {
        if request.uri().path().ends_with("/stream") {
            proxy.streams.fetch_add(1, Ordering::SeqCst);
        }
        return proxy.relay.clone().oneshot(request).await.unwrap();
    }
    let silent =
        Body::from_stream(futures_util::stream::pending::<Result<&[u8], std::io::Error>>());
    match hindrance {
        Hindrance::Swallows => ([("content-type", "text/event-stream")], silent).into_response(),
        Hindrance::Page => ([("content-type", "text/html")], "<p>welcome</p>").into_response(),
        Hindrance::Status(status) => status.into_response(),
        Hindrance::Holds | Hindrance::Nothing => std::future::pending().await,
    }
}

async fn behind(world: &World, hindrance: Hindrance) -> (Arc<Proxy>, Client) {
    let (hindrance, relay) = (hindrance.into(), world.app.clone());
    let (streams, waits) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let proxy = Arc::new(Proxy { relay, hindrance, streams, waits });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(pass).with_state(Arc::clone(&proxy));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let (key, pin) = (&world.server, &world.publisher.pinned()[0]);
    let connection = format!("flagforge+http://{key}@{address}/demo/prod?roots={pin}");
    let client = Client::connect(&connection).poll_every(LONG).await.unwrap();
    assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());
    (proxy, client)
}

/// Waits, by the machine's clock, until it is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < 2 * SOON, "{what}: not within ten seconds");
        breathe().await;
    }
    begun.elapsed()
}

/// Lets the other tasks work for a millisecond of the machine's clock, also where tokio's stands still: it does as long as
/// a blocking thread is busy.
async fn breathe() {
    tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(1))).await.unwrap();
}

#[tokio::test]
async fn behind_a_proxy_that_spoils_streams_a_flip_comes_by_long_poll() {
    let hindrances = [
        Hindrance::Swallows,
        Hindrance::Holds,
        Hindrance::Page,
        Hindrance::Status(StatusCode::BAD_GATEWAY),
        Hindrance::Status(StatusCode::NOT_FOUND),
        Hindrance::Status(StatusCode::SERVICE_UNAVAILABLE),
    ];
    let tried = hindrances.map(async |hindrance| {
        let mut world = World::new();
        let (proxy, client) = behind(&world, hindrance).await;
        until("a long poll", || proxy.waits.load(Ordering::SeqCst) > 0).await;
        let acme = client.tenant("acme").unwrap();
        for flip in 0..5 {
            let theme = format!("theme-{flip}");
            world.flip(&theme).await;
            let took = until("the flip", || acme.flags().get(&THEME) == theme).await;
            // The next poll would be in an hour.
            assert!(took < Duration::from_secs(2), "{hindrance:?}: {took:?}");
        }
        assert!(proxy.waits.load(Ordering::SeqCst) <= 7, "{hindrance:?}: it asks without waiting");
    });
    futures_util::future::join_all(tried).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_while_the_stream_is_tried_again() {
    let stands_still = Arc::new(());
    let held = Arc::clone(&stands_still);
    // A busy thread keeps tokio's clock from running ahead while sockets are waited for.
    tokio::task::spawn_blocking(move || {
        while Arc::strong_count(&held) > 1 {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let mut world = World::new();
    let hindrance = Hindrance::Status(StatusCode::BAD_GATEWAY);
    let (proxy, client) = behind(&world, hindrance).await;
    let acme = client.tenant("acme").unwrap();
    until("a long poll", || proxy.waits.load(Ordering::SeqCst) > 0).await;
    *proxy.hindrance.lock().unwrap() = Hindrance::Nothing;
    let mut minutes = 0;
    while proxy.streams.load(Ordering::SeqCst) == 0 {
        for _ in 0..12 {
            tokio::time::advance(Duration::from_secs(5)).await;
            for _ in 0..20 {
                breathe().await;
            }
        }
        minutes += 1;
        assert!(minutes <= 7, "no stream is tried");
    }
    assert!(minutes >= 5, "a stream is tried after {minutes} minutes");
    let waits = proxy.waits.load(Ordering::SeqCst);
    world.flip("blue").await;
    until("the flip", || acme.flags().get(&THEME) == "blue").await;
    assert_eq!(proxy.waits.load(Ordering::SeqCst), waits, "it comes by the stream");
    drop(stands_still);
}
