//! What a relay asks of its origin, and what strangers can make it ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;
use bytes::Bytes;
use flagforge::origin::{Fetched, FolderOrigin, Origin, OriginError};
use flagforge_flags::manifest::{Named, ScopeId};
use flagforge_flags::{AccessKey, KeyKind};
use flagforge_relay::{Config, Freshness, Relay, app, app_without_streams};
use futures_util::future::join_all;

use crate::kit::{Publisher, SECRET, directory, flag};
use crate::world::{Reply, call, publish};

/// A folder that counts its reads, and can be cut off.
#[derive(Debug)]
struct Counted {
    folder: FolderOrigin,
    roots: AtomicUsize,
    chunks: AtomicUsize,
    cut: AtomicBool,
}

impl Counted {
    fn over(publisher: &Publisher) -> Arc<Self> {
        let folder = FolderOrigin::new(&publisher.folder);
        let (roots, chunks) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { folder, roots, chunks, cut: AtomicBool::new(false) })
    }

    async fn reach(&self) -> Result<(), OriginError> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if self.cut.load(Ordering::Relaxed) {
            let source = "cut off".into();
            return Err(OriginError::Unreachable { what: "anything".into(), source });
        }
        Ok(())
    }
}

#[async_trait]
impl Origin for Counted {
    async fn trust(
        &self,
        scope: &ScopeId,
        number: Option<u64>,
    ) -> Result<Option<Bytes>, OriginError> {
        self.reach().await?;
        self.folder.trust(scope, number).await
    }

    async fn root(&self, scope: &ScopeId, held: Option<&str>) -> Result<Fetched, OriginError> {
        self.roots.fetch_add(1, Ordering::Relaxed);
        self.reach().await?;
        self.folder.root(scope, held).await
    }

    async fn chunk(&self, scope: &ScopeId, named: Named) -> Result<Option<Bytes>, OriginError> {
        self.chunks.fetch_add(1, Ordering::Relaxed);
        self.reach().await?;
        self.folder.chunk(scope, named).await
    }
}

struct Place {
    publisher: Publisher,
    origin: Arc<Counted>,
    server: String,
    _folder: tempfile::TempDir,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    let server = publisher.key(KeyKind::Server, "k1", |_| {});
    publish(&mut publisher, "dark");
    Place { origin: Counted::over(&publisher), publisher, server, _folder: folder }
}

fn relay(place: &Place, edit: impl FnOnce(&mut Config)) -> Arc<Relay> {
    let mut config = Config::new(place.publisher.pinned());
    config.poll = Duration::from_secs(3_600);
    edit(&mut config);
    Relay::new(Arc::clone(&place.origin) as Arc<dyn Origin>, config)
}

async fn theme(app: &axum::Router, key: &str, env: &str) -> Reply {
    let headers =
        [("x-api-key", key), ("flagforge-environment", env), ("flagforge-tenant", "acme")];
    call(app, "POST", "/ofrep/v1/evaluate/flags/theme", &headers, "{\"context\":{}}").await
}

fn stranger(org: &str) -> String {
    let org = flagforge_flags::keys::OrgKey::new(org).unwrap();
    AccessKey::new(KeyKind::Server, org, None, "k1", SECRET).unwrap().expose()
}

