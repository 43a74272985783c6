//! Changes that take effect at an instant.
//!
//! A schedule holds the change whole. Whoever makes it must be allowed to make the change now, and when its time comes:
//! it is committed in the name of who scheduled it, with what they may do then, in one transaction with the end of the
//! schedule. So it happens once, whoever fires it and however often; and what cannot be done is noted as failed.

mod fire;

use std::time::Duration;

use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, RuleId, TenantKey, VariantKey};
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::{Actor, Caller, Permission};
use crate::change::Change;
use crate::commit::{Outcome, Precondition, Request};
use crate::error::Error;
use crate::fresh;
use crate::input::WeightInput;
use crate::link::Link;
use crate::place;
use crate::read::PageOf;
use crate::store::{self, Listing, Stored};

/// Schedules of an environment that wait. Each is read whenever a flag is deleted.
pub const MAX_SCHEDULES: usize = 500;
/// Days ahead that a change can be scheduled.
pub const MAX_DAYS_AHEAD: usize = 366;
/// How long after its instant a change that could not be made yet still is. Later it would surprise more than help.
pub const FIRE_WITHIN: Duration = Duration::from_secs(3_600);
/// How long a schedule that has come to its end is listed.
pub const SCHEDULE_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);

/// A change, and when it takes effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Ids are in the order of their instants.
    pub id: String,
    pub at: Timestamp,
    pub flag: FlagKey,
    /// As the log will tell it.
    #[schema(value_type = Object)]
    pub change: Box<Change>,
    /// Whether readers of the ring `canary` have the change already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canary: bool,
    /// The version of the flag's state that it is for; if the state has moved on by then, it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    pub created: Timestamp,
    /// In whose name it is made, and with whose rights.
    pub by: Actor,
    pub state: ScheduleState,
}

/// What became of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ScheduleState {
    Pending,
    /// The change was made, by this entry of the environment's log.
    #[serde(rename_all = "camelCase")]
    Fired {
        at: Timestamp,
        number: u64,
    },
    /// The change could not be made.
    #[serde(rename_all = "camelCase")]
    Failed {
        at: Timestamp,
        why: String,
    },
    #[serde(rename_all = "camelCase")]
    Cancelled {
        at: Timestamp,
        by: Actor,
    },
}

impl Schedule {
    /// Who made it, and who cancelled it.
    fn actors(&mut self) -> impl Iterator<Item = &mut Actor> {
        let cancelled = match &mut self.state {
            ScheduleState::Cancelled { by, .. } => Some(by),
            _ => None,
        };
        std::iter::once(&mut self.by).chain(cancelled)
    }

    /// Whether it has come to its end so long ago that nobody asks for it.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        match &self.state {
            ScheduleState::Pending => false,
            ScheduleState::Fired { at, .. }
            | ScheduleState::Failed { at, .. }
            | ScheduleState::Cancelled { at, .. } => now.since(*at) >= SCHEDULE_KEPT,
        }
    }
}

/// A schedule as it shall be.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleInput {
    pub at: Timestamp,
    /// Lets readers of the ring `canary` have the change now. Cancelling takes it back from them; at its instant all have it.
    #[serde(default)]
    pub canary: bool,
    /// What is done then, say `{"enable": {"flag": "checkout"}}`.
    #[serde(rename = "do")]
    pub what: ScheduledInput,
}

/// What can be scheduled: whatever one call can do to a flag in an environment.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ScheduledInput {
    Enable {
        flag: FlagKey,
    },
    Kill {
        flag: FlagKey,
    },
    /// A JSON Merge Patch of the state.
    Patch {
        flag: FlagKey,
        #[schema(value_type = Object)]
        patch: Json,
    },
    #[serde(rename_all = "camelCase")]
    Weights {
        flag: FlagKey,
        #[serde(default)]
        rule: Option<RuleId>,
        #[serde(default)]
        unit: Option<String>,
        weights: Vec<WeightInput>,
    },
    #[serde(rename_all = "camelCase")]
    SetOverride {
        flag: FlagKey,
        tenant: TenantKey,
        variant: VariantKey,
        #[serde(default)]
        expires: Option<Timestamp>,
        #[serde(default)]
        reason: Option<String>,
    },
    #[serde(rename_all = "camelCase")]
    ClearOverride {
        flag: FlagKey,
        tenant: TenantKey,
    },
}

