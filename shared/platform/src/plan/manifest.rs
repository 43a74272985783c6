//! What is said of an environment's manifest itself.

use super::Plan;
use super::directory::environment_in;
use crate::change::Change;
use crate::commit::Request;
use crate::error::Error;
use crate::manifest::{Accepted, ManifestRecord, RestoredRoot};
use crate::place;
use crate::ports::Table;
use crate::store::{self, Stored, version_of};

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
) -> Result<(), Error> {
    let (Change::AcceptShrinkage { org, env, .. }
    | Change::RestoreManifest { org, env, .. }
    | Change::ReleaseManifest { org, env }) = &request.change
    else {
        return Err(Error::Internal { context: "not a change of a manifest", source: None });
    };
    if request.reason.as_ref().is_none_or(|reason| reason.trim().is_empty()) {
        return Err(Error::invalid(
            "reason",
            "say why, for whoever looks for what is not as it was asked for",
        ));
    }
    let environment = environment_in(table, org, env).await?;
    plan.require(place::environment(org, env), environment.version);
    let place = place::manifest(org, env);
    let said: Option<Stored<ManifestRecord>> = store::read(table, &place).await?;
    let over = version_of(said.as_ref());
    let mut record = said.map(|said| said.value).unwrap_or_default();
    match &request.change {
        Change::AcceptShrinkage { down_to, .. } => {
            record.accepted = Some(Accepted { at: plan.at, down_to: *down_to });
        }
        Change::RestoreManifest { root, digest, revision, .. } => {
            let (root, digest, revision) = (root.clone(), *digest, *revision);
            let (at, since) = (plan.at, plan.number);
            record.restored = Some(RestoredRoot { root, digest, revision, at, since });
        }
        _ if record.restored.is_none() => {
            return Err(Error::invalid("the manifest", "nothing is restored in this environment"));
        }
        _ => record.restored = None,
    }
    plan.put(place, over, &record)?;
    plan.about(&record, false)
}
