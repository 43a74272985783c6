//! flagd's sync protocol: what is exported is what is answered at the other doors, and is told again when it is another.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use axum::response::Response;
use flagforge_flags::KeyKind;
use flagforge_flags::keys::TenantKey;
use flagforge_flags::wire::{FlagWire, SegmentWire, TenantWire};
use flagforge_relay::{Config, app};
use prost::Message;
use serde_json::{Map, Value as Json, json};
use tokio::time::timeout;

use crate::flagd::{INVALID_ARGUMENT, UNAUTHENTICATED, UNAVAILABLE, call, next, of, opened};
use crate::kit::{ago, directory, edited, flag, now, tenant};
use crate::world::{World, relay};

const SYNC: &str = "sync.v1.FlagSyncService/SyncFlags";
const FETCH: &str = "sync.v1.FlagSyncService/FetchAllFlags";
const UNIMPLEMENTED: &str = "12";

#[derive(Clone, PartialEq, Message)]
struct Select {
    #[prost(string, tag = "1")]
    provider: String,
    #[prost(string, tag = "2")]
    selector: String,
}

#[derive(Clone, PartialEq, Message)]
struct Told {
    #[prost(string, tag = "1")]
    flags: String,
    #[prost(bytes, optional, tag = "2")]
    context: Option<Vec<u8>>,
}

impl Told {
    /// The definitions, of a document that has nothing else.
    fn flags(self) -> Map<String, Json> {
        assert_eq!(self.context, None);
        let Json::Object(mut document) = serde_json::from_str(&self.flags).unwrap() else {
            panic!("{}", self.flags)
        };
        let Some(Json::Object(flags)) = document.remove("flags") else { panic!("{document:?}") };
        assert!(document.is_empty(), "{document:?}");
        flags
    }
}

async fn fetched(world: &World, selector: &str) -> Result<Map<String, Json>, String> {
    call::<Told>(world, FETCH, selector, &Select::default()).await.map(Told::flags)
}

async fn synced(world: &World, selector: &str) -> Response {
    opened(world, SYNC, &[("flagd-selector", selector)], &Select::default()).await
}

async fn told(stream: &mut Response) -> Map<String, Json> {
    next::<Told>(stream).await.unwrap().flags()
}

/// What a provider makes of a definition without targeting: the variant and the value of everybody.
fn answer(definition: &Json) -> (Option<&str>, Option<&Json>) {
    assert_eq!(definition["state"], "ENABLED");
    assert_eq!(definition.get("targeting"), None);
    let variant = definition["defaultVariant"].as_str();
    let value = variant.map(|variant| &definition["variants"][variant]);
    assert_ne!(value, Some(&Json::Null));
    (variant, value)
}

#[tokio::test]
async fn a_tenants_flags_are_told_whole() {
    let world = World::new();
    for (name, variant, theme, seats, rate) in
        [("acme", "on", "dark", 100, json!(1.0)), ("globex", "off", "light", 1, json!(0.25))]
    {
        let flags = fetched(&world, &of(&world, name)).await.unwrap();
        let keys: Vec<&str> = flags.keys().map(String::as_str).collect();
        // Not those that ask about the user or a device, nor the one that is broken.
        let all = ["limits", "new-dashboard", "own-default", "rate", "seats", "theme", "visible"];
        assert_eq!(keys, all);
        for (key, value) in [
            ("new-dashboard", json!(variant == "on")),
            ("theme", json!(theme)),
            ("seats", json!(seats)),
            ("rate", rate.clone()),
        ] {
            assert_eq!(answer(&flags[key]), (Some(variant), Some(&value)), "{key}");
            // What others have is nobody's business.
            assert_eq!(flags[key]["variants"].as_object().unwrap().len(), 1, "{key}");
        }
        assert_eq!(answer(&flags["own-default"]), (None, None));
        assert_eq!(flags["own-default"]["variants"].as_object().unwrap().len(), 1);
        let metadata = &flags["theme"]["metadata"];
        assert_eq!(
            metadata["fineReason"],
            if variant == "on" { "TENANT_OVERRIDE" } else { "FALLTHROUGH" }
        );
    }
}

