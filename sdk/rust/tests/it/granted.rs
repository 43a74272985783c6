//! A key is exchanged for leave to read the bucket, or the distribution in front of it; where there is none the relay is read, and then the last good manifest.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use flagforge::origin::{Credentials, Grant, GrantKind, GrantedOrigin, HttpOrigin, Leave, Origin};
use flagforge::{Client, Flag, Status};
use flagforge_flags::AccessKey;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::{Scope, ScopeId};

use crate::edge::{Edge, passes, signed};
use crate::kit::{Publisher, boolean, directory, now};

const FLAG: Flag<bool> = Flag::new("f", false);
const KINDS: [&str; 2] = ["s3", "cloudfront"];
const KEY: &str = "ff_server_demo.prod.k1_abcdefghijklmnopqrst_-";

/// What was asked of whom.
#[derive(Debug, Default)]
struct Counts {
    exchanges: AtomicUsize,
    bucket: AtomicUsize,
    relay: AtomicUsize,
}

/// A relay, the bucket and the distribution, at one address.
#[derive(Debug, Clone)]
struct Side {
    folder: PathBuf,
    counts: Arc<Counts>,
    /// Seconds that a grant lives; 0: nothing is granted, below: the exchange fails.
    life: Arc<AtomicI64>,
    /// The bucket, and the distribution.
    bucket_dark: Arc<AtomicBool>,
    relay_dark: Arc<AtomicBool>,
    endpoint: Arc<Mutex<String>>,
    edge: Arc<Edge>,
}

