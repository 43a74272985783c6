//! People: who they are is said by an issuer (OpenID Connect) that their organization, or the whole installation, believes;
//! what they may is said by their organization, for a claim of the token or for the person by name.

mod again;
mod known;
mod members;
mod signature;
mod token;

use std::sync::Arc;
use std::time::Duration;

use flagforge_flags::keys::{EnvKey, IssuerKey, OrgKey};
use flagforge_flags::manifest::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

use crate::access::role_permissions;
use crate::caller::{Actor, Caller, Grant, Permission, RoleName};
use crate::change::Change;
use crate::commit::{Outcome, Request};
use crate::error::Error;
use crate::input::{bounded, bounded_text};
use crate::personal::Found;
use crate::plan::MAX_SCOPE;
use crate::read::PageOf;
use crate::store::{self, Listing, Stored};
use crate::webhooks::check_url;
use crate::{Platform, place};

pub use again::CLAIMS_COUNT;
pub(crate) use again::{Claims, remember};
pub(crate) use known::Known;
pub use known::{ASK_AGAIN_AFTER, KEYS_FRESH, KEYS_KEPT};
pub use members::{
    INVITATION_SECONDS, Invitation, InvitationRecord, MAX_EMAIL_BYTES, MAX_INVITATION_SECONDS,
    Part, PersonRecord,
};
pub(crate) use members::{NOT_LOGGED, may_manage};
pub use signature::{Algorithm, MAX_ISSUER_KEYS};
pub use token::{MAX_SUBJECT_BYTES, MAX_TOKEN_BYTES, Refused};
pub(crate) use token::{Person, Token, is_token};

/// Issuers of an organization: each is read with every request of a person.
pub const MAX_ISSUERS: usize = 10;
/// Audiences of an issuer: the applications of one company that call us.
pub const MAX_AUDIENCES: usize = 20;
/// Claims that an issuer's tokens are looked at for.
pub const MAX_CLAIM_ROLES: usize = 100;
/// Seconds that an issuer's clock may be off where nobody said otherwise.
pub const LEEWAY_SECONDS: u32 = 60;
/// More would keep expired tokens alive for whoever stole one.
pub const MAX_LEEWAY_SECONDS: u32 = 300;

/// An issuer as it shall be believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Issuer {
    /// What its tokens say in `iss`, to the letter. Its discovery document is below it.
    pub url: String,
    /// Whom its tokens are for: one of these must be in `aud`.
    pub audiences: Vec<String>,
    /// How its tokens may be signed. Empty: in any way that is believed at all.
    #[serde(default)]
    pub algorithms: Vec<Algorithm>,
    /// Seconds that its clock may be off; 60 when not said, 300 at most.
    #[serde(default = "leeway")]
    pub leeway_seconds: u32,
    /// What its people may, by what their tokens say.
    #[serde(default)]
    pub roles: Vec<ClaimRole>,
}

fn leeway() -> u32 {
    LEEWAY_SECONDS
}

/// A role for everybody whose token says something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRole {
    /// A claim by its name, or by a JSON Pointer when it begins with `/`: `groups`, `/realm_access/roles`.
    pub claim: String,
    /// The claim is this text, or a list that holds it.
    pub value: String,
    #[schema(value_type = String, example = "maintainer")]
    pub role: RoleName,
    /// The only environments it holds in; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envs: Option<Vec<EnvKey>>,
    /// The only domains whose flags it changes; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domains: Option<Vec<String>>,
}

/// An issuer of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRecord {
    pub key: IssuerKey,
    #[serde(flatten)]
    pub issuer: Issuer,
}

impl Issuer {
    /// What of a token gives roles here.
    fn claims_of(&self, person: &Person) -> Claims {
        let ours = |audience: &&String| self.audiences.contains(audience);
        let audiences = person.audiences.iter().filter(ours).cloned().collect();
        let holds = self.roles.iter().filter(|role| role.is_in(person));
        let said = holds.map(|role| (role.claim.clone(), role.value.clone())).collect();
        Claims { audiences, said }
    }

    /// Refuses what nobody could be.
    pub fn check(&self) -> Result<(), Error> {
        check_url(&self.url)?;
        if self.url.contains(['?', '#']) {
            return Err(Error::invalid("url", "an issuer has neither a query nor a fragment"));
        }
        if self.audiences.is_empty() {
            return Err(Error::invalid("audiences", "name at least one: a token is for somebody"));
        }
        bounded("audiences", "audiences", MAX_AUDIENCES, self.audiences.len())?;
        for (index, audience) in self.audiences.iter().enumerate() {
            named(&format!("audiences[{index}]"), audience)?;
        }
        bounded("algorithms", "algorithms", 7, self.algorithms.len())?;
        let (limit, actual) = (MAX_LEEWAY_SECONDS as usize, self.leeway_seconds as usize);
        bounded("leewaySeconds", "seconds", limit, actual)?;
        bounded("roles", "roles", MAX_CLAIM_ROLES, self.roles.len())?;
        self.roles.iter().enumerate().try_for_each(|(index, role)| role.check(index))
    }

    fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.is_empty() || self.algorithms.contains(&algorithm)
    }

    fn leeway(&self) -> Duration {
        Duration::from_secs(self.leeway_seconds.into())
    }
}

/// Refuses a name that is empty or too long.
fn named(field: &str, text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::invalid(field, "is empty"));
    }
    bounded_text(field, text)
}

impl ClaimRole {
    fn check(&self, index: usize) -> Result<(), Error> {
        let field = |name: &str| format!("roles[{index}].{name}");
        named(&field("claim"), &self.claim)?;
        named(&field("value"), &self.value)?;
        let (envs, domains) = (self.envs.as_deref(), self.domains.as_deref());
        check_bounds(field, envs, domains)
    }

    /// Whether the token says so.
    fn is_in(&self, person: &Person) -> bool {
        let found = match self.claim.split_once('/') {
            Some(("", rest)) => rest.split('/').try_fold(None::<&Json>, |at, part| {
                let part = part.replace("~1", "/").replace("~0", "~");
                let below = match at {
                    None => person.claims.get(&part),
                    Some(at) => at.get(&part),
                };
                below.map(Some)
            }),
            _ => Some(person.claims.get(&self.claim)),
        };
        let is = |value: &Json| value.as_str() == Some(&self.value);
        match found.flatten() {
            Some(Json::Array(all)) => all.iter().any(is),
            Some(one) => is(one),
            None => false,
        }
    }
}

/// Refuses bounds of a role that open nothing, or name more places than a role can.
pub(crate) fn check_bounds(
    field: impl Fn(&str) -> String,
    envs: Option<&[EnvKey]>,
    domains: Option<&[String]>,
) -> Result<(), Error> {
    let counts = [
        ("envs", "environments", envs.map(<[_]>::len)),
        ("domains", "domains", domains.map(<[_]>::len)),
    ];
    for (name, unit, count) in counts {
        if count == Some(0) {
            let message = "an empty list opens nothing; leave it out for all";
            return Err(Error::invalid(field(name), message));
        }
        bounded(&field(name), unit, MAX_SCOPE, count.unwrap_or(0))?;
    }
    domains.into_iter().flatten().try_for_each(|domain| bounded_text(&field("domains"), domain))
}

impl Platform {
    /// The issuers whose tokens the organization believes.
    pub async fn issuers(
        &self,
        caller: &Caller,
        org: &OrgKey,
        page: &PageOf,
    ) -> Result<Listing<IssuerRecord>, Error> {
        caller.can_everywhere(org, Permission::ManageSettings)?;
        self.organization(caller, org).await?;
        self.page(&place::org_pk(org), "ISSUER#", page).await
    }

    pub async fn issuer(
        &self,
        caller: &Caller,
        org: &OrgKey,
        issuer: &IssuerKey,
    ) -> Result<Stored<IssuerRecord>, Error> {
        caller.can_everywhere(org, Permission::ManageSettings)?;
        store::standing(self.table(), &place::issuer(org, issuer), "issuer").await
    }

    /// Believes an issuer from now on. It is asked for its keys first, so that a wrong address is told at once.
    pub async fn put_issuer(
        &self,
        caller: &Caller,
        org: &OrgKey,
        record: IssuerRecord,
        request: impl FnOnce(Change) -> Request,
    ) -> Result<Outcome, Error> {
        caller.can_everywhere(org, Permission::ManageSettings)?;
        record.issuer.check()?;
        self.ask_issuer(&record.issuer.url).await.map_err(|why| Error::invalid("url", why))?;
        self.commit(caller, &request(Change::PutIssuer { org: org.clone(), record })).await
    }

