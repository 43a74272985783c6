//! The relay as a program, with a collector that reads what it is sent as the standard's definitions have it. The messages are
//! declared here once more.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers with it")]

#[path = "../../sdk/rust/tests/it/kit.rs"]
mod kit;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use flagforge_flags::KeyKind;
use prost::Message;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use kit::{Publisher, directory, flag};

/// A trace that a caller began, and the span in it from which it asks.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

#[derive(Clone, PartialEq, Message)]
struct Exported {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes, tag = "1")]
    trace: Vec<u8>,
    #[prost(bytes, tag = "2")]
    id: Vec<u8>,
    #[prost(bytes, tag = "4")]
    parent: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<Attribute>,
    #[prost(message, repeated, tag = "11")]
    events: Vec<Event>,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "3")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(int64, optional, tag = "3")]
    number: Option<i64>,
}

fn named(attributes: &[Attribute]) -> BTreeMap<&str, Json> {
    let value = |value: &Value| match (&value.text, value.number) {
        (Some(text), _) => json!(text),
        (None, number) => json!(number),
    };
    let value = |attribute: &Attribute| attribute.value.as_ref().map_or(Json::Null, value);
    attributes.iter().map(|it| (it.name.as_str(), value(it))).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What was sent: each body, with the headers that it came with.
#[derive(Debug, Clone, Default)]
struct Collector(Arc<Mutex<Vec<(HeaderMap, Bytes)>>>);

impl Collector {
    /// Listens, and answers its address.
    async fn begin(&self) -> String {
        let take = async |State(Self(taken)): State<Self>, headers: HeaderMap, body: Bytes| {
            taken.lock().unwrap().push((headers, body));
        };
        let app = axum::Router::new().route("/v1/traces", post(take)).with_state(self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}")
    }

    fn spans(&self) -> Vec<(BTreeMap<String, Json>, Span)> {
        let Self(taken) = self;
        let mut spans = Vec::new();
        for (headers, body) in &*taken.lock().unwrap() {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            assert_eq!(headers["collector-key"], "of the collector");
            for part in Exported::decode(body.clone()).unwrap().resources {
                let of = part.resource.unwrap().attributes;
                let of: BTreeMap<String, Json> =
                    named(&of).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                let own = part.scopes.into_iter().flat_map(|scope| scope.spans);
                spans.extend(own.map(|span| (of.clone(), span)));
            }
        }
        spans
    }

    fn said(&self, text: &str) -> bool {
        let Self(taken) = self;
        let has = |body: &Bytes| body.windows(text.len()).any(|part| part == text.as_bytes());
        taken.lock().unwrap().iter().any(|(_, body)| has(body))
    }
}

struct Program {
    child: Child,
    address: String,
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended by itself where all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// The relay over a folder, with these settings and no other of OpenTelemetry's.
    fn begin(publisher: &Publisher, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flagforge-relay"));
        command.env_clear().env("FLAGFORGE_CONNECTION", publisher.connection());
        command.env("FLAGFORGE_LISTEN", "127.0.0.1:0").envs(settings.iter().copied());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let port = lines.by_ref().map(Result::unwrap).find_map(|line| {
            // The words of a log are colored, or not.
            let (_, rest) = line.contains("relaying").then(|| line.split_once("127.0.0.1:"))??;
            Some(rest.chars().take_while(char::is_ascii_digit).collect::<String>())
        });
        let address = format!("http://127.0.0.1:{}", port.unwrap());
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// Asks it to end, and waits until it has.
    async fn end(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let ended = spawn_blocking(move || self.child.wait().unwrap());
        let ended = timeout(Duration::from_secs(20), ended).await.unwrap().unwrap();
        assert!(ended.success(), "{ended}");
    }
}

/// Asks for one flag as somebody of `acme`, in the caller's trace.
async fn ask(program: &Program, key: &str, flag: &str) -> u16 {
    let context = json!({"context": {"targetingKey": "u-canary", "email": "canary@example.com"}});
    let request = reqwest::Client::new()
        .post(format!("{}/ofrep/v1/evaluate/flags/{flag}", program.address))
        .header("x-api-key", key)
        .header("flagforge-environment", "prod")
        .header("flagforge-tenant", "tenant-canary")
        .header("traceparent", format!("00-{TRACE}-{PARENT}-01"))
        .body(context.to_string());
    request.send().await.unwrap().status().as_u16()
}

fn world() -> (tempfile::TempDir, Publisher, String) {
    // This process asks the relay by HTTP, and where TLS is built in it has to say by whom.
    #[cfg(feature = "https")]
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    let key = publisher.key(KeyKind::Server, "k1", |_| {});
    let flags = [flag("new-dashboard", "boolean", true, false)];
    publisher.publish(&flags, &[directory("tenant-canary", &["new-dashboard"])]);
    (folder, publisher, key)
}

#[tokio::test]
async fn a_request_is_told_in_its_callers_trace_and_nothing_of_who_asked() {
    let (_folder, publisher, key) = world();
    let collector = Collector::default();
    let address = collector.begin().await;
    let program = Program::begin(
        &publisher,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &address),
            ("OTEL_EXPORTER_OTLP_HEADERS", "collector-key=of%20the%20collector"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
            // Nothing is sent before the end, so that the end has to send it.
            ("OTEL_BSP_SCHEDULE_DELAY", "600000"),
        ],
    );
    let (start, end) = key.split_at(key.len() - 1);
    let unknown = format!("{start}{}", if end == "a" { "b" } else { "a" });
    for (key, flag, status) in [
        (&key, "new-dashboard", 200),
        (&key, "no-such-flag", 404),
        (&unknown, "new-dashboard", 401),
    ] {
        assert_eq!(ask(&program, key, flag).await, status);
    }
    reqwest::get(format!("{}/healthz", program.address)).await.unwrap();
    program.end().await;

    let spans = collector.spans();
    let route = "/ofrep/v1/evaluate/flags/{*key}";
    let mut told = Vec::new();
    for (of, span) in &spans {
        assert_eq!(of["service.name"], "flagforge-relay");
        assert_eq!(of["deployment.environment.name"], "test");
        assert!(!span.name.contains("healthz"), "{span:?}");
        if span.name != format!("POST {route}") {
            continue;
        }
        // In the caller's trace, from the span that asked, as a server's.
        assert_eq!(
            (hexadecimal(&span.trace), hexadecimal(&span.parent), span.kind),
            (TRACE.into(), PARENT.into(), 2)
        );
        assert_eq!((span.id.len(), span.id == span.parent), (8, false));
        let attributes = named(&span.attributes);
        assert_eq!(
            (&attributes["http.request.method"], &attributes["http.route"]),
            (&json!("POST"), &json!(route))
        );
        let place = (
            attributes.get("flagforge.organization").cloned(),
            attributes.get("flagforge.environment").cloned(),
        );
        let events: Vec<_> =
            span.events.iter().map(|it| (it.name.as_str(), named(&it.attributes))).collect();
        told.push((attributes["http.response.status_code"].clone(), place, events));
    }
    let here = (Some(&json!("demo")), Some(&json!("prod")));
    let event = |attributes: Json| {
        let attributes = attributes.as_object().unwrap().clone();
        let shared =
            json!({"feature_flag.provider.name": "flagforge", "feature_flag.set.id": "demo/prod"});
        let all = attributes.into_iter().chain(shared.as_object().unwrap().clone());
        Json::Object(all.collect())
    };
    let told = json!(told);
    let wanted = json!([
        [
            200,
            here,
            [[
                "feature_flag.evaluation",
                event(json!({
                    "feature_flag.key": "new-dashboard", "feature_flag.result.variant": "on",
                    "feature_flag.result.reason": "targeting_match", "feature_flag.version": "3",
                }))
            ]]
        ],
        [
            404,
            here,
            [[
                "feature_flag.evaluation",
                event(json!({
                    "feature_flag.key": "no-such-flag", "feature_flag.result.reason": "error", "error.type": "flag_not_found",
                }))
            ]]
        ],
        [401, [null, null], []],
    ]);
    assert_eq!(told, wanted);
    // What was loaded at the beginning, in a trace of its own.
    let load = spans.iter().map(|(_, span)| span).find(|span| span.name == "load").unwrap();
    assert!(load.parent.is_empty() && hexadecimal(&load.trace) != TRACE);
    assert_eq!(named(&load.attributes)["flagforge.organization"], "demo");
    for canary in ["canary@", "u-canary", "tenant-canary", key.as_str(), &key[key.len() - 12..]] {
        assert!(!collector.said(canary), "{canary} is in a trace");
    }
}

#[tokio::test]
async fn a_ratio_is_kept_and_nothing_is_sent_where_nobody_listens_is_named() {
    let (_folder, publisher, key) = world();
    let collector = Collector::default();
    let address = collector.begin().await;
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "collector-key=of%20the%20collector");
    let to = ("OTEL_EXPORTER_OTLP_ENDPOINT", address.as_str());
    for settings in [
        // Of none, whatever the caller has decided.
        vec![
            to,
            headers,
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0"),
        ],
        vec![to, headers, ("OTEL_SDK_DISABLED", "true")],
        vec![to, headers, ("OTEL_TRACES_EXPORTER", "none")],
        vec![headers],
    ] {
        let program = Program::begin(&publisher, &settings);
        assert_eq!(ask(&program, &key, "new-dashboard").await, 200);
        program.end().await;
        assert_eq!(collector.spans().len(), 0, "{settings:?}");
    }
    // A collector that is gone costs a relay nothing.
    let nobody = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    let program = Program::begin(&publisher, &[nobody, ("OTEL_BSP_SCHEDULE_DELAY", "50")]);
    for _ in 0..20 {
        assert_eq!(ask(&program, &key, "new-dashboard").await, 200);
    }
    program.end().await;
}
