//! flagd's evaluation protocol, called as gRPC calls are made. The messages are declared here once more.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use flagforge_flags::KeyKind;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_relay::app;
use http_body_util::BodyExt as _;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::kit::{directory, edited, flag};
use crate::world::{World, relay};

pub(crate) const INVALID_ARGUMENT: &str = "3";
const NOT_FOUND: &str = "5";
pub(crate) const RESOURCE_EXHAUSTED: &str = "8";
const FAILED_PRECONDITION: &str = "9";
pub(crate) const UNAVAILABLE: &str = "14";
pub(crate) const UNAUTHENTICATED: &str = "16";

#[derive(Clone, PartialEq, Message)]
struct Ask {
    #[prost(string, tag = "1")]
    flag: String,
    #[prost(message, optional, tag = "2")]
    context: Option<Struct>,
}

#[derive(Clone, PartialEq, Message)]
struct Bool {
    #[prost(bool, optional, tag = "1")]
    value: Option<bool>,
    #[prost(string, tag = "2")]
    reason: String,
    #[prost(string, optional, tag = "3")]
    variant: Option<String>,
    #[prost(message, optional, tag = "4")]
    metadata: Option<Struct>,
}

#[derive(Clone, PartialEq, Message)]
struct Double {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct All {
    #[prost(map = "string, bytes", tag = "1")]
    flags: std::collections::HashMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(message, optional, tag = "2")]
    data: Option<Struct>,
}

fn ask(flag: &str, context: &[(&str, &str)]) -> Ask {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let fields = context.iter().map(|(name, value)| ((*name).to_owned(), text(value)));
    Ask { flag: flag.to_owned(), context: Some(Struct { fields: fields.collect() }) }
}

pub(crate) async fn opened(
    world: &World,
    method: &str,
    headers: &[(&str, &str)],
    asked: &impl Message,
) -> Response {
    let length = u32::try_from(asked.encoded_len()).unwrap();
    let frame = [&[0], length.to_be_bytes().as_slice(), &asked.encode_to_vec()].concat();
    let mut request = Request::post(format!("/flagd.{method}"));
    request = request.header("content-type", "application/grpc").header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.app.clone().oneshot(request.body(Body::from(frame)).unwrap()).await.unwrap()
}

/// The next message, or the status that the call ended with.
pub(crate) async fn next<A: Message + Default>(response: &mut Response) -> Result<A, String> {
    let status = |headers: &axum::http::HeaderMap| {
        headers.get("grpc-status").map(|status| status.to_str().unwrap().to_owned())
    };
    if let Some(status) = status(response.headers()) {
        return Err(status);
    }
    let frame = timeout(Duration::from_secs(5), response.body_mut().frame()).await.unwrap();
    match frame.unwrap().unwrap().into_data() {
        Ok(data) => Ok(A::decode(&data[5..]).unwrap()),
        Err(trailers) => Err(status(trailers.trailers_ref().unwrap()).unwrap()),
    }
}

pub(crate) async fn call<A: Message + Default>(
    world: &World,
    method: &str,
    selector: &str,
    asked: &impl Message,
) -> Result<A, String> {
    next(&mut opened(world, method, &[("flagd-selector", selector)], asked).await).await
}

pub(crate) fn of(world: &World, tenant: &str) -> String {
    format!("key={}/tenant={tenant}/environment=prod", world.server)
}

#[tokio::test]
async fn a_tenant_is_answered_in_both_versions_and_never_with_static() {
    let world = World::new();
    for version in ["v1", "v2"] {
        let method = format!("evaluation.{version}.Service/ResolveBoolean");
        for (tenant, variant) in [("acme", "on"), ("globex", "off")] {
            let asked = ask("new-dashboard", &[("targetingKey", "u-1")]);
            let told: Bool = call(&world, &method, &of(&world, tenant), &asked).await.unwrap();
            assert_eq!(
                (told.value, told.variant.as_deref()),
                (Some(variant == "on"), Some(variant))
            );
            assert_ne!(told.reason, "STATIC");
            let metadata = told.metadata.unwrap().fields;
            assert_eq!(metadata["tenantKnown"].kind, Some(Kind::BoolValue(true)));
        }
    }
    // The caller's own default: no value, no variant.
    let own = ask("own-default", &[]);
    let told: Bool =
        call(&world, "evaluation.v2.Service/ResolveBoolean", &of(&world, "acme"), &own)
            .await
            .unwrap();
    assert_eq!((told.value, told.variant, told.reason.as_str()), (None, None, "DEFAULT"));
    // Integers and numbers, for languages that have one type of numbers.
    for (flag, value) in [("seats", 100.0), ("rate", 1.0)] {
        let told: Double = call(
            &world,
            "evaluation.v2.Service/ResolveFloat",
            &of(&world, "acme"),
            &ask(flag, &[]),
        )
        .await
        .unwrap();
        assert_eq!(told.value, Some(value), "{flag}");
    }
}

#[tokio::test]
async fn what_is_wrong_has_its_code() {
    let world = World::new();
    let method = "evaluation.v2.Service/ResolveBoolean";
    let acme = of(&world, "acme");
    let other = format!("key={}/environment=prod", world.server);
    for (selector, asked, code) in [
        (acme.as_str(), ask("no-such-flag", &[]), NOT_FOUND),
        (&acme, ask("", &[]), NOT_FOUND),
        (&acme, ask("theme", &[]), INVALID_ARGUMENT),
        (&acme, ask("by-user", &[]), FAILED_PRECONDITION),
        (&acme, ask("new-dashboard", &[("tenant", "globex")]), INVALID_ARGUMENT),
        (&other, ask("new-dashboard", &[]), INVALID_ARGUMENT),
        ("flagSetId=x", ask("new-dashboard", &[]), INVALID_ARGUMENT),
        ("", ask("new-dashboard", &[]), UNAUTHENTICATED),
        ("key=nonsense", ask("new-dashboard", &[]), UNAUTHENTICATED),
    ] {
        let told = call::<Bool>(&world, method, selector, &asked).await;
        assert_eq!(told.unwrap_err(), code, "{asked:?}");
    }
}

