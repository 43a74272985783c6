//! Servers that are away, slow, endless or wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use flagforge::{Flag, Status};
use flagforge_ofrep::{Asking, Failure, MAX_ANSWER_BYTES, Remote, SetupError};
use tokio::time::{sleep, timeout};

use crate::world::serve;

const DARK: Flag<bool> = Flag::new("dark", false);
const ALL: &str = "/ofrep/v1/evaluate/flags";
const ONE: &str = r#"{"flags":[{"key":"dark","value":true,"variant":"on"}]}"#;

async fn asking(router: Router) -> Asking {
    let (address, _) = serve(router).await;
    let remote = Remote::new(&format!("http://{address}"), "key").unwrap();
    remote.within(Duration::from_millis(500)).tenant("acme").unwrap().asking()
}

/// What all flags come to where the server answers so.
async fn failure<R: IntoResponse + Clone + Send + Sync + 'static>(answer: R) -> Failure {
    let router = Router::new().route(ALL, post(move || async move { answer }));
    asking(router).await.all().await.unwrap_err()
}

#[tokio::test]
async fn an_answer_that_is_none() {
    assert_eq!(failure("hello").await.code(), "PARSE_ERROR");
    assert_eq!(failure(r#"{"flags":{}}"#).await.code(), "PARSE_ERROR");
    assert!(matches!(failure(StatusCode::INTERNAL_SERVER_ERROR).await, Failure::Status(500)));
    assert!(matches!(failure(StatusCode::NOT_MODIFIED).await, Failure::Status(304)));
    assert!(matches!(failure((StatusCode::NOT_FOUND, "<html>")).await, Failure::Status(404)));
    assert!(matches!(failure(StatusCode::SERVICE_UNAVAILABLE).await, Failure::Status(503)));
    let refused =
        (StatusCode::BAD_REQUEST, r#"{"errorCode":"INVALID_CONTEXT","errorDetails":"no"}"#);
    assert_eq!(failure(refused).await.to_string(), "no");
}

#[tokio::test]
async fn when_to_ask_again() {
    let waits = |status: StatusCode, value: &'static str| async move {
        match failure((status, [("retry-after", value)])).await {
            Failure::Wait(wait) => wait,
            other => panic!("{other:?}"),
        }
    };
    let (many, busy) = (StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(waits(many, "7").await, Duration::from_secs(7));
    assert_eq!(waits(busy, "3").await, Duration::from_secs(3));
    assert_eq!(waits(many, "Fri, 07 Nov 2094 08:49:37 GMT").await, Duration::from_secs(600));
    assert_eq!(waits(many, "2024-02-07T12:00:00Z").await, Duration::ZERO);
    assert!(matches!(failure(many).await, Failure::Wait(wait) if wait == Duration::from_secs(1)));
}

#[tokio::test]
async fn a_redirect_takes_the_key_nowhere() {
    let elsewhere = Router::new().fallback(|| async { ONE });
    let (address, asked) = serve(elsewhere).await;
    let to = format!("http://{address}{ALL}");
    let router = Router::new().route(ALL, post(move || async move { Redirect::temporary(&to) }));
    assert!(matches!(asking(router).await.all().await, Err(Failure::Status(307))));
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_without_end_or_without_beginning() {
    let piece = Bytes::from(vec![b' '; 1 << 20]);
    let endless = move || async { Body::from_stream(repeated(piece)) };
    let router = Router::new().route(ALL, post(endless));
    let (address, _) = serve(router).await;
    let remote = Remote::new(&format!("http://{address}"), "key").unwrap();
    let failed = remote.tenant("acme").unwrap().asking().all().await.unwrap_err();
    assert!(matches!(failed, Failure::TooLarge), "{failed:?}");
    let begin = Instant::now();
    let silent = Router::new().route(ALL, post(std::future::pending::<()>));
    assert!(matches!(asking(silent).await.all().await, Err(Failure::Unreachable(_))));
    assert!(begin.elapsed() < Duration::from_secs(5));
}

/// The same piece for ever.
fn repeated(piece: Bytes) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    futures_util::stream::repeat_with(move || Ok(piece.clone()))
}

#[tokio::test]
async fn an_answer_at_the_limit_and_one_byte_past_it() {
    let of = |bytes: usize| {
        let body = format!("{ONE}{}", " ".repeat(bytes - ONE.len()));
        Router::new().route(ALL, post(move || async move { body.clone() }))
    };
    let patient = |router: Router| async {
        let (address, _) = serve(router).await;
        let remote = Remote::new(&format!("http://{address}"), "key").unwrap();
        remote.tenant("acme").unwrap().asking().all().await
    };
    assert!(patient(of(MAX_ANSWER_BYTES)).await.unwrap().get(&DARK));
    assert!(matches!(patient(of(MAX_ANSWER_BYTES + 1)).await, Err(Failure::TooLarge)));
}

#[tokio::test]
async fn one_that_comes_later_is_waited_for_and_one_that_goes_is_outlived() {
    let there = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&there);
    let router = Router::new().route(
        ALL,
        post(move || {
            let there = state.load(Ordering::Relaxed);
            async move {
                if there { ONE.into_response() } else { StatusCode::BAD_GATEWAY.into_response() }
            }
        }),
    );
    let mut followed = asking(router).await.follow().await.unwrap();
    assert_eq!((followed.status(), followed.age()), (Status::Defaults, None));
    let details = followed.flags();
    assert_eq!(details.details(&DARK).error.unwrap().code, "PROVIDER_NOT_READY");
    there.store(true, Ordering::Relaxed);
    timeout(Duration::from_secs(5), followed.changed()).await.unwrap();
    assert_eq!((followed.flags().get(&DARK), followed.status()), (true, Status::Ready));
    there.store(false, Ordering::Relaxed);
    tokio::time::pause();
    sleep(Duration::from_secs(31)).await;
    tokio::time::resume();
    let gone = async {
        while followed.trouble().is_none() {
            sleep(Duration::from_millis(10)).await
        }
    };
    timeout(Duration::from_secs(5), gone).await.unwrap();
    assert_eq!((followed.flags().get(&DARK), followed.status()), (true, Status::LastKnownGood));
}

#[tokio::test]
async fn a_stream_gets_no_key() {
    let (told, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let stream = get(move |headers: HeaderMap| {
        told.send(headers).unwrap();
        async { std::future::pending::<()>().await }
    });
    let answer = r#"{"flags":[],"eventStreams":[{"type":"pigeon","url":"http://x/"},{"type":"sse","endpoint":{"requestUri":"/s?x=1"}}]}"#;
    let router = Router::new().route(ALL, post(move || async move { answer })).route("/s", stream);
    let _followed = asking(router).await.follow().await.unwrap();
    let headers = timeout(Duration::from_secs(5), seen.recv()).await.unwrap().unwrap();
    assert_eq!(headers["accept"], "text/event-stream");
    let with_key = ["authorization", "x-api-key", "flagforge-tenant"];
    assert!(with_key.iter().all(|name| !headers.contains_key(*name)), "{headers:?}");
}

#[tokio::test]
async fn a_stream_comes_back_to_where_it_was() {
    let (told, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let stream = get(move |headers: HeaderMap| {
        let last = headers.get("last-event-id").map(|id| id.to_str().unwrap().to_owned());
        told.send(last).unwrap();
        // It ends at once, and wants its clients back soon.
        async { "id: 1.2.3.0\nretry: 10\n\n" }
    });
    let answer = r#"{"flags":[],"eventStreams":[{"type":"sse","endpoint":{"requestUri":"/s"}}]}"#;
    let router = Router::new().route(ALL, post(move || async move { answer })).route("/s", stream);
    let _followed = asking(router).await.follow().await.unwrap();
    for expected in [None, Some("1.2.3.0"), Some("1.2.3.0")] {
        let last = timeout(Duration::from_secs(2), seen.recv()).await.unwrap().unwrap();
        assert_eq!(last.as_deref(), expected);
    }
}

#[test]
fn addresses_and_keys_that_are_none() {
    for address in
        ["", "relay", "ftp://relay", "http://u:p@relay", "http://relay?x=1", "http://relay#x"]
    {
        assert!(matches!(Remote::new(address, "key"), Err(SetupError::Address)), "{address}");
    }
    assert!(matches!(Remote::new("http://relay", "k\n"), Err(SetupError::Key)));
    let remote = Remote::new("http://relay/behind", "key").unwrap();
    assert!(remote.clone().environment("No Env").is_err());
    assert!(remote.tenant("").is_err() && remote.tenant("a/b").is_err());
}
