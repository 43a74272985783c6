//! Schedules: making them, and how each comes to its one end.

use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey};

use super::Plan;
use super::directory::environment_in;
use super::flags::definition_in;
use crate::caller::Caller;
use crate::change::Change;
use crate::commit::{Precondition, Request};
use crate::error::Error;
use crate::input::bounded;
use crate::people;
use crate::place;
use crate::ports::Table;
use crate::schedule::{MAX_DAYS_AHEAD, MAX_SCHEDULES, Schedule, ScheduleState};
use crate::store::{self, ABSENT, Stored};

const DAY_MILLIS: i64 = 24 * 3_600 * 1_000;

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    caller: &Caller,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::Schedule { org, env, schedule } => {
            make(table, request, caller, plan, (org, env), schedule).await
        }
        Change::CancelSchedule { org, env, id, cancelled, canary } => {
            let pending = Pending::read(table, (org, env), id).await?;
            request.precondition.check(pending.stored.version)?;
            let Schedule { change, canary: tried, .. } = &pending.stored.value;
            if change != cancelled || tried != canary {
                return Err(Error::NotFound { what: "schedule" });
            }
            let state = ScheduleState::Cancelled { at: plan.at, by: caller.actor.clone() };
            pending.end(plan, state)
        }
        Change::FailSchedule { org, env, id, why } => {
            let pending = Pending::read(table, (org, env), id).await?;
            pending.end(plan, ScheduleState::Failed { at: plan.at, why: why.clone() })
        }
        _ => Err(Error::Internal { context: "not a change of schedules", source: None }),
    }
}

async fn make(
    table: &dyn Table,
    request: &Request,
    caller: &Caller,
    plan: &mut Plan,
    (org, env): (&OrgKey, &EnvKey),
    schedule: &Schedule,
) -> Result<(), Error> {
    let environment = environment_in(table, org, env).await?;
    if schedule.at <= plan.at {
        return Err(Error::invalid("at", "is in the past; make the change now"));
    }
    let ahead = (schedule.at.as_millis() - plan.at.as_millis() + DAY_MILLIS - 1) / DAY_MILLIS;
    let ahead = usize::try_from(ahead).unwrap_or(usize::MAX);
    bounded("at", "days ahead", MAX_DAYS_AHEAD, ahead)?;
    let pending = pending_in(table, org, env).await?;
    bounded("schedules", "schedules", MAX_SCHEDULES, pending.len() + 1)?;
    if schedule.canary {
        may_be_tried_out(schedule, &pending)?;
    }
    // What could not be done now is told to who asks, and not when nobody looks.
    let precondition = schedule.version.map_or(Precondition::None, Precondition::Version);
    let trial = Request { change: (*schedule.change).clone(), precondition, ..request.clone() };
    let mut tried = Plan::new(plan.number, schedule.at);
    Box::pin(super::draw(table, &trial, caller, &mut tried)).await?;
    let definition = definition_in(table, org, &schedule.flag).await?;
    plan.require(place::environment(org, env), environment.version);
    plan.require(place::flag(org, &schedule.flag), definition.version);
    people::remember(table, plan, org, caller).await?;
    plan.put(place::schedule(org, env, &schedule.id), ABSENT, schedule)?;
    plan.about(schedule, true)
}

/// What is tried out is a state, and one of a flag at a time: else nobody could say which of two was bad.
fn may_be_tried_out(schedule: &Schedule, pending: &[Stored<Schedule>]) -> Result<(), Error> {
    let message = match &*schedule.change {
        Change::SetEnabled { enabled: false, .. } => "a kill reaches everybody at once",
        Change::SetEnabled { .. } | Change::PatchState { .. } | Change::SetWeights { .. } => {
            let same =
                |other: &&Stored<Schedule>| other.value.canary && other.value.flag == schedule.flag;
            let Some(other) = pending.iter().find(same) else { return Ok(()) };
            let id = &other.value.id;
            let message = format!("`{id}` tries this flag out already; cancel it or wait for it");
            return Err(Error::invalid("canary", message));
        }
        _ => "only the state of a flag can be tried out",
    };
    Err(Error::invalid("canary", message))
}

async fn pending_in(
    table: &dyn Table,
    org: &OrgKey,
    env: &EnvKey,
) -> Result<Vec<Stored<Schedule>>, Error> {
    store::all(table, &place::env_pk(org, env), "SCHEDULE#").await
}

/// The change of a flag that waits in an environment, in words; `None`: there is none.
pub(super) async fn waiting_for(
    table: &dyn Table,
    org: &OrgKey,
    env: &EnvKey,
    flag: &FlagKey,
) -> Result<Option<String>, Error> {
    let mut pending = pending_in(table, org, env).await?.into_iter();
    let waits = pending.find(|stored| stored.value.flag == *flag);
    Ok(waits.map(|stored| format!("the scheduled change `{}` is about it", stored.value.id)))
}

/// A schedule that waits.
pub(super) struct Pending<'p> {
    place: (&'p OrgKey, &'p EnvKey),
    stored: Stored<Schedule>,
}

impl<'p> Pending<'p> {
    /// One that has come to its end is not there.
    pub(super) async fn read(
        table: &dyn Table,
        place: (&'p OrgKey, &'p EnvKey),
        id: &str,
    ) -> Result<Self, Error> {
        let at = place::schedule(place.0, place.1, id);
        Ok(Self { place, stored: store::standing(table, &at, "schedule").await? })
    }

    /// In the one transaction with whatever ends it.
    pub(super) fn end(self, plan: &mut Plan, state: ScheduleState) -> Result<(), Error> {
        let ((org, env), Stored { value, version }) = (self.place, self.stored);
        plan.delete(place::schedule(org, env, &value.id), version);
        let ended = Schedule { state, ..value };
        plan.put(place::ended_schedule(org, env, &ended.id), ABSENT, &ended)
    }
}
