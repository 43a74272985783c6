//! Access keys.

use axum::Json;
use axum::response::Response;
use flagforge_flags::keys::OrgKey;
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, ListOptions, PageBody};
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::organizations::with_secret;
use super::problem::{Problem, ProblemBody};
use crate::access::KeySpec;
use crate::caller::Permission;
use crate::change::Change;
use crate::place::LogId;
use crate::record::KeyFacts;
use crate::store::{Listing, Stored};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, revoke))
        .routes(routes!(rotate))
}

/// A new key, shown this once.
#[derive(Debug, Serialize, ToSchema)]
struct Issued {
    record: KeyFacts,
    /// Absent when this answers a repeat: the key was shown the first time.
    key: Option<String>,
}

/// A key, and when it was last seen.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KeySeen {
    #[serde(flatten)]
    facts: KeyFacts,
    /// When it last called the management API, to within an hour. Keys of the data plane ask relays, which tell
    /// nobody; of them nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<Timestamp>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Rotation {
    /// How long the old secret counts beside the new one; 0 ends it at once, 2,592,000 (30 days) is the most.
    #[serde(default = "a_day")]
    overlap_seconds: u32,
}

fn a_day() -> u32 {
    86_400
}

/// Lists the organization's keys, without their secrets.
#[utoipa::path(get, path = "/v1/orgs/{org}/keys", tag = "keys", params(("org" = String, Path), ListOptions), responses(
    (status = 200, body = PageBody<KeySeen>),
    (status = "default", body = ProblemBody),
))]
async fn list(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(page): Options<ListOptions>,
) -> Result<Response, Problem> {
    let Listing { items, next } = platform.keys(&caller, &org, &page.into()).await?;
    let uses = platform.uses(&org).await?;
    let items = items.into_iter().map(|Stored { value: facts, version }| {
        let last_used = uses.get(&facts.id).copied();
        Stored { value: KeySeen { facts, last_used }, version }
    });
    Ok(answer::listing(Listing { items: items.collect(), next }))
}

/// One key, without its secret.
#[utoipa::path(get, path = "/v1/orgs/{org}/keys/{id}", tag = "keys", params(("org" = String, Path), ("id" = String, Path)), responses(
    (status = 200, body = KeySeen),
    (status = "default", body = ProblemBody),
))]
async fn get(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, id)): Keys<(OrgKey, String)>,
) -> Result<Json<KeySeen>, Problem> {
    let facts = platform.key(&caller, &org, &id).await?.value;
    let last_used = platform.uses(&org).await?.get(&id).copied();
    Ok(Json(KeySeen { facts, last_used }))
}

/// Gives a key a new secret, which is shown this once. The old one counts on for a while, so that its holders
/// can change without a gap.
#[utoipa::path(post, path = "/v1/orgs/{org}/keys/{id}/rotate", tag = "keys", params(("org" = String, Path), ("id" = String, Path)), request_body = Rotation, responses(
    (status = 200, body = Issued),
    (status = "default", body = ProblemBody),
))]
async fn rotate(
    Acting(platform): Acting,
    Keys((org, id)): Keys<(OrgKey, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can(&org, Permission::ManageKeys)?;
    let Rotation { overlap_seconds } = asked.body()?;
    let request = |change| asked.commit(change);
    let (outcome, key) =
        platform.rotate_key(&asked.caller, &org, &id, overlap_seconds, request).await?;
    let log = LogId { org, env: None };
    Ok(with_secret(&log, outcome, "key", "record", &key.expose()))
}

/// Makes a key, no stronger than the one that asks.
#[utoipa::path(post, path = "/v1/orgs/{org}/keys", tag = "keys", params(("org" = String, Path)), request_body = KeySpec, responses(
    (status = 201, body = Issued),
    (status = "default", body = ProblemBody),
))]
async fn create(
    Acting(platform): Acting,
    Keys(org): Keys<OrgKey>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can(&org, Permission::ManageKeys)?;
    let spec: KeySpec = asked.body()?;
    let request = |change| asked.commit(change);
    let (outcome, issued) = platform.issue_key(&asked.caller, &org, spec, request).await?;
    let log = LogId { org, env: None };
    Ok(with_secret(&log, outcome, "key", "record", &issued.key.expose()))
}

/// Revokes a key and every key made by it.
#[utoipa::path(delete, path = "/v1/orgs/{org}/keys/{id}", tag = "keys", params(("org" = String, Path), ("id" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn revoke(
    Acting(platform): Acting,
    Keys((org, id)): Keys<(OrgKey, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::RevokeKey { org, id }).await
}
