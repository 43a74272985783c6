//! What is published of an environment.

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::EntryCounts;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, PageBody, PageOptions};
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::caller::Permission;
use crate::manifest::{KeptRoot, ManifestRecord, ManifestState, RootDifference};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(get))
        .routes(routes!(accept))
        .routes(routes!(list_kept))
        .routes(routes!(get_kept))
        .routes(routes!(restore))
        .routes(routes!(release))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AcceptedShrinkage {
    /// How few may be left, of all kinds; what is not said is 0. Absent: as few as the manifest says that there are.
    #[serde(default)]
    down_to: Option<EntryCounts>,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ManifestRestoration {
    /// The name of the root, as `manifest/kept` lists it.
    root: String,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ManifestRelease {
    #[serde(default)]
    reason: Option<String>,
}

/// The manifest that stands: how old it is, which flags are held in an earlier form and why, and of which kinds so much was
/// gone at once that removals wait.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/manifest", tag = "manifest", params(("org" = String, Path), ("env" = String, Path)), responses(
    (status = 200, body = ManifestState),
    (status = "default", body = ProblemBody),
))]
async fn get(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(answer::one(&headers, &platform.manifest(&caller, &org, &env).await?))
}

/// Lists the roots that are kept, the newest first: the last of each hour, for a month. A root is kept when the first of another
/// hour replaces it.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/manifest/kept", tag = "manifest", params(("org" = String, Path), ("env" = String, Path), PageOptions), responses(
    (status = 200, body = PageBody<KeptRoot>),
    (status = "default", body = ProblemBody),
))]
async fn list_kept(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    Options(page): Options<PageOptions>,
) -> Result<Response, Problem> {
    Ok(answer::listing(platform.kept_roots(&caller, (&org, &env), &page.into()).await?))
}

/// Says that it is meant that so much is gone, and lets it be published: what is withheld now, or beforehand, for an hour.
/// It needs a reason.
#[utoipa::path(post, path = "/v1/orgs/{org}/environments/{env}/manifest/accept-shrinkage", tag = "manifest", params(("org" = String, Path), ("env" = String, Path)), request_body = AcceptedShrinkage, responses(
    (status = 200, body = ManifestRecord),
    (status = "default", body = ProblemBody),
))]
async fn accept(
    Acting(platform): Acting,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can_in(&org, &env, Permission::Read)?;
    let AcceptedShrinkage { down_to, reason } = asked.body()?;
    let request = |change| asked.commit_because(change, reason);
    let (change, outcome) =
        platform.accept_shrinkage(&asked.caller, (org, env), down_to, request).await?;
    Ok(answer::changed(&change.log(), outcome))
}

/// What an earlier root would bring back, and what would go, if it were restored: held against what is published now.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/manifest/kept/{root}", tag = "manifest", params(("org" = String, Path), ("env" = String, Path), ("root" = String, Path)), responses(
    (status = 200, body = RootDifference),
    (status = "default", body = ProblemBody),
))]
async fn get_kept(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env, root)): Keys<(OrgKey, EnvKey, String)>,
) -> Result<Response, Problem> {
    let difference = platform.kept_root(&caller, (&org, &env), &root).await?;
    Ok(Json(difference).into_response())
}

/// Publishes the flags, tenants and segments of an earlier root until it is released. Keys stay today's; kill switches, and
/// flags that are turned off from now on, pass. All other changes are taken and wait. It needs a reason.
#[utoipa::path(post, path = "/v1/orgs/{org}/environments/{env}/manifest/restore", tag = "manifest", params(("org" = String, Path), ("env" = String, Path)), request_body = ManifestRestoration, responses(
    (status = 200, body = ManifestRecord),
    (status = "default", body = ProblemBody),
))]
async fn restore(
    Acting(platform): Acting,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can_in(&org, &env, Permission::Read)?;
    let ManifestRestoration { root, reason } = asked.body()?;
    let request = |change| asked.commit_because(change, reason);
    let (change, outcome) =
        platform.restore_manifest(&asked.caller, (org, env), root, request).await?;
    Ok(answer::changed(&change.log(), outcome))
}

/// Publishes what is there again, with all changes that waited. It needs a reason.
#[utoipa::path(post, path = "/v1/orgs/{org}/environments/{env}/manifest/release", tag = "manifest", params(("org" = String, Path), ("env" = String, Path)), request_body = ManifestRelease, responses(
    (status = 200, body = ManifestRecord),
    (status = "default", body = ProblemBody),
))]
async fn release(
    Acting(platform): Acting,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can_in(&org, &env, Permission::Read)?;
    let ManifestRelease { reason } = asked.body()?;
    let request = |change| asked.commit_because(change, reason);
    let (change, outcome) = platform.release_manifest(&asked.caller, (org, env), request).await?;
    Ok(answer::changed(&change.log(), outcome))
}
