//! Canaries: a secret of its own in every field of 100 tenants of 5 organizations. What anybody is
//! answered, what is published and what is logged is searched: nobody finds a canary of another organization, and
//! what is about one tenant has none of another.

mod told;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex};

use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_tests::{Answer, Org, World};
use reqwest::Method;
use serde_json::{Value as Json, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::kit::{listed, verified};
use told::Told;

const ORGS: usize = 5;
const TENANTS: usize = 20;

/// The canary of a field of a tenant; tenant 99 is the organization itself.
fn canary(org: usize, tenant: usize, field: &str) -> String {
    format!("cnry-o{org}-t{tenant:02}-{field}")
}

fn own(org: usize, field: &str) -> String {
    canary(org, 99, field)
}

/// Whose canaries a text holds: organization and tenant.
fn canaries(text: &str) -> BTreeSet<(usize, usize)> {
    let digits = |text: &str| text.parse().unwrap();
    let found = text.split("cnry-o").skip(1);
    found.map(|rest| (digits(&rest[0..1]), digits(&rest[3..5]))).collect()
}

fn check(text: &str, org: usize, tenant: Option<usize>, what: &str) -> usize {
    let found = canaries(text);
    for (foreign, of) in &found {
        assert_eq!(*foreign, org, "{what} of organization {org} has a foreign canary: {text}");
        let mine = tenant.is_none_or(|tenant| *of == tenant || *of == 99);
        assert!(mine, "{what} of tenant {tenant:?} has a canary of tenant {of}: {text}");
    }
    found.len()
}

/// Everything that is logged while the test runs.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn whole(answer: &Answer) -> String {
    format!("{:?} {}", answer.headers, answer.body)
}

/// Fills an organization; every field that takes text has a canary.
async fn filled(world: &World, at: usize) -> (Org, String, Told) {
    let org = world.stack.found(&format!("canaries{at}")).await.unwrap();
    let key = org.server_key().await.unwrap();
    let told = Told::listen(world, &org, at, &key).await;
    let put = async |path: String, body: Json| {
        let reason = own(at, "reason");
        let headers = [("flagforge-reason", reason.as_str()), ("if-match", "*")];
        let path = org.path(&path);
        let made = org.api.call(Method::PUT, &path, &headers[..1], Some(body.to_string()));
        let made = made.await.unwrap();
        assert!(made.status.is_success(), "{path}: {} {}", made.status, made.body);
    };
    let definition = json!({"class": "release", "type": "string", "description": own(at, "flag"), "variants": [
        {"key": "a", "value": own(at, "value-a")}, {"key": "b", "value": own(at, "value-b")}]});
    put("flags/f".to_owned(), definition).await;
    put("groups/g".to_owned(), json!({"description": own(at, "group")})).await;
    let (a, b) = (json!({"variant": "a"}), json!({"variant": "b"}));
    let rule = json!({"id": "r", "description": own(at, "rule"), "when": format!("tenant.mark == {:?}", canary(at, 1, "mark")), "serve": b});
    let state = json!({"enabled": true, "off": a, "fallthrough": a, "rules": [rule]});
    put("environments/prod/flags/f".to_owned(), state).await;
    for tenant in 0..TENANTS {
        let attributes =
            json!({"mark": canary(at, tenant, "mark"), "list": [canary(at, tenant, "list")]});
        let body = json!({"name": canary(at, tenant, "name"), "attributes": attributes});
        put(format!("tenants/{}", canary(at, tenant, "key")), body).await;
        if tenant % 3 == 0 {
            let path = format!("environments/prod/flags/f/overrides/{}", canary(at, tenant, "key"));
            put(path, json!({"variant": "b", "reason": canary(at, tenant, "why")})).await;
        }
        if tenant % 4 == 0 {
            put(format!("groups/g/members/{}", canary(at, tenant, "key")), json!({})).await;
        }
    }
    (org, key, told)
}