    /// Turns a token into the caller it stands for in an organization. Every failure is the same to a stranger; who is
    /// nobody there is nobody's, and finds nothing.
    pub(crate) async fn authenticate_person(
        &self,
        presented: &str,
        asking: Asking<'_>,
    ) -> Result<Caller, Error> {
        let now = self.timer().now();
        let digest = Digest::of(presented.as_bytes());
        let left = self.rates().key(digest, now)?;
        let Asking { org, accepts, .. } = asking;
        let (issuer, person) = self.vouched(presented, org).await.map_err(|error| match error {
            Vouching::Refused(why) => {
                tracing::debug!(%why, "a person's token was refused");
                Error::Unauthenticated
            }
            Vouching::Failed(error) => error,
        })?;
        let (grants, found) = match org {
            // The issuer vouched for them: what is noted of people is read and written in the organization's own session.
            Some(org) => self.acting_for(org).grants_of(org, &issuer, &person).await?,
            None => (Vec::new(), None),
        };
        let heard = person.by_installation || accepts;
        let identity = person.identity();
        let mut caller = Caller::person(person, left);
        let Some(org) = org.filter(|_| !grants.is_empty()) else {
            return if heard { Ok(caller) } else { Err(Error::Unauthenticated) };
        };
        let home = self.home(org).await?;
        caller.requests_left = left.min(self.rates().org(&home, digest, now)?);
        caller.actor = Actor::person(self.acting_for(org).identify(org, &identity, found).await?);
        (caller.org, caller.grants, caller.home) = (Some(org.clone()), grants, Some(home));
        Ok(caller)
    }

    /// Whom a token is of, and who says so.
    async fn vouched(
        &self,
        presented: &str,
        org: Option<&OrgKey>,
    ) -> Result<(Issuer, Person), Vouching> {
        let url = Token::read(presented)?.issuer().to_owned();
        let mut issuers = match org {
            Some(org) => self.issuers_of(org).await.map_err(Vouching::Failed)?,
            None => Vec::new(),
        };
        let own = issuers.len();
        issuers.extend(self.installation_issuers().iter().cloned());
        let mut refused = Refused::Issuer(url.clone());
        // One address may stand for several applications, each with an audience of its own.
        let of_url = |(_, issuer): &(usize, Issuer)| issuer.url == url;
        for (index, issuer) in issuers.into_iter().enumerate().filter(of_url) {
            let token = Token::read(presented)?;
            let keys = self.issuer_keys(&url, token.key_id()).await?;
            match token.believe(&issuer, &keys, self.timer().now()) {
                Ok(mut person) => {
                    person.by_installation = index >= own;
                    person.gave = issuer.claims_of(&person);
                    return Ok((issuer, person));
                }
                Err(why) => refused = why,
            }
        }
        Err(refused.into())
    }

    async fn issuers_of(&self, org: &OrgKey) -> Result<Vec<Issuer>, Error> {
        let all: Vec<Stored<IssuerRecord>> =
            store::all(self.table(), &place::org_pk(org), "ISSUER#").await?;
        Ok(all.into_iter().map(|stored| stored.value.issuer).collect())
    }

    /// What somebody may in an organization, and the id under which it knows them.
    async fn grants_of(
        &self,
        org: &OrgKey,
        issuer: &Issuer,
        person: &Person,
    ) -> Result<(Vec<Grant>, Option<Found>), Error> {
        let mut grants = Vec::new();
        for role in issuer.roles.iter().filter(|role| role.is_in(person)) {
            let permissions = role_permissions(self.table(), org, &role.role).await?;
            let (envs, domains) = (role.envs.clone(), role.domains.clone());
            grants.push(Grant { permissions, envs, domains });
        }
        let found = person.identity().find(self.table(), org).await?;
        if let Some(found) = &found {
            grants.extend(self.grant_by_name(org, &found.id).await?);
        }
        Ok((grants, found))
    }

    /// What somebody may who was taken in by name.
    async fn grant_by_name(&self, org: &OrgKey, id: &str) -> Result<Option<Grant>, Error> {
        let taken_in: Option<Stored<PersonRecord>> =
            store::read(self.table(), &place::person(org, id)).await?;
        match taken_in {
            Some(taken_in) => taken_in.value.part.grant(self.table(), org).await.map(Some),
            None => Ok(None),
        }
    }
}

/// What a request is about, as far as it decides who may come in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asking<'a> {
    pub(crate) org: Option<&'a OrgKey>,
    /// Whether it accepts an invitation, and so may come from somebody who is nobody there yet.
    pub(crate) accepts: bool,
    /// Whether it says how far a process is, and so may come from a service.
    pub(crate) reports: bool,
}

/// Why nobody was vouched for.
enum Vouching {
    Refused(Refused),
    /// The store did not answer.
    Failed(Error),
}

impl From<Refused> for Vouching {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Caller {
    /// Somebody who is nobody in any organization yet, and so has no id there.
    fn person(person: Person, requests_left: u64) -> Self {
        Self {
            actor: Actor::person(String::new()),
            org: None,
            grants: Vec::new(),
            operator: false,
            home: None,
            requests_left,
            serves: false,
            family: Vec::new(),
            person: Some(Arc::new(person)),
        }
    }
}
