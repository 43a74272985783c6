//! OFREP's event stream: who may listen, what is told, and when it ends.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use flagforge_flags::time::Timestamp;
use flagforge_flags::{AccessKey, KeyKind};
use flagforge_relay::{Config, app, app_without_streams};
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};
use tower::ServiceExt;

use crate::kit::{SECRET, ago, boolean, directory, edited, now, tenant};
use crate::world::{Reply, World, call, publish, relay};

const ALL: &str = "/ofrep/v1/evaluate/flags";
const SOON: Duration = Duration::from_secs(5);

async fn ask(app: &Router, key: &str, tenant: &str, query: &str) -> Reply {
    let mut headers = vec![("x-api-key", key), ("flagforge-environment", "prod")];
    headers.extend((!tenant.is_empty()).then_some(("flagforge-tenant", tenant)));
    call(app, "POST", &format!("{ALL}{query}"), &headers, "{\"context\":{}}").await
}

/// The address of the stream in an answer.
async fn address(app: &Router, key: &str, tenant: &str) -> String {
    let reply = ask(app, key, tenant, "").await.json();
    reply["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap().to_owned()
}

async fn open(app: &Router, address: &str, last: &str) -> Result<Events, Reply> {
    let mut request = Request::builder().uri(address);
    if !last.is_empty() {
        request = request.header("Last-Event-ID", last);
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    assert_eq!(parts.headers["access-control-allow-origin"], "*");
    if parts.status != StatusCode::OK {
        let bytes = axum::body::to_bytes(body, 1 << 16).await.unwrap().to_vec();
        return Err(Reply { status: parts.status, headers: parts.headers, bytes });
    }
    assert_eq!(parts.headers["content-type"], "text/event-stream");
    assert_eq!(parts.headers["cache-control"], "private, no-store");
    let mut events = Events { body, hello: String::new() };
    events.hello = events.next().await.unwrap();
    Ok(events)
}

struct Events {
    body: Body,
    /// What is said at first: where the client stands, and when it may come back.
    hello: String,
}

impl Events {
    /// The next thing said, comments included; `None`: the stream ended.
    async fn next(&mut self) -> Option<String> {
        let frame = tokio::time::timeout(SOON, self.body.frame()).await.unwrap();
        let bytes = frame?.unwrap().into_data().unwrap();
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// The next event: its id and its data.
    async fn event(&mut self) -> (String, Json) {
        let text = self.next().await.unwrap();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').trim_start().to_owned()
        };
        assert_eq!(field("event"), "message", "{text}");
        (field("id"), serde_json::from_str(&field("data")).unwrap())
    }

    async fn is_silent(&mut self, long: Duration) -> bool {
        tokio::time::timeout(long, self.body.frame()).await.is_err()
    }
}

async fn flip(world: &mut World, theme: &str) {
    publish(&mut world.publisher, theme);
    world.relay.notify(&world.publisher.org, &world.publisher.env).await;
}

#[tokio::test]
async fn a_flip_is_told_and_what_is_asked_then_is_as_new() {
    let mut world = World::new();
    let first = ask(&world.app, &world.server, "acme", "").await.json();
    let streams = first["eventStreams"].as_array().unwrap();
    assert_eq!((streams.len(), &streams[0]["type"]), (1, &json!("sse")));
    assert_eq!(streams[0]["inactivityDelaySec"], json!(120));
    assert_eq!(streams[0].get("url"), None, "clients take the origin that they asked");
    let address = address(&world.app, &world.server, "acme").await;
    let mut events = open(&world.app, &address, "").await.ok().unwrap();
    assert!(
        events.hello.contains("id: 1.1.1.0\n") && events.hello.contains("retry: "),
        "{}",
        events.hello
    );
    assert!(!events.hello.contains("data"), "it is no event");
    assert!(events.is_silent(Duration::from_millis(100)).await);
    flip(&mut world, "black").await;
    let (id, data) = events.event().await;
    assert_eq!((id.as_str(), &data["type"]), ("1.1.2.0", &json!("refetchEvaluation")));
    assert_eq!(data["etag"], json!(id));
    let modified = data["lastModified"].as_i64().unwrap();
    assert_eq!(modified, world.publisher.issued.as_seconds());
    let query = format!("?flagConfigEtag={id}&flagConfigLastModified={modified}");
    let again = ask(&world.app, &world.server, "acme", &query).await.json();
    assert_eq!(again["metadata"]["revision"], "1.2");
    assert!(events.is_silent(Duration::from_millis(100)).await, "it is told once");
}

#[tokio::test]
async fn what_was_missed_is_told_at_once() {
    let mut world = World::new();
    let address = address(&world.app, &world.server, "acme").await;
    flip(&mut world, "black").await;
    // Between the answer and the stream.
    let mut events = open(&world.app, &address, "").await.ok().unwrap();
    assert_eq!(events.event().await.0, "1.1.2.0");
    // While it was away, whatever its address says.
    let mut events = open(&world.app, &address, "1.1.1.0").await.ok().unwrap();
    assert_eq!(events.event().await.0, "1.1.2.0");
    let mut events = open(&world.app, &address, "1.1.2.0").await.ok().unwrap();
    assert!(events.is_silent(Duration::from_millis(100)).await);
    // A relay that knows less than the client says nothing until it knows more.
    let mut ahead = open(&world.app, &address, "1.1.3.0").await.ok().unwrap();
    assert!(ahead.is_silent(Duration::from_millis(100)).await);
    flip(&mut world, "white").await;
    assert_eq!(events.event().await.0, "1.1.3.0");
    assert!(ahead.is_silent(Duration::from_millis(100)).await);
    flip(&mut world, "gray").await;
    assert_eq!(ahead.event().await.0, "1.1.4.0");
}

#[tokio::test]
async fn an_override_that_ends_by_itself_is_told_when_it_does() {
    let mut world = World::new();
    let ends = now().plus(Duration::from_millis(800));
    let acme = json!({"uid": "u", "overrides": {"f": {"variant": "on", "expires": ends}}});
    let acme = (tenant("acme"), serde_json::from_value(acme).unwrap());
    world.publisher.publish(&[boolean("f")], &[acme, directory("globex", &[])]);
    world.relay.notify(&world.publisher.org, &world.publisher.env).await;
    let before = ask(&world.app, &world.server, "acme", "").await.json();
    assert_eq!(before["flags"][0]["value"], json!(true));
    let ours = address(&world.app, &world.server, "acme").await;
    let theirs = address(&world.app, &world.server, "globex").await;
    let mut events = open(&world.app, &ours, "").await.ok().unwrap();
    let mut others = open(&world.app, &theirs, "").await.ok().unwrap();
    let (id, data) = events.event().await;
    assert!(now() >= ends && id == format!("1.1.2.{}", ends.as_millis()), "{id}");
    assert_eq!(data["lastModified"], json!(ends.as_seconds()));
    let after = ask(&world.app, &world.server, "acme", &format!("?flagConfigEtag={id}")).await;
    assert_eq!(after.json()["flags"][0]["value"], json!(false));
    assert!(others.is_silent(Duration::from_millis(200)).await, "it is acme's alone");
    // Whoever was away then is told, too.
    let mut late = open(&world.app, &ours, "1.1.2.0").await.ok().unwrap();
    assert_eq!(late.event().await.0, id);
}

#[tokio::test]
async fn a_ramp_is_told_step_by_step() {
    let mut world = World::new();
    // The first of its two steps comes in 600 ms.
    let begun = Timestamp::from_millis(now().as_millis() - 60_000);
    let ramp = edited("ramp", "boolean", true, false, |wire| {
        wire["state"]["fallthrough"] = json!({"ramp": {
            "unit": "user.key", "salt": "s", "hash": "xxh3", "buckets": 100, "variant": "on", "rest": "off",
            "from": 0, "until": 100, "start": begun, "end": begun.plus(Duration::from_millis(121_200)), "steps": 2,
        }});
    });
    world.publisher.publish(&[ramp], &[directory("acme", &[])]);
    world.relay.notify(&world.publisher.org, &world.publisher.env).await;
    let address = address(&world.app, &world.server, "acme").await;
    let mut events = open(&world.app, &address, "").await.ok().unwrap();
    let step = begun.plus(Duration::from_millis(60_600));
    assert_eq!(events.event().await.0, format!("1.1.2.{}", step.as_millis()));
}

#[tokio::test]
async fn a_stream_beats_and_ends_so_that_its_client_comes_again() {
    let world = World::new();
    let config = |config: &mut Config| {
        config.heartbeat = Duration::from_millis(100);
        config.max_stream_age = Duration::from_millis(500);
    };
    let relay = relay(&world.publisher, config);
    let app = app(Arc::clone(&relay));
    let address = address(&app, &world.server, "acme").await;
    let begun = Instant::now();
    let mut events = open(&app, &address, "").await.ok().unwrap();
    let mut said = Vec::new();
    while let Some(text) = events.next().await {
        said.push(text);
    }
    assert!(begun.elapsed() >= Duration::from_millis(375), "{:?}", begun.elapsed());
    assert!(said.len() > 2 && said[0] == ": heartbeat\n\n", "{said:?}");
    assert_eq!(said.last().unwrap(), "retry: 200\n\n", "back at once, with the leave it has");
    assert!(open(&app, &address, "1.1.1.0").await.is_ok());
    // One that ends because the relay does leaves each client its own time to come back.
    let mut events = open(&app, &address, "").await.ok().unwrap();
    relay.close();
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_revoked_key_ends_its_streams_and_its_leaves() {
    let (mut web, mut short) = (String::new(), String::new());
    let ends = now().plus(Duration::from_millis(900));
    let mut world = World::with(|publisher| {
        web = publisher.key(KeyKind::Client, "web", |_| {});
        short = publisher.key(KeyKind::Client, "short", |wire| wire.expires = Some(ends));
    });
    let (of_web, of_short) =
        (address(&world.app, &web, "acme").await, address(&world.app, &short, "acme").await);
    let mut events = open(&world.app, &of_web, "").await.ok().unwrap();
    let mut short = open(&world.app, &of_short, "").await.ok().unwrap();
    assert_eq!(short.next().await, None, "its key has expired");
    assert!(now() >= ends);
    assert!(events.is_silent(Duration::from_millis(50)).await);
    world.publisher.keys.retain(|(id, _)| !id.ends_with("web"));
    flip(&mut world, "dark").await;
    assert_eq!(events.next().await, None, "not even that something changed");
    for address in [of_web, of_short] {
        let refused = open(&world.app, &address, "").await.err().unwrap();
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_leave_is_one_tenants_and_nobody_makes_one() {
    let mut bound = String::new();
    let world = World::with(|publisher| {
        bound = publisher.key(KeyKind::Client, "bound", |wire| wire.tenant = Some(tenant("acme")));
        publisher.key(KeyKind::Client, "old", |wire| wire.expires = Some(ago(SOON)));
    });
    let good = address(&world.app, &bound, "").await;
    assert_eq!(good, address(&world.app, &bound, "").await, "a client keeps its stream");
    // Another relay of the same environment takes it, and one that was started again.
    let other = app(relay(&world.publisher, |_| {}));
    assert!(open(&other, &good, "").await.is_ok());
    let (start, leave) = good.split_once("&leave=").unwrap();
    let (claims, signature) = leave.split_once('.').unwrap();
    let of_another = address(&world.app, &world.server, "globex").await;
    let (_, others) = of_another.split_once("&leave=").unwrap();
    let (other_claims, other_signature) = others.split_once('.').unwrap();
    let mut bodies = Vec::new();
    for forged in [
        String::new(),
        ".".to_owned(),
        "e30.AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        claims.to_owned(),
        format!("{claims}."),
        format!("{claims}.AAAAAAAAAAAAAAAAAAAAAA"),
        format!("{claims}.{}", &signature[..20]),
        format!("{claims}.{other_signature}"),
        format!("{other_claims}.{signature}"),
        format!("{}.{signature}", claims.replace('W', "X")),
    ] {
        let refused = open(&world.app, &format!("{start}&leave={forged}"), "").await.err().unwrap();
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{forged}");
        bodies.push(refused.bytes);
    }
    for bare in ["/ofrep/v1/stream", "/ofrep/v1/stream?since=1.1.1.0", "/ofrep/v1/stream?leave=%ff"]
    {
        bodies.push(open(&world.app, bare, "").await.err().unwrap().bytes);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "refusals differ");
    // A key in a header is none here.
    let key = AccessKey::parse(&world.server).unwrap();
    assert!(!good.contains(key.id()) && !good.contains(SECRET));
}

#[tokio::test]
async fn streams_are_bounded_and_functions_have_none() {
    let world = World::new();
    let one = app(relay(&world.publisher, |config| config.max_streams = 1));
    let place = address(&one, &world.server, "acme").await;
    let held = open(&one, &place, "").await.ok().unwrap();
    let full = open(&one, &place, "").await.err().unwrap();
    assert_eq!((full.status, full.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    drop(held);
    assert!(open(&one, &place, "").await.is_ok());
    let none = app(relay(&world.publisher, |config| config.max_streams = 0));
    let function = app_without_streams(relay(&world.publisher, |_| {}));
    for app in [none, function.clone()] {
        let reply = ask(&app, &world.server, "acme", "").await;
        assert_eq!(reply.json().get("eventStreams"), None);
    }
    let gone = call(&function, "GET", &place, &[], "").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn who_was_told_of_a_newer_configuration_is_answered_by_none_older() {
    let mut world = World::new();
    assert_eq!(ask(&world.app, &world.server, "acme", "").await.status, StatusCode::OK);
    // Another relay was told of the flip; this one was not.
    publish(&mut world.publisher, "black");
    let behind = ask(&world.app, &world.server, "acme", "").await.json();
    assert_eq!(behind["metadata"]["revision"], "1.1");
    let reply = ask(&world.app, &world.server, "acme", "?flagConfigEtag=1.1.2.0").await;
    assert_eq!(reply.json()["metadata"]["revision"], "1.2");
    // What never comes is not waited for for ever, and nothing older is given out for it.
    let begun = Instant::now();
    let never = ask(&world.app, &world.server, "acme", "?flagConfigEtag=1.1.9.0").await;
    assert_eq!((never.status, never.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    assert!((1..4).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    // Tags that are none of ours say nothing.
    for tag in ["abc123", "", "1.2", "%22x%22", "99999999999999999999.1.1.0", "a&flagConfigEtag=b"]
    {
        let reply = ask(&world.app, &world.server, "acme", &format!("?flagConfigEtag={tag}")).await;
        assert_eq!(reply.status, StatusCode::OK, "{tag}");
    }
}

/// Everything that is logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_that_is_logged_has_a_leave_in_it() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut world = World::new();
    let address = address(&world.app, &world.server, "acme").await;
    let mut events = open(&world.app, &address, "").await.ok().unwrap();
    flip(&mut world, "black").await;
    events.event().await;
    let refused = open(&world.app, &address.replace("leave=", "leave=x"), "").await;
    assert!(refused.is_err());
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let (_, leave) = address.split_once("leave=").unwrap();
    assert!(log.contains("announcing a root"), "something is logged: {log}");
    assert!(!log.contains(leave) && !log.contains(&leave[..20]), "{log}");
}

#[tokio::test]
async fn a_configuration_that_becomes_stale_is_told_and_that_it_no_longer_is() {
    let mut world = World::new();
    let stale = edited("f", "boolean", true, false, |wire| {
        let serve = json!({"serve": {"variant": "on"}});
        wire["state"]["stale"] = json!({"afterSeconds": 1, "then": serve});
    });
    world.publisher.publish(&[stale], &[directory("acme", &[])]);
    let app = app(relay(&world.publisher, |config| config.poll = Duration::from_millis(100)));
    let answer = async |query: &str| {
        ask(&app, &world.server, "acme", query).await.json()["flags"][0].clone()
    };
    assert_eq!(answer("").await["value"], json!(false));
    let address = address(&app, &world.server, "acme").await;
    let mut events = open(&app, &address, "").await.ok().unwrap();
    let (here, away) = (world.folder.path().join("demo"), world.folder.path().join("away"));
    std::fs::rename(&here, &away).unwrap();
    let (became, _) = events.event().await;
    let old = answer(&format!("?flagConfigEtag={became}")).await;
    assert_eq!(
        (&old["value"], &old["reason"], &old["metadata"]["stale"]),
        (&json!(true), &json!("UNKNOWN"), &json!(true))
    );
    std::fs::rename(&away, &here).unwrap();
    let (again, _) = events.event().await;
    assert_ne!(again, became);
    assert_eq!(answer(&format!("?flagConfigEtag={again}")).await["value"], json!(false));
}
