//! Bodies at their limits, from folders and over HTTP.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use flagforge::origin::{Fetched, FolderOrigin, HttpOrigin, Origin, OriginError};
use flagforge_flags::manifest::{Digest, MAX_ROOT_BYTES, MAX_TRUST_BYTES, Named};
use flagforge_flags::{AccessKey, KeyKind};
use futures_util::{StreamExt, stream};

use crate::kit::{Publisher, SECRET};

fn publisher() -> (tempfile::TempDir, Publisher) {
    let folder = tempfile::tempdir().unwrap();
    let publisher = Publisher::new(folder.path());
    (folder, publisher)
}

async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

fn origin(base: &str, publisher: &Publisher) -> HttpOrigin {
    let key = AccessKey::new(KeyKind::Server, publisher.org.clone(), None, "k1", SECRET).unwrap();
    HttpOrigin::new(base, &key).unwrap()
}

#[tokio::test]
async fn a_folders_files_at_the_limit_and_one_byte_past_it() {
    let (_folder, publisher) = publisher();
    let (origin, scope) = (FolderOrigin::new(&publisher.folder), publisher.environment());
    publisher.write("trust.json", &vec![b' '; MAX_TRUST_BYTES]);
    assert_eq!(origin.trust(&scope, None).await.unwrap().unwrap().len(), MAX_TRUST_BYTES);
    publisher.write("trust.json", &vec![b' '; MAX_TRUST_BYTES + 1]);
    let refused = origin.trust(&scope, None).await;
    assert!(matches!(refused, Err(OriginError::TooLarge { limit: MAX_TRUST_BYTES, .. })));
}

#[tokio::test]
async fn a_servers_bodies_at_the_limit_and_one_byte_past_it() {
    let (_folder, publisher) = publisher();
    let whole = |size: usize| async move { vec![b' '; size] };
    // Without a declared length, and without an end.
    let endless = || async {
        let piece = Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 4_096]));
        Body::from_stream(
            stream::repeat_with(move || piece.as_ref().map(Bytes::clone).map_err(|_| "")).boxed(),
        )
    };
    let app = Router::new()
        .route("/data/v1/demo/prod/trust", get(move || whole(MAX_TRUST_BYTES)))
        .route("/data/v1/demo/prod/trust/2", get(move || whole(MAX_TRUST_BYTES + 1)))
        .route("/data/v1/demo/prod/environment", get(endless))
        .route(&format!("/data/v1/demo/prod/chunks/{}", Digest::of(b"a")), get(endless));
    let origin = origin(&serve(app).await, &publisher);
    let scope = publisher.environment();
    assert_eq!(origin.trust(&scope, None).await.unwrap().unwrap().len(), MAX_TRUST_BYTES);
    let past = origin.trust(&scope, Some(2)).await;
    assert!(matches!(past, Err(OriginError::TooLarge { limit: MAX_TRUST_BYTES, .. })), "{past:?}");
    let endless = origin.root(&scope, None).await;
    assert!(
        matches!(endless, Err(OriginError::TooLarge { limit: MAX_ROOT_BYTES, .. })),
        "{endless:?}"
    );
    let named = |bytes| Named { sha256: Digest::of(b""), bytes };
    assert!(origin.chunk(&scope, named(0)).await.unwrap().is_none());
    let endless = Named { sha256: Digest::of(b"a"), bytes: 7 };
    let cut = origin.chunk(&scope, endless).await;
    assert!(matches!(cut, Err(OriginError::TooLarge { limit: 7, .. })), "{cut:?}");
}

#[tokio::test]
async fn the_key_goes_to_its_server_and_follows_no_redirect() {
    let (_folder, publisher) = publisher();
    let root = |headers: HeaderMap| async move {
        let bearer = headers.get("authorization").unwrap().to_str().unwrap().to_owned();
        assert!(bearer.starts_with("Bearer ff_server_demo.k1_"));
        match headers.get("if-none-match") {
            Some(tag) if tag == "\"t\"" => StatusCode::NOT_MODIFIED.into_response(),
            _ => ([("etag", "\"t\"")], "root").into_response(),
        }
    };
    let elsewhere = || async { (StatusCode::FOUND, [("location", "http://127.0.0.1:1/")]) };
    let app = Router::new()
        .route("/data/v1/demo/prod/environment", get(root))
        .route("/data/v1/demo/prod/trust", get(elsewhere))
        .route("/data/v1/demo/prod/stream", get(|| async { StatusCode::UNAUTHORIZED }));
    let base = serve(app).await;
    let (origin, scope) = (origin(&base, &publisher), publisher.environment());
    let found = origin.root(&scope, None).await.unwrap();
    let etag = Some("\"t\"".to_owned());
    assert_eq!(found, Fetched::Found { bytes: Bytes::from_static(b"root"), etag });
    assert_eq!(origin.root(&scope, Some("\"t\"")).await.unwrap(), Fetched::NotModified);
    let redirected = origin.trust(&scope, None).await;
    assert!(matches!(redirected, Err(OriginError::Refused { status: 302, .. })), "{redirected:?}");
    let watched = origin.watch(&scope).await.err();
    assert!(matches!(watched, Some(OriginError::Refused { status: 401, .. })), "{watched:?}");
    assert!(!format!("{origin:?}").contains(SECRET));
}

#[tokio::test]
async fn an_origin_that_is_not_there_is_an_error_and_soon() {
    let (_folder, publisher) = publisher();
    let origin = origin("http://127.0.0.1:1", &publisher);
    let scope = publisher.environment();
    let answer = tokio::time::timeout(Duration::from_secs(4), origin.root(&scope, None)).await;
    assert!(matches!(answer.unwrap(), Err(OriginError::Unreachable { .. })));
}
