//! Organizations and environments, and looking up what stands in the directory.

use flagforge_flags::keys::{EnvKey, GroupKey, OrgKey, TenantKey};

use super::Plan;
use crate::change::Change;
use crate::commit::Request;
use crate::error::Error;
use crate::input::{bounded, bounded_text};
use crate::limits::Limits;
use crate::place;
use crate::ports::Table;
use crate::record::{Environment, Group, KeyRecord, Organization, Tenant};
use crate::store::{self, ABSENT, Stored};

/// Environments of an organization (DESIGN §2). A definition change checks each in one transaction of 100.
pub const MAX_ENVIRONMENTS: usize = 20;

/// Organizations that cannot be. One name is a word of the data plane's addresses (`/data/v1/explain/…`), the other the
/// folder of trust documents among the objects (`trust/<number>.json`), which whoever has a grant may read whole.
const RESERVED: [&str; 2] = ["explain", "trust"];

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::CreateOrganization { org, uid, name, admin } => {
            create_organization(table, plan, org, uid, name, admin).await
        }
        Change::CreateEnvironment { org, env, name } => {
            create_environment(table, plan, org, env, name).await
        }
        _ => Err(Error::Internal { context: "not a change of the directory", source: None }),
    }
}

pub(super) async fn organization_in(
    table: &dyn Table,
    org: &OrgKey,
) -> Result<Stored<Organization>, Error> {
    store::standing(table, &place::organization(org), "organization").await
}

pub(super) async fn environment_in(
    table: &dyn Table,
    org: &OrgKey,
    env: &EnvKey,
) -> Result<Stored<Environment>, Error> {
    store::standing(table, &place::environment(org, env), "environment").await
}

pub(super) async fn tenant_in(
    table: &dyn Table,
    org: &OrgKey,
    tenant: &TenantKey,
) -> Result<Stored<Tenant>, Error> {
    store::standing(table, &place::tenant(org, tenant), "tenant").await
}

pub(super) async fn group_in(
    table: &dyn Table,
    org: &OrgKey,
    group: &GroupKey,
) -> Result<Stored<Group>, Error> {
    store::standing(table, &place::group(org, group), "group").await
}

async fn create_organization(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    uid: &str,
    name: &str,
    admin: &KeyRecord,
) -> Result<(), Error> {
    bounded_text("name", name)?;
    if RESERVED.contains(&org.as_str()) {
        return Err(Error::invalid("key", format!("`{org}` is reserved; choose another")));
    }
    let standing: Option<Stored<Organization>> =
        store::read(table, &place::organization(org)).await?;
    if standing.is_some() {
        return Err(Error::Exists { what: "organization", key: org.to_string() });
    }
    let record = Organization {
        key: org.clone(),
        uid: uid.to_owned(),
        name: name.to_owned(),
        created: plan.at,
        suspended: None,
        limits: Limits::default(),
    };
    plan.put(place::organization(org), ABSENT, &record)?;
    plan.put(place::directory_entry(org), ABSENT, &record)?;
    plan.put(place::access_key(org, &admin.facts.id), ABSENT, admin)?;
    plan.about(&record, true)
}

async fn create_environment(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    env: &EnvKey,
    name: &str,
) -> Result<(), Error> {
    bounded_text("name", name)?;
    let owner = organization_in(table, org).await?;
    plan.require(place::organization(org), owner.version);
    let standing: Vec<Stored<Environment>> = store::all(table, &place::org_pk(org), "ENV#").await?;
    if standing.iter().any(|stored| stored.value.key == *env) {
        return Err(Error::Exists { what: "environment", key: env.to_string() });
    }
    bounded("environments", "environments", MAX_ENVIRONMENTS, standing.len() + 1)?;
    let record = Environment { key: env.clone(), name: name.to_owned(), created: plan.at };
    plan.put(place::environment(org, env), ABSENT, &record)?;
    plan.about(&record, true)
}
