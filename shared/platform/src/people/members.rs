//! The people of an organization, and how they come to be: by name, or by an invitation that they accept.

use std::time::Duration;

use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::Digest;
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{check_bounds, named};
use crate::access::role_permissions;
use crate::caller::{Actor, Caller, Grant, Permission, PermissionSet, Role, RoleName};
use crate::change::Change;
use crate::commit::{Outcome, Request};
use crate::error::Error;
use crate::input::bounded;
use crate::personal::Identity;
use crate::ports::Table;
use crate::read::PageOf;
use crate::store::{self, Listing, Stored};
use crate::{Platform, fresh, place};

/// Bytes of an e-mail address: RFC 5321's local part, `@` and domain.
pub const MAX_EMAIL_BYTES: usize = 320;
/// How long an invitation stands where nobody said otherwise, and the longest that it can: whoever finds one later in a
/// mailbox finds nothing.
pub const INVITATION_SECONDS: u32 = 7 * 86_400;
pub const MAX_INVITATION_SECONDS: u32 = 30 * 86_400;
/// What an invitation's token begins with, so that a search for secrets finds it.
const TOKEN_PREFIX: &str = "ff_invitation_";

/// What the log does not keep: who people are outside, and what an invitation is held against.
pub(crate) const NOT_LOGGED: [&str; 5] = ["issuer", "subject", "name", "email", "secretSha256"];

/// What somebody may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// One of `reader`, `approver`, `maintainer` and `admin`, or a role of the organization's own.
    #[schema(value_type = String, example = "maintainer")]
    pub role: RoleName,
    /// The only environments it holds in; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envs: Option<Vec<EnvKey>>,
    /// The only domains whose flags it changes; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domains: Option<Vec<String>>,
}

/// A person of the organization, whatever their token claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonRecord {
    /// As the log names them.
    pub id: String,
    /// The address of the issuer that vouches for them.
    pub issuer: String,
    /// What they are called there.
    pub subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(flatten)]
    pub part: Part,
    pub since: Timestamp,
}

/// An invitation that was not accepted yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Invitation {
    pub id: String,
    /// Whom it is for: the address that their issuer vouches for must be this one.
    pub email: String,
    #[serde(flatten)]
    pub part: Part,
    pub created: Timestamp,
    pub expires: Timestamp,
}

/// An invitation as it is stored: what may be read of it, and what its secret is held against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvitationRecord {
    #[serde(flatten)]
    pub invitation: Invitation,
    pub(crate) secret_sha256: Digest,
}

impl PersonRecord {
    pub(crate) fn identity(&self) -> Identity {
        Identity { issuer: self.issuer.clone(), subject: self.subject.clone() }
    }
}

impl Part {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_bounds(str::to_owned, self.envs.as_deref(), self.domains.as_deref())
    }

    /// What it allows now.
    pub(crate) async fn grant(&self, table: &dyn Table, org: &OrgKey) -> Result<Grant, Error> {
        let permissions = role_permissions(table, org, &self.role).await?;
        Ok(Grant { permissions, envs: self.envs.clone(), domains: self.domains.clone() })
    }

    /// Whether who has it can do everything everywhere.
    pub(crate) fn is_admin(&self) -> bool {
        let everywhere = self.envs.is_none() && self.domains.is_none();
        everywhere && self.role == RoleName::BuiltIn(Role::Admin)
    }
}

/// Lets pass who may manage people wherever this grant holds, and may itself do all that it allows.
pub(crate) fn may_manage(caller: &Caller, grant: &Grant) -> Result<(), Error> {
    let manage = PermissionSet::of(&[Permission::ManageMembers]);
    caller.covers(&Grant { permissions: manage, ..grant.clone() })?;
    caller.covers(grant)
}

/// Refuses what is no address. Whether it is anybody's is for their issuer to say.
fn check_email(email: &str) -> Result<(), Error> {
    bounded("email", "bytes", MAX_EMAIL_BYTES, email.len())?;
    let odd = |c: char| c.is_whitespace() || c.is_control();
    match email.rsplit_once('@') {
        Some((local, domain))
            if !local.is_empty() && !domain.is_empty() && !email.contains(odd) =>
        {
            Ok(())
        }
        _ => Err(Error::invalid("email", "is no e-mail address")),
    }
}

impl Caller {
    /// What an invitation is that is none: what every other thing of the organization is to this caller.
    pub(crate) fn unknown_invitation(&self, org: &OrgKey) -> Error {
        let by_installation = self.person.as_ref().is_some_and(|person| person.by_installation);
        if by_installation || self.belongs(org).is_ok() {
            Error::NotFound { what: "invitation" }
        } else {
            Error::Unauthenticated
        }
    }
}

impl Platform {
    pub async fn people(
        &self,
        caller: &Caller,
        org: &OrgKey,
        page: &PageOf,
    ) -> Result<Listing<PersonRecord>, Error> {
        caller.can_everywhere(org, Permission::ManageMembers)?;
        self.organization(caller, org).await?;
        self.page(&place::org_pk(org), "PERSON#", page).await
    }

    pub async fn person(
        &self,
        caller: &Caller,
        org: &OrgKey,
        id: &str,
    ) -> Result<Stored<PersonRecord>, Error> {
        caller.can_everywhere(org, Permission::ManageMembers)?;
        store::standing(self.table(), &place::person(org, id), "person").await
    }

