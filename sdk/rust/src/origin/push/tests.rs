//! Connections against a server that does what a test says.

#![expect(clippy::result_large_err, reason = "a refusal's type is the library's")]

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use flagforge_flags::keys::{EnvKey, OrgKey, TenantKey};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::*;

const KEY: &str = "ff_server_demo.prod.k1_abcdefghijklmnopqrst_-";
const SOON: Duration = Duration::from_secs(10);

/// What the server does with connections.
#[derive(Default)]
struct Hub {
    /// Refuses with this status.
    refuses: Mutex<Option<u16>>,
    /// Ends each connection at once.
    ends: Mutex<bool>,
    /// Answers nothing that is said.
    mute: Mutex<bool>,
    /// The heads of requests, as text.
    heads: Mutex<Vec<String>>,
    heard: Mutex<Vec<String>>,
}

async fn serve() -> (Arc<Hub>, broadcast::Sender<Message>, String) {
    let (hub, say) = (Arc::new(Hub::default()), broadcast::Sender::new(16));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/v1", listener.local_addr().unwrap());
    let (hub_too, say_too) = (Arc::clone(&hub), say.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (hub, told) = (Arc::clone(&hub_too), say_too.subscribe());
            tokio::spawn(async move { one(&hub, told, stream).await });
        }
    });
    (hub, say, url)
}