#[tokio::test]
async fn who_may_not_ask_is_told_nothing() {
    let mut client = String::new();
    let world = World::with(|publisher| {
        client = publisher.key(KeyKind::Client, "k2", |wire| wire.tenant = Some(tenant("acme")));
        publisher
            .key(KeyKind::Client, "old", |wire| wire.expires = Some(ago(Duration::from_secs(9))));
    });
    let flags = fetched(&world, &format!("key={client}/environment=prod")).await.unwrap();
    assert_eq!(flags.keys().collect::<Vec<_>>(), ["visible"]);
    for (selector, code) in [
        (String::new(), UNAUTHENTICATED),
        ("tenant=acme/environment=prod".to_owned(), UNAUTHENTICATED),
        (format!("key={}/environment=prod", world.server), INVALID_ARGUMENT),
        (format!("key={client}/environment=prod/tenant=globex"), INVALID_ARGUMENT),
        ("flagSetId=x".to_owned(), INVALID_ARGUMENT),
    ] {
        assert_eq!(fetched(&world, &selector).await.unwrap_err(), code, "{selector}");
        let refused = next::<Told>(&mut synced(&world, &selector).await).await;
        assert_eq!(refused.unwrap_err(), code, "{selector}");
    }
    // A selector in the request alone, as older providers send it; and one that contradicts.
    let selector = of(&world, "acme");
    let asked = Select { provider: "any".into(), selector: selector.clone() };
    let mut alone = opened(&world, FETCH, &[], &asked).await;
    assert_eq!(told(&mut alone).await.len(), 7);
    let other = of(&world, "globex");
    let mut both = opened(&world, FETCH, &[("flagd-selector", &other)], &asked).await;
    assert_eq!(next::<Told>(&mut both).await.unwrap_err(), INVALID_ARGUMENT);
    // Providers go on without it where there is no such method, and where there is an error they do not.
    let metadata = "sync.v1.FlagSyncService/GetMetadata";
    let refused = next::<Told>(&mut opened(&world, metadata, &[], &Select::default()).await).await;
    assert_eq!(refused.unwrap_err(), UNIMPLEMENTED);
}

#[tokio::test]
async fn a_stream_tells_what_is_other_until_the_relay_closes() {
    let mut world = World::new();
    let mut acme = synced(&world, &of(&world, "acme")).await;
    let mut globex = synced(&world, &of(&world, "globex")).await;
    assert_eq!(answer(&told(&mut acme).await["theme"]).0, Some("on"));
    assert_eq!(answer(&told(&mut globex).await["theme"]).0, Some("off"));
    // What the first has is another now, and nothing that the second has.
    let flags = ["new-dashboard", "theme"].map(|key| flag(key, "boolean", true, false));
    world.publisher.publish(&flags, &[directory("acme", &["theme"]), directory("globex", &[])]);
    let (org, env) = (world.publisher.org.clone(), world.publisher.env.clone());
    world.relay.notify(&org, &env).await;
    for stream in [&mut acme, &mut globex] {
        assert_eq!(told(stream).await.len(), 2);
    }
    world.publisher.publish(&flags, &[directory("acme", &[]), directory("globex", &[])]);
    world.relay.notify(&org, &env).await;
    assert_eq!(answer(&told(&mut acme).await["theme"]).0, Some("off"));
    let silent = timeout(Duration::from_millis(200), next::<Told>(&mut globex)).await;
    assert!(silent.is_err(), "{silent:?}");
    world.relay.close();
    for stream in [&mut acme, &mut globex] {
        assert_eq!(next::<Told>(stream).await.unwrap_err(), UNAVAILABLE);
    }
}

#[tokio::test]
async fn a_stream_has_a_seat_and_ends_with_its_key() {
    let (mut web, ends) = (String::new(), now().plus(Duration::from_millis(900)));
    let mut short = String::new();
    let mut world = World::with(|publisher| {
        web = publisher.key(KeyKind::Client, "web", |_| {});
        short = publisher.key(KeyKind::Client, "short", |wire| wire.expires = Some(ends));
    });
    world.relay = relay(&world.publisher, |config: &mut Config| config.max_streams = 2);
    world.app = app(world.relay.clone());
    let of = |key: &str| format!("key={key}/tenant=acme/environment=prod");
    let mut streams = [synced(&world, &of(&web)).await, synced(&world, &of(&short)).await];
    for stream in &mut streams {
        assert_eq!(told(stream).await.len(), 1);
    }
    let full = next::<Told>(&mut synced(&world, &of(&web)).await).await;
    assert_eq!(full.unwrap_err(), UNAVAILABLE);
    let [web, short] = &mut streams;
    assert_eq!(next::<Told>(short).await.unwrap_err(), UNAUTHENTICATED, "its key has expired");
    assert!(now() >= ends);
    world.publisher.keys.retain(|(id, _)| !id.ends_with("web"));
    crate::world::publish(&mut world.publisher, "white");
    world.relay.notify(&world.publisher.org, &world.publisher.env).await;
    assert_eq!(next::<Told>(web).await.unwrap_err(), UNAUTHENTICATED);
}

#[tokio::test]
async fn what_changes_with_time_alone_is_told_when_it_does() {
    let mut world = World::new();
    let ends = now().plus(Duration::from_millis(700));
    let acme = json!({
        "uid": "u", "attributes": {"trialEnds": ends.plus(Duration::from_millis(500))},
        "overrides": {"new-dashboard": {"variant": "on", "expires": ends}},
    });
    let trial = edited("trial", "boolean", true, false, |wire| {
        wire["state"]["rules"] = json!([{
            "id": "running", "serve": {"variant": "on"},
            "when": {"test": {"attribute": "tenant.trialEnds", "operator": "after", "values": ["now"]}},
        }]);
    });
    let acme = (tenant("acme"), serde_json::from_value(acme).unwrap());
    world.publisher.publish(&[flag("new-dashboard", "boolean", true, false), trial], &[acme]);
    let mut stream = synced(&world, &of(&world, "acme")).await;
    let variants = |flags: Map<String, Json>| {
        ["new-dashboard", "trial"].map(|key| answer(&flags[key]).0.unwrap().to_owned())
    };
    assert_eq!(variants(told(&mut stream).await), ["on", "on"]);
    assert_eq!(variants(told(&mut stream).await), ["off", "on"]);
    assert!(now() >= ends);
    assert_eq!(variants(told(&mut stream).await), ["off", "off"]);
    let late = now().since(ends.plus(Duration::from_millis(500)));
    assert!(late < Duration::from_millis(1_500), "{late:?}");
}

