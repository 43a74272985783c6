//! What people may later, when nobody shows a token: for changes that they schedule.
//!
//! Whom the organization took in may what it says at that instant. What a token said counts by the rules of that instant,
//! and for a time: nobody tells us when an issuer's people change.

use std::time::Duration;

use flagforge_flags::keys::OrgKey;
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ClaimRole, Issuer};
use crate::access::role_permissions;
use crate::caller::{Actor, Caller, Grant};
use crate::change::Change;
use crate::error::Error;
use crate::personal::Identity;
use crate::plan::Plan;
use crate::ports::Table;
use crate::store::{self, Stored, version_of};
use crate::{Platform, place};

/// How long what a token said counts for what was scheduled with it.
pub const CLAIMS_COUNT: Duration = Duration::from_secs(30 * 24 * 3_600);

/// What a token said of somebody, as far as it gave them roles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// Of the issuer's audiences, those that the token is for.
    pub(crate) audiences: Vec<String>,
    /// Claims and their values, as the rules name them.
    pub(crate) said: Vec<(String, String)>,
}

/// Claims beside the log, and since when.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Remembered {
    claims: Claims,
    seen: Timestamp,
}

impl Claims {
    fn gives(&self, role: &ClaimRole) -> bool {
        self.said.iter().any(|(claim, value)| *claim == role.claim && *value == role.value)
    }

    fn are_for(&self, issuer: &Issuer) -> bool {
        self.audiences.iter().any(|audience| issuer.audiences.contains(audience))
    }
}

/// Remembers, in the transaction that schedules something, what the caller's token said, if the caller is a person.
pub(crate) async fn remember(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    caller: &Caller,
) -> Result<(), Error> {
    let (Actor::Person { id, .. }, Some(person)) = (&caller.actor, &caller.person) else {
        return Ok(());
    };
    // Who was erased a moment ago leaves nothing new behind.
    let place = place::identity(org, id);
    let known: Stored<Identity> =
        store::read(table, &place).await?.ok_or(Error::Unauthenticated)?;
    plan.require(place, known.version);
    let place = place::claims(org, id);
    let before: Option<Stored<Remembered>> = store::read(table, &place).await?;
    let now = Remembered { claims: person.gave.clone(), seen: plan.at };
    plan.put_beside(place, version_of(before.as_ref()), &now)
}

impl Platform {
    /// The caller that a person is today: for what they asked for earlier. One of whom nothing is known is nobody.
    pub(crate) async fn person_again(&self, id: &str, org: &OrgKey) -> Result<Caller, Error> {
        let identity: Option<Stored<Identity>> =
            store::read(self.table(), &place::identity(org, id)).await?;
        let identity = identity.ok_or(Error::Unauthenticated)?.value;
        let mut grants = self.grants_by_rule(org, id, &identity).await?;
        grants.extend(self.grant_by_name(org, id).await?);
        if grants.is_empty() {
            return Err(Error::Unauthenticated);
        }
        let home = self.home(org).await?;
        Ok(Caller {
            actor: Actor::person(id.to_owned()),
            org: Some(org.clone()),
            grants,
            operator: false,
            home: Some(home),
            requests_left: u64::MAX,
            serves: false,
            person: None,
            family: Vec::new(),
        })
    }

    async fn grants_by_rule(
        &self,
        org: &OrgKey,
        id: &str,
        identity: &Identity,
    ) -> Result<Vec<Grant>, Error> {
        let remembered: Option<Stored<Remembered>> =
            store::read(self.table(), &place::claims(org, id)).await?;
        let Some(Remembered { claims, seen }) = remembered.map(|stored| stored.value) else {
            return Ok(Vec::new());
        };
        let mut grants = Vec::new();
        if self.timer().now().since(seen) >= CLAIMS_COUNT {
            return Ok(grants);
        }
        let own = self.issuers_of(org).await?;
        let all = own.iter().chain(self.installation_issuers());
        let believed = all.filter(|i| i.url == identity.issuer && claims.are_for(i));
        for role in believed.flat_map(|issuer| &issuer.roles).filter(|role| claims.gives(role)) {
            let permissions = role_permissions(self.table(), org, &role.role).await?;
            let (envs, domains) = (role.envs.clone(), role.domains.clone());
            grants.push(Grant { permissions, envs, domains });
        }
        Ok(grants)
    }

    /// Refuses who schedules a change for when what their token says will not count any more, unless the organization
    /// itself says that they may.
    pub(crate) async fn may_still_then(
        &self,
        caller: &Caller,
        org: &OrgKey,
        change: &Change,
        then: Timestamp,
    ) -> Result<(), Error> {
        let Actor::Person { id, .. } = &caller.actor else { return Ok(()) };
        if then.since(self.timer().now()) < CLAIMS_COUNT {
            return Ok(());
        }
        let grants = self.grant_by_name(org, id).await?.into_iter().collect();
        let by_name = Caller { grants, ..caller.clone() };
        match self.authorize(&by_name, change).await {
            Err(Error::Forbidden { .. } | Error::NotFound { .. }) => {
                let message = "what your token says counts for 30 days; to schedule for later, be taken in by name, or use a key";
                Err(Error::invalid("at", message))
            }
            answer => answer,
        }
    }
}
