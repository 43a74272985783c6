//! Roles that an organization makes: sets of permissions, no wider than who makes them.

use flagforge_flags::keys::{OrgKey, RoleKey};

use super::Plan;
use super::directory::organization_in;
use crate::caller::{Caller, Grant, RoleName};
use crate::change::Change;
use crate::commit::Request;
use crate::error::Error;
use crate::input::{bounded, bounded_text};
use crate::people::{IssuerRecord, PersonRecord};
use crate::place;
use crate::ports::Table;
use crate::record::{KeyRecord, RoleRecord};
use crate::store::{self, ABSENT, Stored, version_of};

/// Roles of an organization's own: one page, and more than the jobs there are.
pub const MAX_ROLES: usize = 100;

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    caller: &Caller,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::PutRole { org, role, description, permissions } => {
            let record = RoleRecord {
                key: role.clone(),
                description: description.clone(),
                permissions: permissions.clone().with_read(),
            };
            put(table, request, caller, plan, org, record).await
        }
        Change::DeleteRole { org, role } => delete(table, request, plan, org, role).await,
        _ => Err(Error::Internal { context: "not a change of roles", source: None }),
    }
}

async fn put(
    table: &dyn Table,
    request: &Request,
    caller: &Caller,
    plan: &mut Plan,
    org: &OrgKey,
    record: RoleRecord,
) -> Result<(), Error> {
    bounded_text("description", &record.description)?;
    let owner = organization_in(table, org).await?;
    plan.require(place::organization(org), owner.version);
    if let Ok(RoleName::BuiltIn(role)) = RoleName::parse(record.key.as_str()) {
        let message =
            format!("`{role}` is a role that every organization has; choose another name");
        return Err(Error::invalid("the path", message));
    }
    let place = place::role(org, &record.key);
    let standing: Option<Stored<RoleRecord>> = store::read(table, &place).await?;
    let version = version_of(standing.as_ref());
    request.precondition.check(version)?;
    // Neither what it becomes nor what it was may be beyond who changes it.
    let was = standing.map(|standing| standing.value.permissions).unwrap_or_default();
    for permissions in [&record.permissions, &was] {
        caller.covers(&Grant::everywhere(permissions.clone()))?;
    }
    if version == ABSENT {
        let all: Vec<Stored<RoleRecord>> = store::all(table, &place::org_pk(org), "ROLE#").await?;
        bounded("roles", "roles", MAX_ROLES, all.len() + 1)?;
    }
    plan.put(place, version, &record)?;
    plan.about(&record, version == ABSENT)
}

async fn delete(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
    org: &OrgKey,
    role: &RoleKey,
) -> Result<(), Error> {
    let place = place::role(org, role);
    let stands: Stored<RoleRecord> = store::standing(table, &place, "role").await?;
    request.precondition.check(stands.version)?;
    let held = RoleName::Custom(role.clone());
    let keys: Vec<Stored<KeyRecord>> = store::all(table, &place::org_pk(org), "KEY#").await?;
    if let Some(key) = keys.iter().find(|key| key.value.facts.role == held) {
        let by = format!("key `{}` has it", key.value.facts.id);
        return Err(Error::InUse { what: "role", key: role.to_string(), by });
    }
    let issuers: Vec<Stored<IssuerRecord>> =
        store::all(table, &place::org_pk(org), "ISSUER#").await?;
    let gives = |issuer: &&Stored<IssuerRecord>| {
        issuer.value.issuer.roles.iter().any(|given| given.role == held)
    };
    if let Some(issuer) = issuers.iter().find(gives) {
        let by = format!("issuer `{}` gives it", issuer.value.key);
        return Err(Error::InUse { what: "role", key: role.to_string(), by });
    }
    let people: Vec<Stored<PersonRecord>> =
        store::all(table, &place::org_pk(org), "PERSON#").await?;
    if let Some(person) = people.iter().find(|person| person.value.part.role == held) {
        let by = format!("person `{}` has it", person.value.id);
        return Err(Error::InUse { what: "role", key: role.to_string(), by });
    }
    plan.delete(place, stands.version);
    Ok(())
}
