//! From one environment to another, and from one state of a flag back to an earlier one.

use axum::Json;
use axum::response::{IntoResponse, Response};
use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, SegmentKey};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, PageBody, PageOptions};
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::problem::{Problem, ProblemBody};
use crate::caller::Permission;
use crate::change::Change;
use crate::comparison::{Differing, Past, Preview, Promoted};
use crate::error::Error;
use crate::states::FlagState;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(compare))
        .routes(routes!(promote))
        .routes(routes!(history))
        .routes(routes!(restore))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CompareOptions {
    /// The other environment.
    #[param(value_type = String, required = true)]
    with: Option<EnvKey>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PromoteOptions {
    /// Only say what would change.
    #[serde(default)]
    preview: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PromoteInput {
    /// The environment whose states are taken.
    #[schema(value_type = String)]
    from: EnvKey,
    /// The flags, 40 at most. The segments they need come with them.
    #[schema(value_type = Vec<String>)]
    flags: Vec<FlagKey>,
    /// Further segments, 40 at most.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    segments: Vec<SegmentKey>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RestoreInput {
    /// The entry of the environment's log whose state comes back, as the history names it.
    number: u64,
}

/// What differs between an environment and another (`?with=`): flags' states and segments.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/compare", tag = "promotion", params(("org" = String, Path), ("env" = String, Path), PageOptions, CompareOptions), responses(
    (status = 200, body = PageBody<Differing>),
    (status = "default", body = ProblemBody),
))]
async fn compare(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    Options(page): Options<PageOptions>,
    Options(CompareOptions { with }): Options<CompareOptions>,
) -> Result<Response, Problem> {
    caller.can_in(&org, &env, Permission::Read)?;
    let with = with.ok_or_else(|| Error::invalid("with", "name the other environment"))?;
    Ok(answer::listing(platform.compare(&caller, &org, (&env, &with), &page.into()).await?))
}

/// Lets flags do here what they do in another environment, with the segments they need: all of them or none.
/// `?preview=true` says what would change. A promotion that would take a prerequisite away is refused.
#[utoipa::path(post, path = "/v1/orgs/{org}/environments/{env}/promote", tag = "promotion", params(("org" = String, Path), ("env" = String, Path), PromoteOptions), request_body = PromoteInput, responses(
    (status = 200, body = inline(PromotedOrPreview)),
    (status = "default", body = ProblemBody),
))]
async fn promote(
    Acting(platform): Acting,
    Keys((org, env)): Keys<(OrgKey, EnvKey)>,
    Options(options): Options<PromoteOptions>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can_in(&org, &env, Permission::Read)?;
    let PromoteInput { from, flags, segments } = asked.body()?;
    let change = Change::Promote { org, from, env, flags, segments, more_follow: false };
    if !options.preview {
        return asked.change(&platform, change).await;
    }
    let preview = platform.preview(&asked.caller, &asked.commit(change)).await?;
    Ok(Json(preview).into_response())
}

/// What became of it, or what would.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "for the description of the API")]
enum PromotedOrPreview {
    Promoted(Promoted),
    Preview(Preview),
}

/// The changes of a flag's state in an environment, newest first.
#[utoipa::path(get, path = "/v1/orgs/{org}/environments/{env}/flags/{flag}/history", tag = "promotion", params(("org" = String, Path), ("env" = String, Path), ("flag" = String, Path), PageOptions), responses(
    (status = 200, body = PageBody<Past>),
    (status = "default", body = ProblemBody),
))]
async fn history(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, env, flag)): Keys<(OrgKey, EnvKey, FlagKey)>,
    Options(page): Options<PageOptions>,
) -> Result<Response, Problem> {
    Ok(answer::listing(platform.state_history(&caller, (&org, &env), &flag, &page.into()).await?))
}

/// Puts a flag's state back as an entry of its history left it. It is a change like any other, and is in the history too.
#[utoipa::path(post, path = "/v1/orgs/{org}/environments/{env}/flags/{flag}/restore", tag = "promotion", params(("org" = String, Path), ("env" = String, Path), ("flag" = String, Path)), request_body = RestoreInput, responses(
    (status = 200, body = FlagState),
    (status = "default", body = ProblemBody),
))]
async fn restore(
    Acting(platform): Acting,
    Keys((org, env, flag)): Keys<(OrgKey, EnvKey, FlagKey)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can_in(&org, &env, Permission::Read)?;
    let RestoreInput { number } = asked.body()?;
    asked.change(&platform, Change::RestoreState { org, env, flag, number }).await
}