#[tokio::test]
async fn a_clients_key_sees_what_clients_may_see() {
    let mut client = String::new();
    let world = World::with(|publisher| {
        client = publisher.key(KeyKind::Client, "k2", |_| {});
    });
    let selector = format!("key={client}/tenant=acme/environment=prod");
    let told = call::<Bool>(
        &world,
        "evaluation.v1.Service/ResolveBoolean",
        &selector,
        &ask("broken", &[]),
    )
    .await;
    assert_eq!(told.unwrap_err(), NOT_FOUND);
    let told =
        call::<All>(&world, "evaluation.v1.Service/ResolveAll", &selector, &Struct::default())
            .await
            .unwrap();
    assert_eq!(told.flags.into_keys().collect::<Vec<_>>(), ["visible"]);
    let told = call::<All>(
        &world,
        "evaluation.v1.Service/ResolveAll",
        &of(&world, "acme"),
        &Struct::default(),
    )
    .await
    .unwrap();
    assert!(told.flags.contains_key("limits") && !told.flags.contains_key("broken"));
}

#[tokio::test]
async fn who_asks_too_often_is_told_so() {
    let mut world = World::new();
    world.app = app(relay(&world.publisher, |config| config.requests_per_second_of_a_tenant = 1));
    let selector = of(&world, "acme");
    let mut codes = Vec::new();
    for _ in 0..6 {
        let told = call::<Bool>(
            &world,
            "evaluation.v2.Service/ResolveBoolean",
            &selector,
            &ask("visible", &[]),
        )
        .await;
        codes.push(told.err());
    }
    assert_eq!(codes[..5], [const { None }; 5]);
    assert_eq!(codes[5].as_deref(), Some(RESOURCE_EXHAUSTED));
}

#[tokio::test]
async fn a_stream_tells_which_flags_changed_until_the_relay_closes() {
    let mut world = World::new();
    let headers = [("flagd-selector", of(&world, "acme"))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut stream =
        opened(&world, "evaluation.v2.Service/EventStream", &headers, &Struct::default()).await;
    let mut strange =
        opened(&world, "evaluation.v1.Service/EventStream", &[], &Struct::default()).await;
    for stream in [&mut stream, &mut strange] {
        assert_eq!(next::<Event>(stream).await.unwrap().kind, "provider_ready");
    }
    // One flag that is another, one that is the same, and the rest gone.
    let theme = edited("theme", "string", "darker", "light", |wire| wire["version"] = 7.into());
    let flags = [theme, flag("seats", "integer", 100, 1)];
    world.publisher.publish(&flags, &[directory("acme", &["seats"])]);
    world.relay.notify(&OrgKey::new("demo").unwrap(), &EnvKey::new("prod").unwrap()).await;
    let told: Event = next(&mut stream).await.unwrap();
    assert_eq!(told.kind, "configuration_change");
    let Some(Kind::StructValue(flags)) = &told.data.unwrap().fields["flags"].kind else {
        panic!("flags")
    };
    assert!(["theme", "rate"].iter().all(|key| flags.fields.contains_key(*key)), "{flags:?}");
    assert!(!flags.fields.contains_key("seats"), "{flags:?}");
    // Whoever shows no key is told nothing of it.
    world.relay.close();
    for stream in [&mut stream, &mut strange] {
        assert_eq!(next::<Event>(stream).await.unwrap_err(), UNAVAILABLE);
    }
}

#[tokio::test]
async fn strangers_have_few_places_and_take_none_of_others() {
    let mut world = World::new();
    world.relay = relay(&world.publisher, |config| {
        (config.max_streams, config.max_streams_of_strangers) = (1, 2);
    });
    world.app = app(world.relay.clone());
    let mut open = Vec::new();
    for place in 0..3 {
        let mut stream =
            opened(&world, "evaluation.v2.Service/EventStream", &[], &Struct::default()).await;
        let told = next::<Event>(&mut stream).await;
        assert_eq!(told.is_ok(), place < 2, "{told:?}");
        open.push(stream);
    }
    let headers = [("flagd-selector", of(&world, "acme"))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut stream =
        opened(&world, "evaluation.v2.Service/EventStream", &headers, &Struct::default()).await;
    assert!(next::<Event>(&mut stream).await.is_ok());
}

#[tokio::test]
async fn who_does_not_finish_asking_is_not_waited_for() {
    let world = World::new();
    // What is loaded is loaded while the clock goes.
    assert_eq!(world.evaluate("theme", "acme", serde_json::json!({})).await.status, 200);
    tokio::time::pause();
    for method in ["evaluation.v1.Service/ResolveBoolean", "evaluation.v1.Service/EventStream"] {
        let first = futures_util::stream::iter([Ok::<_, std::io::Error>(vec![0, 0, 0])]);
        let slow = futures_util::StreamExt::chain(first, futures_util::stream::pending());
        let request = Request::post(format!("/flagd.{method}"));
        let request = request.header("content-type", "application/grpc").header("te", "trailers");
        let began = tokio::time::Instant::now();
        let asked = request.body(Body::from_stream(slow)).unwrap();
        let answer = world.app.clone().oneshot(asked).await.unwrap();
        // DEADLINE_EXCEEDED.
        assert_eq!(answer.headers().get("grpc-status").unwrap(), "4", "{method}");
        assert_eq!(began.elapsed().as_secs(), 15, "{method}");
    }
}
