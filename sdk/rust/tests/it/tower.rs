//! The tenant of a request, and endpoints behind a flag.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use axum::routing::get;
use axum::{Extension, Router};
use flagforge::tower::{FlagGuard, TENANT_HEADER, TenantLayer};
use flagforge::{Client, Flag, Snapshot, Tenant};
use serde_json::{Value as Json, json};
use tower::ServiceExt;

use crate::kit::{directory, edited};

const CHECKOUT: Flag<bool> = Flag::new("checkout", false);

#[derive(Clone)]
struct Claims(&'static str);

/// Acme has the flag on, and of the others only who comes from Germany.
fn client() -> Client {
    let scope = json!({"org": "demo", "env": "test", "scope": "environment"});
    let flag = edited("checkout", "boolean", true, false, |wire| {
        wire["state"]["rules"] = json!([{
            "id": "germany",
            "when": {"test": {"attribute": "user.country", "operator": "equals", "values": ["DE"]}},
            "serve": {"variant": "on"},
        }]);
    });
    let scope = serde_json::from_value(scope).unwrap();
    let tenants = [directory("acme", &["checkout"])];
    Client::fixed(Snapshot::from_parts(scope, "1.1".parse().unwrap(), [flag], tenants))
}

async fn who(tenant: Option<Extension<Tenant>>) -> String {
    tenant.map_or_else(|| "nobody".to_owned(), |Extension(tenant)| tenant.key().to_string())
}

fn app(layer: TenantLayer) -> Router {
    Router::new().route("/", get(who)).layer(layer)
}

fn every_source() -> TenantLayer {
    TenantLayer::new(client())
        .header(TENANT_HEADER)
        .subdomain_of("example.com")
        .claim(|request| request.extensions.get::<Claims>().map(|claims| claims.0.to_owned()))
}

fn named() -> TenantLayer {
    TenantLayer::new(client()).header(TENANT_HEADER).subdomain_of("example.com")
}

/// What a request says: headers, and a verified token.
#[derive(Default)]
struct Says {
    headers: Vec<(&'static str, &'static [u8])>,
    token: Option<&'static str>,
}

fn says(headers: &[(&'static str, &'static str)], token: Option<&'static str>) -> Says {
    let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    Says { headers, token }
}

async fn answer(app: Router, says: Says) -> (StatusCode, String) {
    let mut request = Request::get("/").body(Body::empty()).unwrap();
    for (name, value) in says.headers {
        request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
    }
    request.extensions_mut().extend(
        says.token
            .map(|tenant| {
                let mut one = axum::http::Extensions::new();
                one.insert(Claims(tenant));
                one
            })
            .unwrap_or_default(),
    );
    let response = app.oneshot(request).await.unwrap();
    let status = response.status();
    if status.is_client_error() {
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["cache-control"], "private, no-store");
    }
    let body = to_bytes(response.into_body(), 4_096).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[track_caller]
fn passes(answer: &(StatusCode, String), tenant: &str) {
    assert_eq!((answer.0, answer.1.as_str()), (StatusCode::OK, tenant));
}

#[track_caller]
fn refuses(answer: &(StatusCode, String), detail: &str) {
    let problem: Json = serde_json::from_str(&answer.1).unwrap_or_else(|_| panic!("{answer:?}"));
    let expected = json!({
        "type": "urn:flagforge:problem:invalid", "title": "Invalid request", "status": 400,
        "detail": detail,
    });
    assert_eq!((answer.0, problem), (StatusCode::BAD_REQUEST, expected));
}

const HEADER: &str = "flagforge-tenant";

#[tokio::test]
async fn each_source_names_the_tenant() {
    passes(&answer(app(named()), says(&[(HEADER, "acme")], None)).await, "acme");
    passes(&answer(app(named()), says(&[(HEADER, "Größte GmbH")], None)).await, "Größte GmbH");
    for host in ["acme.example.com", "ACME.Example.Com:8443", "acme.example.com."] {
        passes(&answer(app(named()), says(&[("host", host)], None)).await, "acme");
    }
    passes(&answer(app(every_source()), says(&[], Some("acme"))).await, "acme");
    let all =
        says(&[(HEADER, "acme"), (HEADER, "acme"), ("host", "acme.example.com")], Some("acme"));
    passes(&answer(app(every_source()), all).await, "acme");
    let beside = says(&[("host", "10.0.0.1:80"), (HEADER, "acme")], None);
    passes(&answer(app(named()), beside).await, "acme");
}

#[tokio::test]
async fn two_tenants_in_one_request_are_refused() {
    let elsewhere =
        |place: &str| format!("{place} names another tenant than the request does elsewhere");
    let twice = says(&[(HEADER, "acme"), (HEADER, "globex")], None);
    refuses(&answer(app(named()), twice).await, &elsewhere(HEADER));
    let host = says(&[(HEADER, "acme"), ("host", "globex.example.com")], None);
    refuses(&answer(app(named()), host).await, &elsewhere("the host name"));
    let hosts = says(&[("host", "acme.example.com"), ("host", "globex.example.com")], None);
    refuses(&answer(app(named()), hosts).await, &elsewhere("the host name"));
    let token = says(&[(HEADER, "acme")], Some("globex"));
    refuses(&answer(app(every_source()), token).await, &elsewhere("the token"));
    // A layer around a layer is a source too.
    let outer = app(named()).layer(TenantLayer::new(client()).header("x-tenant".parse().unwrap()));
    let both = says(&[("x-tenant", "acme"), (HEADER, "globex")], None);
    refuses(&answer(outer, both).await, &elsewhere(HEADER));
}

#[tokio::test]
async fn nobody_and_no_tenants_key_are_refused() {
    let missing = "the request names no tenant";
    for host in ["example.com", "10.0.0.1", "acme.example.org", "acmeexample.com"] {
        refuses(&answer(app(named()), says(&[("host", host)], None)).await, missing);
    }
    refuses(&answer(app(every_source()), Says::default()).await, missing);
    passes(&answer(app(named().optional()), Says::default()).await, "nobody");
    let several = "the host name has several labels for a tenant";
    refuses(&answer(app(named()), says(&[("host", "a.acme.example.com")], None)).await, several);
    for layer in [named(), named().optional()] {
        let (status, body) = answer(app(layer.clone()), says(&[(HEADER, "a/b")], None)).await;
        assert!(status == 400 && body.contains("tenant key has the character"), "{body}");
        let (status, _) = answer(app(layer.clone()), says(&[(HEADER, "")], None)).await;
        assert_eq!(status, 400);
        let bytes = Says { headers: vec![(HEADER, b"\xFF")], token: None };
        refuses(&answer(app(layer), bytes).await, "flagforge-tenant is not UTF-8");
    }
}

#[tokio::test]
async fn where_tokens_are_verified_nothing_else_stands_alone() {
    let alone = "the request names a tenant, and no token vouches for it";
    for layer in [every_source(), every_source().optional()] {
        let header = says(&[(HEADER, "acme")], None);
        refuses(&answer(app(layer.clone()), header).await, alone);
        let host = says(&[("host", "acme.example.com")], None);
        refuses(&answer(app(layer), host).await, alone);
    }
    passes(&answer(app(every_source().optional()), Says::default()).await, "nobody");
}

#[tokio::test]
async fn a_flag_that_is_off_leaves_nothing_there() {
    let guarded = |guard: FlagGuard| {
        let guarded = Router::new().route("/", get(who)).layer(guard);
        guarded.layer(TenantLayer::new(client()).header(TENANT_HEADER).optional())
    };
    let asked = |guard, tenant| answer(guarded(guard), says(&[(HEADER, tenant)], None));
    passes(&asked(FlagGuard::new(CHECKOUT), "acme").await, "acme");
    let (status, body) = asked(FlagGuard::new(CHECKOUT), "globex").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("urn:flagforge:problem:not-found"), "{body}");
    let (status, _) = answer(guarded(FlagGuard::new(CHECKOUT)), Says::default()).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "no tenant, no endpoint");

    let by_country = FlagGuard::new(CHECKOUT).asking(|tenant, request| {
        let country = request.headers.get("x-country").and_then(|value| value.to_str().ok());
        tenant.asking().attr("country", country.unwrap_or_default())
    });
    let german = says(&[(HEADER, "globex"), ("x-country", "DE")], None);
    passes(&answer(guarded(by_country), german).await, "globex");

    let gone = FlagGuard::new(CHECKOUT).otherwise(|request| {
        let mut response = Response::new(format!("{} is gone", request.uri.path()));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response
            .headers_mut()
            .insert("content-type", HeaderValue::from_static("application/problem+json"));
        response
            .headers_mut()
            .insert("cache-control", HeaderValue::from_static("private, no-store"));
        response
    });
    let said = asked(gone, "globex").await;
    assert_eq!(said, (StatusCode::IM_A_TEAPOT, "/ is gone".to_owned()));
}

#[tokio::test]
async fn requests_at_the_same_time_keep_their_tenants() {
    let app = app(named());
    let asked: Vec<_> = (0..200)
        .map(|i| {
            let (app, name) = (app.clone(), format!("tenant-{}", i % 17));
            tokio::spawn(async move {
                let request = Request::get("/").header(HEADER, &name).body(Body::empty()).unwrap();
                let body = app.oneshot(request).await.unwrap().into_body();
                (to_bytes(body, 4_096).await.unwrap(), name)
            })
        })
        .collect();
    for asked in asked {
        let (body, name) = asked.await.unwrap();
        assert_eq!(body, name);
    }
}