impl ScheduledInput {
    fn change(self, org: OrgKey, env: EnvKey) -> (FlagKey, Change) {
        match self {
            Self::Enable { flag } => {
                (flag.clone(), Change::SetEnabled { org, env, flag, enabled: true })
            }
            Self::Kill { flag } => {
                (flag.clone(), Change::SetEnabled { org, env, flag, enabled: false })
            }
            Self::Patch { flag, patch } => {
                (flag.clone(), Change::PatchState { org, env, flag, patch })
            }
            Self::Weights { flag, rule, unit, weights } => {
                (flag.clone(), Change::SetWeights { org, env, flag, rule, unit, weights })
            }
            Self::SetOverride { flag, tenant, variant, expires, reason } => (
                flag.clone(),
                Change::SetOverride { org, env, flag, tenant, variant, expires, reason },
            ),
            Self::ClearOverride { flag, tenant } => {
                (flag.clone(), Change::ClearOverride { org, env, flag, tenant })
            }
        }
    }
}

impl Platform {
    /// Schedules a change that could be made now.
    pub async fn schedule(
        &self,
        caller: &Caller,
        (org, env): (OrgKey, EnvKey),
        input: ScheduleInput,
        request: impl FnOnce(Change) -> Request,
    ) -> Result<(Change, Outcome), Error> {
        let (flag, change) = input.what.change(org.clone(), env.clone());
        // First, so that whoever may not hears nothing else.
        self.authorize(caller, &change).await?;
        if !self.fires_schedules() {
            return Err(Error::invalid("schedules", "nobody fires them in this installation"));
        }
        self.may_still_then(caller, &org, &change, input.at).await?;
        let schedule = Schedule {
            id: format!("{:015}-{}", input.at.as_millis(), fresh::id()?),
            at: input.at,
            flag,
            change: Box::new(change),
            canary: input.canary,
            version: None,
            reason: None,
            links: Vec::new(),
            created: self.timer().now(),
            by: caller.actor.clone(),
            state: ScheduleState::Pending,
        };
        let mut request = request(Change::Schedule { org, env, schedule: Box::new(schedule) });
        let version = match std::mem::replace(&mut request.precondition, Precondition::None) {
            Precondition::None => None,
            Precondition::Version(version) => Some(version),
            Precondition::Unsaid | Precondition::Absent | Precondition::Present => {
                let message = "send the ETag of the state that the change is for, or nothing";
                return Err(Error::invalid("If-Match", message));
            }
        };
        if let Change::Schedule { schedule, .. } = &mut request.change {
            (schedule.reason, schedule.links) = (request.reason.clone(), request.links.clone());
            schedule.version = version;
        }
        let outcome = self.commit(caller, &request).await?;
        Ok((request.change, outcome))
    }

    /// The schedules of an environment that wait, in the order of their instants, or those that have come to their end.
    pub async fn schedules(
        &self,
        caller: &Caller,
        (org, env): (&OrgKey, &EnvKey),
        ended: bool,
        page: &PageOf,
    ) -> Result<Listing<Schedule>, Error> {
        self.environment(caller, org, env).await?;
        let prefix = if ended { "SCHEDULE-ENDED#" } else { "SCHEDULE#" };
        let mut found: Listing<Schedule> =
            self.page(&place::env_pk(org, env), prefix, page).await?;
        let all = found.items.iter_mut().flat_map(|schedule| schedule.value.actors());
        self.name_people(org, all).await?;
        Ok(found)
    }

    pub async fn schedule_of(
        &self,
        caller: &Caller,
        (org, env): (&OrgKey, &EnvKey),
        id: &str,
    ) -> Result<Stored<Schedule>, Error> {
        self.environment(caller, org, env).await?;
        let pending = store::read(self.table(), &place::schedule(org, env, id)).await?;
        let mut found: Stored<Schedule> = match pending {
            Some(pending) => pending,
            None => {
                let ended = place::ended_schedule(org, env, id);
                store::standing(self.table(), &ended, "schedule").await?
            }
        };
        self.name_people(org, found.value.actors()).await?;
        Ok(found)
    }

    /// Cancels a schedule that waits. Whoever may make its change may; and of one that is tried out, whoever may turn the flag
    /// off: a watcher of canaries needs no more.
    pub async fn cancel_schedule(
        &self,
        caller: &Caller,
        (org, env): (OrgKey, EnvKey),
        id: String,
        request: impl FnOnce(Change) -> Request,
    ) -> Result<(Change, Outcome), Error> {
        self.environment(caller, &org, &env).await?;
        // To whom nothing could be theirs to cancel, it does not matter whether there is any.
        let any = [Permission::Kill, Permission::WriteOverrides];
        if !any.iter().any(|any| caller.can(&org, *any).is_ok()) {
            caller.can(&org, Permission::WriteStates)?;
        }
        let pending: Stored<Schedule> =
            store::standing(self.table(), &place::schedule(&org, &env, &id), "schedule").await?;
        let Schedule { change: cancelled, canary, .. } = pending.value;
        let request = request(Change::CancelSchedule { org, env, id, cancelled, canary });
        let outcome = self.commit(caller, &request).await?;
        Ok((request.change, outcome))
    }
}
