//! The source of tenants. What it is shown stays out of the log.

use super::Plan;
use super::directory::organization_in;
use crate::change::Change;
use crate::commit::Request;
use crate::error::Error;
use crate::import::source::{SourceRecord, SourceSeen};
use crate::place;
use crate::ports::Table;
use crate::store::{self, ABSENT, Stored, version_of};

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
) -> Result<(), Error> {
    let (org, record) = match &request.change {
        Change::PutTenantSource { org, record } => (org, Some(record)),
        Change::DeleteTenantSource { org } => (org, None),
        _ => return Err(Error::Internal { context: "not a change of sources", source: None }),
    };
    let place = place::tenant_source(org);
    let stands: Option<Stored<SourceRecord>> = store::read(table, &place).await?;
    let version = version_of(stands.as_ref());
    let Some(record) = record else {
        stands.ok_or(Error::NotFound { what: "source" })?;
        request.precondition.check(version)?;
        plan.delete(place, version);
        return Ok(());
    };
    record.source.check()?;
    let owner = organization_in(table, org).await?;
    plan.require(place::organization(org), owner.version);
    request.precondition.check(version)?;
    plan.put(place, version, record)?;
    if let Some(body) = plan.images.last_mut().and_then(|image| image.body.as_mut()) {
        body.as_object_mut().map(|fields| fields.remove("bearer"));
    }
    plan.about(&SourceSeen::of(record, None), version == ABSENT)
}
