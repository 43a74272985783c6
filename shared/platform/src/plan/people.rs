//! People and invitations: nobody gives more than they may, an invitation counts once, and the last admin stays.
//! Names and addresses stay out of the log: its entries name people by id, and the record alone says who that is.

use flagforge_flags::keys::OrgKey;
use serde_json::Value as Json;

use super::Plan;
use super::directory::{environment_in, organization_in};
use super::keys::named;
use crate::caller::{Actor, Caller, PermissionSet};
use crate::change::Change;
use crate::commit::{Precondition, Request};
use crate::error::Error;
use crate::people::{InvitationRecord, NOT_LOGGED, Part, PersonRecord, may_manage};
use crate::place;
use crate::ports::Table;
use crate::store::{self, ABSENT, Stored};

/// Invitations that one change sweeps after their time, out of the 100 writes of a transaction.
const MAX_SWEPT: usize = 48;

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    caller: &Caller,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::AddPerson { org, person } => {
            within(table, plan, org).await?;
            check_part(table, caller, org, &person.part).await?;
            let id = person.identity().note_in(table, plan, org, &person.id).await?;
            add(table, plan, org, &PersonRecord { id, ..person.clone() }).await
        }
        Change::ChangePerson { org, id, part } => {
            let stands = managed(table, caller, org, id).await?;
            request.precondition.check(stands.version)?;
            within(table, plan, org).await?;
            check_part(table, caller, org, part).await?;
            keep_an_admin(table, org, &stands.value, Some(part)).await?;
            let person = PersonRecord { part: part.clone(), ..stands.value };
            put(plan, org, stands.version, &person)
        }
        Change::RemovePerson { org, id } => {
            remove(table, caller, plan, (org, id), request.precondition).await
        }
        Change::Invite { org, record } => invite(table, caller, plan, org, record).await,
        Change::WithdrawInvitation { org, id } => {
            let place = place::invitation(org, id);
            let stands: Stored<InvitationRecord> =
                store::standing(table, &place, "invitation").await?;
            may_manage(caller, &stands.value.invitation.part.grant(table, org).await?)?;
            plan.delete(place, stands.version);
            Ok(())
        }
        Change::AcceptInvitation { org, id, person } => {
            accept(table, caller, plan, org, id, person).await
        }
        _ => Err(Error::Internal { context: "not a change of people", source: None }),
    }
}

/// Requires that the organization stands.
async fn within(table: &dyn Table, plan: &mut Plan, org: &OrgKey) -> Result<(), Error> {
    let owner = organization_in(table, org).await?;
    plan.require(place::organization(org), owner.version);
    Ok(())
}

/// Refuses a part that names what is not there, or allows what the caller may not.
async fn check_part(
    table: &dyn Table,
    caller: &Caller,
    org: &OrgKey,
    part: &Part,
) -> Result<(), Error> {
    part.check()?;
    let grant = part.grant(table, org).await?;
    if grant.permissions == PermissionSet::default() {
        return Err(Error::invalid("role", format!("there is no role `{}`", part.role)));
    }
    may_manage(caller, &grant)?;
    for env in part.envs.iter().flatten() {
        environment_in(table, org, env).await.map_err(|error| named("envs", error))?;
    }
    Ok(())
}

/// A person who may no more than the caller.
async fn managed(
    table: &dyn Table,
    caller: &Caller,
    org: &OrgKey,
    id: &str,
) -> Result<Stored<PersonRecord>, Error> {
    let stands: Stored<PersonRecord> =
        store::standing(table, &place::person(org, id), "person").await?;
    may_manage(caller, &stands.value.part.grant(table, org).await?)?;
    Ok(stands)
}

/// Lets go of somebody, whoever may and if another admin is left.
pub(super) async fn remove(
    table: &dyn Table,
    caller: &Caller,
    plan: &mut Plan,
    (org, id): (&OrgKey, &str),
    precondition: Precondition,
) -> Result<(), Error> {
    let stands = managed(table, caller, org, id).await?;
    precondition.check(stands.version)?;
    keep_an_admin(table, org, &stands.value, None).await?;
    plan.delete(place::person(org, id), stands.version);
    Ok(())
}

async fn add(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    person: &PersonRecord,
) -> Result<(), Error> {
    let stands: Option<Stored<PersonRecord>> =
        store::read(table, &place::person(org, &person.id)).await?;
    if stands.is_some() {
        return Err(Error::Exists { what: "person", key: person.id.clone() });
    }
    put(plan, org, ABSENT, person)
}

fn put(plan: &mut Plan, org: &OrgKey, over: u64, person: &PersonRecord) -> Result<(), Error> {
    plan.put(place::person(org, &person.id), over, person)?;
    forget_in_log(plan);
    plan.about(person, over == ABSENT)
}

/// Takes out of the newest image what the log does not keep.
fn forget_in_log(plan: &mut Plan) {
    if let Some(Json::Object(body)) = plan.images.last_mut().and_then(|image| image.body.as_mut()) {
        body.retain(|name, _| !NOT_LOGGED.contains(&name.as_str()));
    }
}

/// Refuses to let go the last person who can do everything. Keys do not count: one that is lost helps nobody.
async fn keep_an_admin(
    table: &dyn Table,
    org: &OrgKey,
    stands: &PersonRecord,
    becomes: Option<&Part>,
) -> Result<(), Error> {
    if !stands.part.is_admin() || becomes.is_some_and(Part::is_admin) {
        return Ok(());
    }
    let all: Vec<Stored<PersonRecord>> = store::all(table, &place::org_pk(org), "PERSON#").await?;
    let another = |person: &Stored<PersonRecord>| {
        person.value.id != stands.id && person.value.part.is_admin()
    };
    if all.iter().any(another) { Ok(()) } else { Err(Error::LastAdmin) }
}

async fn invite(
    table: &dyn Table,
    caller: &Caller,
    plan: &mut Plan,
    org: &OrgKey,
    record: &InvitationRecord,
) -> Result<(), Error> {
    within(table, plan, org).await?;
    check_part(table, caller, org, &record.invitation.part).await?;
    let all: Vec<Stored<InvitationRecord>> =
        store::all(table, &place::org_pk(org), "INVITE#").await?;
    let now = plan.at;
    let over = all.iter().filter(|invited| invited.value.invitation.expires <= now);
    for invited in over.take(MAX_SWEPT) {
        plan.delete(place::invitation(org, &invited.value.invitation.id), invited.version);
    }
    plan.put(place::invitation(org, &record.invitation.id), ABSENT, record)?;
    forget_in_log(plan);
    plan.about(&record.invitation, true)
}

/// Takes somebody in for their invitation, which is gone with it. Its secret was held against theirs before.
async fn accept(
    table: &dyn Table,
    caller: &Caller,
    plan: &mut Plan,
    org: &OrgKey,
    id: &str,
    person: &PersonRecord,
) -> Result<(), Error> {
    if !matches!(&caller.actor, Actor::Person { id, .. } if *id == person.id) {
        return Err(Error::NotFound { what: "invitation" });
    }
    within(table, plan, org).await?;
    let place = place::invitation(org, id);
    let stands: Stored<InvitationRecord> = store::standing(table, &place, "invitation").await?;
    let part = stands.value.invitation.part;
    if part.grant(table, org).await?.permissions == PermissionSet::default() {
        let message = format!("gives the role `{}`, which is gone; ask for another", part.role);
        return Err(Error::invalid("token", message));
    }
    plan.delete(place, stands.version);
    add(table, plan, org, &PersonRecord { part, ..person.clone() }).await
}