async fn answer(
    State(side): State<Side>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let Some(name) = uri.path().strip_prefix("/data/v1/demo/prod/") else {
        side.counts.bucket.fetch_add(1, Ordering::SeqCst);
        if side.bucket_dark.load(Ordering::SeqCst) {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let Some(session) = headers.get("x-amz-security-token") else {
            return side.edge.answer(&uri, &headers);
        };
        assert_eq!(session, "session");
        return object(&side, uri.path().trim_start_matches("/flags/"));
    };
    if method == Method::POST && name == "grant" {
        side.counts.exchanges.fetch_add(1, Ordering::SeqCst);
        let endpoint = side.endpoint.lock().unwrap().clone();
        return match side.life.load(Ordering::SeqCst) {
            0 => StatusCode::NO_CONTENT.into_response(),
            life if life < 0 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            life if uri.query() == Some("kind=cloudfront") => {
                let expires = side.edge.now().plus(Duration::from_secs(life.unsigned_abs()));
                axum::Json(passes(&endpoint, &scope("demo", Scope::Environment), expires))
                    .into_response()
            }
            life => {
                let credentials = Credentials {
                    access_key_id: "AKID".into(),
                    secret_access_key: "secret".into(),
                    session_token: Some("session".into()),
                };
                let expires = now().plus(Duration::from_secs(life.unsigned_abs()));
                let (bucket, region) = ("flags".into(), "eu-1".into());
                let endpoint = Some(endpoint);
                let leave = Leave::Bucket { bucket, region, endpoint, credentials };
                axum::Json(Grant { leave, expires }).into_response()
            }
        };
    }
    side.counts.relay.fetch_add(1, Ordering::SeqCst);
    if side.relay_dark.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match name {
        "trust" => object(&side, "trust.json"),
        "environment" => object(&side, "demo/prod/environment.jws"),
        "stream" => StatusCode::NOT_FOUND.into_response(),
        chunk => object(&side, &format!("demo/{chunk}")),
    }
}

fn scope(org: &str, scope: Scope) -> ScopeId {
    ScopeId { org: OrgKey::new(org).unwrap(), env: EnvKey::new("prod").unwrap(), scope }
}

fn object(side: &Side, name: &str) -> Response {
    std::fs::read(side.folder.join(name))
        .map_or_else(|_| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
}

async fn serve(folder: PathBuf, life: i64) -> (String, Side) {
    let side = Side {
        edge: Arc::new(Edge::new(folder.clone())),
        folder,
        counts: Arc::default(),
        life: Arc::new(life.into()),
        bucket_dark: Arc::default(),
        relay_dark: Arc::default(),
        endpoint: Arc::default(),
    };
    let app = Router::new().fallback(answer).with_state(side.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    *side.endpoint.lock().unwrap() = format!("http://{address}");
    side.edge.stands_at(&format!("http://{address}"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, side)
}

fn published(folder: &std::path::Path) -> Publisher {
    let mut publisher = Publisher::new(folder);
    publisher.publish(&[boolean("f")], &[directory("acme", &[])]);
    publisher
}

fn connection(address: &str, kind: &str, publisher: &Publisher) -> String {
    let root = publisher.pinned()[0];
    format!("flagforge+http://{KEY}@{address}/demo/prod?grant={kind}&roots={root}")
}

#[tokio::test]
async fn the_bucket_is_read_and_the_relay_where_it_is_dark_and_what_is_known_where_both_are() {
    for kind in KINDS {
        reads_what_there_is(kind).await;
    }
}

async fn reads_what_there_is(kind: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = published(folder.path());
    let (address, side) = serve(folder.path().to_owned(), 3_600).await;
    let poll = Duration::from_millis(50);
    let client =
        Client::connect(&connection(&address, kind, &publisher)).poll_every(poll).await.unwrap();
    assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());
    let count = |of: &AtomicUsize| of.load(Ordering::SeqCst);
    assert_eq!(count(&side.counts.exchanges), 1);
    assert!(count(&side.counts.bucket) >= 3, "trust, root, chunks");

    side.bucket_dark.store(true, Ordering::SeqCst);
    publisher.publish(&[boolean("f")], &[directory("acme", &["f"])]);
    let newest = publisher.revision;
    client.wait_for(newest).within(Duration::from_secs(5)).await;
    assert_eq!(client.revision(), Some(newest), "the relay had it: {:?}", client.trouble());
    assert!(client.tenant("acme").unwrap().flags().get(&FLAG));

    side.relay_dark.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(client.status(), Status::LastKnownGood);
    assert_eq!(client.revision(), Some(newest));
    side.bucket_dark.store(false, Ordering::SeqCst);
    client.wait_for(newest).within(Duration::from_secs(1)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());
    assert_eq!(count(&side.counts.exchanges), 1, "the grant was good all the time");
    assert_eq!(side.edge.refused.lock().unwrap().as_slice(), [""; 0], "every request was signed");
}

#[tokio::test]
async fn a_grant_that_lapses_while_none_is_given_leaves_the_relay() {
    let folder = tempfile::tempdir().unwrap();
    let publisher = published(folder.path());
    // 60 s are shorter than what a read wants to be left: over as soon as it is given.
    for (kind, life) in KINDS.into_iter().flat_map(|kind| [60, 0, -1].map(|life| (kind, life))) {
        let (address, side) = serve(folder.path().to_owned(), life).await;
        let client = Client::connect(&connection(&address, kind, &publisher)).await.unwrap();
        assert_eq!(client.status(), Status::Ready, "{kind} {life}: {:?}", client.trouble());
        assert_eq!(side.counts.bucket.load(Ordering::SeqCst), 0);
        assert!(side.counts.relay.load(Ordering::SeqCst) >= 3);
    }
}

#[tokio::test]
async fn a_thousand_clients_go_through_a_flip_without_an_exchange() {
    const CLIENTS: usize = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = published(folder.path());
    // Half of it is 100 s less a fifth at most: nobody renews during the flip.
    let (address, side) = serve(folder.path().to_owned(), 200).await;
    let base = format!("http://{address}");
    let key = AccessKey::parse(KEY).unwrap();
    let origin = || GrantedOrigin::new(HttpOrigin::new(&base, &key).unwrap(), GrantKind::S3);
    let origins: Vec<GrantedOrigin> = (0..CLIENTS).map(|_| origin()).collect();
    let scope = publisher.environment();
    for origin in &origins {
        origin.root(&scope, None).await.unwrap();
    }
    assert_eq!(side.counts.exchanges.load(Ordering::SeqCst), CLIENTS);
    publisher.publish(&[boolean("f"), boolean("g")], &[directory("acme", &[])]);
    let reads =
        futures_util::future::join_all(origins.iter().map(|origin| origin.root(&scope, None)));
    assert!(reads.await.into_iter().all(|read| read.is_ok()));
    assert_eq!(side.counts.exchanges.load(Ordering::SeqCst), CLIENTS, "a flip costs no exchange");
    assert_eq!(side.counts.relay.load(Ordering::SeqCst), 0, "and no read of the relay");
}

#[cfg(feature = "testing")]
#[tokio::test]
async fn passes_are_renewed_before_they_end_and_where_none_are_given_the_relay_is_read() {
    const HOURS: Duration = Duration::from_secs(2 * 3_600);
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = published(folder.path());
    let (address, side) = serve(folder.path().to_owned(), 3_600).await;
    let text = connection(&address, "cloudfront", &publisher);
    let client = Client::connect(&text).poll_every(Duration::from_millis(50)).await.unwrap();
    let mut flips = async |on: bool| {
        publisher.publish(&[boolean("f")], &[directory("acme", if on { &["f"] } else { &[] })]);
        client.wait_for(publisher.revision).within(Duration::from_secs(5)).await;
        assert_eq!(client.revision(), Some(publisher.revision), "{:?}", client.trouble());
        assert_eq!(client.tenant("acme").unwrap().flags().get(&FLAG), on);
    };
    let later = || {
        flagforge::testing::later(HOURS);
        side.edge.ahead.fetch_add(HOURS.as_secs(), Ordering::SeqCst);
    };
    flips(true).await;
    later();
    let before = side.edge.served.load(Ordering::SeqCst);
    flips(false).await;
    let count = |of: &AtomicUsize| of.load(Ordering::SeqCst);
    assert_eq!(count(&side.counts.exchanges), 2);
    assert!(count(&side.edge.served) >= before + 2, "a root and a chunk");
    assert_eq!(side.edge.refused.lock().unwrap().as_slice(), [""; 0]);

    // Only the distribution's clock goes: it refuses what the client believes to be good.
    side.edge.ahead.fetch_add(HOURS.as_secs(), Ordering::SeqCst);
    let served = count(&side.edge.served);
    flips(true).await;
    let refused = side.edge.refused.lock().unwrap().clone();
    assert!(!refused.is_empty() && refused.iter().all(|why| why.ends_with(": expired")));
    assert_eq!(count(&side.edge.served), served, "the relay had it");

    // The passes end, and whoever gives them is dark.
    side.life.store(-1, Ordering::SeqCst);
    later();
    flips(false).await;
    assert_eq!(count(&side.edge.served), served);
    side.relay_dark.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(client.status(), Status::LastKnownGood);
    assert!(!client.tenant("acme").unwrap().flags().get(&FLAG));
}

/// Every pass of every scope for every name: what is answered is the scope's own, and what that pass is for.
#[tokio::test]
async fn a_pass_is_for_its_own_names_and_no_word_of_it_can_be_another() {
    const ADDRESS: &str = "https://d111111abcdef8.cloudfront.net";
    let folder = tempfile::tempdir().unwrap();
    let tenant = |key: &str| Scope::Tenant(crate::kit::tenant(key));
    let scopes =
        || [Scope::Environment, Scope::Relay, Scope::Canary, tenant("mine"), tenant("other")];
    let mut names: Vec<String> = ["demo", "demo-two", "trustee", "trus"]
        .into_iter()
        .flat_map(|org| scopes().map(|of| scope(org, of).root_name()))
        .collect();
    let staging =
        ScopeId { env: EnvKey::new("staging").unwrap(), ..scope("demo", Scope::Environment) };
    names.push(staging.root_name());
    names.extend(["demo", "demo-two"].map(|org| format!("{org}/chunks/0a")));
    names.extend(
        ["trust.json", "trust/7.json", "demo/lists/0a", "demo/webhooks/0a"].map(String::from),
    );
    for name in &names {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    }
    let edge = Edge::new(folder.path().to_owned());
    edge.stands_at(ADDRESS);
    let asks = |path: &str, query: &str| {
        let uri = format!("/{path}?{query}").parse().unwrap();
        edge.answer(&uri, &HeaderMap::new()).status() == StatusCode::OK
    };
    let ends = now().plus(Duration::from_secs(3_600));
    for of in scopes() {
        let besides: &[Scope] = match of {
            Scope::Relay => &[Scope::Environment, Scope::Canary],
            Scope::Environment => &[Scope::Canary],
            _ => &[],
        };
        let mut reads: Vec<String> =
            besides.iter().chain([&of]).map(|of| scope("demo", of.clone()).root_name()).collect();
        reads.extend(["trust.json", "trust/7.json", "demo/chunks/0a"].map(String::from));
        let Leave::Distribution { passes, .. } = passes(ADDRESS, &scope("demo", of), ends).leave
        else {
            panic!("passes are for a distribution");
        };
        for name in &names {
            let by: Vec<_> = passes.iter().filter(|pass| asks(name, &pass.query)).collect();
            assert_eq!(by.len(), usize::from(reads.contains(name)), "{name} by {by:?}");
            assert!(by.iter().all(|pass| pass.covers(name)), "the client finds it: {by:?}");
            // A `*` would stand for a query too.
            for pass in &passes {
                let odd = [".json", "/trust/7.json"];
                let reached = odd.iter().any(|odd| asks(name, &format!("{odd}&{}", pass.query)));
                assert!(!reached || reads.contains(name), "{name} by {pass:?}");
                let (folder, _) = pass.names.rsplit_once('/').unwrap_or_default();
                assert!(!asks(&format!("{folder}/../{name}"), &pass.query), "{name} by {pass:?}");
            }
        }
    }

    let policy = |resource: &str, ends: i64| {
        format!(
            r#"{{"Statement":[{{"Condition":{{"DateLessThan":{{"AWS:EpochTime":{ends}}}}},"Resource":"{resource}"}}]}}"#
        )
    };
    let all = policy("*", ends.as_seconds());
    let good = signed(&policy(&format!("{ADDRESS}/trust.json"), ends.as_seconds()));
    assert!(asks("trust.json", &good));
    assert!(asks("demo/lists/0a", &signed(&all)), "whoever has the key could sign that");
    let (mine, widened) = (good.split_once("&Signature").unwrap(), signed(&all));
    let widened = widened.split_once("&Signature").unwrap();
    assert!(!asks("trust.json", &format!("{}&Signature{}", widened.0, mine.1)));
    assert!(!asks(
        "trust.json",
        &signed(&policy(&format!("{ADDRESS}/trust.json"), now().as_seconds()))
    ));
    for (word, other) in [("SHA256", "SHA1"), ("&Hash-Algorithm=SHA256", ""), ("K2JC", "K2JD")] {
        assert!(!asks("trust.json", &good.replace(word, other)), "{word}");
    }
    for (at, letter) in good.char_indices().filter(|(at, _)| *at >= "Policy=".len()) {
        let other = if letter == 'A' { "B" } else { "A" };
        let bent = format!("{}{other}{}", &good[..at], &good[at + 1..]);
        assert!(!asks("trust.json", &bent), "letter {at} of {good}");
    }
}
