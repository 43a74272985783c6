//! Change events in NATS, against a real server: `target/nats/bin/nats-server`, or the one that the environment variable
//! `FLAGFORGE_NATS_SERVER` names. `tests/api/nats` brings it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use flagforge_embedded::{Embedded, NatsSink, Works};
use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, TenantKey};
use flagforge_platform::{Caller, Change, Outcome, Platform, Request, bootstrap};
use serde_json::{Value as Json, json};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server that ends with the test.
struct Server {
    child: Child,
    url: String,
}

fn program() -> PathBuf {
    std::env::var_os("FLAGFORGE_NATS_SERVER").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/nats/bin/nats-server"),
        PathBuf::from,
    )
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn server(port: u16, folder: &Path, arguments: &[&str]) -> Server {
    let program = program();
    assert!(program.exists(), "{} is not there: tests/api/nats brings it", program.display());
    let mut command = Command::new(program);
    command.args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--store_dir"]);
    command.arg(folder).args(arguments);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn();
    let url = format!("nats://127.0.0.1:{port}");
    let began = std::time::Instant::now();
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "nats-server does not listen");
        sleep(Duration::from_millis(50)).await;
    }
    Server { child: child.unwrap(), url }
}

struct House {
    platform: Platform,
    works: Works,
    _trust: flagforge_embedded::LocalTrust,
}

async fn house() -> House {
    let hands = Arc::new(Embedded::memory().unwrap());
    let trust = hands.ensure_trust().await.unwrap();
    let platform = hands.platform();
    let envs = [(EnvKey::new("prod").unwrap(), "Production")];
    bootstrap::home(&platform, &org(), "Home", &envs).await.unwrap();
    let works = Works::start(&platform, hands).await;
    House { platform, works, _trust: trust }
}

fn org() -> OrgKey {
    OrgKey::new("home").unwrap()
}

async fn commit(platform: &Platform, mut change: Json) {
    change["org"] = json!("home");
    let change: Change = serde_json::from_value(change).unwrap();
    let request = Request { reason: Some("told".to_owned()), ..Request::of(change, "test") };
    let outcome = platform.commit(&Caller::system("test"), &request).await.unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)));
}

async fn put_tenant(platform: &Platform, key: &str) {
    let tenant = TenantKey::new(key).unwrap();
    commit(platform, json!({"change": "put-tenant", "tenant": tenant, "uid": key, "name": key, "attributes": {"secret": "value"}})).await;
}

async fn flip(platform: &Platform) {
    let flag = FlagKey::new("cart").unwrap();
    let definition = json!({"class": "release", "type": "boolean"});
    commit(
        platform,
        json!({"change": "put-flag", "flag": flag, "uid": "u", "definition": definition}),
    )
    .await;
    commit(
        platform,
        json!({"change": "set-enabled", "env": "prod", "flag": flag, "enabled": true}),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_streams_passes_events_on() {
    let folder = tempfile::tempdir().unwrap();
    let nats = server(free_port(), folder.path(), &[]).await;
    let listener = async_nats::connect(&nats.url).await.unwrap();
    let mut heard = listener.subscribe("flagforge.>").await.unwrap();
    listener.flush().await.unwrap();
    let mut house = house().await;
    let sink = NatsSink::connect(&nats.url, None).await.unwrap();
    house.works.tell_events(&house.platform, Arc::new(sink));
    // What was before is not told.
    sleep(Duration::from_secs(1)).await;
    flip(&house.platform).await;
    for (subject, kind) in [
        ("flagforge.home._.flag.defined", "flag.defined"),
        ("flagforge.home.prod.flag.enabled", "flag.enabled"),
    ] {
        use futures_util::StreamExt as _;
        let message = timeout(PATIENCE, heard.next()).await.unwrap().unwrap();
        assert_eq!(message.subject.as_str(), subject);
        let headers = message.headers.unwrap();
        assert_eq!(headers.get("Content-Type").unwrap().as_str(), "application/cloudevents+json");
        let event: Json = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(
            (event["specversion"].as_str(), event["type"].as_str()),
            (Some("1.0"), Some(kind))
        );
        assert_eq!(headers.get("Nats-Msg-Id").unwrap().as_str(), event["id"].as_str().unwrap());
        assert_eq!(event["data"]["flag"], "cart");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_has_every_event_once_and_those_of_an_outage_too() {
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let subjects = vec!["flagforge.>".to_owned()];
    let config =
        jetstream::stream::Config { name: "CHANGES".into(), subjects, ..Default::default() };
    let mut first = server(port, folder.path(), &["--jetstream"]).await;
    let client = async_nats::connect(&first.url).await.unwrap();
    jetstream::new(client).create_stream(config).await.unwrap();
    first.child.kill().await.unwrap();
    // While the server is away events wait for it.
    let mut house = house().await;
    let sink = NatsSink::connect(&first.url, None).await.unwrap();
    house.works.tell_events(&house.platform, Arc::new(sink));
    sleep(Duration::from_secs(1)).await;
    for number in 0..20 {
        put_tenant(&house.platform, &format!("t-{number:02}")).await;
    }
    let nats = server(port, folder.path(), &["--jetstream"]).await;
    let streams = jetstream::new(async_nats::connect(&nats.url).await.unwrap());
    let stream = streams.get_stream("CHANGES").await.unwrap();
    let kept = async |wanted: u64| {
        let look = async {
            loop {
                let messages = stream.get_info().await.unwrap().state.messages;
                if messages >= wanted {
                    return messages;
                }
                sleep(Duration::from_millis(200)).await;
            }
        };
        timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("not {wanted} messages"))
    };
    assert_eq!(kept(20).await, 20);
    put_tenant(&house.platform, "t-20").await;
    assert_eq!(kept(21).await, 21);
    let last = stream.get_raw_message(21).await.unwrap();
    assert_eq!(last.subject.as_str(), "flagforge.home._.tenant.created");
    let event: Json = serde_json::from_slice(&last.payload).unwrap();
    assert_eq!(event["data"]["tenant"], "t-20");
    // Keys and no values.
    assert!(!String::from_utf8_lossy(&last.payload).contains("value"), "{event}");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused() {
    let error = NatsSink::connect("nats://[", None).await.unwrap_err();
    assert!(error.to_string().contains("address"), "{error}");
    let nowhere = Path::new("/nowhere/at.creds");
    let error = NatsSink::connect("nats://127.0.0.1", Some(nowhere)).await.unwrap_err();
    assert!(error.to_string().contains("credentials"), "{error}");
}
