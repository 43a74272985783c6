//! The people of an organization, and invitations.

use axum::http::HeaderMap;
use axum::response::Response;
use flagforge_flags::keys::{EnvKey, OrgKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{self, ListOptions, PageBody};
use super::asked::{Acting, Asked, Keys, Options, Reading};
use super::organizations::with_secret;
use super::problem::{Problem, ProblemBody};
use crate::caller::{Permission, RoleName};
use crate::change::Change;
use crate::error::Error;
use crate::people::{INVITATION_SECONDS, Invitation, Part, PersonRecord};
use crate::place::LogId;

pub(super) fn routes() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(get, put, remove))
        .routes(routes!(list_invitations, invite))
        .routes(routes!(accept))
        .routes(routes!(withdraw))
}

/// Whether a path is that of accepting an invitation, where somebody may come in who is nobody yet.
pub(super) fn accepts(path: &str) -> bool {
    path.ends_with("/invitations/accept")
}

/// Somebody by name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewPerson {
    /// The address of an issuer that is believed here.
    issuer: String,
    /// What they are called there: `sub` of their tokens.
    subject: String,
    /// One of `reader`, `approver`, `maintainer` and `admin`, or a role of the organization's own.
    #[schema(value_type = String, example = "maintainer")]
    role: RoleName,
    /// The only environments it holds in; absent: all.
    #[serde(default)]
    envs: Option<Vec<EnvKey>>,
    /// The only domains whose flags it changes; absent: all.
    #[serde(default)]
    domains: Option<Vec<String>>,
}

/// Whom to invite, as what.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewInvitation {
    email: String,
    /// One of `reader`, `approver`, `maintainer` and `admin`, or a role of the organization's own.
    #[schema(value_type = String, example = "maintainer")]
    role: RoleName,
    /// The only environments it holds in; absent: all.
    #[serde(default)]
    envs: Option<Vec<EnvKey>>,
    /// The only domains whose flags it changes; absent: all.
    #[serde(default)]
    domains: Option<Vec<String>>,
    /// How long it stands: 604,800 (a week) when not said, 2,592,000 (30 days) at most.
    #[serde(default = "a_week")]
    expires_in_seconds: u32,
}

fn a_week() -> u32 {
    INVITATION_SECONDS
}

/// A new invitation with its token, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
struct Invited {
    invitation: Invitation,
    /// `ff_invitation_…`. Absent when this answers a repeat: it was shown the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
struct Acceptance {
    /// The invitation's token.
    token: String,
}

/// Lists the people whom the organization took in. Who has a role by what their token says is not among them.
#[utoipa::path(get, path = "/v1/orgs/{org}/people", tag = "people", params(("org" = String, Path), ListOptions), responses(
    (status = 200, body = PageBody<PersonRecord>),
    (status = "default", body = ProblemBody),
))]
async fn list(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(page): Options<ListOptions>,
) -> Result<Response, Problem> {
    Ok(answer::listing(platform.people(&caller, &org, &page.into()).await?))
}

/// Takes in somebody by what their issuer calls them, as no more than the caller is.
#[utoipa::path(post, path = "/v1/orgs/{org}/people", tag = "people", params(("org" = String, Path)), request_body = NewPerson, responses(
    (status = 201, body = PersonRecord),
    (status = "default", body = ProblemBody),
))]
async fn add(
    Acting(platform): Acting,
    Keys(org): Keys<OrgKey>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can_everywhere(&org, Permission::ManageMembers)?;
    let NewPerson { issuer, subject, role, envs, domains } = asked.body()?;
    let request = |change| asked.commit(change);
    let new = (issuer, subject, Part { role, envs, domains });
    let outcome = platform.add_person(&asked.caller, &org, new, request).await?;
    Ok(answer::changed(&LogId { org, env: None }, outcome))
}

