//! What connections may cost: how many, how long a head, how slow a reader, how long an end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use flagforge_relay::{Limits, Lock, serve};
use futures_util::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// A limit that a test waits for.
const SHORT: Duration = Duration::from_millis(300);
/// What no test takes that does as it should.
const LONG: Duration = Duration::from_secs(20);
const ASK: &[u8] = b"GET /short HTTP/1.1\r\nhost: x\r\n\r\n";

struct Server {
    address: SocketAddr,
    end: Arc<Notify>,
    running: JoinHandle<()>,
    /// Rings when the endless answer is given up.
    given_up: Arc<Notify>,
}

/// Rings when it is dropped.
struct Bell(Arc<Notify>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, given_up) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let bell = Arc::clone(&given_up);
        let endless = move || {
            let bell = Bell(Arc::clone(&bell));
            let mebibyte = Bytes::from(vec![b'x'; 1 << 20]);
            let endless = stream::repeat_with(move || {
                let _until_it_is_given_up = &bell;
                Ok::<_, Infallible>(mebibyte.clone())
            });
            std::future::ready(Body::from_stream(endless))
        };
        let app = Router::new()
            .route("/short", get(async || "ok"))
            .route(
                "/slow",
                get(async || {
                    sleep(2 * SHORT).await;
                    "done"
                }),
            )
            .route(
                "/hangs",
                get(async || {
                    sleep(10 * LONG).await;
                    "never"
                }),
            )
            .route("/endless", get(endless));
        let until = Arc::clone(&end);
        let until = async move { until.notified().await };
        let running = tokio::spawn(serve(listener, app, limits, Lock::default(), until));
        Self { address, end, running, given_up }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// What is answered until the other side ends, or the text is there.
async fn answered(stream: &mut TcpStream, until: &str) -> String {
    let mut text = Vec::new();
    let reading = async {
        let mut some = [0; 4096];
        loop {
            let count = stream.read(&mut some).await.unwrap_or(0);
            text.extend_from_slice(&some[..count]);
            if count == 0 || String::from_utf8_lossy(&text).contains(until) {
                return;
            }
        }
    };
    timeout(LONG, reading).await.unwrap();
    String::from_utf8(text).unwrap()
}

async fn asked(stream: &mut TcpStream) -> String {
    stream.write_all(ASK).await.unwrap();
    answered(stream, "ok").await
}

#[tokio::test]
async fn at_the_limit_all_are_served_and_one_past_it_is_told_when_to_come_back() {
    let server = Server::start(Limits { max_connections: 2, ..Limits::default() }).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    assert!(asked(&mut first).await.contains("200 OK"));
    assert!(asked(&mut second).await.contains("200 OK"));
    let mut third = server.connect().await;
    let refused = answered(&mut third, "\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 1"), "{refused}");
    drop(first);
    let began = Instant::now();
    loop {
        let mut next = server.connect().await;
        if asked(&mut next).await.contains("200 OK") {
            break;
        }
        assert!(began.elapsed() < LONG, "no place came free");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(asked(&mut second).await.contains("200 OK"), "who is in stays in");
}

#[tokio::test]
async fn who_does_not_say_what_it_wants_is_cut_off() {
    let server = Server::start(Limits { head_within: SHORT, ..Limits::default() }).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /short HTTP/1.1\r\nhos").await.unwrap();
    let began = Instant::now();
    let cut = answered(&mut slow, "never").await;
    assert!(began.elapsed() < LONG && !cut.contains("200"), "{cut}");
    // And who has nothing more to ask.
    let mut idle = server.connect().await;
    assert!(asked(&mut idle).await.contains("200 OK"));
    assert_eq!(answered(&mut idle, "never").await, "");
}

#[tokio::test]
async fn heads_are_bounded() {
    let limit = 16 * 1024;
    let server = Server::start(Limits { max_head_bytes: limit, ..Limits::default() }).await;
    for (bytes, status) in [(limit / 2, "200 OK"), (limit + 1, "431")] {
        let mut stream = server.connect().await;
        let head =
            format!("GET /short HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "y".repeat(bytes));
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = answered(&mut stream, "\r\n\r\n").await;
        assert!(answer.contains(status), "{bytes}: {answer}");
    }
    let mut flood = server.connect().await;
    let many: String = (0..500).map(|number| format!("x-{number}: y\r\n")).collect();
    flood.write_all(format!("GET /short HTTP/1.1\r\n{many}\r\n").as_bytes()).await.unwrap();
    assert!(answered(&mut flood, "\r\n\r\n").await.contains("431"));
}

#[tokio::test]
async fn who_does_not_read_is_given_up() {
    let server = Server::start(Limits { write_within: SHORT, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    timeout(LONG, server.given_up.notified()).await.unwrap();
}

#[tokio::test]
async fn at_the_end_nobody_is_let_in_what_is_under_way_ends_and_what_hangs_is_cut() {
    let limits = Limits { drain_within: 4 * SHORT, ..Limits::default() };
    let server = Server::start(limits).await;
    let (mut slow, mut hangs, mut idle) =
        (server.connect().await, server.connect().await, server.connect().await);
    assert!(asked(&mut idle).await.contains("200 OK"));
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    hangs.write_all(b"GET /hangs HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    sleep(SHORT / 2).await;
    server.end.notify_one();
    assert!(answered(&mut slow, "done").await.contains("200 OK"));
    assert_eq!(answered(&mut idle, "never").await, "", "an idle connection ends at once");
    timeout(LONG, server.running).await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}
