//! Many tenants at once: a bulk upsert, or a batch of an import.

use std::collections::BTreeMap;

use flagforge_flags::keys::{OrgKey, TenantKey};

use super::Plan;
use super::directory::organization_in;
use super::tenants::{check_tenant, schema_in};
use crate::change::Change;
use crate::commit::Request;
use crate::error::Error;
use crate::import::{Counts, Import, ImportState, ImportStep};
use crate::input::bounded;
use crate::place;
use crate::ports::{Query, Table};
use crate::record::Tenant;
use crate::store::{self, ABSENT, Stored, version_of};

/// Tenants written in one transaction (DESIGN §6). With the checks, the import, log entry, head and idempotency
/// record it has 55 writes, of 100.
pub const MAX_BATCH_TENANTS: usize = 50;
/// Bytes of their records. The log entry has them once, as after-images: under DESIGN's 300 KB with places and frame.
pub const MAX_BATCH_BYTES: usize = 256 * 1024;

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::UpsertTenants { org, tenants, import } => {
            upsert(table, plan, org, tenants, import.as_ref()).await
        }
        Change::PutImport { org, import } => put_import(table, request, plan, org, import).await,
        _ => Err(Error::Internal { context: "not a change of many tenants", source: None }),
    }
}

async fn put_import(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
    org: &OrgKey,
    import: &Import,
) -> Result<(), Error> {
    let owner = organization_in(table, org).await?;
    plan.require(place::organization(org), owner.version);
    let place = place::import(org, &import.id);
    let standing: Option<Stored<Import>> = store::read(table, &place).await?;
    let version = version_of(standing.as_ref());
    request.precondition.check(version)?;
    plan.put(place, version, import)?;
    plan.about(import, version == ABSENT)
}

async fn upsert(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    tenants: &[Tenant],
    step: Option<&ImportStep>,
) -> Result<(), Error> {
    let mut tenants: Vec<Tenant> = tenants.to_vec();
    check(table, org, &tenants).await?;
    let owner = organization_in(table, org).await?;
    plan.require(place::organization(org), owner.version);
    tenants.sort_by(|a, b| a.key.cmp(&b.key));
    let standing = standing(table, org, &tenants).await?;
    let mut counts = Counts::default();
    for mut tenant in tenants {
        let place = place::tenant(org, &tenant.key);
        match standing.get(&tenant.key) {
            None => {
                counts.created += 1;
                plan.put(place, ABSENT, &tenant)?;
            }
            Some(stands) => {
                tenant.uid.clone_from(&stands.value.uid);
                if tenant == stands.value {
                    counts.unchanged += 1;
                } else {
                    counts.changed += 1;
                    plan.put(place, stands.version, &tenant)?;
                }
            }
        }
    }
    match step {
        None => plan.about(&counts, false),
        Some(step) => advance(table, plan, org, step, counts).await,
    }
}

/// Writes how far the import is, with the batch that brought it there.
async fn advance(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    step: &ImportStep,
    counts: Counts,
) -> Result<(), Error> {
    let place = place::import(org, &step.import);
    let Stored { value: mut import, version } =
        store::standing::<Import>(table, &place, "import").await?;
    if import.state != ImportState::Applying || import.next != step.from {
        return Err(Error::PreconditionFailed);
    }
    import.advance(step.until, counts);
    plan.put(place, version, &import)?;
    plan.about(&import, false)
}

async fn check(table: &dyn Table, org: &OrgKey, tenants: &[Tenant]) -> Result<(), Error> {
    bounded("tenants", "tenants", MAX_BATCH_TENANTS, tenants.len())?;
    let schema = schema_in(table, org).await?;
    let mut bytes = 0;
    let mut seen = BTreeMap::new();
    for (index, tenant) in tenants.iter().enumerate() {
        check_tenant(tenant, &schema).map_err(|error| below(error, index))?;
        if let Some(first) = seen.insert(&tenant.key, index) {
            let message = format!("`{}` is tenants[{first}] already", tenant.key);
            return Err(Error::invalid(format!("tenants[{index}].key"), message));
        }
        let text = serde_json::to_string(tenant)
            .map_err(|error| Error::internal("a tenant did not serialize", error))?;
        bytes += text.len();
    }
    bounded("tenants", "bytes", MAX_BATCH_BYTES, bytes)
}

/// An error of one of many, naming which.
fn below(error: Error, index: usize) -> Error {
    let prefix = |field: String| format!("tenants[{index}].{field}");
    match error {
        Error::Invalid { field, message } => Error::Invalid { field: prefix(field), message },
        Error::OverLimit { field, unit, limit, actual } => {
            Error::OverLimit { field: prefix(field), unit, limit, actual }
        }
        other => other,
    }
}

/// Those of the tenants, sorted by key, that stand already. One range holds them all where the directory is no
/// denser than the batch, as in an import of all; where it is, the rest is looked up one by one.
async fn standing(
    table: &dyn Table,
    org: &OrgKey,
    tenants: &[Tenant],
) -> Result<BTreeMap<TenantKey, Stored<Tenant>>, Error> {
    let mut found = BTreeMap::new();
    let (Some(first), Some(last)) = (tenants.first(), tenants.last()) else { return Ok(found) };
    let mut query = Query::prefix(place::org_pk(org), "");
    query.from = place::tenant(org, &first.key).sk;
    // `!` is in no key and sorts before whatever is.
    query.until = format!("{}!", place::tenant(org, &last.key).sk);
    let page = table.query(&query).await?;
    let mut seen_until = None;
    for item in &page.items {
        let tenant: Stored<Tenant> = store::decode(item)?;
        seen_until = Some(tenant.value.key.clone());
        if tenants.binary_search_by(|sent| sent.key.cmp(&tenant.value.key)).is_ok() {
            found.insert(tenant.value.key.clone(), tenant);
        }
    }
    if page.next.is_some() {
        for sent in tenants.iter().filter(|sent| Some(&sent.key) > seen_until.as_ref()) {
            let stored = store::read(table, &place::tenant(org, &sent.key)).await?;
            found.extend(stored.map(|tenant| (sent.key.clone(), tenant)));
        }
    }
    Ok(found)
}