/// Every list and thing of an organization, its errors included.
async fn read_all(org: &Org, at: usize) -> usize {
    let tenant = canary(at, 3, "key");
    let mut seen = 0;
    for path in [
        "environments",
        "tenants?limit=500",
        "groups",
        "groups/g/members",
        "flags",
        "flags/f",
        "keys",
        "log?limit=500",
        "audit?limit=500",
        "audit/export",
        "audit/5",
        "environments/prod/log?limit=500",
        "environments/prod/flags",
        "environments/prod/flags/f/overrides",
        "webhooks",
        "imports",
        "tenant-schema",
        "tenants?search=cnry",
        "tenants?cursor=cnry",
    ] {
        let answer = org.api.get(&org.path(path)).await.unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        seen += check(&whole(&answer), at, None, path);
    }
    for rest in ["", "/overrides", "/groups"] {
        let answer = org.api.get(&org.path(&format!("tenants/{tenant}{rest}"))).await.unwrap();
        seen += check(&whole(&answer), at, Some(3), rest);
    }
    let view = org.api.get(&org.path(&format!("tenants/{tenant}/audit"))).await.unwrap();
    seen += check(&whole(&view), at, Some(3), "a tenant's view of the log");
    let path = org.path(&format!("environments/prod/tenants/{tenant}/flags"));
    seen += check(&whole(&org.api.get(&path).await.unwrap()), at, Some(3), "what a tenant gets");
    // Errors: bad input, and what belongs to the next organization.
    let next = canary((at + 1) % ORGS, 3, "key");
    for (method, path, body) in [
        (Method::GET, format!("tenants/{next}"), None),
        (Method::PUT, "tenants/a.b".to_owned(), Some("{\"attributes\": 1}")),
        (Method::PUT, "flags/f".to_owned(), Some("{\"class\": \"release\", \"type\": \"string\"}")),
        (Method::PUT, "environments/prod/flags/f".to_owned(), Some("{")),
        (Method::POST, "tenants".to_owned(), Some("{\"tenants\": [{\"key\": \"\"}]}")),
    ] {
        let body = body.map(str::to_owned);
        let answer = org.api.call(method, &org.path(&path), &[], body).await.unwrap();
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
        check(&whole(&answer), at, None, &path);
    }
    seen
}

/// What the relay answers for every tenant.
async fn evaluate_all(org: &Org, key: &str, at: usize) -> usize {
    let mut seen = 0;
    for tenant in 0..TENANTS {
        let name = canary(at, tenant, "key");
        let answer = org.evaluate(key, "f", &name, "u-1").await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        seen += check(&whole(&answer), at, Some(tenant), "an evaluation");
    }
    seen
}

/// The manifests as anyone with the chunks reads them.
async fn manifests(world: &World, org: &Org, at: usize) -> usize {
    let trust = world.hands.ensure_trust().await.unwrap().trust;
    let mut seen = 0;
    for scope in [Scope::Environment, Scope::Relay] {
        let (key, env) = (OrgKey::new(&org.key).unwrap(), EnvKey::new("prod").unwrap());
        let id = ScopeId { org: key, env, scope };
        let root = verified(&world.hands, &trust, &id).await;
        for bytes in listed(&world.hands, &root).await.1.into_values() {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            seen += check(&text, at, None, "a chunk");
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_finds_a_canary_of_another() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let world = Arc::new(World::start().await.unwrap());
    let mut filling = tokio::task::JoinSet::new();
    for at in 0..ORGS {
        let world = world.clone();
        filling.spawn(async move { (at, filled(&world, at).await) });
    }
    let mut orgs = filling.join_all().await;
    orgs.sort_by_key(|(at, _)| *at);
    for (at, (org, key, _)) in &orgs {
        let tenant = canary(*at, 3, "key");
        org.sees(key, "f", &tenant, &json!(own(*at, "value-b"))).await.unwrap();
    }
    // All at once, so that what is shared between requests has the chance to show.
    let mut reading = tokio::task::JoinSet::new();
    for (at, (org, key, told)) in orgs {
        let world = world.clone();
        reading.spawn(async move {
            let mut seen = 0;
            for _ in 0..2 {
                seen += read_all(&org, at).await + evaluate_all(&org, &key, at).await;
            }
            seen + manifests(&world, &org, at).await + told.search(&world, &org, at).await
        });
    }
    let seen: usize = reading.join_all().await.into_iter().sum();
    assert!(seen > 1_000, "only {seen} canaries were seen at all: nothing was tested");
    // A line is one organization's or nobody's: none may hold the canaries of two.
    let logged = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
    assert!(logged.lines().count() > 100, "nothing was logged");
    for line in logged.lines() {
        let orgs: BTreeSet<usize> = canaries(line).into_iter().map(|(org, _)| org).collect();
        assert!(orgs.len() <= 1, "a line of the log: {line}");
        let values = ["mark", "list", "name", "value-a", "value-b", "why", "rule"];
        for value in values {
            let told = line
                .split("cnry-o")
                .skip(1)
                .any(|rest| rest.get(6..).is_some_and(|r| r.starts_with(value)));
            assert!(!told, "a line of the log tells a value: {line}");
        }
    }
}