async fn one(hub: &Hub, mut told: broadcast::Receiver<Message>, stream: TcpStream) {
    let let_in = |request: &Request, response: Response| {
        hub.heads.lock().unwrap().push(format!("{} {:?}", request.uri(), request.headers()));
        match *hub.refuses.lock().unwrap() {
            None => Ok(response),
            Some(status) => {
                let mut refused = ErrorResponse::new(None);
                *refused.status_mut() = status.try_into().unwrap();
                Err(refused)
            }
        }
    };
    let Ok(mut stream) = accept_hdr_async(stream, let_in).await else { return };
    if *hub.ends.lock().unwrap() {
        return drop(stream.close(None).await);
    }
    loop {
        tokio::select! {
            message = told.recv() => if stream.send(message.unwrap()).await.is_err() { return },
            message = stream.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    hub.heard.lock().unwrap().push(text.to_string());
                    let mute = *hub.mute.lock().unwrap();
                    if !mute {
                        stream.send(Message::text(r#"{"action":"pong"}"#)).await.unwrap();
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}

fn scope(scope: Scope) -> ScopeId {
    ScopeId { org: OrgKey::new("demo").unwrap(), env: EnvKey::new("prod").unwrap(), scope }
}

fn socket(url: &str, edit: impl FnOnce(&mut Times)) -> PushSocket {
    let mut socket = PushSocket::new(url, &AccessKey::parse(KEY).unwrap()).unwrap();
    edit(&mut socket.times);
    socket
}

/// Listens in the background, and counts the rings.
fn listen(socket: &PushSocket, of: Scope) -> Arc<AtomicUsize> {
    let rings = Arc::new(AtomicUsize::new(0));
    let (socket, counted) = (socket.clone(), Arc::clone(&rings));
    tokio::spawn(async move {
        let ring = || {
            counted.fetch_add(1, Ordering::SeqCst);
        };
        socket.listen(&scope(of), ring).await;
    });
    rings
}

async fn until(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < SOON, "{what}: not in time");
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_connection_says_who_listens_and_rings_for_each_announcement() {
    let (hub, say, url) = serve().await;
    let socket = socket(&url, |_| {});
    let rings = listen(&socket, Scope::Tenant(TenantKey::new("acme").unwrap()));
    until("the first ring", || rings.load(Ordering::SeqCst) == 1).await;
    let head = hub.heads.lock().unwrap()[0].clone();
    for part in [
        "/v1 {".to_owned(),
        format!("\"authorization\": \"Bearer {KEY}\""),
        "\"flagforge-environment\": \"prod\"".to_owned(),
        "\"flagforge-tenant\": \"acme\"".to_owned(),
    ] {
        assert!(head.contains(&part), "{part}: {head}");
    }
    let word = r#"{"scope":"tenant:acme","revision":"1.2","serial":7,"more":1}"#;
    say.send(Message::text(word)).unwrap();
    until("the second", || rings.load(Ordering::SeqCst) == 2).await;
    for nonsense in ["", "{", "7", r#"{"action":"other"}"#, r#"{"serial":"x"}"#] {
        say.send(Message::text(nonsense)).unwrap();
    }
    say.send(Message::binary(vec![0xFF, 0])).unwrap();
    say.send(Message::Ping("x".into())).unwrap();
    say.send(Message::text(word)).unwrap();
    until("the third", || rings.load(Ordering::SeqCst) == 3).await;
    let expected = PushesSeen { opened: 1, rung: 2, malformed: 6, failures: 0 };
    assert_eq!(socket.seen(), expected);
    // More than one message may have is the end of the connection, and not of listening.
    say.send(Message::text("x".repeat(MAX_MESSAGE_BYTES + 1))).unwrap();
    until("another connection", || socket.seen().opened == 2).await;
    assert_eq!(socket.seen().failures, 1);
    assert!(!format!("{socket:?}").contains("abcdefghij"));
}

#[tokio::test]
async fn something_is_said_before_the_other_side_thinks_that_nobody_is_there() {
    let (hub, _say, url) = serve().await;
    let socket = socket(&url, |times| {
        times.say_every = Duration::from_millis(30);
        times.answer_within = Duration::from_millis(200);
        times.max_retry = Duration::from_millis(10);
    });
    let _rings = listen(&socket, Scope::Environment);
    until("pings", || hub.heard.lock().unwrap().len() >= 3).await;
    assert!(hub.heard.lock().unwrap().iter().all(|said| said == PING));
    assert_eq!(socket.seen(), PushesSeen { opened: 1, ..PushesSeen::default() });
    // Whoever does not answer is not there.
    *hub.mute.lock().unwrap() = true;
    until("another connection", || socket.seen().opened >= 2).await;
    assert!(socket.seen().failures >= 1);
}

#[tokio::test]
async fn a_connection_is_renewed_before_its_time_and_that_is_no_failure() {
    let (_hub, _say, url) = serve().await;
    let socket = socket(&url, |times| times.renew_after = Duration::from_millis(50));
    let rings = listen(&socket, Scope::Environment);
    until("renewals", || socket.seen().opened >= 3).await;
    assert_eq!(socket.seen().failures, 0);
    until("rings", || rings.load(Ordering::SeqCst) >= 3).await;
}

#[tokio::test]
async fn who_is_refused_or_sent_away_comes_back_ever_later() {
    let (hub, _say, url) = serve().await;
    *hub.refuses.lock().unwrap() = Some(401);
    let socket = socket(&url, |_| {});
    let rings = listen(&socket, Scope::Environment);
    sleep(Duration::from_secs(1)).await;
    let tries = hub.heads.lock().unwrap().len();
    assert!((2..=6).contains(&tries), "100 ms, doubling, by chance half of it: {tries}");
    assert_eq!((rings.load(Ordering::SeqCst), socket.seen().opened), (0, 0));
    *hub.refuses.lock().unwrap() = None;
    *hub.ends.lock().unwrap() = true;
    until("it is let in", || socket.seen().opened >= 1).await;
    let failures = socket.seen().failures;
    sleep(Duration::from_secs(1)).await;
    assert!(socket.seen().failures <= failures + 2, "being let in alone does not settle it");
    *hub.ends.lock().unwrap() = false;
}

#[tokio::test]
async fn an_answer_to_another_request_and_an_address_that_is_none_are_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes()).await;
            sleep(SOON).await;
        }
    });
    let error = socket(&url, |_| {}).open(&scope(Scope::Environment)).await.unwrap_err();
    assert!(chain(&error).contains("another request"), "{error}");
    let key = AccessKey::parse(KEY).unwrap();
    for bad in ["", "h", "https://h/v1", "wss://", "wss://u@h/v1", "ws://h/v1?leave=x"] {
        let refused = PushSocket::new(bad, &key);
        assert!(matches!(refused, Err(SetupError::Address(_))), "{bad}");
    }
}
