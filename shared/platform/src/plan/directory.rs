//! Organizations, environments, tenants, groups and members.

use flagforge_flags::keys::{EnvKey, GroupKey, OrgKey, TenantKey};
use serde_json::{Map, Value as Json};

use super::Plan;
use crate::change::Change;
use crate::commit::Request;
use crate::error::Error;
use crate::input::{MAX_TENANT_ATTRIBUTES, MAX_TENANT_ATTRIBUTES_BYTES, bounded, bounded_text};
use crate::place;
use crate::ports::Table;
use crate::record::{Environment, Group, KeyRecord, Member, Organization, Tenant};
use crate::store::{self, ABSENT, Stored, version_of};

/// Environments of an organization (DESIGN §2). A definition change checks each in one transaction of 100.
pub const MAX_ENVIRONMENTS: usize = 20;

/// Organizations that cannot be: their names are words of the data plane's addresses (`/data/v1/explain/…`).
const RESERVED: [&str; 1] = ["explain"];

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
        Change::PutTenant { org, tenant, uid, name, attributes } => {
            let record = Tenant {
                key: tenant.clone(),
                uid: uid.clone(),
                name: name.clone(),
                attributes: attributes.clone(),
            };
            put_tenant(table, request, plan, org, record).await
        }
        Change::DeleteTenant { org, tenant } => {
            let stored = tenant_in(table, org, tenant).await?;
            request.precondition.check(stored.version)?;
            plan.delete(place::tenant(org, tenant), stored.version);
            Ok(())
        }
        Change::PutGroup { org, group, uid, description } => {
            let record =
                Group { key: group.clone(), uid: uid.clone(), description: description.clone() };
            put_group(table, request, plan, org, record).await
        }
        Change::DeleteGroup { org, group } => {
            let stored = group_in(table, org, group).await?;
            request.precondition.check(stored.version)?;
            plan.delete(place::group(org, group), stored.version);
            Ok(())
        }
        Change::AddMember { org, group, tenant } => {
            add_member(table, plan, org, group, tenant).await
        }
        Change::RemoveMember { org, group, tenant } => {
            remove_member(table, plan, org, group, tenant).await
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

async fn put_tenant(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
    org: &OrgKey,
    mut record: Tenant,
) -> Result<(), Error> {
    bounded_text("name", &record.name)?;
    check_attributes(&record.attributes)?;
    let owner = organization_in(table, org).await?;
    plan.require(place::organization(org), owner.version);
    let place = place::tenant(org, &record.key);
    let standing: Option<Stored<Tenant>> = store::read(table, &place).await?;
    let version = version_of(standing.as_ref());
    request.precondition.check(version)?;
    if let Some(standing) = standing {
        record.uid = standing.value.uid;
    }
    plan.put(place, version, &record)?;
    plan.about(&record, version == ABSENT)
}

fn check_attributes(attributes: &Map<String, Json>) -> Result<(), Error> {
    bounded("attributes", "attributes", MAX_TENANT_ATTRIBUTES, attributes.len())?;
    let bytes = Json::Object(attributes.clone()).to_string().len();
    bounded("attributes", "bytes", MAX_TENANT_ATTRIBUTES_BYTES, bytes)?;
    // `tenant.key` is the tenant's own key; an attribute of that name could never be read.
    if attributes.contains_key("key") {
        return Err(Error::invalid(
            "attributes.key",
            "`key` means the tenant's own key; choose another name",
        ));
    }
    match attributes.keys().find(|name| name.is_empty() || name.contains('.')) {
        Some(name) => Err(Error::invalid(
            format!("attributes.{name}"),
            "a name may not be empty or hold a dot, which separates the parts of attribute paths",
        )),
        None => Ok(()),
    }
}

async fn put_group(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
    org: &OrgKey,
    mut record: Group,
) -> Result<(), Error> {
    bounded_text("description", &record.description)?;
    let owner = organization_in(table, org).await?;
    plan.require(place::organization(org), owner.version);
    let place = place::group(org, &record.key);
    let standing: Option<Stored<Group>> = store::read(table, &place).await?;
    let version = version_of(standing.as_ref());
    request.precondition.check(version)?;
    if let Some(standing) = standing {
        record.uid = standing.value.uid;
    }
    plan.put(place, version, &record)?;
    plan.about(&record, version == ABSENT)
}

async fn add_member(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    group: &GroupKey,
    tenant: &TenantKey,
) -> Result<(), Error> {
    let of_group = group_in(table, org, group).await?;
    let of_tenant = tenant_in(table, org, tenant).await?;
    plan.require(place::group(org, group), of_group.version);
    plan.require(place::tenant(org, tenant), of_tenant.version);
    let place = place::member(org, group, tenant);
    let standing: Option<Stored<Member>> = store::read(table, &place).await?;
    let record = Member {
        group: group.clone(),
        group_uid: of_group.value.uid,
        tenant: tenant.clone(),
        tenant_uid: of_tenant.value.uid,
    };
    let created = standing.as_ref().is_none_or(|standing| standing.value != record);
    plan.put(place, version_of(standing.as_ref()), &record)?;
    plan.about(&record, created)
}

async fn remove_member(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    group: &GroupKey,
    tenant: &TenantKey,
) -> Result<(), Error> {
    let place = place::member(org, group, tenant);
    let stands: Stored<Member> = store::standing(table, &place, "member").await?;
    plan.delete(place, stands.version);
    Ok(())
}