#[tokio::test]
async fn all_who_ask_at_once_share_one_load() {
    let place = place();
    let app = app(relay(&place, |_| {}));
    let replies = join_all((0..50).map(|_| theme(&app, &place.server, "prod"))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK));
    // The relay scope's root and the environment's.
    assert_eq!(place.origin.roots.load(Ordering::Relaxed), 2);
    let unknown = stranger("nobody");
    let replies = join_all((0..50).map(|_| theme(&app, &unknown, "prod"))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::UNAUTHORIZED));
    assert_eq!(place.origin.roots.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn an_origin_that_does_not_answer_is_left_alone_and_found_again() {
    let place = place();
    let relay = relay(&place, |_| {});
    let app = app(Arc::clone(&relay));
    assert_eq!(theme(&app, &place.server, "prod").await.status, StatusCode::OK);
    place.origin.cut.store(true, Ordering::Relaxed);
    let before = place.origin.roots.load(Ordering::Relaxed);
    for number in 0..100 {
        let reply = theme(&app, &stranger(&format!("org-{number}")), "prod").await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let asked = place.origin.roots.load(Ordering::Relaxed) - before;
    assert!(asked <= 10, "five, and a probe now and then: {asked}");
    assert_eq!(theme(&app, &place.server, "prod").await.status, StatusCode::OK, "it is here");
    #[cfg(feature = "metrics")]
    {
        let operation = flagforge_relay::operation(relay);
        let told = call(&operation, "GET", "/metrics", &[], axum::body::Body::empty()).await;
        let text = String::from_utf8(told.bytes).unwrap();
        assert!(text.contains("flagforge_relay_origin_left_alone 1\n"), "{text}");
        assert!(text.contains("flagforge_relay_origin_outages_total 1\n"), "{text}");
    }
    place.origin.cut.store(false, Ordering::Relaxed);
    let found = async {
        while theme(&app, &stranger("org-0"), "prod").await.status != StatusCode::UNAUTHORIZED {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.unwrap();
}

#[tokio::test]
async fn names_that_strangers_invent_do_not_reach_the_origin_for_ever() {
    let place = place();
    let app = app(relay(&place, |_| {}));
    assert_eq!(theme(&app, &place.server, "prod").await.status, StatusCode::OK);
    let before = place.origin.roots.load(Ordering::Relaxed);
    let keys: Vec<String> = (0..1_000).map(|n| stranger(&format!("org-{n}"))).collect();
    let replies = join_all(keys.iter().map(|key| theme(&app, key, "prod"))).await;
    let asked = place.origin.roots.load(Ordering::Relaxed) - before;
    assert!(asked <= 250, "{asked} reads for 1,000 invented names");
    for reply in replies {
        match reply.status {
            StatusCode::UNAUTHORIZED => {}
            StatusCode::SERVICE_UNAVAILABLE => assert_eq!(reply.header("retry-after"), "1"),
            other => panic!("{other}"),
        }
    }
    // Whoever is loaded notices nothing.
    assert_eq!(theme(&app, &place.server, "prod").await.status, StatusCode::OK);
    // A name once found unknown is not asked for again.
    let before = place.origin.roots.load(Ordering::Relaxed);
    theme(&app, &keys[0], "prod").await;
    assert_eq!(place.origin.roots.load(Ordering::Relaxed), before);
}

#[tokio::test]
async fn an_environment_that_appears_is_served_once_its_publisher_says_so() {
    let place = place();
    let relay = relay(&place, |_| {});
    let app = app(Arc::clone(&relay));
    let mut young = Publisher::of(&place.publisher.folder, "young", "prod");
    let key = young.key(KeyKind::Server, "k1", |_| {});
    assert_eq!(theme(&app, &key, "prod").await.status, StatusCode::UNAUTHORIZED);
    publish(&mut young, "green");
    assert_eq!(theme(&app, &key, "prod").await.status, StatusCode::UNAUTHORIZED);
    relay.notify(&young.org, &young.env).await;
    assert_eq!(theme(&app, &key, "prod").await.json()["value"], "green");
}

#[tokio::test]
async fn the_number_of_environments_in_memory_is_bounded() {
    let place = place();
    let app = app(relay(&place, |config| config.max_environments = 2));
    let mut others = Vec::new();
    for org in ["second", "third"] {
        let mut publisher = Publisher::of(&place.publisher.folder, org, "prod");
        others.push(publisher.key(KeyKind::Server, "k1", |_| {}));
        publish(&mut publisher, org);
    }
    for key in [&place.server, &others[0], &place.server, &others[1]] {
        assert_eq!(theme(&app, key, "prod").await.status, StatusCode::OK);
    }
    let before = place.origin.roots.load(Ordering::Relaxed);
    assert_eq!(theme(&app, &place.server, "prod").await.status, StatusCode::OK);
    assert_eq!(place.origin.roots.load(Ordering::Relaxed), before, "used last, kept");
    assert_eq!(theme(&app, &others[0], "prod").await.json()["value"], "second");
    assert_eq!(
        place.origin.roots.load(Ordering::Relaxed),
        before + 2,
        "used longest ago, loaded again"
    );
}

#[tokio::test]
async fn an_origin_that_goes_away_costs_nobody_who_is_loaded() {
    let place = place();
    let cache = tempfile::tempdir().unwrap();
    let with_cache = |config: &mut Config| config.cache_dir = Some(cache.path().to_owned());
    let first = relay(&place, with_cache);
    let app_one = app(Arc::clone(&first));
    assert_eq!(theme(&app_one, &place.server, "prod").await.status, StatusCode::OK);
    place.origin.cut.store(true, Ordering::Relaxed);
    first.notify(&place.publisher.org, &place.publisher.env).await;
    assert_eq!(theme(&app_one, &place.server, "prod").await.json()["value"], "dark");
    // A relay that starts now has the disk; one without it asks for patience, and tells nobody who exists.
    let app_two = app(relay(&place, with_cache));
    assert_eq!(theme(&app_two, &place.server, "prod").await.json()["value"], "dark");
    let app_three = app(relay(&place, |_| {}));
    for key in [place.server.clone(), stranger("nobody")] {
        let reply = theme(&app_three, &key, "prod").await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(reply.header("retry-after"), "1");
    }
}

#[tokio::test]
async fn a_function_refreshes_on_request_and_goes_on_without_its_origin() {
    let mut place = place();
    let relay = relay(&place, |config| {
        config.poll = Duration::from_millis(50);
        config.freshness = Freshness::OnRequest(Duration::from_millis(500));
    });
    let app = app_without_streams(relay);
    assert_eq!(theme(&app, &place.server, "prod").await.json()["value"], "dark");
    publish(&mut place.publisher, "blue");
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(theme(&app, &place.server, "prod").await.json()["value"], "blue");
    place.origin.cut.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(theme(&app, &place.server, "prod").await.json()["value"], "blue");
}

#[tokio::test]
async fn chunks_are_fetched_once_however_many_ask_and_only_what_changed() {
    let mut place = place();
    let relay = relay(&place, |_| {});
    let app = app(Arc::clone(&relay));
    theme(&app, &place.server, "prod").await;
    let first = place.origin.chunks.load(Ordering::Relaxed);
    let flags = [flag("theme", "string", "dark", "light")];
    place.publisher.publish(&flags, &[directory("acme", &["theme"])]);
    relay.notify(&place.publisher.org, &place.publisher.env).await;
    let chunks = std::fs::read_dir(place.publisher.folder.join("demo/chunks")).unwrap();
    let key = [("x-api-key", place.server.as_str())];
    for chunk in chunks.flatten() {
        let name = chunk.file_name().into_string().unwrap();
        let path = format!("/data/v1/demo/prod/chunks/{name}");
        for _ in 0..5 {
            call(&app, "GET", &path, &key, "").await;
        }
    }
    let second = place.origin.chunks.load(Ordering::Relaxed) - first;
    assert!(second <= 4, "{second} reads for a root of four chunks, of which some are as before");
}

#[tokio::test]
async fn a_notice_that_comes_while_its_environment_loads_is_not_lost() {
    let mut place = place();
    let relay = relay(&place, |_| {});
    let app = app(Arc::clone(&relay));
    let (first, key) = (app.clone(), place.server.clone());
    let asking = tokio::spawn(async move { theme(&first, &key, "prod").await });
    // The old root has been read: its chunks are being fetched.
    while place.origin.chunks.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    publish(&mut place.publisher, "light");
    relay.notify(&place.publisher.org, &place.publisher.env).await;
    assert_eq!(asking.await.unwrap().status, StatusCode::OK);
    assert_eq!(theme(&app, &place.server, "prod").await.json()["value"], "light");
}
