//! OFREP's single evaluation: its shapes, its contexts, its limits.

use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use flagforge_flags::KeyKind;
use flagforge_relay::MAX_BODY_BYTES;
use serde_json::{Value as Json, json};

use crate::kit::tenant;
use crate::world::{Reply, World};

const DASHBOARD: &str = "/ofrep/v1/evaluate/flags/new-dashboard";

/// Every error names the flag, a code and details, as JSON.
fn check(reply: &Reply, status: StatusCode, flag: &str, code: &str, details: &str) {
    let text = String::from_utf8_lossy(&reply.bytes);
    assert_eq!(reply.status, status, "{text}");
    assert_eq!(reply.header("content-type"), "application/json");
    let body = reply.json();
    assert_eq!(
        (body["key"].as_str(), body["errorCode"].as_str()),
        (Some(flag), Some(code)),
        "{body}"
    );
    let said = body["errorDetails"].as_str().unwrap();
    assert!(said.contains(details), "{said:?} does not say {details:?}");
}

#[tokio::test]
async fn two_tenants_one_flag_different_answers_in_every_type() {
    let world = World::new();
    for (flag, acme, globex) in [
        ("new-dashboard", "true", "false"),
        ("theme", "\"dark\"", "\"light\""),
        ("seats", "100", "1"),
        ("rate", "1.0", "0.25"),
        ("limits", "{\"rows\":7}", "{}"),
    ] {
        for (tenant, expected) in [("acme", acme), ("globex", globex)] {
            let reply = world.evaluate(flag, tenant, json!({"targetingKey": "u-1"})).await;
            let text = String::from_utf8(reply.bytes.clone()).unwrap();
            assert_eq!(reply.status, StatusCode::OK, "{text}");
            assert!(
                text.contains(&format!("\"value\":{expected},")),
                "{flag} for {tenant}: {text}"
            );
            assert_eq!(reply.header("content-type"), "application/json");
            assert_eq!(reply.header("cache-control"), "private");
            assert!(reply.header("vary").contains("FlagForge-Tenant"));
        }
    }
}

#[tokio::test]
async fn a_success_says_how_it_came_about() {
    let world = World::new();
    let reply = world.evaluate("theme", "acme", json!({"targetingKey": "u-1"})).await;
    let expected = json!({
        "key": "theme", "value": "dark", "variant": "on", "reason": "TARGETING_MATCH",
        "metadata": {
            "fineReason": "TENANT_OVERRIDE", "flagVersion": 3, "revision": "1.1", "ageSeconds": 0,
            "tenantKnown": true,
        },
    });
    assert_eq!(reply.json(), expected);

    let device = json!({"entities": {"device": {"key": "d-1", "kind": "phone"}}});
    let by_device = world.evaluate("by-device", "acme", device).await.json();
    assert_eq!(
        (&by_device["value"], &by_device["metadata"]["rule"]),
        (&json!(true), &json!("phones"))
    );
    let split = world.evaluate("by-user", "acme", json!({"targetingKey": "u-1"})).await.json();
    assert_eq!((&split["reason"], &split["value"]), (&json!("SPLIT"), &json!(true)));

    let own = world.evaluate("own-default", "acme", json!({})).await.json();
    assert_eq!(
        (own.get("value"), &own["variant"]),
        (None, &json!("")),
        "the caller's default: {own}"
    );
    let stranger = world.evaluate("theme", "who-is-this", json!({})).await.json();
    assert_eq!(stranger["metadata"]["tenantKnown"], json!(false));
}

