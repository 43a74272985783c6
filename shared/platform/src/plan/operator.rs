//! What the platform's operator does to an organization: suspends it, resumes it, sets its limits. It changes
//! the organization's own record and nothing that the organization made.

use flagforge_flags::keys::OrgKey;

use super::Plan;
use super::directory::organization_in;
use crate::change::Change;
use crate::commit::Request;
use crate::error::Error;
use crate::place;
use crate::ports::Table;
use crate::record::Organization;
use crate::store::{self, Stored, version_of};

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::SuspendOrganization { org } => {
            let at = plan.at;
            edit(table, request, plan, org, |record| {
                record.suspended.get_or_insert(at);
            })
            .await
        }
        Change::ResumeOrganization { org } => {
            edit(table, request, plan, org, |record| record.suspended = None).await
        }
        Change::SetLimits { org, limits } => {
            limits.check()?;
            edit(table, request, plan, org, |record| record.limits = limits.clone()).await
        }
        _ => Err(Error::Internal { context: "not a change of the operator's", source: None }),
    }
}

async fn edit(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
    org: &OrgKey,
    change: impl FnOnce(&mut Organization),
) -> Result<(), Error> {
    let Stored { value: mut record, version } = organization_in(table, org).await?;
    request.precondition.check(version)?;
    change(&mut record);
    let listed: Option<Stored<Organization>> =
        store::read(table, &place::directory_entry(org)).await?;
    plan.put(place::organization(org), version, &record)?;
    plan.put(place::directory_entry(org), version_of(listed.as_ref()), &record)?;
    plan.about(&record, false)
}
