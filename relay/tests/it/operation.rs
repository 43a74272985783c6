//! What whoever runs a relay learns of it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use flagforge_flags::KeyKind;
use flagforge_relay::{app, operation};
use serde_json::json;

use crate::kit::Publisher;
use crate::world::{Reply, World, call, publish, relay};

async fn get(router: &axum::Router, path: &str) -> Reply {
    call(router, "GET", path, &[], Body::empty()).await
}

#[tokio::test]
async fn it_is_ready_once_it_has_what_it_begins_with_and_not_while_it_drains() {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    publisher.key(KeyKind::Server, "k1", |_| {});
    let places = vec![(publisher.org.clone(), publisher.env.clone())];
    let relay = relay(&publisher, |config| config.begin_with = places);
    let router = operation(Arc::clone(&relay));
    let is = async |status: StatusCode, word: &str| {
        let reply = get(&router, "/readyz").await;
        assert_eq!((reply.status, &reply.json()["status"]), (status, &json!(word)));
        // Nobody is named, on whichever address.
        assert_eq!(get(&app(Arc::clone(&relay)), "/readyz").await.json(), reply.json());
    };
    let starting = Arc::clone(&relay);
    let starting = tokio::spawn(async move { starting.start().await });
    is(StatusCode::SERVICE_UNAVAILABLE, "starting").await;
    assert_eq!(get(&router, "/healthz").await.status, StatusCode::OK);
    publish(&mut publisher, "dark");
    relay.notify(&publisher.org, &publisher.env).await;
    tokio::time::timeout(Duration::from_secs(30), starting).await.unwrap().unwrap();
    is(StatusCode::OK, "ready").await;
    relay.close();
    is(StatusCode::SERVICE_UNAVAILABLE, "draining").await;
    assert_eq!(get(&router, "/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_relay_that_is_to_begin_with_nothing_is_ready_and_one_that_ends_starts_nothing() {
    let world = World::new();
    assert_eq!(get(&world.app, "/readyz").await.status, StatusCode::OK);
    let nowhere = tempfile::tempdir().unwrap();
    let publisher = Publisher::new(nowhere.path());
    let places = vec![(publisher.org.clone(), publisher.env.clone())];
    let relay = relay(&publisher, |config| config.begin_with = places);
    let starting = Arc::clone(&relay);
    let starting = tokio::spawn(async move { starting.start().await });
    relay.close();
    tokio::time::timeout(Duration::from_secs(30), starting).await.unwrap().unwrap();
    let lacking = get(&operation(relay), "/readyz").await;
    assert_eq!(lacking.json(), json!({"status": "draining", "environments": 0, "lacking": 1}));
}

/// The number of a series.
#[cfg(feature = "metrics")]
fn measured(text: &str, series: &str) -> Option<f64> {
    let line = text
        .lines()
        .find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[cfg(feature = "metrics")]
#[tokio::test]
async fn what_it_measures_is_told_at_an_address_of_its_own() {
    let world = World::new();
    world.evaluate("theme", "acme", json!({})).await;
    world.evaluate("no-such-flag", "acme", json!({})).await;
    get(&world.app, "/nowhere/at/all").await;
    get(&world.app, "/data/v1/demo/prod/environment").await;
    let root = world.get("environment", &world.server).await;
    let etag = root.header("etag").to_owned();
    let path = "/data/v1/demo/prod/environment";
    let held = [("x-api-key", world.server.as_str()), ("if-none-match", etag.as_str())];
    call(&world.app, "GET", path, &held, Body::empty()).await;

    assert_eq!(get(&world.app, "/metrics").await.status, StatusCode::NOT_FOUND);
    let told = get(&operation(Arc::clone(&world.relay)), "/metrics").await;
    assert!(told.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    let text = String::from_utf8(told.bytes.clone()).unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let requests = |path: &str, status: u16| {
        measured(
            &text,
            &format!("flagforge_relay_requests_total{{path=\"{path}\",status=\"{status}\"}}"),
        )
    };
    let (one, root) = ("/ofrep/v1/evaluate/flags/{*key}", "/data/v1/{org}/{env}/environment");
    assert_eq!((requests(one, 200), requests(one, 404)), (Some(1.0), Some(1.0)), "{text}");
    assert_eq!([200, 304, 401].map(|status| requests(root, status)), [Some(1.0); 3]);
    assert!(!text.contains("nowhere"), "strangers make no series");
    let of_one = format!("flagforge_relay_request_seconds_count{{path=\"{one}\"}}");
    assert_eq!(measured(&text, &of_one), Some(2.0));
    assert_eq!(measured(&text, "flagforge_relay_environments"), Some(1.0));
    assert_eq!(measured(&text, "flagforge_relay_streams"), Some(0.0));
    let place = r#"{org="demo",env="prod"}"#;
    assert_eq!(measured(&text, &format!("flagforge_relay_ready{place}")), Some(1.0));
    assert!(measured(&text, &format!("flagforge_relay_age_seconds{place}")).unwrap() < 60.0);
    let revision = world.publisher.revision.env;
    let series = r#"flagforge_relay_revision{org="demo",env="prod",log="env"}"#;
    assert_eq!(measured(&text, series), Some(revision as f64), "{text}");
    assert!(measured(&text, "flagforge_relay_chunk_misses_total").unwrap() > 0.0);
}
