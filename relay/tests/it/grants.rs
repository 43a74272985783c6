//! A key is exchanged for leave to read what it may read, and no more.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;
use flagforge::origin::{Credentials, Grant, GrantKind, Leave, Pass};
use flagforge_flags::KeyKind;
use flagforge_flags::manifest::ScopeId;
use flagforge_relay::{Grants, app};
use serde_json::json;

use crate::kit::{now, tenant};
use crate::world::{Reply, World, relay};

/// Gives what it is asked for, for a while, and notes it.
#[derive(Debug, Default)]
struct Notary {
    asked: Mutex<Vec<String>>,
    failing: AtomicUsize,
    no_distribution: bool,
}

#[async_trait]
impl Grants for Notary {
    async fn grant(
        &self,
        scope: &ScopeId,
        kind: GrantKind,
    ) -> Result<Option<Grant>, Box<dyn Error + Send + Sync>> {
        if self.failing.load(Ordering::SeqCst) > 0 {
            return Err("dark".into());
        }
        self.asked.lock().unwrap().push(format!("{} {scope}", kind.as_str()));
        let leave = match kind {
            GrantKind::S3 => Leave::Bucket {
                bucket: "b".into(),
                region: "eu-1".into(),
                endpoint: None,
                credentials: Credentials {
                    access_key_id: scope.to_string(),
                    secret_access_key: "secret".into(),
                    session_token: None,
                },
            },
            GrantKind::Cloudfront if self.no_distribution => return Ok(None),
            GrantKind::Cloudfront => Leave::Distribution {
                address: "https://d1.example".into(),
                passes: vec![Pass { names: scope.root_name(), query: "Policy=p".into() }],
            },
        };
        Ok(Some(Grant { leave, expires: now().plus(Duration::from_secs(3_600)) }))
    }
}

const GRANT: &str = "/data/v1/demo/prod/grant";

async fn asks(world: &World, path: &str, key: &str, headers: &[(&str, &str)]) -> Reply {
    let bearer = format!("Bearer {key}");
    let all: Vec<(&str, &str)> =
        [("authorization", bearer.as_str())].into_iter().chain(headers.iter().copied()).collect();
    world.call("POST", path, &all, "").await
}

#[tokio::test]
async fn each_key_is_given_its_own_scope_and_many_of_one_scope_cost_one_credential() {
    let mut keys = Vec::new();
    let mut world = World::with(|publisher| {
        keys = vec![
            publisher.key(KeyKind::Server, "k2", |_| {}),
            publisher.key(KeyKind::Relay, "k3", |_| {}),
            publisher.key(KeyKind::Server, "k4", |key| key.tenant = Some(tenant("acme"))),
            publisher.key(KeyKind::Server, "k5", |key| {
                key.expires = Some(now().plus(Duration::from_secs(60)));
            }),
            publisher.key(KeyKind::Client, "k6", |_| {}),
        ];
    });
    let nothing = asks(&world, GRANT, &world.server, &[]).await;
    assert_eq!(nothing.status, StatusCode::NO_CONTENT, "this relay grants nothing");

    let notary = Arc::new(Notary::default());
    let by: Arc<dyn Grants> = notary.clone();
    world.app = app(relay(&world.publisher, |config| config.grants = Some(by)));
    let [server, relays, bound, ending, client] = keys.as_slice() else { unreachable!() };
    for (key, header, scope) in [
        (server, &[][..], "demo/prod/environment"),
        (&world.server, &[][..], "demo/prod/environment"),
        (relays, &[][..], "demo/prod/relay"),
        (bound, &[][..], "demo/prod/tenant:acme"),
        (server, &[("flagforge-tenant", "acme")][..], "demo/prod/tenant:acme"),
    ] {
        let reply = asks(&world, GRANT, key, header).await;
        assert_eq!(reply.status, StatusCode::OK, "{scope}");
        assert_eq!(reply.json()["credentials"]["accessKeyId"], json!(scope));
        assert_eq!(reply.header("cache-control"), "no-store");
    }
    let asked = notary.asked.lock().unwrap().clone();
    let each = ["s3 demo/prod/environment", "s3 demo/prod/relay", "s3 demo/prod/tenant:acme"];
    assert_eq!(asked, each, "several keys of a scope share what was given");
    // A key that ends before the credentials would reads from here.
    let reply = asks(&world, GRANT, ending, &[]).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    for (key, header, status) in [
        (client, &[][..], StatusCode::FORBIDDEN),
        (bound, &[("flagforge-tenant", "globex")][..], StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(asks(&world, GRANT, key, header).await.status, status);
    }
    let elsewhere = asks(&world, "/data/v1/other/prod/grant", server, &[]).await;
    assert_ne!(elsewhere.status, StatusCode::OK);

    notary.failing.store(1, Ordering::SeqCst);
    let by: Arc<dyn Grants> = notary.clone();
    world.app = app(relay(&world.publisher, |config| config.grants = Some(by)));
    let reply = asks(&world, GRANT, server, &[]).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn each_kind_is_kept_by_itself_and_one_that_there_is_not_is_none() {
    let mut world = World::new();
    let notary = Arc::new(Notary::default());
    let by: Arc<dyn Grants> = notary.clone();
    world.app = app(relay(&world.publisher, |config| config.grants = Some(by)));
    for _ in 0..2 {
        let bucket = asks(&world, &format!("{GRANT}?kind=s3"), &world.server, &[]).await.json();
        assert_eq!(bucket["bucket"], json!("b"));
        let passes = asks(&world, &format!("{GRANT}?kind=cloudfront"), &world.server, &[]).await;
        assert_eq!(passes.header("cache-control"), "no-store");
        let passes = passes.json();
        assert_eq!(passes["address"], json!("https://d1.example"));
        let one = json!([{"names": "demo/prod/environment.jws", "query": "Policy=p"}]);
        assert_eq!(passes["passes"], one);
        assert!(passes["expires"].is_number() || passes["expires"].is_string(), "{passes}");
    }
    let asked = notary.asked.lock().unwrap().clone();
    assert_eq!(asked, ["s3 demo/prod/environment", "cloudfront demo/prod/environment"]);
    let newer = asks(&world, &format!("{GRANT}?kind=carrier-pigeon"), &world.server, &[]).await;
    assert_eq!(newer.status, StatusCode::NO_CONTENT);

    let by: Arc<dyn Grants> = Arc::new(Notary { no_distribution: true, ..Notary::default() });
    world.app = app(relay(&world.publisher, |config| config.grants = Some(by)));
    let none = asks(&world, &format!("{GRANT}?kind=cloudfront"), &world.server, &[]).await;
    assert_eq!(none.status, StatusCode::NO_CONTENT);
}
