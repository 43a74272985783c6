//! Tenants, and the schema of their attributes.

use flagforge_flags::keys::{OrgKey, TenantKey};
use serde_json::{Map, Value as Json};

use super::Plan;
use super::directory::{organization_in, tenant_in};
use crate::change::Change;
use crate::commit::Request;
use crate::error::Error;
use crate::input::{MAX_TENANT_ATTRIBUTES, MAX_TENANT_ATTRIBUTES_BYTES, bounded, bounded_text};
use crate::place;
use crate::ports::{Query, Table};
use crate::record::Tenant;
use crate::schema::{TenantSchema, check_name};
use crate::store::{self, ABSENT, Stored, version_of};

/// Tenants named when a new schema does not fit them: enough to see what is wrong, few enough to read.
const MAX_VIOLATORS_NAMED: usize = 5;

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::PutTenant { org, tenant, uid, name, attributes, synthetic } => {
            let record = Tenant {
                key: tenant.clone(),
                uid: uid.clone(),
                name: name.clone(),
                attributes: attributes.clone(),
                synthetic: *synthetic,
            };
            put(table, request, plan, org, record).await
        }
        Change::DeleteTenant { org, tenant } => delete(table, request, plan, org, tenant).await,
        Change::PutTenantSchema { org, schema, strict } => {
            put_schema(table, request, plan, org, schema, *strict).await
        }
        _ => Err(Error::Internal { context: "not a change of tenants", source: None }),
    }
}

async fn put(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
    org: &OrgKey,
    mut record: Tenant,
) -> Result<(), Error> {
    // A new schema is written to the same log, so none can come between this look and the commit.
    let schema = schema_in(table, org).await?;
    check_tenant(&record, &schema)?;
    let owner = organization_in(table, org).await?;
    plan.require(place::organization(org), owner.version);
    let place = place::tenant(org, &record.key);
    let standing: Option<Stored<Tenant>> = store::read(table, &place).await?;
    let version = version_of(standing.as_ref());
    request.precondition.check(version)?;
    if let Some(standing) = standing {
        record.uid = standing.value.uid;
    }
    plan.put(place, version, &record)?;
    plan.about(&record, version == ABSENT)
}

async fn delete(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
    org: &OrgKey,
    tenant: &TenantKey,
) -> Result<(), Error> {
    let stored = tenant_in(table, org, tenant).await?;
    request.precondition.check(stored.version)?;
    plan.delete(place::tenant(org, tenant), stored.version);
    Ok(())
}

/// The schema in force; an empty one, which takes anything, when none was set.
pub(crate) async fn schema_in(table: &dyn Table, org: &OrgKey) -> Result<TenantSchema, Error> {
    let stored: Option<Stored<TenantSchema>> =
        store::read(table, &place::tenant_schema(org)).await?;
    Ok(stored.map(|stored| stored.value).unwrap_or_default())
}

/// Refuses a tenant whose name or attributes are over a limit, or not what the schema says.
pub(crate) fn check_tenant(record: &Tenant, schema: &TenantSchema) -> Result<(), Error> {
    bounded_text("name", &record.name)?;
    check_attributes(&record.attributes)?;
    schema.admit(&record.attributes)
}

fn check_attributes(attributes: &Map<String, Json>) -> Result<(), Error> {
    bounded("attributes", "attributes", MAX_TENANT_ATTRIBUTES, attributes.len())?;
    let bytes = Json::Object(attributes.clone()).to_string().len();
    bounded("attributes", "bytes", MAX_TENANT_ATTRIBUTES_BYTES, bytes)?;
    attributes.keys().try_for_each(|name| check_name(name))
}

/// The strict form looks at every tenant. All of them are written to the log of this change, so whoever
/// writes one meanwhile makes this commit look again.
async fn put_schema(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
    org: &OrgKey,
    schema: &TenantSchema,
    strict: bool,
) -> Result<(), Error> {
    schema.check()?;
    let owner = organization_in(table, org).await?;
    plan.require(place::organization(org), owner.version);
    let place = place::tenant_schema(org);
    let standing: Option<Stored<TenantSchema>> = store::read(table, &place).await?;
    let version = version_of(standing.as_ref());
    request.precondition.check(version)?;
    if strict {
        refuse_violators(table, org, schema).await?;
    }
    plan.put(place, version, schema)?;
    plan.about(schema, version == ABSENT)
}

async fn refuse_violators(
    table: &dyn Table,
    org: &OrgKey,
    schema: &TenantSchema,
) -> Result<(), Error> {
    let mut query = Query::prefix(place::org_pk(org), "TENANT#");
    let mut violators = Vec::new();
    loop {
        let page = table.query(&query).await?;
        for item in &page.items {
            let tenant: Tenant = store::decode(item)?.value;
            if let Err(error) = schema.admit(&tenant.attributes) {
                violators.push(format!("`{}`: {error}", tenant.key));
            }
        }
        match page.next {
            Some(next) if violators.len() < MAX_VIOLATORS_NAMED => query.page = Some(next),
            _ => break,
        }
    }
    if violators.is_empty() {
        return Ok(());
    }
    violators.truncate(MAX_VIOLATORS_NAMED);
    let message = format!(
        "tenants do not fit it ({}, maybe more); change them, or send `strict=false` to hold only later writes to it",
        violators.join("; ")
    );
    Err(Error::invalid("attributes", message))
}
