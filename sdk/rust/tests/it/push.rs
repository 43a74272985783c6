//! A client that somebody tells by WebSocket of new roots, long before it would poll.

use std::time::{Duration, Instant};

use flagforge::origin::{PushSocket, SetupError};
use flagforge::{Client, ConnectError, Flag, Status};
use flagforge_flags::AccessKey;
use futures_util::SinkExt as _;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use crate::kit::{Publisher, boolean, directory};

const DASHBOARD: Flag<bool> = Flag::new("new-dashboard", false);
const LONG: Duration = Duration::from_secs(3_600);
const SOON: Duration = Duration::from_secs(10);
const KEY: &str = "ff_server_demo.prod.k1_abcdefghijklmnopqrst_-";

async fn serve() -> (broadcast::Sender<&'static str>, String) {
    let (say, _) = broadcast::channel(16);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/v1", listener.local_addr().unwrap());
    let say_too = say.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut told = say_too.subscribe();
            tokio::spawn(async move {
                let mut stream = accept_async(stream).await.unwrap();
                while let Ok(text) = told.recv().await {
                    stream.send(Message::text(text)).await.unwrap();
                }
            });
        }
    });
    (say, url)
}

#[tokio::test]
async fn an_announcement_is_applied_at_once() {
    let (say, url) = serve().await;
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &[])]);
    let socket = PushSocket::new(&url, &AccessKey::parse(KEY).unwrap()).unwrap();
    let client = Client::connect(&publisher.connection()).poll_every(LONG).pushed_by(&socket);
    let client = client.await.unwrap();
    assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());
    let begun = Instant::now();
    while socket.seen().opened == 0 {
        assert!(begun.elapsed() < SOON, "{:?}", socket.seen());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
    say.send(r#"{"scope":"environment","revision":"1.2","serial":2}"#).unwrap();
    let (acme, begun) = (client.tenant("acme").unwrap(), Instant::now());
    while !acme.flags().get(&DASHBOARD) {
        assert!(begun.elapsed() < SOON, "{:?} {:?}", socket.seen(), client.trouble());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(client.close().await, "listening ends with the client");
}

#[tokio::test]
async fn a_connection_string_may_say_who_announces() {
    let pin = "A".repeat(43);
    let with = |push: &str| {
        Client::connect(&format!(
            "flagforge+http://{KEY}@127.0.0.1:1/demo/prod?push={push}&roots={pin}"
        ))
        .start_within(Duration::ZERO)
    };
    assert!(with("wss%3A%2F%2Fa.example%2Fv1").await.is_ok());
    let error = with("https%3A%2F%2Fa.example%2Fv1").await.unwrap_err();
    assert!(matches!(error, ConnectError::Setup(SetupError::Address(_))), "{error}");
    let folder = format!("flagforge+file:///x?org=demo&env=prod&push=wss%3A%2F%2Fh&roots={pin}");
    let error = Client::connect(&folder).await.unwrap_err();
    assert!(matches!(error, ConnectError::Connection(_)), "without a key nobody listens: {error}");
}
