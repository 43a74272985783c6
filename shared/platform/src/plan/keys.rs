//! Access keys: a key makes only weaker keys (DESIGN §10).

use super::Plan;
use super::directory::{environment_in, organization_in, tenant_in};
use crate::caller::Caller;
use crate::change::Change;
use crate::commit::Request;
use crate::error::Error;
use crate::input::{bounded, bounded_text};
use crate::place;
use crate::ports::{Condition, Table, Write};
use crate::record::{KeyFacts, KeyRecord};
use crate::store::{self, ABSENT, Stored};

/// Keys of an organization: their hashes are one chunk of every relay manifest, 200 bytes each, 200 KB together.
pub const MAX_KEYS: usize = 1_000;

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    caller: &Caller,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::CreateKey { org, key } => {
            let owner = organization_in(table, org).await?;
            plan.require(place::organization(org), owner.version);
            check_scope(table, request, caller, &key.facts).await?;
            if let Some(parent) = &key.facts.parent {
                // A revocation that comes between takes the parent away, and the child with it.
                let key = place::access_key(org, parent);
                plan.writes.push(Write::Check { key, condition: Condition::Present });
            }
            let standing: Vec<Stored<KeyRecord>> =
                store::all(table, &place::org_pk(org), "KEY#").await?;
            bounded("keys", "keys", MAX_KEYS, standing.len() + 1)?;
            plan.put(place::access_key(org, &key.facts.id), ABSENT, key)?;
            plan.about(&key.facts, true)
        }
        Change::RevokeKey { org, id } => revoke(table, plan, org, id).await,
        _ => Err(Error::Internal { context: "not a change of keys", source: None }),
    }
}

async fn check_scope(
    table: &dyn Table,
    request: &Request,
    caller: &Caller,
    key: &KeyFacts,
) -> Result<(), Error> {
    bounded_text("name", &key.name)?;
    let org = request.change.log().org;
    if key.role > caller.role {
        return Err(Error::Forbidden { needed: key.role });
    }
    if key.operator && !caller.operator {
        return Err(Error::invalid("operator", "only an operator's key can make another"));
    }
    for env in key.envs.iter().flatten() {
        environment_in(table, &org, env).await.map_err(|error| named("envs", error))?;
    }
    if let Some(tenant) = &key.tenant {
        tenant_in(table, &org, tenant).await.map_err(|error| named("tenant", error))?;
    }
    Ok(())
}

/// What a body refers to and does not exist is a fault of the body.
fn named(field: &'static str, error: Error) -> Error {
    match error {
        Error::NotFound { what } => Error::invalid(field, format!("there is no such {what}")),
        other => other,
    }
}

/// Revokes a key and every key made by it, in one transaction.
async fn revoke(
    table: &dyn Table,
    plan: &mut Plan,
    org: &flagforge_flags::keys::OrgKey,
    id: &str,
) -> Result<(), Error> {
    let standing: Vec<Stored<KeyRecord>> = store::all(table, &place::org_pk(org), "KEY#").await?;
    let mut doomed = vec![id.to_owned()];
    let mut next = 0;
    while let Some(parent) = doomed.get(next).cloned() {
        let children =
            standing.iter().filter(|key| key.value.facts.parent.as_ref() == Some(&parent));
        doomed.extend(children.map(|key| key.value.facts.id.clone()));
        next += 1;
    }
    // A batch is at most 50 items (DESIGN §6). A larger family is cut from its leaves.
    const MAX_FAMILY: usize = 50;
    bounded("the key and those made by it", "keys", MAX_FAMILY, doomed.len())?;
    let mut found = false;
    for key in standing.iter().filter(|key| doomed.contains(&key.value.facts.id)) {
        found |= key.value.facts.id == id;
        plan.delete(place::access_key(org, &key.value.facts.id), key.version);
    }
    if found { Ok(()) } else { Err(Error::NotFound { what: "key" }) }
}
