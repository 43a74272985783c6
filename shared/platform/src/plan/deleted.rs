//! Deleting flags and segments, bringing them back, and ending them for good. All three move or remove one record;
//! what stands between is that nothing that is there, or can come back, may ask for what is not.

use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, SegmentKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Plan;
use super::asks::{self, Asking, Asks, Node, Users};
use super::directory::organization_in;
use super::flags::{definition_in, hold_still};
use super::schedules::waiting_for;
use super::{segments, states};
use crate::caller::Caller;
use crate::change::Change;
use crate::commit::Request;
use crate::deleted::{Deleted, Deletion};
use crate::error::Error;
use crate::place;
use crate::ports::{ItemKey, Table};
use crate::record::{Definition, Environment, SegmentRecord, StateRecord};
use crate::store::{self, ABSENT, Stored};

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    caller: &Caller,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::DeleteFlag { org, flag } => {
            let stands = definition_in(table, org, flag).await?;
            request.precondition.check(stands.version)?;
            check_unused(table, plan, org, flag).await?;
            let places = (place::flag(org, flag), place::deleted_flag(org, flag));
            keep(table, request, caller, plan, org, places, stands).await
        }
        Change::RestoreFlag { org, flag } => restore_flag(table, request, plan, org, flag).await,
        Change::PurgeFlag { org, flag } => purge_flag(table, request, plan, org, flag).await,
        Change::DeleteSegment { org, env, segment } => {
            let at = place::segment(org, env, segment);
            let stands: Stored<SegmentRecord> = store::standing(table, &at, "segment").await?;
            request.precondition.check(stands.version)?;
            let users = Users::read(table, org, env).await?;
            if let Some(by) = users.of_segment(table, org, segment).await? {
                return Err(Error::InUse { what: "segment", key: segment.to_string(), by });
            }
            let places = (at, place::deleted_segment(org, env, segment));
            keep(table, request, caller, plan, org, places, stands).await
        }
        Change::RestoreSegment { org, env, segment } => {
            let at = place::deleted_segment(org, env, segment);
            let (at, kept) = kept::<SegmentRecord>(table, request, at, "deleted segment").await?;
            segments::put(table, plan, (org, env, segment), None, kept.value.what).await?;
            plan.created = false;
            plan.delete(at, kept.version);
            Ok(())
        }
        Change::PurgeSegment { org, env, segment } => {
            let at = place::deleted_segment(org, env, segment);
            let (at, kept) = kept::<SegmentRecord>(table, request, at, "deleted segment").await?;
            kept.value.check_over(plan.at, "segment", segment.as_str())?;
            let node = Node::Segment(segment.clone());
            if let Some(by) = deleted_asker(table, org, env, &node).await? {
                return Err(Error::InUse { what: "segment", key: segment.to_string(), by });
            }
            plan.delete(at, kept.version);
            Ok(())
        }
        _ => Err(Error::Internal { context: "not a deletion", source: None }),
    }
}

/// Refuses a flag's key that a deleted flag still has.
pub(super) async fn flag_is_free(
    table: &dyn Table,
    org: &OrgKey,
    flag: &FlagKey,
) -> Result<(), Error> {
    let kept: Option<Stored<Deleted<Definition>>> =
        store::read(table, &place::deleted_flag(org, flag)).await?;
    kept.map_or(Ok(()), |kept| Err(kept.value.kept("flag", flag.as_str())))
}

/// Refuses a segment's key that a deleted segment still has.
pub(super) async fn segment_is_free(
    table: &dyn Table,
    (org, env, segment): (&OrgKey, &EnvKey, &SegmentKey),
) -> Result<(), Error> {
    let kept: Option<Stored<Deleted<SegmentRecord>>> =
        store::read(table, &place::deleted_segment(org, env, segment)).await?;
    kept.map_or(Ok(()), |kept| Err(kept.value.kept("segment", segment.as_str())))
}

/// Moves a record from where it counts to where it is kept.
async fn keep<T: Serialize>(
    table: &dyn Table,
    request: &Request,
    caller: &Caller,
    plan: &mut Plan,
    org: &OrgKey,
    (from, to): (ItemKey, ItemKey),
    stands: Stored<T>,
) -> Result<(), Error> {
    let owner = organization_in(table, org).await?.value;
    let deleted = Deletion {
        at: plan.at,
        by: caller.actor.clone(),
        reason: request.reason.clone(),
        until: plan.at.plus(owner.limits.kept_for()),
    };
    plan.delete(from, stands.version);
    plan.put(to, ABSENT, &Deleted { what: stands.value, deleted })
}

