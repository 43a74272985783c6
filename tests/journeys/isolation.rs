//! What is not yours is not there: every route of the API, called by strangers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use flagforge_flags::time::Timestamp;
use reqwest::Method;
use serde_json::{Value as Json, json};

use super::matrix::row;
use super::rows::Weakest;
use crate::{Answer, Org, Stack, eventually};

/// A route of the OpenAPI document.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: String,
}

impl Route {
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// Routes that belong to no organization; each says why.
const WITHOUT_ORG: &[(&str, &str)] =
    &[("/v1/orgs", "the operator's list"), ("/v1/trust", "the operator's trust document")];

pub(super) async fn routes(stack: &Stack) -> anyhow::Result<Vec<Route>> {
    let openapi = stack.api(None).get("/openapi.json").await?.expect(200)?;
    ensure!(
        openapi.body["openapi"].as_str().is_some_and(|v| v.starts_with("3.1")),
        "not OpenAPI 3.1"
    );
    let paths = openapi.body["paths"].as_object().context("no paths")?;
    let mut routes = Vec::new();
    for (path, methods) in paths {
        for method in methods.as_object().into_iter().flatten().map(|(method, _)| method) {
            let method = Method::from_bytes(method.to_uppercase().as_bytes())?;
            routes.push(Route { method, path: path.clone() });
        }
    }
    ensure!(routes.len() >= 30, "only {} routes were found", routes.len());
    Ok(routes)
}

/// A path of things that exist in `org`.
fn filled(path: &str, org: &str) -> String {
    path.replace("{org}", org)
        .replace("{env}", "prod")
        .replace("{flag}", "secret-flag")
        .replace("{tenant}", "acme")
        .replace("{group}", "secret-group")
        .replace("{segment}", "secret-segment")
        .replace("{list}", "included")
        .replace("{scope}", "environment")
        .replace("{id}", "someones-key")
        .replace("{import}", "someones-import")
        .replace("{schedule}", "someones-schedule")
        .replace("{part}", "0")
        .replace("{number}", "1")
        .replace("{webhook}", "someones-webhook")
        .replace("{issuer}", "secret-issuer")
        .replace("{person}", "someones-id")
        .replace("{invitation}", "someones-invitation")
        .replace("{role}", "secret-role")
}

/// A body that would do, were it allowed.
pub(super) fn body_for(route: &Route) -> Option<String> {
    let body = match (route.path.as_str(), route.method.as_str()) {
        (_, "GET" | "DELETE") => return None,
        (path, _) if path.ends_with("/enable") || path.ends_with("/kill") => return None,
        (path, "POST") if path.ends_with("/environments") => json!({"key": "stolen"}),
        (path, "POST") if path.ends_with("/keys") => json!({"kind": "mgmt", "role": "admin"}),
        (path, _) if path.ends_with("/weights") => {
            json!({"weights": [{"variant": "on", "weight": 1}]})
        }
        (path, _) if path.ends_with("/erasures") => json!({"actor": "demo.abcdefghijkm"}),
        (path, _) if path.ends_with("/schedules") => {
            json!({"at": next_week(), "do": {"kill": {"flag": "known-flag"}}})
        }
        (path, _) if path.ends_with("/clone") => json!({"key": "stolen"}),
        (path, _) if path.ends_with("/copy") => json!({"from": "dev"}),
        (path, _) if path.ends_with("/propagation") => json!({"reports": []}),
        (path, _) if path.ends_with("/promote") => json!({"from": "dev", "flags": ["secret-flag"]}),
        (path, _) if path.ends_with("/manifest/restore") => json!({"root": "1-1", "reason": "so"}),
        (path, _) if path.ends_with("/restore") => json!({"number": 1}),
        (path, _) if path.contains("/kills/") => json!({"reason": "because"}),
        (path, "POST") if path.ends_with("/imports") => json!({"format": "ndjson"}),
        (path, "POST") if path.ends_with("/start") => json!({"parts": 1}),
        (path, "PUT") if path.ends_with("/tenant-source") => {
            json!({"url": "http://127.0.0.1:1", "bearer": "secret", "paused": true})
        }
        (path, "PUT") if path.ends_with("/tenant-schema") => json!({"attributes": {}}),
        (path, "POST") if path.ends_with("/tenants") => json!({"tenants": []}),
        (path, _) if path.ends_with("/replay") => json!({"event": "someones-event"}),
        (path, "POST" | "PUT") if path.contains("/webhooks") && !path.ends_with("/rotate") => {
            json!({"url": "https://hooks.example.com/in"})
        }
        (path, "POST") if path.ends_with("/invitations") => {
            json!({"email": "a@example.com", "role": "admin"})
        }
        (path, "POST") if path.ends_with("/accept") => json!({"token": "ff_invitation_a_b"}),
        (path, "POST") if path.ends_with("/people") => {
            json!({"issuer": "https://a.example.com", "subject": "a", "role": "admin"})
        }
        (path, "PUT") if path.contains("/people/") => json!({"role": "admin"}),
        (path, _) if path.contains("/issuers/") => {
            // Nobody listens there, so nobody waits for an answer.
            json!({"url": "http://127.0.0.1:1", "audiences": ["flagforge"]})
        }
        (path, _) if path.contains("/lists/") => json!(["u-1"]),
        (path, _) if path.contains("/overrides/") => json!({"variant": "on"}),
        (path, "PUT") if path.ends_with("/environments/{env}/flags/{flag}") => {
            json!({"enabled": true, "off": "callerDefault", "fallthrough": "callerDefault"})
        }
        (path, "PUT") if path.ends_with("/roles/{role}") => json!({"permissions": ["kill"]}),
        (path, "PUT") if path.ends_with("/flags/{flag}") => {
            json!({"class": "release", "type": "boolean"})
        }
        _ => json!({}),
    };
    Some(body.to_string())
}

/// An instant that something can be scheduled for.
fn next_week() -> Timestamp {
    let week = Duration::from_secs(7 * 86_400);
    let then = (SystemTime::now() + week).duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_seconds(i64::try_from(then.as_secs()).unwrap_or_default())
}

async fn victim(stack: &Stack) -> anyhow::Result<Org> {
    let org = stack.found("victim").await?;
    org.boolean_flag("secret-flag").await?;
    org.api.put(&org.path("groups/secret-group"), &json!({})).await?.expect(201)?;
    org.api.put(&org.path("groups/secret-group/members/acme"), &json!({})).await?.expect(201)?;
    org.api
        .put(&org.path("environments/prod/segments/secret-segment"), &json!({}))
        .await?
        .expect(201)?;
    org.flip("secret-flag", true).await?;
    Ok(org)
}

pub(super) async fn fingerprint(org: &Org) -> anyhow::Result<Json> {
    let mut all = Vec::new();
    for path in ["log", "environments/prod/log", "environments", "keys"] {
        all.push(org.api.get(&org.path(path)).await?.expect(200)?.body);
    }
    Ok(Json::Array(all))
}

pub async fn a_stranger_finds_nothing(stack: &Stack) -> anyhow::Result<()> {
    let (victim, stranger) = (victim(stack).await?, stack.found("stranger").await?);
    let server_key = victim.server_key().await?;
    let before = fingerprint(&victim).await?;
    for route in routes(stack).await? {
        let path = filled(&route.path, &victim.key);
        let call = |key: Option<String>| {
            let (api, route, path) = (stack.api(key.as_deref()), &route, path.clone());
            async move { api.call(route.method.clone(), &path, &[], body_for(route)).await }
        };
        let nobody = call(None).await?;
        ensure!(nobody.status == 401, "{route:?} without a key: {}", nobody.status);
        let forged = call(Some(format!("{}x", victim.admin_key))).await?;
        ensure!(forged.status == 401, "{route:?} with a forged key: {}", forged.status);
        let wrong_kind = call(Some(server_key.clone())).await?;
        // One route is for such keys; what they may not do there has a journey of its own.
        let refused = if row(&route)? == Weakest::Service { 204 } else { 403 };
        ensure!(wrong_kind.status == refused, "{route:?} with a server key: {}", wrong_kind.status);
        let foreign = call(Some(stranger.admin_key.clone())).await?;
        ensure!(
            foreign.status == 404,
            "{route:?} from elsewhere: {} {}",
            foreign.status,
            foreign.body
        );
        let exempt = WITHOUT_ORG.iter().any(|(path, _)| *path == route.path);
        ensure!(exempt || route.path.contains("{org}"), "{route:?} names no organization");
    }
    ensure!(fingerprint(&victim).await? == before, "a stranger changed something");
    Ok(())
}

/// What a caller could tell two answers apart by.
pub(super) fn comparable(answer: &Answer) -> (reqwest::StatusCode, Vec<String>, Json) {
    // What the caller has left of its own rate goes down with each call.
    let own = |name: &str| matches!(name, "x-request-id" | "date" | "ratelimit");
    let gateways = |name: &str| name.starts_with("apigw-") || name.starts_with("x-amz");
    let mut headers: Vec<String> = (answer.headers.iter())
        .filter(|(name, _)| !own(name.as_str()) && !gateways(name.as_str()))
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    headers.sort();
    (answer.status, headers, answer.body.clone())
}

pub async fn what_is_not_yours_looks_like_what_is_not_there(stack: &Stack) -> anyhow::Result<()> {
    let (victim, stranger) = (victim(stack).await?, stack.found("other").await?);
    for route in routes(stack).await?.iter().filter(|route| route.path.contains("{org}")) {
        let there = filled(&route.path, &victim.key);
        // A name of the same length, so that nothing depends on it.
        let not_there = filled(&route.path, &"z".repeat(victim.key.len()));
        let api = stack.api(Some(&stranger.admin_key));
        let foreign = api.call(route.method.clone(), &there, &[], body_for(route)).await?;
        let absent = api.call(route.method.clone(), &not_there, &[], body_for(route)).await?;
        let (foreign, absent) = (comparable(&foreign), comparable(&absent));
        ensure!(foreign == absent, "{route:?} tells them apart: {foreign:?} {absent:?}");
    }
    // The data plane too: a key of one organization is nobody in another.
    let key = stranger.server_key().await?;
    let data = format!("/data/v1/{}/prod/environment", victim.key);
    let api = stack.api(Some(&key));
    // Until the key is known everywhere it opens nothing at all.
    eventually(stack.patience, || async {
        let foreign = api.get(&data).await?;
        let absent = api.get("/data/v1/nobody/prod/environment").await?;
        ensure!(foreign.status == 404, "{} {}", foreign.status, foreign.body);
        ensure!(comparable(&foreign) == comparable(&absent), "{} {}", foreign.body, absent.body);
        Ok(Some(()))
    })
    .await
}
