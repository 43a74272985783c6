//! Access keys: a key makes only weaker keys (DESIGN §10), and takes what it made with it when it goes.

use std::collections::BTreeSet;

use flagforge_flags::keys::OrgKey;
use flagforge_flags::manifest::{KeyKind, PreviousSecret};

use super::Plan;
use super::directory::{environment_in, organization_in, tenant_in};
use crate::access::role_permissions;
use crate::caller::{Caller, Grant, Permission, PermissionSet, RoleName};
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
/// Keys above a key. Each is read whenever the key is used; eight are more than the levels of any organization.
pub const MAX_KEY_DEPTH: usize = 8;
/// Domains or environments that one key names: more are a role for the whole organization.
pub(crate) const MAX_SCOPE: usize = 50;
/// Keys that one change takes away, out of the 100 writes of a transaction. Those of a larger family are dead
/// from the same instant, because a key lives only while all above it do; later changes of keys sweep them.
const MAX_SWEPT: usize = 48;

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    caller: &Caller,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::CreateKey { org, key } => create(table, caller, plan, org, key).await,
        Change::RevokeKey { org, id } => revoke(table, caller, plan, org, id).await,
        Change::RotateKey { org, id, secret_sha256, previous_until } => {
            let Stored { value: mut key, version } = managed_key(table, caller, org, id).await?;
            let over = *previous_until <= plan.at;
            let previous =
                PreviousSecret { secret_sha256: key.secret_sha256, until: *previous_until };
            key.previous = (!over).then_some(previous);
            key.secret_sha256 = *secret_sha256;
            key.facts.rotated = Some(plan.at);
            key.facts.previous_until = (!over).then_some(*previous_until);
            plan.put(place::access_key(org, id), version, &key)?;
            plan.about(&key.facts, false)
        }
        _ => Err(Error::Internal { context: "not a change of keys", source: None }),
    }
}

async fn create(
    table: &dyn Table,
    caller: &Caller,
    plan: &mut Plan,
    org: &OrgKey,
    key: &KeyRecord,
) -> Result<(), Error> {
    let owner = organization_in(table, org).await?;
    plan.require(place::organization(org), owner.version);
    check_scope(table, org, caller, &key.facts).await?;
    bounded("the keys above it", "keys", MAX_KEY_DEPTH, key.facts.ancestors.len())?;
    for above in &key.facts.ancestors {
        // A revocation that comes between takes an ancestor away, and the child with it.
        let key = place::access_key(org, above);
        plan.writes.push(Write::Check { key, condition: Condition::Present });
    }
    let mut standing = all_keys(table, org).await?;
    let dead = take_dead(&mut standing);
    bounded("keys", "keys", MAX_KEYS, standing.len() + 1)?;
    sweep(plan, org, dead);
    plan.put(place::access_key(org, &key.facts.id), ABSENT, key)?;
    plan.about(&key.facts, true)
}

async fn all_keys(table: &dyn Table, org: &OrgKey) -> Result<Vec<Stored<KeyRecord>>, Error> {
    store::all(table, &place::org_pk(org), "KEY#").await
}

/// The keys of an organization that lost no key above them.
pub(crate) async fn keys_in_force(
    table: &dyn Table,
    org: &OrgKey,
) -> Result<Vec<Stored<KeyRecord>>, Error> {
    let mut keys = all_keys(table, org).await?;
    take_dead(&mut keys);
    Ok(keys)
}

/// Keeps the keys that are in force and answers those that lost a key above them.
fn take_dead(keys: &mut Vec<Stored<KeyRecord>>) -> Vec<Stored<KeyRecord>> {
    let ids: BTreeSet<String> = keys.iter().map(|key| key.value.facts.id.clone()).collect();
    let orphaned = |key: &mut Stored<KeyRecord>| {
        key.value.facts.ancestors.iter().any(|above| !ids.contains(above))
    };
    keys.extract_if(.., orphaned).collect()
}

