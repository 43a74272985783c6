//! What is published of an environment.

use axum::http::HeaderMap;
use axum::response::Response;
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
use crate::manifest::{KeptRoot, ManifestRecord, ManifestState};

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(get)).routes(routes!(accept)).routes(routes!(list_kept))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Acceptance {
    /// How few may be left, of all kinds; what is not said is 0. Absent: as few as the manifest says that there are.
    #[serde(default)]
    down_to: Option<EntryCounts>,
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
#[utoipa::path(post, path = "/v1/orgs/{org}/environments/{env}/manifest/accept-shrinkage", tag = "manifest", params(("org" = String, Path), ("env" = String, Path)), request_body = Acceptance, responses(
    (status = 200, body = ManifestRecord),
    (status = "default", body = ProblemBody),
))]
async fn accept(
    Acting(platform): Acting,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can_in(&org, &env, Permission::Read)?;
    let Acceptance { down_to, reason } = asked.body()?;
    let request = |change| asked.commit_because(change, reason);
    let (change, outcome) =
        platform.accept_shrinkage(&asked.caller, (org, env), down_to, request).await?;
    Ok(answer::changed(&change.log(), outcome))
}
