//! OFREP's bulk evaluation: what it holds, and when it is the same as before.

use std::collections::HashMap;

use axum::body::Body;
use axum::http::StatusCode;
use flagforge_flags::KeyKind;
use flagforge_relay::MAX_BODY_BYTES;
use futures_util::StreamExt as _;
use serde_json::{Value as Json, json};

use crate::kit::{directory, edited, flag, tenant};
use crate::world::{Reply, World, publish};

const ALL: &str = "/ofrep/v1/evaluate/flags";

async fn ask(world: &World, key: &str, tenant: &str, context: &Json, held: &str) -> Reply {
    let mut headers = vec![("x-api-key", key), ("flagforge-environment", "prod")];
    headers.extend((!tenant.is_empty()).then_some(("flagforge-tenant", tenant)));
    headers.extend((!held.is_empty()).then_some(("if-none-match", held)));
    world.call("POST", ALL, &headers, json!({ "context": context }).to_string()).await
}

async fn flags(world: &World, key: &str, tenant: &str, context: Json) -> Vec<Json> {
    let reply = ask(world, key, tenant, &context, "").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", String::from_utf8_lossy(&reply.bytes));
    reply.json()["flags"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_flag_is_answered_as_it_is_alone() {
    let world = World::new();
    for (tenant, context) in [
        ("acme", json!({"targetingKey": "u-1"})),
        ("globex", json!({"entities": {"device": {"key": "d-1", "kind": "phone"}}})),
        ("who-is-this", json!({})),
    ] {
        let all = flags(&world, &world.server, tenant, context.clone()).await;
        let keys: Vec<&str> = all.iter().map(|flag| flag["key"].as_str().unwrap()).collect();
        assert!(keys.is_sorted() && keys.len() == 10, "{keys:?}");
        for one in &all {
            let alone = world.evaluate(one["key"].as_str().unwrap(), tenant, context.clone()).await;
            let mut alone = alone.json();
            // What is the same for all flags is said once.
            if let Some(metadata) = alone.get_mut("metadata").and_then(Json::as_object_mut) {
                metadata.retain(|name, _| {
                    !["revision", "ageSeconds", "tenantKnown"].contains(&name.as_str())
                });
            }
            let mut one = one.clone();
            if one.get("errorCode").is_some() {
                one.as_object_mut().unwrap().remove("metadata");
            }
            assert_eq!(one, alone);
        }
    }
}

#[tokio::test]
async fn numbers_keep_their_points_and_one_bad_flag_spoils_itself() {
    let world = World::new();
    let reply = ask(&world, &world.server, "acme", &json!({}), "").await;
    assert_eq!(reply.header("content-type"), "application/json");
    let text = String::from_utf8(reply.bytes.clone()).unwrap();
    for part in [
        r#"{"key":"rate","value":1.0,"variant":"on","#,
        r#"{"key":"seats","value":100,"variant":"on","#,
        r#"{"key":"limits","value":{"rows":7},"variant":"on","#,
        r#"{"key":"own-default","variant":"","reason":"STATIC","#,
        r#"{"key":"broken","errorCode":"PARSE_ERROR","errorDetails":"#,
        r#"{"key":"by-user","errorCode":"TARGETING_KEY_MISSING","errorDetails":"#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let metadata = json!({"revision": "1.1", "tenantKnown": true, "ageSeconds": 0});
    assert_eq!(reply.json()["metadata"], metadata);
    let stranger = ask(&world, &world.server, "who-is-this", &json!({}), "").await;
    assert_eq!(stranger.json()["metadata"]["tenantKnown"], json!(false));
}

#[tokio::test]
async fn a_clients_key_gets_client_visible_flags_and_no_other() {
    let (mut client, mut bound) = (String::new(), String::new());
    let world = World::with(|publisher| {
        client = publisher.key(KeyKind::Client, "web", |_| {});
        bound = publisher.key(KeyKind::Client, "own", |wire| wire.tenant = Some(tenant("acme")));
    });
    for (key, tenant) in [(&client, "acme"), (&bound, "")] {
        let all = flags(&world, key, tenant, json!({"targetingKey": "u"})).await;
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!((&all[0]["key"], &all[0]["value"]), (&json!("visible"), &json!(true)));
    }
    let other = ask(&world, &bound, "globex", &json!({}), "").await;
    assert_eq!(other.status, StatusCode::BAD_REQUEST);
    assert_eq!(other.json()["errorCode"], "INVALID_CONTEXT");
}

#[tokio::test]
async fn a_tag_is_the_answers_and_whose_they_are() {
    let mut client = String::new();
    let mut world = World::with(|publisher| client = publisher.key(KeyKind::Client, "web", |_| {}));
    let context = json!({"targetingKey": "u-1"});
    let server = world.server.clone();
    let first = ask(&world, &server, "acme", &context, "").await;
    let tag = first.header("etag").to_owned();
    assert!(tag.len() == 34 && tag.starts_with('"'), "{tag}");
    for held in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let again = ask(&world, &server, "acme", &context, &held).await;
        assert_eq!((again.status, again.bytes.len()), (StatusCode::NOT_MODIFIED, 0), "{held}");
        assert_eq!(again.header("etag"), tag);
        assert!(again.header("access-control-expose-headers").contains("ETag"));
    }
    // Somebody else's answer is not this one, be it the same to the byte.
    let stranger = ask(&world, &server, "one", &context, "").await;
    let same = ask(&world, &server, "other", &context, stranger.header("etag")).await;
    assert_eq!(same.status, StatusCode::OK);
    assert_eq!(same.json()["flags"], stranger.json()["flags"]);
    assert_ne!(same.header("etag"), stranger.header("etag"));
    assert_eq!(ask(&world, &client, "acme", &context, &tag).await.status, StatusCode::OK);
    // Another context that decides nothing is the same; one that does is not.
    let more = json!({"targetingKey": "u-1", "color": "red"});
    assert_eq!(ask(&world, &server, "acme", &more, &tag).await.status, StatusCode::NOT_MODIFIED);
    let nobody = ask(&world, &server, "acme", &json!({}), &tag).await;
    assert_eq!(nobody.status, StatusCode::OK, "a split has no unit any more");
    let (org, env) = (world.publisher.org.clone(), world.publisher.env.clone());
    publish(&mut world.publisher, "black");
    world.relay.notify(&org, &env).await;
    let flipped = ask(&world, &server, "acme", &context, &tag).await;
    assert_eq!(flipped.json()["metadata"]["revision"], "1.2");
}

/// What a web provider does whose user changes: the same targeting key, the tag of the answers before.
#[tokio::test]
async fn a_thousand_changes_of_context_never_get_a_wrong_304() {
    let mut world = World::new();
    let plans = edited("plan-b", "string", "paid", "free", |wire| {
        wire["state"]["rules"] = json!([
            {"id": "paid", "when": {"test": {"attribute": "user.plan", "operator": "one-of", "values": ["gold", "silver"]}},
             "serve": {"variant": "on"}},
            {"id": "old", "when": {"test": {"attribute": "user.age", "operator": "greater", "values": [50]}},
             "serve": {"variant": "on"}},
        ]);
    });
    let split = edited("split", "number", 1.0, 2.0, |wire| {
        wire["state"]["fallthrough"] = json!({"split": {
            "unit": "user.seat", "salt": "s", "hash": "xxh3", "buckets": 100,
            "ranges": [{"from": 0, "until": 50, "variant": "on"}, {"from": 50, "until": 100, "variant": "off"}],
        }});
    });
    let all = [plans, split, flag("theme", "string", "dark", "light")];
    world.publisher.publish(&all, &[directory("acme", &["theme"]), directory("globex", &[])]);
    world.relay.notify(&world.publisher.org, &world.publisher.env).await;
    let mut seen: HashMap<String, Json> = HashMap::new();
    let (mut held, mut same, mut random) = (String::new(), 0, 7_u64);
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    for _ in 0..1_000 {
        let tenant = ["acme", "globex"][usize::try_from(draw(2)).unwrap()];
        let plan = ["gold", "silver", "free"][usize::try_from(draw(3)).unwrap()];
        let context = json!({"targetingKey": "u-1", "plan": plan, "age": draw(100), "seat": format!("s-{}", draw(30))});
        let fresh = ask(&world, &world.server, tenant, &context, "").await;
        let reply = ask(&world, &world.server, tenant, &context, &held).await;
        let answers = fresh.json()["flags"].clone();
        if reply.status == StatusCode::NOT_MODIFIED {
            same += 1;
            assert_eq!(seen[&held], json!([tenant, answers]), "{context}");
        }
        held = fresh.header("etag").to_owned();
        let before = seen.insert(held.clone(), json!([tenant, answers]));
        assert!(before.is_none_or(|before| before == seen[&held]), "one tag of two answers");
    }
    assert!(same > 10 && seen.len() > 10, "{same} of {}: {seen:?}", seen.len());
}

#[tokio::test]
async fn what_is_no_context_is_refused_as_a_whole() {
    let world = World::new();
    let bad = StatusCode::BAD_REQUEST;
    let headers = [
        ("x-api-key", world.server.as_str()),
        ("flagforge-environment", "prod"),
        ("flagforge-tenant", "acme"),
    ];
    for (body, status, code) in [
        ("{".to_owned(), bad, "PARSE_ERROR"),
        ("[]".to_owned(), bad, "INVALID_CONTEXT"),
        (
            json!({"context": {"entities": {"tenant": {"plan": "gold"}}}}).to_string(),
            bad,
            "INVALID_CONTEXT",
        ),
        ("x".repeat(MAX_BODY_BYTES + 1), StatusCode::PAYLOAD_TOO_LARGE, "GENERAL"),
    ] {
        let reply = world.call("POST", ALL, &headers, body).await;
        assert_eq!((reply.status, reply.json()["errorCode"].as_str()), (status, Some(code)));
        assert!(reply.json()["errorDetails"].is_string());
        assert_eq!(reply.header("access-control-allow-origin"), "*");
    }
    let frame = "{\"context\":{\"a\":\"\"}}";
    let filler = "x".repeat(MAX_BODY_BYTES - frame.len());
    let body = format!("{{\"context\":{{\"a\":\"{filler}\"}}}}");
    assert_eq!(world.call("POST", ALL, &headers, body).await.status, StatusCode::OK);
    let nobody = world.call("POST", ALL, &[], "{}").await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    let preflight = world.call("OPTIONS", ALL, &[("origin", "https://page.example")], "").await;
    assert_eq!(preflight.status, StatusCode::NO_CONTENT);
    assert!(preflight.header("access-control-allow-headers").contains("If-None-Match"));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let world = World::new();
    let headers = [
        ("x-api-key", world.server.as_str()),
        ("flagforge-environment", "prod"),
        ("flagforge-tenant", "acme"),
    ];
    // What is loaded is loaded while the clock goes.
    let loaded = world.call("POST", ALL, &headers, "{}").await;
    assert_eq!(loaded.status, StatusCode::OK);
    tokio::time::pause();
    for path in [ALL, "/ofrep/v1/evaluate/flags/theme", "/data/v1/explain/theme"] {
        let first = futures_util::stream::iter([Ok::<_, std::io::Error>("{")]);
        let slow = Body::from_stream(first.chain(futures_util::stream::pending()));
        let began = tokio::time::Instant::now();
        let reply = world.call("POST", path, &headers, slow).await;
        assert_eq!(reply.status, StatusCode::REQUEST_TIMEOUT, "{path}");
        assert_eq!(reply.json()["errorCode"], "GENERAL");
        assert_eq!(began.elapsed().as_secs(), 10, "{path}");
    }
}
