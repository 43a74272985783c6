//! Making the changes whose time has come.

use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::time::Timestamp;

use super::{FIRE_WITHIN, Schedule};
use crate::Platform;
use crate::caller::{Actor, Caller};
use crate::change::Change;
use crate::commit::{Precondition, Request};
use crate::error::Error;
use crate::place;
use crate::ports::Query;
use crate::record::Environment;
use crate::store::{self, Stored, decode};

impl Platform {
    /// Makes what is due in an organization at `now`. `clock` is in whose name it is noted that something failed.
    pub(crate) async fn fire_due(
        &self,
        clock: &Caller,
        org: &OrgKey,
        now: Timestamp,
    ) -> Result<(), Error> {
        let envs: Vec<Stored<Environment>> =
            store::all(self.table(), &place::org_pk(org), "ENV#").await?;
        for env in envs.into_iter().map(|stored| stored.value.key) {
            let mut query = Query::prefix(place::env_pk(org, &env), "SCHEDULE#");
            query.until = place::schedules_after(now);
            loop {
                let page = self.table().query(&query).await?;
                for item in &page.items {
                    let due: Schedule = decode(item)?.value;
                    if let Err(error) = self.fire(clock, (org, &env), &due, now).await {
                        let id = &due.id;
                        tracing::warn!(%org, %env, id, %error, "a scheduled change waits");
                    }
                }
                match page.next {
                    None => break,
                    next => query.page = next,
                }
            }
        }
        Ok(())
    }

    /// Makes one change, or notes that it failed. An error is one that may pass: it is tried again.
    async fn fire(
        &self,
        clock: &Caller,
        (org, env): (&OrgKey, &EnvKey),
        due: &Schedule,
        now: Timestamp,
    ) -> Result<(), Error> {
        let is_late = now.since(due.at) >= FIRE_WITHIN;
        let made = if is_late { Err(late()) } else { self.make(org, due).await };
        let error = match made {
            Ok(()) => return Ok(()),
            Err(error) if may_pass(&error) => return Err(error),
            Err(error) => error,
        };
        let why = match &error {
            Error::Unauthenticated if matches!(due.by, Actor::Person { .. }) => {
                "the person who scheduled it has no role here any more".to_owned()
            }
            Error::Unauthenticated => "the key that scheduled it is in force no more".to_owned(),
            error => error.to_string(),
        };
        tracing::warn!(%org, %env, id = due.id, why, "a scheduled change failed");
        let (org, env, id) = (org.clone(), env.clone(), due.id.clone());
        let failed = Request::of(Change::FailSchedule { org, env, id, why }, &request_id(due));
        match self.commit(clock, &failed).await {
            // Somebody else fired or cancelled it.
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn make(&self, org: &OrgKey, due: &Schedule) -> Result<(), Error> {
        let caller = self.caller_again(&due.by, org).await?;
        let request = Request {
            change: (*due.change).clone(),
            precondition: due.version.map_or(Precondition::None, Precondition::Version),
            reason: due.reason.clone(),
            links: due.links.clone(),
            idempotency: None,
            request_id: request_id(due),
            fires: Some(due.id.clone()),
        };
        self.commit(&caller, &request).await.map(drop)
    }
}

/// Ties the entry of the change to its schedule.
fn request_id(due: &Schedule) -> String {
    format!("schedule-{}", due.id)
}

fn late() -> Error {
    let minutes = FIRE_WITHIN.as_secs() / 60;
    Error::invalid("at", format!("it could not be made within {minutes} minutes of its instant"))
}

/// Whether the same may be possible a moment later.
fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Busy { .. } | Error::RateLimited { .. } | Error::Internal { .. })
}
