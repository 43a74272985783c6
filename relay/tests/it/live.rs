//! SDKs on a relay over real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use flagforge::{Client, Flag, Status};
use flagforge_flags::KeyKind;
use flagforge_relay::Config;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use crate::world::{World, publish, relay};

const THEME: Flag<&str> = Flag::new("theme", "-");
pub(crate) const LONG: Duration = Duration::from_secs(3_600);

pub(crate) struct Served {
    pub(crate) world: World,
    address: String,
    /// A runtime of the server's own: with it go its listener and every connection.
    server: Option<Runtime>,
}

impl Served {
    async fn new(edit: impl FnOnce(&mut Config)) -> Self {
        Self::through(edit, |app| app).await
    }

    /// With something between it and its clients.
    pub(crate) async fn through(
        edit: impl FnOnce(&mut Config),
        between: impl FnOnce(Router) -> Router,
    ) -> Self {
        let mut world = World::new();
        world.relay = relay(&world.publisher, edit);
        world.app = between(flagforge_relay::app(world.relay.clone()));
        let (address, server) = serve(&world, "127.0.0.1:0").await;
        Self { world, address, server }
    }

    fn connection(&self) -> String {
        let pin = &self.world.publisher.pinned()[0];
        format!("flagforge+http://{}@{}/demo/prod?roots={pin}", self.world.server, self.address)
    }

    pub(crate) async fn client(&self, poll: Duration) -> Client {
        let client = Client::connect(&self.connection()).poll_every(poll).await.unwrap();
        assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());
        client
    }

    fn end(&mut self) {
        // A runtime may not be waited for inside another.
        if let Some(server) = self.server.take() {
            server.shutdown_background();
        }
    }

    /// Ends the server and waits until nobody listens any more.
    async fn stop(&mut self) {
        self.end();
        while TcpStream::connect(&self.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn flip(&mut self, theme: &str) {
        publish(&mut self.world.publisher, theme);
        self.world.relay.notify(&self.world.publisher.org, &self.world.publisher.env).await;
    }
}

async fn serve(world: &World, listen: &str) -> (String, Option<Runtime>) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (app, listen) = (world.app.clone(), listen.to_owned());
    let listener = runtime.spawn(async move { TcpListener::bind(listen).await.unwrap() });
    let listener = listener.await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
    (address, Some(runtime))
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end();
    }
}

