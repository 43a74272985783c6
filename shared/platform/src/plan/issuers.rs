//! Issuers: what they let people do is no more than who names them may.

use flagforge_flags::keys::OrgKey;

use super::Plan;
use super::directory::{environment_in, organization_in};
use super::keys::named;
use crate::access::role_permissions;
use crate::caller::{Caller, Grant, PermissionSet};
use crate::change::Change;
use crate::commit::Request;
use crate::error::Error;
use crate::input::bounded;
use crate::people::{IssuerRecord, MAX_ISSUERS};
use crate::place;
use crate::ports::Table;
use crate::store::{self, ABSENT, Stored, version_of};

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    caller: &Caller,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::PutIssuer { org, record } => put(table, request, caller, plan, org, record).await,
        Change::DeleteIssuer { org, issuer } => {
            let place = place::issuer(org, issuer);
            let stands: Stored<IssuerRecord> = store::standing(table, &place, "issuer").await?;
            request.precondition.check(stands.version)?;
            covers(table, caller, org, &stands.value).await?;
            plan.delete(place, stands.version);
            Ok(())
        }
        _ => Err(Error::Internal { context: "not a change of issuers", source: None }),
    }
}

async fn put(
    table: &dyn Table,
    request: &Request,
    caller: &Caller,
    plan: &mut Plan,
    org: &OrgKey,
    record: &IssuerRecord,
) -> Result<(), Error> {
    record.issuer.check()?;
    let owner = organization_in(table, org).await?;
    plan.require(place::organization(org), owner.version);
    let place = place::issuer(org, &record.key);
    let standing: Option<Stored<IssuerRecord>> = store::read(table, &place).await?;
    let version = version_of(standing.as_ref());
    request.precondition.check(version)?;
    for (index, role) in record.issuer.roles.iter().enumerate() {
        let field = |name: &str| format!("roles[{index}].{name}");
        let permissions = role_permissions(table, org, &role.role).await?;
        if permissions == PermissionSet::default() {
            let message = format!("there is no role `{}`", role.role);
            return Err(Error::invalid(field("role"), message));
        }
        for env in role.envs.iter().flatten() {
            environment_in(table, org, env).await.map_err(|error| named(&field("envs"), error))?;
        }
    }
    for record in standing.iter().map(|stands| &stands.value).chain([record]) {
        covers(table, caller, org, record).await?;
    }
    if version == ABSENT {
        let all: Vec<Stored<IssuerRecord>> =
            store::all(table, &place::org_pk(org), "ISSUER#").await?;
        bounded("issuers", "issuers", MAX_ISSUERS, all.len() + 1)?;
    }
    plan.put(place, version, record)?;
    plan.about(record, version == ABSENT)
}

/// Refuses a caller that may not itself do all that the issuer's people may.
async fn covers(
    table: &dyn Table,
    caller: &Caller,
    org: &OrgKey,
    record: &IssuerRecord,
) -> Result<(), Error> {
    for role in &record.issuer.roles {
        let permissions = role_permissions(table, org, &role.role).await?;
        let (envs, domains) = (role.envs.clone(), role.domains.clone());
        caller.covers(&Grant { permissions, envs, domains })?;
    }
    Ok(())
}
