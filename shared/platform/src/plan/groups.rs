//! Tenant groups: a list of members, or a condition that decides.

use flagforge_flags::check_tenant_condition;
use flagforge_flags::keys::{GroupKey, OrgKey, TenantKey};

use super::Plan;
use super::directory::{group_in, organization_in, tenant_in};
use crate::change::Change;
use crate::commit::Request;
use crate::error::Error;
use crate::input::{bounded, bounded_text};
use crate::place;
use crate::ports::Table;
use crate::record::{Group, Member};
use crate::store::{self, ABSENT, Stored, version_of};

/// Groups of an organization that have a condition. Publishing decides each for every tenant that changed:
/// 100 of them for 100,000 tenants are ten million tests, seconds, once in the life of a publisher.
pub const MAX_CONDITION_GROUPS: usize = 100;

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::PutGroup { org, group, uid, description, when } => {
            let record = Group {
                key: group.clone(),
                uid: uid.clone(),
                description: description.clone(),
                when: when.clone(),
            };
            put(table, request, plan, org, record).await
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
        _ => Err(Error::Internal { context: "not a change of groups", source: None }),
    }
}

async fn put(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
    org: &OrgKey,
    mut record: Group,
) -> Result<(), Error> {
    bounded_text("description", &record.description)?;
    if let Some(when) = &record.when {
        check_tenant_condition(when).map_err(|error| Error::invalid(error.path, error.message))?;
        check_count(table, org, &record.key).await?;
    }
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

/// Groups are written to one log, so no other can come between this count and the commit.
async fn check_count(table: &dyn Table, org: &OrgKey, group: &GroupKey) -> Result<(), Error> {
    let standing: Vec<Stored<Group>> = store::all(table, &place::org_pk(org), "GROUP#").await?;
    let others =
        standing.iter().filter(|other| other.value.when.is_some() && other.value.key != *group);
    bounded("groups with a condition", "groups", MAX_CONDITION_GROUPS, others.count() + 1)
}

async fn add_member(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    group: &GroupKey,
    tenant: &TenantKey,
) -> Result<(), Error> {
    let of_group = group_in(table, org, group).await?;
    if of_group.value.when.is_some() {
        let message = "the group has a condition, which alone decides who is in it";
        return Err(Error::invalid("the path", message));
    }
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
    plan.put_member(org, version_of(standing.as_ref()), &record)?;
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
    plan.delete_member(org, stands.version, &stands.value);
    Ok(())
}
