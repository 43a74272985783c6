//! Pulling kill switches and taking them back.

use flagforge_flags::keys::{EnvKey, GroupKey, OrgKey};

use super::Plan;
use super::directory::{environment_in, group_in};
use crate::caller::Caller;
use crate::change::Change;
use crate::commit::Request;
use crate::error::Error;
use crate::input::bounded;
use crate::kills::{self, KillScope, KillSwitch, MAX_KILLS};
use crate::place;
use crate::ports::Table;
use crate::store::{self, Stored, version_of};

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    caller: &Caller,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::Kill { org, env, scope, group } => {
            pull(table, request, caller, plan, (org, env), (scope, group.as_ref())).await
        }
        Change::EndKill { org, env, scope, group } => {
            environment_in(table, org, env).await?;
            let place = place::kill(org, env, group.as_ref(), scope);
            let stands: Stored<KillSwitch> = store::standing(table, &place, "kill switch").await?;
            request.precondition.check(stands.version)?;
            plan.delete(place, stands.version);
            Ok(())
        }
        _ => Err(Error::Internal { context: "not a change of kill switches", source: None }),
    }
}

async fn pull(
    table: &dyn Table,
    request: &Request,
    caller: &Caller,
    plan: &mut Plan,
    (org, env): (&OrgKey, &EnvKey),
    (scope, group): (&KillScope, Option<&GroupKey>),
) -> Result<(), Error> {
    let Some(reason) = request.reason.clone().filter(|reason| !reason.trim().is_empty()) else {
        let message = "say why, for whoever finds these flags off";
        return Err(Error::invalid("reason", message));
    };
    let environment = environment_in(table, org, env).await?;
    plan.require(place::environment(org, env), environment.version);
    let mut group_uid = None;
    if let Some(key) = group {
        let stands = group_in(table, org, key).await?;
        plan.require(place::group(org, key), stands.version);
        group_uid = Some(stands.value.uid);
    }
    let place = place::kill(org, env, group, scope);
    let standing: Option<Stored<KillSwitch>> = store::read(table, &place).await?;
    request.precondition.check(version_of(standing.as_ref()))?;
    if standing.is_none() {
        let pulled = kills::pulled(table, org, env).await?.len();
        bounded("kill switches", "switches", MAX_KILLS, pulled + 1)?;
    }
    // Pulled again it says who pulled it first; the log has all of them.
    let counts = standing.as_ref().filter(|standing| standing.value.group_uid == group_uid);
    let record = match counts {
        Some(standing) => standing.value.clone(),
        None => {
            let (scope, group, by) = (scope.clone(), group.cloned(), caller.actor.clone());
            KillSwitch { scope, group, group_uid, since: plan.at, by, reason }
        }
    };
    plan.put(place, version_of(standing.as_ref()), &record)?;
    plan.about(&record, counts.is_none())
}
