//! Event handlers: what the stream, the queue and the clock set off. They are the same under Lambda
//! and in one process.

use flagforge_flags::keys::OrgKey;
use flagforge_flags::time::Timestamp;

use crate::Platform;
use crate::caller::Caller;
use crate::collect::{Collection, Mode};
use crate::commit::Request;
use crate::error::Error;
use crate::log::LogEntry;
use crate::place::{self, LOG_PREFIX, LogId};
use crate::ports::{FeedRecord, Notice, Outbound};
use crate::publish::Bulk;
use crate::record::{Environment, Organization};
use crate::store::{self, Stored};

/// The notice that a record of the change feed asks for: only log entries ring the bell.
pub fn notice_of(record: &FeedRecord) -> Option<Notice> {
    if !record.key.sk.starts_with(LOG_PREFIX) {
        return None;
    }
    let LogId { org, env } = LogId::of_partition(&record.key.pk)?;
    let item = record.item.as_ref()?;
    let entry: LogEntry = match serde_json::from_str(&item.body) {
        Ok(entry) => entry,
        Err(error) => {
            // A newer writer's, or damage: the publisher stops at it and says so; the scheduled look retries.
            tracing::error!(pk = record.key.pk, sk = record.key.sk, %error, "an entry could not be read");
            return None;
        }
    };
    let change = entry.change.get("change").and_then(|name| name.as_str()).unwrap_or("unknown");
    Some(Notice::Changed { org, env, number: entry.number, change: change.to_owned() })
}

/// The stream's only reader: publishes a notice for every log entry among the records. An error means that some
/// were not published; repeating all of them is harmless.
pub async fn fanout(platform: &Platform, records: &[FeedRecord]) -> Result<(), Error> {
    for notice in records.iter().filter_map(notice_of) {
        platform.bus().publish(&notice).await?;
    }
    Ok(())
}

/// Publishes what a notice concerns: one environment, or all of an organization.
pub async fn snapshot(platform: &Platform, notice: &Notice) -> Result<(), Error> {
    publish(platform, notice, Bulk::All).await.map(drop)
}

/// As [`snapshot`], but of what an import changed only as much as takes some tens of milliseconds, so that who publishes
/// for many can turn to others. Answers whether there is more to do at once.
pub async fn snapshot_some(platform: &Platform, notice: &Notice) -> Result<bool, Error> {
    publish(platform, notice, Bulk::Slice).await
}

async fn publish(platform: &Platform, notice: &Notice, bulk: Bulk) -> Result<bool, Error> {
    match notice {
        // The notices of its organization's log see to what waits.
        Notice::Changed { org, env: Some(env), .. } => {
            platform.publish(org, env, Bulk::Wait).await.map(|_| false)
        }
        Notice::Changed { org, env: None, .. } => publish_organization(platform, org, bulk).await,
        Notice::Published { .. } => Ok(false),
    }
}

/// Tells the webhook endpoints of an organization what is due. Run on its notices, and on a schedule for what is tried
/// again. Answers whether there is more to do at once.
pub async fn webhooks(
    platform: &Platform,
    outbound: &dyn Outbound,
    org: &OrgKey,
) -> Result<bool, Error> {
    platform.tell_webhooks(outbound, org).await
}

/// As [`webhooks`], for every organization. One that fails does not stop the others.
pub async fn all_webhooks(platform: &Platform, outbound: &dyn Outbound) -> Result<(), Error> {
    for org in organizations(platform).await? {
        while webhooks(platform, outbound, &org).await? {}
    }
    Ok(())
}

/// Makes the scheduled changes that are due at `now`. Run on a schedule of its own, every second or minute; it may run
/// twice at once, and what it misses the next run makes. One organization that fails does not stop the others.
pub async fn fire(platform: &Platform, clock: &Caller, now: Timestamp) -> Result<(), Error> {
    for org in organizations(platform).await? {
        if let Err(error) = platform.fire_due(clock, &org, now).await {
            tracing::error!(%org, %error, "scheduled changes were not made; they are tried again");
        }
    }
    Ok(())
}

/// Collects what is left behind in every organization, each as far as a slice of time goes. One that fails does not
/// stop the others.
pub async fn collect(platform: &Platform, caller: &Caller) -> Result<(), Error> {
    let request = |change| Request::of(change, "collection");
    for org in organizations(platform).await? {
        match platform.collect(caller, &org, Mode::ForGood, &request).await {
            Ok(found) if found != Collection { complete: true, ..Collection::default() } => {
                tracing::info!(%org, ?found, "leftovers were collected");
            }
            Ok(_) | Err(Error::Suspended) => {}
            Err(error) => tracing::error!(%org, %error, "leftovers were not collected"),
        }
    }
    Ok(())
}

async fn organizations(platform: &Platform) -> Result<Vec<OrgKey>, Error> {
    let found: Vec<Stored<Organization>> =
        store::all(platform.table(), place::DIRECTORY_PK, "ORG#").await?;
    Ok(found.into_iter().map(|stored| stored.value.key).collect())
}

/// Asks the sources of tenants that are due, each for its organization. One that fails does not stop the others.
pub async fn tenant_sources(platform: &Platform, caller: &Caller) -> Result<(), Error> {
    let organizations: Vec<Stored<Organization>> =
        store::all(platform.table(), place::DIRECTORY_PK, "ORG#").await?;
    for organization in organizations.into_iter().map(|stored| stored.value) {
        let org = organization.key;
        if organization.suspended.is_some() || !platform.source_is_due(&org).await? {
            continue;
        }
        let request = |change| Request::of(change, "tenant-source");
        if let Err(error) = platform.pull_tenants(caller, &org, false, &request).await {
            tracing::error!(%org, %error, "a source of tenants was not asked");
        }
    }
    Ok(())
}

/// Brings every manifest up to date and signs again what is getting old. Run on a schedule and at start.
/// One organization that fails does not stop the others; the first error is answered.
pub async fn resign(platform: &Platform) -> Result<(), Error> {
    let mut first = None;
    for org in organizations(platform).await? {
        if let Err(error) = publish_organization(platform, &org, Bulk::All).await {
            tracing::error!(%org, %error, "an organization was not published");
            first.get_or_insert(error);
        }
    }
    first.map_or(Ok(()), Err)
}

async fn publish_organization(
    platform: &Platform,
    org: &OrgKey,
    bulk: Bulk,
) -> Result<bool, Error> {
    let environments: Vec<Stored<Environment>> =
        store::all(platform.table(), &place::org_pk(org), "ENV#").await?;
    let mut first = None;
    let mut more = false;
    for environment in environments {
        let env = environment.value.key;
        match platform.publish(org, &env, bulk).await {
            Ok(left) => more |= left,
            Err(error) => {
                tracing::error!(%org, %env, %error, "an environment was not published");
                first.get_or_insert(error);
            }
        }
    }
    first.map_or(Ok(more), Err)
}
