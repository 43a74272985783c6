//! The S3 origin against a server that speaks as much of S3 as reading needs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use flagforge::origin::{Credentials, Origin, OriginError, S3Origin};
use flagforge::{Client, Flag, Status};
use flagforge_flags::manifest::{Digest, Named};

use crate::kit::{Publisher, boolean, directory};

#[derive(Clone)]
struct Bucket {
    folder: PathBuf,
    asked: Arc<Mutex<Vec<HeaderMap>>>,
}

/// Answers objects of the bucket `flags`, conditionally; everything else is forbidden, as S3 says it.
async fn object(State(bucket): State<Bucket>, uri: Uri, headers: HeaderMap) -> Response {
    bucket.asked.lock().unwrap().push(headers.clone());
    let Some(name) = uri.path().strip_prefix("/flags/") else {
        return (StatusCode::FORBIDDEN, "<Code>AccessDenied</Code>").into_response();
    };
    let Ok(bytes) = std::fs::read(bucket.folder.join(name)) else {
        return (StatusCode::NOT_FOUND, "<Code>NoSuchKey</Code>").into_response();
    };
    let etag = format!("\"{}\"", &Digest::of(&bytes).to_string()[..32]);
    if headers.get("if-none-match").is_some_and(|held| *held == *etag) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    ([("etag", etag)], bytes).into_response()
}

async fn serve(folder: PathBuf) -> (String, Bucket) {
    let bucket = Bucket { folder, asked: Arc::default() };
    let app = Router::new().fallback(object).with_state(bucket.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (endpoint, bucket)
}

fn credentials() -> Credentials {
    Credentials {
        access_key_id: "AKIDEXAMPLE".into(),
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
        session_token: Some("a/session+token==".into()),
    }
}

#[tokio::test]
async fn a_client_follows_a_bucket_with_signed_and_conditional_reads() {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &[])]);
    let (endpoint, bucket) = serve(publisher.folder.clone()).await;
    let origin = S3Origin::new(&endpoint, "flags", "eu-central-1", credentials()).unwrap();
    let client = Client::over(Arc::new(origin), publisher.environment(), publisher.pinned())
        .poll_every(Duration::from_millis(20))
        .await
        .unwrap();
    assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
    let acme = client.tenant("acme").unwrap();
    for _ in 0..500 {
        if acme.flags().get(&Flag::new("new-dashboard", false)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(client.revision().unwrap().to_string(), "1.2");

    let asked = bucket.asked.lock().unwrap().clone();
    let host = endpoint.strip_prefix("http://").unwrap();
    for headers in &asked {
        let text = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
        let authorization = text("authorization");
        let stamp = text("x-amz-date");
        let scope = format!("Credential=AKIDEXAMPLE/{}/eu-central-1/s3/aws4_request", &stamp[..8]);
        assert!(authorization.contains(&scope), "{authorization}");
        let signed = "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,";
        assert!(authorization.contains(signed), "{authorization}");
        assert_eq!(
            (text("host").as_str(), text("x-amz-security-token").as_str()),
            (host, "a/session+token==")
        );
        assert_eq!(text("x-amz-content-sha256"), Digest::of(b"").to_string());
    }
    assert!(asked.iter().any(|headers| headers.contains_key("if-none-match")));
}

#[tokio::test]
async fn absent_is_not_forbidden() {
    let folder = tempfile::tempdir().unwrap();
    let publisher = Publisher::new(folder.path());
    let (endpoint, _bucket) = serve(publisher.folder.clone()).await;
    let scope = publisher.environment();
    let ours = S3Origin::new(&endpoint, "flags", "eu-central-1", credentials()).unwrap();
    assert!(
        ours.chunk(&scope, Named { sha256: Digest::of(b""), bytes: 0 }).await.unwrap().is_none()
    );
    let theirs = S3Origin::new(&endpoint, "others", "eu-central-1", credentials()).unwrap();
    let refused = theirs.root(&scope, None).await;
    assert!(matches!(refused, Err(OriginError::Refused { status: 403, .. })), "{refused:?}");
    assert!(!format!("{ours:?}").contains("wJalr"), "{ours:?}");
    for bad in ["", "localhost:4566", "ftp://h", "http://h/path", "http://h/?x=1"] {
        assert!(S3Origin::new(bad, "flags", "r", credentials()).is_err(), "{bad}");
    }
}