    /// Takes in somebody by what their issuer calls them.
    pub async fn add_person(
        &self,
        caller: &Caller,
        org: &OrgKey,
        (issuer, subject, part): (String, String, Part),
        request: impl FnOnce(Change) -> Request,
    ) -> Result<Outcome, Error> {
        caller.can_everywhere(org, Permission::ManageMembers)?;
        named("subject", &subject)?;
        bounded("subject", "bytes", super::MAX_SUBJECT_BYTES, subject.len())?;
        let own = self.issuers_of(org).await?;
        let mut believed = own.iter().chain(self.installation_issuers());
        if !believed.any(|believed| believed.url == issuer) {
            return Err(Error::invalid("issuer", "is none that is believed here"));
        }
        // For somebody new; who is known already keeps theirs.
        let id = fresh::id()?;
        let since = self.timer().now();
        let person = PersonRecord { id, issuer, subject, name: None, email: None, part, since };
        self.commit(caller, &request(Change::AddPerson { org: org.clone(), person })).await
    }

    pub async fn invitations(
        &self,
        caller: &Caller,
        org: &OrgKey,
        page: &PageOf,
    ) -> Result<Listing<Invitation>, Error> {
        caller.can_everywhere(org, Permission::ManageMembers)?;
        self.organization(caller, org).await?;
        self.page(&place::org_pk(org), "INVITE#", page).await
    }

    /// Invites somebody. Answers the token, which is shown this once, for whoever writes the letter.
    pub async fn invite(
        &self,
        caller: &Caller,
        org: &OrgKey,
        (email, part, expires_in_seconds): (String, Part, u32),
        request: impl FnOnce(Change) -> Request,
    ) -> Result<(Outcome, String), Error> {
        caller.can_everywhere(org, Permission::ManageMembers)?;
        check_email(&email)?;
        let (limit, actual) = (MAX_INVITATION_SECONDS as usize, expires_in_seconds as usize);
        bounded("expiresInSeconds", "seconds", limit, actual)?;
        let (id, secret, created) = (fresh::id()?, fresh::secret()?, self.timer().now());
        let expires = created.plus(Duration::from_secs(expires_in_seconds.into()));
        let token = format!("{TOKEN_PREFIX}{id}_{secret}");
        let invitation = Invitation { id, email, part, created, expires };
        let secret_sha256 = Digest::of(secret.as_bytes());
        let record = InvitationRecord { invitation, secret_sha256 };
        let outcome =
            self.commit(caller, &request(Change::Invite { org: org.clone(), record })).await?;
        Ok((outcome, token))
    }

    /// Accepts an invitation for whoever asks. Only who holds its token hears why not; to all others, and in every
    /// organization alike, there is no such thing.
    pub async fn accept_invitation(
        &self,
        caller: &Caller,
        org: &OrgKey,
        token: &str,
        request: impl FnOnce(Change) -> Request,
    ) -> Result<Outcome, Error> {
        let person = self.who_accepts(caller, org)?;
        let unknown = || caller.unknown_invitation(org);
        let parts = token.strip_prefix(TOKEN_PREFIX).and_then(|rest| rest.split_once('_'));
        let (id, secret) = parts.ok_or_else(unknown)?;
        let found: Option<Stored<InvitationRecord>> =
            store::read(self.table(), &place::invitation(org, id)).await?;
        let presented = Digest::of(secret.as_bytes());
        let Some(found) = found.filter(|found| found.value.secret_sha256.same(&presented)) else {
            return Err(unknown());
        };
        let Invitation { email, expires, part, .. } = found.value.invitation;
        if expires <= self.timer().now() {
            let message = format!("the invitation expired at {expires}; ask for another");
            return Err(Error::invalid("token", message));
        }
        let own = person.email.as_ref().ok_or_else(|| {
            let message = "your issuer does not say that it verified an address of yours";
            Error::invalid("email", message)
        })?;
        if !own.eq_ignore_ascii_case(&email) {
            let message = "the invitation is for another address than the one your issuer verified";
            return Err(Error::invalid("email", message));
        }
        let identity = person.identity();
        let found = identity.find(self.table(), org).await?;
        let own_id = self.identify(org, &identity, found).await?;
        let caller = Caller { actor: Actor::person(own_id.clone()), ..caller.clone() };
        let Identity { issuer, subject } = identity;
        let person = PersonRecord {
            id: own_id,
            issuer,
            subject,
            name: person.name.clone(),
            email: Some(own.clone()),
            part,
            since: self.timer().now(),
        };
        let change = Change::AcceptInvitation { org: org.clone(), id: id.to_owned(), person };
        self.commit(&caller, &request(change)).await
    }

    /// Who asks, if it is a person. A key accepts nothing.
    pub(crate) fn who_accepts<'c>(
        &self,
        caller: &'c Caller,
        org: &OrgKey,
    ) -> Result<&'c super::Person, Error> {
        if let Some(person) = caller.person.as_deref() {
            return Ok(person);
        }
        caller.can(org, Permission::Read)?;
        Err(Error::invalid("the caller", "is no person: sign in with an issuer to accept"))
    }
}