#[tokio::test]
async fn errors_of_evaluation_have_openfeatures_codes() {
    let world = World::new();
    let missing = world.evaluate("no-such-flag", "acme", json!({})).await;
    check(&missing, StatusCode::NOT_FOUND, "no-such-flag", "FLAG_NOT_FOUND", "no such flag");
    let slashed = world.evaluate("a/b", "acme", json!({})).await;
    check(&slashed, StatusCode::NOT_FOUND, "a/b", "FLAG_NOT_FOUND", "no such flag");
    let encoded = world.evaluate("new%2Ddashboard", "acme", json!({})).await;
    assert_eq!(encoded.json()["key"], json!("new-dashboard"));

    let bad = StatusCode::BAD_REQUEST;
    let unit = world.evaluate("by-user", "acme", json!({})).await;
    check(&unit, bad, "by-user", "TARGETING_KEY_MISSING", "unit");
    let broken = world.evaluate("broken", "acme", json!({})).await;
    check(&broken, bad, "broken", "PARSE_ERROR", "no-such-variant");
    let tenant = json!({"entities": {"tenant": {"plan": "gold"}}});
    let described = world.evaluate("theme", "acme", tenant).await;
    check(&described, bad, "theme", "INVALID_CONTEXT", "directory");
}

#[tokio::test]
async fn bodies_that_are_no_context_are_refused_with_their_own_code() {
    let world = World::new();
    let bearer = format!("Bearer {}", world.server);
    let headers = [
        ("authorization", bearer.as_str()),
        ("flagforge-environment", "prod"),
        ("flagforge-tenant", "acme"),
    ];
    let bad = StatusCode::BAD_REQUEST;
    for malformed in
        ["", "{", "{\"context\":}", "nul", "{\"context\":{\"a\":1e999}} x", "\u{FEFF}{}"]
    {
        let reply = world.call("POST", DASHBOARD, &headers, malformed.to_owned()).await;
        check(&reply, bad, "new-dashboard", "PARSE_ERROR", "");
    }
    let deep = format!("{{\"context\":{}1{}}}", "[".repeat(2_000), "]".repeat(2_000));
    let invalid_utf8 = b"{\"context\":{\"a\":\"\xff\"}}".to_vec();
    for malformed in [deep.into_bytes(), invalid_utf8] {
        let reply = world.call("POST", DASHBOARD, &headers, malformed).await;
        check(&reply, bad, "new-dashboard", "PARSE_ERROR", "");
    }
    for (body, details) in [
        ("[]", "object"),
        ("{\"context\":null}", "context"),
        ("{\"context\":[]}", "context"),
        ("{\"context\":{\"targetingKey\":7}}", "targetingKey"),
        ("{\"context\":{\"tenant\":{\"key\":\"acme\"}}}", "tenant"),
        ("{\"context\":{\"tenant\":\"a/b\"}}", "tenant key"),
        ("{\"context\":{\"entities\":[]}}", "entities"),
        ("{\"context\":{\"entities\":{\"device\":1}}}", "entities"),
    ] {
        let reply = world.call("POST", DASHBOARD, &headers, body).await;
        check(&reply, bad, "new-dashboard", "INVALID_CONTEXT", details);
    }
    let unsaid = world.call("POST", DASHBOARD, &headers, "{}").await;
    assert_eq!(
        unsaid.status,
        StatusCode::OK,
        "who says nothing of the user is nobody in particular"
    );
}

/// JSONTestSuite, where it is to be had: what must be refused is refused as malformed, what must be accepted
/// is accepted as an attribute's value, and nothing ends the process.
#[tokio::test]
async fn the_json_test_suite_is_accepted_and_refused_as_it_says() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let suite = std::env::var_os("FLAGFORGE_CONFORMANCE")
        .map_or_else(|| Path::new(root).join("../shared/conformance"), PathBuf::from);
    let Ok(files) = std::fs::read_dir(suite.join("json")) else {
        println!("SKIPPED: no JSONTestSuite at {}", suite.display());
        return;
    };
    let world = World::new();
    let bearer = format!("Bearer {}", world.server);
    let headers = [
        ("authorization", bearer.as_str()),
        ("flagforge-environment", "prod"),
        ("flagforge-tenant", "acme"),
    ];
    let mut seen = [0, 0, 0];
    for file in files.flatten() {
        let name = file.file_name().into_string().unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        let nested = [b"{\"context\":{\"a\":", bytes.as_slice(), b"}}"].concat();
        let raw = world.call("POST", DASHBOARD, &headers, bytes).await;
        let nested = world.call("POST", DASHBOARD, &headers, nested).await;
        match name.get(..2) {
            Some("y_") => assert_eq!(nested.status, StatusCode::OK, "{name}"),
            Some("n_") if raw.status == StatusCode::PAYLOAD_TOO_LARGE => {}
            Some("n_") => assert_eq!(raw.json()["errorCode"], "PARSE_ERROR", "{name}"),
            _ => {}
        }
        let kind = ["y_", "n_", "i_"].iter().position(|kind| name.starts_with(kind));
        kind.into_iter().for_each(|kind| seen[kind] += 1);
    }
    assert!(seen.iter().all(|count| *count > 30), "{seen:?} of y, n, i");
}