/// One person.
#[utoipa::path(get, path = "/v1/orgs/{org}/people/{person}", tag = "people", params(("org" = String, Path), ("person" = String, Path)), responses(
    (status = 200, body = PersonRecord),
    (status = "default", body = ProblemBody),
))]
async fn get(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys((org, person)): Keys<(OrgKey, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Ok(answer::one(&headers, &platform.person(&caller, &org, &person).await?))
}

/// Changes what a person may, from their next request on. The last admin stays one. If-Match counts when it is there.
#[utoipa::path(put, path = "/v1/orgs/{org}/people/{person}", tag = "people", params(("org" = String, Path), ("person" = String, Path)), request_body = Part, responses(
    (status = 200, body = PersonRecord),
    (status = "default", body = ProblemBody),
))]
async fn put(
    Acting(platform): Acting,
    Keys((org, person)): Keys<(OrgKey, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can_everywhere(&org, Permission::ManageMembers)?;
    let part: Part = asked.body_but(&["id", "issuer", "subject", "name", "email", "since"])?;
    asked.change(&platform, Change::ChangePerson { org, id: person, part }).await
}

/// Removes a person: their next request is a stranger's, unless their token says a role. The last admin stays.
#[utoipa::path(delete, path = "/v1/orgs/{org}/people/{person}", tag = "people", params(("org" = String, Path), ("person" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn remove(
    Acting(platform): Acting,
    Keys((org, person)): Keys<(OrgKey, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::RemovePerson { org, id: person }).await
}

/// Lists the invitations that nobody accepted yet, the expired among them until they are swept.
#[utoipa::path(get, path = "/v1/orgs/{org}/invitations", tag = "people", params(("org" = String, Path), ListOptions), responses(
    (status = 200, body = PageBody<Invitation>),
    (status = "default", body = ProblemBody),
))]
async fn list_invitations(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    Options(page): Options<ListOptions>,
) -> Result<Response, Problem> {
    Ok(answer::listing(platform.invitations(&caller, &org, &page.into()).await?))
}

/// Invites whoever has an e-mail address, as no more than the caller is. Nothing is sent: the token is for whoever writes
/// the letter.
#[utoipa::path(post, path = "/v1/orgs/{org}/invitations", tag = "people", params(("org" = String, Path)), request_body = NewInvitation, responses(
    (status = 201, body = Invited),
    (status = "default", body = ProblemBody),
))]
async fn invite(
    Acting(platform): Acting,
    Keys(org): Keys<OrgKey>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.caller.can_everywhere(&org, Permission::ManageMembers)?;
    let NewInvitation { email, role, envs, domains, expires_in_seconds } = asked.body()?;
    let request = |change| asked.commit(change);
    let new = (email, Part { role, envs, domains }, expires_in_seconds);
    let (outcome, token) = platform.invite(&asked.caller, &org, new, request).await?;
    Ok(with_secret(&LogId { org, env: None }, outcome, "token", "invitation", &token))
}

/// Accepts an invitation, once, as the person whose token comes with the request: the address that it was made for must be
/// the one that their issuer says it verified.
#[utoipa::path(post, path = "/v1/orgs/{org}/invitations/accept", tag = "people", params(("org" = String, Path)), request_body = Acceptance, responses(
    (status = 201, body = PersonRecord),
    (status = "default", body = ProblemBody),
))]
async fn accept(
    Acting(platform): Acting,
    Reading(caller): Reading,
    Keys(org): Keys<OrgKey>,
    asked: Result<Asked, Problem>,
) -> Result<Response, Problem> {
    platform.who_accepts(&caller, &org)?;
    let read = |asked: Asked| Ok((asked.body()?, asked));
    let (Acceptance { token }, asked) = asked.and_then(read).map_err(|problem| {
        // Who is nobody here yet does not learn from a bad request that there is a here.
        match caller.unknown_invitation(&org) {
            error @ Error::Unauthenticated => error.into(),
            _ => problem,
        }
    })?;
    let request = |change| asked.commit(change);
    let outcome = platform.accept_invitation(&asked.caller, &org, &token, request).await?;
    Ok(answer::changed(&LogId { org, env: None }, outcome))
}

/// Withdraws an invitation.
#[utoipa::path(delete, path = "/v1/orgs/{org}/invitations/{invitation}", tag = "people", params(("org" = String, Path), ("invitation" = String, Path)), responses(
    (status = 204),
    (status = "default", body = ProblemBody),
))]
async fn withdraw(
    Acting(platform): Acting,
    Keys((org, invitation)): Keys<(OrgKey, String)>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.change(&platform, Change::WithdrawInvitation { org, id: invitation }).await
}