/// Brings a flag back with its states as they were, unless one of them asks for what is not there any more.
async fn restore_flag(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
    org: &OrgKey,
    flag: &FlagKey,
) -> Result<(), Error> {
    let at = place::deleted_flag(org, flag);
    let (at, kept) = kept::<Definition>(table, request, at, "deleted flag").await?;
    let definition = kept.value.what;
    for env in environments(table, org).await? {
        hold_still(table, plan, org, &env).await?;
        let stored: Option<Stored<StateRecord>> =
            store::read(table, &place::state(org, &env, flag)).await?;
        let Some(stored) = stored.filter(|s| s.value.flag_uid == definition.uid) else { continue };
        let state = states::current(table, org, stored.value).await?;
        let (subject, was) = (Node::Flag(flag.clone()), Asks::default());
        let asking = [Asking { subject, was, becomes: Asks::of_state(&state) }];
        // What it would require stands while the logs do: the one is written, the other held still.
        let mut dropped = Plan::new(plan.number, plan.at);
        asks::check(table, &mut dropped, (org, &env), &asking).await.map_err(
            |error| match error {
                Error::Invalid { field, message } => {
                    Error::invalid(format!("in `{env}` {field}"), message)
                }
                other => other,
            },
        )?;
        states::check_compiles(&definition, 0, state, stored.version)?;
    }
    plan.delete(at, kept.version);
    plan.put(place::flag(org, flag), ABSENT, &definition)?;
    plan.about(&definition, false)
}

async fn purge_flag(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
    org: &OrgKey,
    flag: &FlagKey,
) -> Result<(), Error> {
    let at = place::deleted_flag(org, flag);
    let (at, kept) = kept::<Definition>(table, request, at, "deleted flag").await?;
    kept.value.check_over(plan.at, "flag", flag.as_str())?;
    let node = Node::Flag(flag.clone());
    for env in environments(table, org).await? {
        hold_still(table, plan, org, &env).await?;
        if let Some(by) = deleted_asker(table, org, &env, &node).await? {
            let by = format!("in `{env}` {by}");
            return Err(Error::InUse { what: "flag", key: flag.to_string(), by });
        }
    }
    plan.delete(at, kept.version);
    Ok(())
}

/// What was deleted and is kept at a place, if it is still what the request means.
async fn kept<T: DeserializeOwned>(
    table: &dyn Table,
    request: &Request,
    at: ItemKey,
    what: &'static str,
) -> Result<(ItemKey, Stored<Deleted<T>>), Error> {
    let kept: Stored<Deleted<T>> = store::standing(table, &at, what).await?;
    request.precondition.check(kept.version)?;
    Ok((at, kept))
}

async fn environments(table: &dyn Table, org: &OrgKey) -> Result<Vec<EnvKey>, Error> {
    let found: Vec<Stored<Environment>> = store::all(table, &place::org_pk(org), "ENV#").await?;
    Ok(found.into_iter().map(|stored| stored.value.key).collect())
}

/// Refuses to delete a flag that flags or segments of some environment ask for, or a scheduled change is about.
async fn check_unused(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    flag: &FlagKey,
) -> Result<(), Error> {
    for env in environments(table, org).await? {
        hold_still(table, plan, org, &env).await?;
        let users = Users::read(table, org, &env).await?;
        let used = match users.of_flag(table, org, flag).await? {
            None => waiting_for(table, org, &env, flag).await?,
            used => used,
        };
        if let Some(by) = used {
            let by = format!("in `{env}` {by}");
            return Err(Error::InUse { what: "flag", key: flag.to_string(), by });
        }
    }
    Ok(())
}

/// Who can be restored in an environment and would then ask for what is to end for good.
async fn deleted_asker(
    table: &dyn Table,
    org: &OrgKey,
    env: &EnvKey,
    node: &Node,
) -> Result<Option<String>, Error> {
    let pk = place::env_pk(org, env);
    let states: Vec<Stored<StateRecord>> = store::all(table, &pk, "STATE#").await?;
    for StateRecord { flag, flag_uid, state, .. } in states.into_iter().map(|s| s.value) {
        if !Asks::of_state(&state).others.contains_key(node) {
            continue;
        }
        let kept: Option<Stored<Deleted<Definition>>> =
            store::read(table, &place::deleted_flag(org, &flag)).await?;
        if kept.is_some_and(|kept| kept.value.what.uid == flag_uid) {
            return Ok(Some(format!("the deleted flag `{flag}` asks for it")));
        }
    }
    let segments: Vec<Stored<Deleted<SegmentRecord>>> =
        store::all(table, &pk, "DELETED-SEGMENT#").await?;
    let mut segments = segments.into_iter().map(|stored| stored.value.what);
    let asker = segments.find(|segment| {
        Asks::of_segment(segment.when.as_ref()).others.contains_key(node)
            && Node::Segment(segment.key.clone()) != *node
    });
    Ok(asker.map(|segment| format!("the deleted segment `{}` asks for it", segment.key)))
}