#[tokio::test]
async fn a_body_at_the_limit_and_one_byte_past_it() {
    let world = World::new();
    let bearer = format!("Bearer {}", world.server);
    let headers = [
        ("authorization", bearer.as_str()),
        ("flagforge-environment", "prod"),
        ("flagforge-tenant", "acme"),
    ];
    let frame = "{\"context\":{\"a\":\"\"}}";
    let filler = "x".repeat(MAX_BODY_BYTES - frame.len());
    let body = |filler: &str| format!("{{\"context\":{{\"a\":\"{filler}\"}}}}");
    let at = world.call("POST", DASHBOARD, &headers, body(&filler)).await;
    assert_eq!((at.status, &at.json()["value"]), (StatusCode::OK, &json!(true)));
    let past = world.call("POST", DASHBOARD, &headers, body(&format!("{filler}x"))).await;
    check(&past, StatusCode::PAYLOAD_TOO_LARGE, "new-dashboard", "GENERAL", "65536");
}

#[tokio::test]
async fn the_tenant_is_named_once_and_contradicted_never() {
    let mut bound = String::new();
    let world = World::with(|publisher| {
        bound = publisher.key(KeyKind::Server, "bound", |wire| wire.tenant = Some(tenant("acme")));
    });
    let ask = async |key: &str, header: Option<&str>, context: Json| {
        let mut headers = vec![("x-api-key", key), ("flagforge-environment", "prod")];
        headers.extend(header.map(|tenant| ("flagforge-tenant", tenant)));
        let body = json!({"context": context}).to_string();
        world.call("POST", DASHBOARD, &headers, body).await
    };
    let bad = StatusCode::BAD_REQUEST;
    // A key bound to acme needs no header, and takes no other tenant.
    assert_eq!(ask(&bound, None, json!({})).await.json()["value"], json!(true));
    assert_eq!(
        ask(&bound, Some("acme"), json!({"tenant": "acme"})).await.json()["value"],
        json!(true)
    );
    for reply in [
        ask(&bound, Some("globex"), json!({})).await,
        ask(&bound, None, json!({"tenant": "globex"})).await,
        ask(&world.server, Some("acme"), json!({"tenant": "globex"})).await,
    ] {
        check(&reply, bad, "new-dashboard", "INVALID_CONTEXT", "`globex`");
    }
    // A key of all tenants has to say which, in the header or in the context.
    let nobody = ask(&world.server, None, json!({"targetingKey": "u"})).await;
    check(&nobody, bad, "new-dashboard", "INVALID_CONTEXT", "FlagForge-Tenant");
    let empty = ask(&world.server, Some(""), json!({})).await;
    check(&empty, bad, "new-dashboard", "INVALID_CONTEXT", "FlagForge-Tenant");
    let in_context = ask(&world.server, None, json!({"tenant": "globex"})).await;
    assert_eq!(in_context.json()["value"], json!(false));
    let both = [
        ("x-api-key", world.server.as_str()),
        ("flagforge-environment", "prod"),
        ("flagforge-tenant", "acme"),
        ("flagforge-tenant", "globex"),
    ];
    let twice = world.call("POST", DASHBOARD, &both, "{\"context\":{}}").await;
    check(&twice, bad, "new-dashboard", "INVALID_CONTEXT", "`globex`");
}