/// Takes away what it can of keys that are dead already.
fn sweep(plan: &mut Plan, org: &OrgKey, dead: Vec<Stored<KeyRecord>>) {
    for key in dead.into_iter().take(MAX_SWEPT) {
        plan.delete(place::access_key(org, &key.value.facts.id), key.version);
    }
}

/// Refuses a key that could do what the caller cannot, or that names what is not there.
async fn check_scope(
    table: &dyn Table,
    org: &OrgKey,
    caller: &Caller,
    key: &KeyFacts,
) -> Result<(), Error> {
    bounded_text("name", &key.name)?;
    bounded("envs", "environments", MAX_SCOPE, key.envs.as_ref().map_or(0, Vec::len))?;
    bounded("domains", "domains", MAX_SCOPE, key.domains.as_ref().map_or(0, Vec::len))?;
    for domain in key.domains.iter().flatten() {
        bounded_text("domains", domain)?;
    }
    if key.operator && !caller.operator {
        return Err(Error::invalid("operator", "only an operator's key can make another"));
    }
    let grant = grant_of(table, org, key).await?;
    if matches!(key.role, RoleName::Custom(_)) && grant.permissions == PermissionSet::default() {
        return Err(Error::invalid("role", format!("there is no role `{}`", key.role)));
    }
    may_manage(caller, &grant)?;
    for env in key.envs.iter().flatten() {
        environment_in(table, org, env).await.map_err(|error| named("envs", error))?;
    }
    if let Some(tenant) = &key.tenant {
        tenant_in(table, org, tenant).await.map_err(|error| named("tenant", error))?;
    }
    Ok(())
}

/// What a key may do. Kinds of the data plane read, and their role says nothing.
async fn grant_of(table: &dyn Table, org: &OrgKey, key: &KeyFacts) -> Result<Grant, Error> {
    let permissions = match key.kind {
        KeyKind::Management => role_permissions(table, org, &key.role).await?,
        KeyKind::Server | KeyKind::Client | KeyKind::Relay => {
            PermissionSet::of(&[Permission::Read])
        }
    };
    Ok(key.grant(permissions))
}

/// Lets pass who may manage keys wherever this one works, and may itself do all that it may.
fn may_manage(caller: &Caller, grant: &Grant) -> Result<(), Error> {
    let manage = PermissionSet::of(&[Permission::ManageKeys]);
    caller.covers(&Grant { permissions: manage, ..grant.clone() })?;
    caller.covers(grant)
}

/// What a body refers to and does not exist is a fault of the body.
pub(super) fn named(field: &str, error: Error) -> Error {
    match error {
        Error::NotFound { what } => Error::invalid(field, format!("there is no such {what}")),
        other => other,
    }
}

/// Revokes a key. All below it are dead with it.
async fn revoke(
    table: &dyn Table,
    caller: &Caller,
    plan: &mut Plan,
    org: &OrgKey,
    id: &str,
) -> Result<(), Error> {
    let key = managed_key(table, caller, org, id).await?;
    plan.delete(place::access_key(org, id), key.version);
    let mut standing = all_keys(table, org).await?;
    standing.retain(|key| key.value.facts.id != id);
    sweep(plan, org, take_dead(&mut standing));
    Ok(())
}

/// A key that the caller may manage: one below it, or no stronger than it. Others are not there for who sees
/// only some environments, and not theirs for who sees them all.
async fn managed_key(
    table: &dyn Table,
    caller: &Caller,
    org: &OrgKey,
    id: &str,
) -> Result<Stored<KeyRecord>, Error> {
    let key: Stored<KeyRecord> = store::standing(table, &place::access_key(org, id), "key").await?;
    let facts = &key.value.facts;
    if caller.family.last().is_some_and(|own| facts.ancestors.contains(own)) {
        return Ok(key);
    }
    caller
        .can_everywhere(org, Permission::ManageKeys)
        .map_err(|_| Error::NotFound { what: "key" })?;
    if facts.operator && !caller.operator {
        return Err(Error::Forbidden { needed: Permission::ManageKeys });
    }
    may_manage(caller, &grant_of(table, org, facts).await?)?;
    Ok(key)
}
