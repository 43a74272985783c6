//! Removing what is left behind. Each record is looked at again here: whoever found it may have been wrong, or slow.

use flagforge_flags::keys::{EnvKey, FlagKey, GroupKey, OrgKey, TenantKey};
use serde::de::DeserializeOwned;

use super::Plan;
use crate::collect::Left;
use crate::deleted::Deleted;
use crate::error::Error;
use crate::import::Import;
use crate::place;
use crate::ports::{ItemKey, Table, Write};
use crate::record::{Definition, Group, Member, Override, StateRecord, Tenant};
use crate::schedule::Schedule;
use crate::store::{self, Stored, version_of};

pub(super) async fn draw(
    table: &dyn Table,
    plan: &mut Plan,
    (org, env): (&OrgKey, Option<&EnvKey>),
    left: &[Left],
) -> Result<(), Error> {
    for one in left {
        match (one, env) {
            (Left::State { flag }, Some(env)) => state(table, plan, (org, env), flag).await?,
            (Left::Override { flag, tenant }, Some(env)) => {
                tenants_override(table, plan, (org, env), (flag, tenant)).await?;
            }
            (Left::Member { group, tenant }, None) => {
                member(table, plan, org, (group, tenant)).await?;
            }
            (Left::Import { id }, None) => {
                let place = place::import(org, id);
                let found: Option<Stored<Import>> = store::read(table, &place).await?;
                if let Some(found) = found.filter(|found| found.value.is_over(plan.at)) {
                    plan.delete(place, found.version);
                }
            }
            (Left::Schedule { id }, Some(env)) => {
                let place = place::ended_schedule(org, env, id);
                let found: Option<Stored<Schedule>> = store::read(table, &place).await?;
                if let Some(found) = found.filter(|found| found.value.is_over(plan.at)) {
                    plan.delete(place, found.version);
                }
            }
            _ => return Err(Error::Internal { context: "left in another log", source: None }),
        }
    }
    if plan.writes.iter().any(|write| matches!(write, Write::Delete { .. })) {
        Ok(())
    } else {
        Err(Error::NotFound { what: "leftover" })
    }
}

async fn state(
    table: &dyn Table,
    plan: &mut Plan,
    (org, env): (&OrgKey, &EnvKey),
    flag: &FlagKey,
) -> Result<(), Error> {
    let place = place::state(org, env, flag);
    let found: Option<Stored<StateRecord>> = store::read(table, &place).await?;
    let Some(found) = found else { return Ok(()) };
    if is_flag_gone(table, plan, org, flag, &found.value.flag_uid).await? {
        plan.delete(place, found.version);
    }
    Ok(())
}

async fn tenants_override(
    table: &dyn Table,
    plan: &mut Plan,
    (org, env): (&OrgKey, &EnvKey),
    (flag, tenant): (&FlagKey, &TenantKey),
) -> Result<(), Error> {
    let place = place::tenant_override(org, env, flag, tenant);
    let found: Option<Stored<Override>> = store::read(table, &place).await?;
    let Some(found) = found else { return Ok(()) };
    let Override { flag_uid, tenant_uid, .. } = &found.value;
    let gone = is_tenant_gone(table, plan, org, tenant, tenant_uid).await?
        || is_flag_gone(table, plan, org, flag, flag_uid).await?;
    if gone {
        plan.delete_override((org, env), found.version, &found.value);
    }
    Ok(())
}

async fn member(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    (group, tenant): (&GroupKey, &TenantKey),
) -> Result<(), Error> {
    let found: Option<Stored<Member>> =
        store::read(table, &place::member(org, group, tenant)).await?;
    let Some(found) = found else { return Ok(()) };
    let at = place::group(org, group);
    let is_current = |group: &Group| group.uid == found.value.group_uid;
    let gone = is_gone(table, plan, at, is_current).await?
        || is_tenant_gone(table, plan, org, tenant, &found.value.tenant_uid).await?;
    if gone {
        plan.delete_member(org, found.version, &found.value);
    }
    Ok(())
}

/// Whether a uid is no flag's any more: neither of one that stands nor of one that can come back.
async fn is_flag_gone(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    flag: &FlagKey,
    uid: &str,
) -> Result<bool, Error> {
    let stands = |definition: &Definition| definition.uid == uid;
    let kept = |kept: &Deleted<Definition>| kept.what.uid == uid;
    Ok(is_gone(table, plan, place::flag(org, flag), stands).await?
        && is_gone(table, plan, place::deleted_flag(org, flag), kept).await?)
}

async fn is_tenant_gone(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    tenant: &TenantKey,
    uid: &str,
) -> Result<bool, Error> {
    is_gone(table, plan, place::tenant(org, tenant), |tenant: &Tenant| tenant.uid == uid).await
}

/// Whether what is meant stands no more at its place; if so, requires that this is still true then.
async fn is_gone<T: DeserializeOwned>(
    table: &dyn Table,
    plan: &mut Plan,
    place: ItemKey,
    is_meant: impl Fn(&T) -> bool,
) -> Result<bool, Error> {
    let found: Option<Stored<T>> = store::read(table, &place).await?;
    if found.as_ref().is_some_and(|found| is_meant(&found.value)) {
        return Ok(false);
    }
    plan.require(place, version_of(found.as_ref()));
    Ok(true)
}