#[tokio::test]
async fn the_environment_is_the_keys_or_the_headers() {
    let world = World::new();
    let ask = async |key: &str, env: Option<&str>| {
        let mut headers = vec![("x-api-key", key), ("flagforge-tenant", "acme")];
        headers.extend(env.map(|env| ("flagforge-environment", env)));
        world.call("POST", DASHBOARD, &headers, "{\"context\":{}}").await
    };
    let bad = StatusCode::BAD_REQUEST;
    let missing = ask(&world.server, None).await;
    check(&missing, bad, "new-dashboard", "INVALID_CONTEXT", "FlagForge-Environment");
    let nonsense = ask(&world.server, Some("PROD!")).await;
    check(&nonsense, bad, "new-dashboard", "INVALID_CONTEXT", "FlagForge-Environment");
    let bound = world.server.replace("demo.k1", "demo.prod.k1");
    let elsewhere = ask(&bound, Some("dev")).await;
    check(&elsewhere, bad, "new-dashboard", "INVALID_CONTEXT", "`dev`");
}

#[tokio::test]
async fn a_clients_key_sees_client_visible_flags_only() {
    let mut client = String::new();
    let world = World::with(|publisher| client = publisher.key(KeyKind::Client, "web", |_| {}));
    let ask = async |path: &str, flag: &str| {
        let headers = [
            ("x-api-key", client.as_str()),
            ("flagforge-environment", "prod"),
            ("flagforge-tenant", "acme"),
        ];
        world.call("POST", &format!("{path}/{flag}"), &headers, "{\"context\":{}}").await
    };
    let evaluate = "/ofrep/v1/evaluate/flags";
    assert_eq!(ask(evaluate, "visible").await.json()["value"], json!(true));
    // A hidden flag, a malformed one and one that is not there answer alike.
    for flag in ["theme", "broken", "by-user", "no-such-flag"] {
        check(
            &ask(evaluate, flag).await,
            StatusCode::NOT_FOUND,
            flag,
            "FLAG_NOT_FOUND",
            "no such flag",
        );
    }
    check(
        &ask("/data/v1/explain", "visible").await,
        StatusCode::FORBIDDEN,
        "visible",
        "GENERAL",
        "client",
    );
}

#[tokio::test]
async fn explaining_is_the_same_answer_with_its_steps() {
    let world = World::new();
    let headers = [
        ("x-api-key", world.server.as_str()),
        ("flagforge-environment", "prod"),
        ("flagforge-tenant", "acme"),
    ];
    let body = "{\"context\":{\"targetingKey\":\"u-1\"}}";
    let reply = world.call("POST", "/data/v1/explain/theme", &headers, body).await;
    let json = reply.json();
    assert_eq!((&json["value"], &json["variant"]), (&json!("dark"), &json!("on")));
    assert!(json["steps"].as_array().unwrap().len() > 1, "{json}");
    assert!(json["text"].as_str().unwrap().contains("override for the tenant"), "{json}");
    let missing = world.call("POST", "/data/v1/explain/nothing", &headers, body).await;
    check(&missing, StatusCode::NOT_FOUND, "nothing", "FLAG_NOT_FOUND", "no such flag");
}

#[tokio::test]
async fn a_browsers_page_may_ask_and_read() {
    let world = World::new();
    let preflight =
        world.call("OPTIONS", DASHBOARD, &[("origin", "https://page.example")], "").await;
    assert_eq!(preflight.status, StatusCode::NO_CONTENT);
    assert_eq!(preflight.header("access-control-allow-origin"), "*");
    for header in
        ["Authorization", "X-API-Key", "Content-Type", "If-None-Match", "FlagForge-Tenant"]
    {
        assert!(preflight.header("access-control-allow-headers").contains(header), "{header}");
    }
    for reply in [
        world.evaluate("theme", "acme", json!({})).await,
        world.evaluate("no-such-flag", "acme", json!({})).await,
        world.call("POST", DASHBOARD, &[], "").await,
    ] {
        assert_eq!(reply.header("access-control-allow-origin"), "*");
        assert!(reply.header("access-control-expose-headers").contains("Retry-After"));
    }
}