#[tokio::test]
async fn what_hangs_on_how_old_a_configuration_is_is_told_when_it_is_and_when_it_is_not() {
    let mut world = World::new();
    let careful = edited("careful", "boolean", true, false, |wire| {
        wire["state"]["fallthrough"] = json!({"variant": "on"});
        wire["state"]["stale"] = json!({"afterSeconds": 1, "then": {"serve": {"variant": "off"}}});
    });
    world.publisher.publish(&[careful], &[]);
    let mut stream = synced(&world, &of(&world, "acme")).await;
    let mut said = Vec::new();
    for look in 0..3 {
        let flags = told(&mut stream).await;
        let metadata = &flags["careful"]["metadata"];
        said.push((answer(&flags["careful"]).0 == Some("on"), metadata["stale"] == json!(true)));
        if look == 1 {
            // Nothing new, and known to be so.
            world.relay.notify(&world.publisher.org, &world.publisher.env).await;
        }
    }
    assert_eq!(said, [(true, false), (false, true), (true, false)]);
}

/// A file of the evaluator's own vectors.
struct Vectors {
    name: String,
    flags: Vec<FlagWire>,
    segments: Vec<SegmentWire>,
    tenants: BTreeMap<String, TenantWire>,
    cases: Vec<Json>,
}

fn vectors() -> Vec<Vectors> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/evaluate");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| {
        let file: Json = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let members = |of: &str| {
            let members = file["config"][of].as_object().cloned().unwrap_or_default();
            members.into_iter()
        };
        Vectors {
            name: path.display().to_string(),
            flags: members("flags").filter_map(|(_, it)| serde_json::from_value(it).ok()).collect(),
            segments: members("segments")
                .filter_map(|(_, it)| serde_json::from_value(it).ok())
                .collect(),
            tenants: members("tenants")
                .filter_map(|(key, it)| Some((key, serde_json::from_value(it).ok()?)))
                .collect(),
            cases: file["cases"].as_array().unwrap().clone(),
        }
    };
    files.map(read).collect()
}

/// OFREP's context of a case, or of another user.
fn context(case: &Json) -> Json {
    let mut context = case["attributes"].as_object().cloned().unwrap_or_default();
    context.insert("targetingKey".into(), case["user"].clone());
    context.insert("entities".into(), case.get("entities").cloned().unwrap_or(json!({})));
    context.remove("tenant");
    Json::Object(context)
}

#[tokio::test]
async fn whatever_is_exported_is_what_the_other_doors_answer() {
    let mut world = World::new();
    world.relay = relay(&world.publisher, |config: &mut Config| {
        (config.requests_per_second_of_a_key, config.requests_per_second_of_a_tenant) =
            (1 << 20, 1 << 20);
    });
    world.app = app(world.relay.clone());
    let (mut exported, mut asked, mut left_out) = (0, 0, 0);
    for Vectors { name, flags, segments, mut tenants, cases } in vectors() {
        tenants
            .entry("acme".into())
            .or_insert_with(|| TenantWire { uid: "u".into(), ..TenantWire::default() });
        let directory: Vec<(TenantKey, TenantWire)> =
            tenants.into_iter().map(|(key, wire)| (tenant(&key), wire)).collect();
        world.publisher.segments = segments;
        world.publisher.publish(&flags, &directory);
        world.relay.notify(&world.publisher.org, &world.publisher.env).await;
        for (key, _) in &directory {
            let told = fetched(&world, &of(&world, key.as_str())).await.unwrap();
            left_out += flags.len() - told.len();
            for (flag, definition) in &told {
                let (variant, value) = answer(definition);
                exported += 1;
                let cases = cases.iter().filter(|case| case["flag"] == flag.as_str()).take(3);
                let nobody = json!({});
                for case in cases.chain([&nobody]) {
                    let reply = world
                        .evaluate(&flag.replace('%', "%25"), key.as_str(), context(case))
                        .await;
                    let said = reply.json();
                    let same =
                        (said["variant"].as_str().filter(|it| !it.is_empty()), said.get("value"));
                    assert_eq!((variant, value), same, "{name}: {flag} of {key}: {case}: {said}");
                    asked += 1;
                }
            }
        }
    }
    assert!(exported > 100 && left_out > 100 && asked > 300, "{exported}, {left_out}, {asked}");
}