pub(crate) async fn sees(client: &Client, theme: &str) -> Duration {
    let (begun, acme) = (Instant::now(), client.tenant("acme").unwrap());
    while acme.flags().get(&THEME) != theme {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{theme} not seen: {:?}",
            client.trouble()
        );
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flip_is_pushed_to_a_running_client() {
    let mut served = Served::new(|_| {}).await;
    let client = served.client(LONG).await;
    sees(&client, "dark").await;
    // The stream opens a moment after the start.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut took = Vec::new();
    for n in 0..20 {
        let theme = format!("theme-{n}");
        served.flip(&theme).await;
        took.push(sees(&client, &theme).await);
    }
    took.sort();
    assert!(took[10] < Duration::from_millis(100), "the median of {took:?}");
    assert_eq!(client.status(), Status::Ready);
}

#[tokio::test]
async fn without_streams_and_long_polls_a_poll_finds_the_flip() {
    let full = |config: &mut Config| (config.max_streams, config.max_waits) = (0, 0);
    let mut served = Served::new(full).await;
    let poll = Duration::from_millis(200);
    let client = served.client(poll).await;
    served.flip("blue").await;
    let took = sees(&client, "blue").await;
    assert!(took < poll + Duration::from_millis(800), "{took:?}");
}

#[tokio::test]
async fn a_relay_that_nobody_tells_polls_its_origin_and_pushes() {
    let mut served = Served::new(|config| config.poll = Duration::from_millis(100)).await;
    let client = served.client(LONG).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    publish(&mut served.world.publisher, "blue");
    assert!(sees(&client, "blue").await < Duration::from_secs(1));
}

#[tokio::test]
async fn a_client_outlives_its_relay_and_heals_when_it_is_back() {
    let mut served = Served::new(|_| {}).await;
    let client = served.client(Duration::from_millis(50)).await;
    served.stop().await;
    while client.status() == Status::Ready {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(client.status(), Status::LastKnownGood);
    assert_eq!(client.tenant("acme").unwrap().flags().get(&THEME), "dark");
    served.flip("blue").await;
    served.server = serve(&served.world, &served.address).await.1;
    sees(&client, "blue").await;
    assert_eq!(client.status(), Status::Ready);
}

#[tokio::test]
async fn a_newly_started_client_serves_from_disk_while_the_relay_is_down() {
    let mut served = Served::new(|_| {}).await;
    let cache = tempfile::tempdir().unwrap();
    let connection = served.connection();
    let start = async || {
        let start = Client::connect(&connection).cache_dir(cache.path());
        start.start_within(Duration::from_millis(800)).await.unwrap()
    };
    let first = start().await;
    assert_eq!(first.status(), Status::Ready);
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(first);
    served.stop().await;
    let second = start().await;
    assert_eq!(second.status(), Status::LastKnownGood);
    assert_eq!(second.tenant("acme").unwrap().flags().get(&THEME), "dark");
    assert!(second.age().unwrap() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_client_that_holds_a_part_of_the_directory_is_served_the_rest_when_it_asks() {
    let mut served = Served::new(|_| {}).await;
    let directory = flagforge::Directory::on_demand();
    let client = Client::connect(&served.connection()).directory(directory).await.unwrap();
    let acme = client.tenant("acme").unwrap();
    assert!(acme.flags().details(&THEME).error.is_some());
    let loaded = client.load_tenant("acme").await.unwrap();
    assert_eq!(loaded.flags().get(&THEME), "dark");
    served.flip("blue").await;
    sees(&client, "blue").await;
}

#[tokio::test]
async fn a_refused_key_is_trouble_and_no_panic() {
    let served = Served::new(|_| {}).await;
    let wrong = served.connection().replace(crate::kit::SECRET, "zzzzzzzzzzzzzzzzzzzzzz");
    let client = Client::connect(&wrong).start_within(Duration::from_millis(100)).await.unwrap();
    assert_eq!(client.status(), Status::Defaults);
    assert!(client.trouble().unwrap().contains("401"), "{:?}", client.trouble());
}

/// A raw reader of the stream, to see its bytes.
async fn open_stream(served: &Served) -> TcpStream {
    let mut socket = TcpStream::connect(&served.address).await.unwrap();
    let (host, key) = (&served.address, &served.world.server);
    let request = format!(
        "GET /data/v1/demo/prod/stream HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

async fn read_until(socket: &mut TcpStream, text: &mut String, wanted: &str) {
    let mut buffer = [0; 4_096];
    while !text.contains(wanted) {
        let read = tokio::time::timeout(Duration::from_secs(5), socket.read(&mut buffer));
        let read = read.await.unwrap_or_else(|_| panic!("no {wanted:?} in {text:?}")).unwrap();
        assert!(read > 0, "ended before {wanted:?} in {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

#[tokio::test]
async fn the_stream_says_the_current_root_the_next_and_that_it_lives() {
    let mut served = Served::new(|config| config.heartbeat = Duration::from_millis(100)).await;
    let (mut socket, mut text) = (open_stream(&served).await, String::new());
    read_until(&mut socket, &mut text, "\"serial\":1").await;
    assert!(text.contains("content-type: text/event-stream"), "{text}");
    assert!(text.contains("cache-control: private, no-store"), "{text}");
    assert!(text.contains("event: root\n") && text.contains("id: 1.1\n"), "{text}");
    read_until(&mut socket, &mut text, ": heartbeat").await;
    served.flip("blue").await;
    read_until(&mut socket, &mut text, "data: {\"revision\":\"1.2\",\"serial\":2}").await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_costs_nothing_and_gets_the_newest() {
    let mut served = Served::new(|_| {}).await;
    let (mut socket, mut text) = (open_stream(&served).await, String::new());
    read_until(&mut socket, &mut text, "\"serial\":1").await;
    for n in 0..50 {
        served.flip(&format!("theme-{n}")).await;
    }
    read_until(&mut socket, &mut text, "\"serial\":51}").await;
    // What is sent is at most one event for each flip; what is held for the reader is one.
    assert!(text.matches("event: root").count() <= 51);
}

#[tokio::test]
async fn streams_are_bounded_in_number_and_age() {
    let served = Served::new(|config| {
        config.max_streams = 1;
        config.max_stream_age = Duration::from_millis(200);
    })
    .await;
    let (mut socket, mut text) = (open_stream(&served).await, String::new());
    read_until(&mut socket, &mut text, "\"serial\":1").await;
    let second = served.world.get("stream", &served.world.server).await;
    assert_eq!(second.status, StatusCode::SERVICE_UNAVAILABLE);
    // The end of a chunked body.
    read_until(&mut socket, &mut text, "\r\n0\r\n\r\n").await;
    let third = served.world.get("stream", &served.world.server).await;
    assert_eq!(third.status, StatusCode::OK, "the place is free again");
}

#[tokio::test]
async fn one_key_does_not_take_all_streams() {
    let mut served = Served::new(|config| {
        config.max_streams = 2;
        config.max_streams_of_a_key = 1;
        // The call below reads its stream to the end.
        config.max_stream_age = Duration::from_secs(2);
    })
    .await;
    let other = served.world.publisher.key(KeyKind::Server, "k2", |_| {});
    served.flip("another").await;
    let (mut socket, mut text) = (open_stream(&served).await, String::new());
    read_until(&mut socket, &mut text, "event: root").await;
    let second = served.world.get("stream", &served.world.server).await;
    assert_eq!(second.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(second.json()["detail"].as_str().unwrap().contains("this key has 1 streams"));
    assert_eq!(second.header("retry-after"), "1");
    assert_eq!(served.world.get("stream", &other).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_constant_flips_every_tenant_gets_its_own_answer() {
    let mut served = Served::new(|_| {}).await;
    let app = served.world.app.clone();
    let key = served.world.server.clone();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = ["acme", "globex", "acme", "globex"]
        .into_iter()
        .map(|tenant| {
            let (app, key, done) = (app.clone(), key.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut asked = 0;
                let headers = [
                    ("x-api-key", key.as_str()),
                    ("flagforge-environment", "prod"),
                    ("flagforge-tenant", tenant),
                ];
                let path = "/ofrep/v1/evaluate/flags/theme";
                while !done.load(Ordering::Relaxed) {
                    asked += 1;
                    // A call through the router waits for nothing, and there are more readers than threads.
                    tokio::task::yield_now().await;
                    let body = json!({"context": {}}).to_string();
                    let reply = crate::world::call(&app, "POST", path, &headers, body).await.json();
                    let value = reply["value"].as_str().unwrap_or_else(|| panic!("{reply}"));
                    assert_eq!(value == "light", tenant == "globex", "{tenant} was told {value}");
                }
                asked
            })
        })
        .collect();
    for flip in 0..30 {
        served.flip(&format!("theme-{flip}")).await;
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        let asked = reader.await.unwrap();
        assert!(asked > 30, "asked {asked} times");
    }
}
