//! How much an organization has and did, in numbers: what an operator may know of it.

use std::collections::BTreeMap;

use flagforge_flags::keys::{EnvKey, OrgKey};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::Caller;
use crate::error::Error;
use crate::limits::Counts;
use crate::log::Head;
use crate::place::{self, LogId};
use crate::record::{Environment, Organization};
use crate::store::{self, Stored};

/// An organization in numbers. Cheap: they stand in the heads of its logs, at most 21 items.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metered {
    pub organization: Organization,
    /// How many there are of what its environments share.
    pub counts: Counts,
    /// How many there are in all environments together.
    pub in_environments: Counts,
    /// Commits since it was founded, in all logs.
    pub commits: u64,
}

impl Platform {
    /// Meters an organization, for the platform's operator.
    pub async fn meter(&self, caller: &Caller, org: &OrgKey) -> Result<Metered, Error> {
        caller.may_operate()?;
        self.operating_on(org).metered(org).await
    }

    async fn metered(&self, org: &OrgKey) -> Result<Metered, Error> {
        let organization: Stored<Organization> =
            store::standing(self.table(), &place::organization(org), "organization").await?;
        let shared = self.head_of(org, None).await?;
        let environments: Vec<Stored<Environment>> =
            store::all(self.table(), &place::org_pk(org), "ENV#").await?;
        let mut heads = BTreeMap::new();
        for environment in environments {
            let env = environment.value.key;
            heads.insert(env.clone(), self.head_of(org, Some(env)).await?);
        }
        let mut in_environments = Counts::default();
        heads.values().for_each(|head: &Head| in_environments.add(&head.counts));
        let commits = shared.number + heads.values().map(|head| head.number).sum::<u64>();
        let organization = organization.value;
        Ok(Metered { organization, counts: shared.counts, in_environments, commits })
    }

    async fn head_of(&self, org: &OrgKey, env: Option<EnvKey>) -> Result<Head, Error> {
        let log = LogId { org: org.clone(), env };
        let head: Option<Stored<Head>> = store::read(self.table(), &log.head()).await?;
        Ok(head.map(|head| head.value).unwrap_or_default())
    }
}
