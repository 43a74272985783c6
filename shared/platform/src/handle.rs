//! Event handlers: what the stream, the queue and the clock set off. They are the same under Lambda
//! and in one process.

use std::time::Duration;

use flagforge_flags::keys::OrgKey;
use flagforge_flags::time::Timestamp;
use futures_util::{StreamExt as _, stream};

use crate::Platform;
use crate::caller::Caller;
use crate::collect::{Collection, Mode};
use crate::commit::Request;
use crate::error::Error;
use crate::log::LogEntry;
use crate::place::{self, LOG_PREFIX, LogId};
use crate::ports::{EventSink, FeedRecord, Notice, Outbound};
use crate::publish::{Bulk, Swept};
use crate::record::{Environment, Organization};
use crate::store::{self, Stored};

/// Organizations that are looked after at a time: a slow one holds up itself and not the others.
pub const AT_A_TIME: usize = 8;
/// How long those who have much to hear are told at a stretch: others wait for their turn, and a function has to end. What
/// is left is told at the next look.
pub const TELL_WITHIN: Duration = Duration::from_secs(60);
/// Who is first changes with each of these, so that where time runs out nobody is always left over.
const TURN: Duration = Duration::from_secs(60);

/// The log entry in a record of the change feed; `None` when it is something else.
fn entry_of(record: &FeedRecord) -> Option<(LogId, LogEntry)> {
    if !record.key.sk.starts_with(LOG_PREFIX) {
        return None;
    }
    let log = LogId::of_partition(&record.key.pk)?;
    let item = record.item.as_ref()?;
    match serde_json::from_str(&item.body) {
        Ok(entry) => Some((log, entry)),
        Err(error) => {
            // A newer writer's, or damage: the publisher stops at it and says so; the scheduled look retries.
            tracing::error!(pk = record.key.pk, sk = record.key.sk, %error, "an entry could not be read");
            None
        }
    }
}

/// The stream's only reader: rings for every log entry among the records. An error means that some did not ring;
/// repeating all of them is harmless.
pub async fn fanout(platform: &Platform, records: &[FeedRecord]) -> Result<(), Error> {
    for (log, entry) in records.iter().filter_map(entry_of) {
        let change = entry.change_name().to_owned();
        let LogId { org, env } = log;
        let (number, propagation) = (entry.number, entry.propagation);
        let notice = Notice::Changed { org, env, number, change, propagation };
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
            platform.acting_for(org).publish(org, env, Bulk::Wait).await.map(|_| false)
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
    platform.acting_for(org).tell_webhooks(outbound, org).await
}

/// As [`webhooks`], until nothing is due at once or it is `until`: what is left then waits for the schedule.
pub async fn webhooks_until(
    platform: &Platform,
    outbound: &dyn Outbound,
    org: &OrgKey,
    until: Timestamp,
) -> Result<(), Error> {
    while platform.timer().now() < until && webhooks(platform, outbound, org).await? {}
    Ok(())
}

/// As [`webhooks_until`], for every organization. One that fails does not stop the others.
pub async fn all_webhooks(
    platform: &Platform,
    outbound: &dyn Outbound,
    until: Timestamp,
) -> Result<(), Error> {
    let organizations = organizations(platform).await?;
    let telling = organizations.iter().map(|org| webhooks_until(platform, outbound, org, until));
    some_at_a_time(telling).await.into_iter().collect()
}

/// From now on a sink hears of every organization that it has not heard of yet ([`all_events`]), instead of from each's
/// first entry. Call it once at start.
pub async fn begin_events(platform: &Platform) -> Result<(), Error> {
    for org in organizations(platform).await? {
        platform.acting_for(&org).begin_sink(&org).await?;
    }
    Ok(())
}

/// Tells a sink what is due of an organization, as [`webhooks_until`] does endpoints. What it does not take is tried again.
pub async fn events_until(
    platform: &Platform,
    sink: &dyn EventSink,
    org: &OrgKey,
    until: Timestamp,
) {
    let acting = platform.acting_for(org);
    while platform.timer().now() < until && acting.tell_sink(sink, org).await {}
}

/// As [`events_until`], for every organization.
pub async fn all_events(
    platform: &Platform,
    sink: &dyn EventSink,
    until: Timestamp,
) -> Result<(), Error> {
    let organizations = organizations(platform).await?;
    some_at_a_time(organizations.iter().map(|org| events_until(platform, sink, org, until))).await;
    Ok(())
}

/// Makes the scheduled changes that are due at `now`. Run on a schedule of its own, every second or minute; it may run
/// twice at once, and what it misses the next run makes. One organization that fails does not stop the others.
pub async fn fire(platform: &Platform, clock: &Caller, now: Timestamp) -> Result<(), Error> {
    let organizations = organizations(platform).await?;
    some_at_a_time(organizations.iter().map(|org| fire_one(platform, clock, org, now))).await;
    Ok(())
}

async fn fire_one(platform: &Platform, clock: &Caller, org: &OrgKey, now: Timestamp) {
    if let Err(error) = platform.acting_for(org).fire_due(clock, org, now).await {
        tracing::error!(%org, %error, "scheduled changes were not made; they are tried again");
    }
}

/// Collects what is left behind in every organization, each as far as a slice of time goes. One that fails does not
/// stop the others.
pub async fn collect(platform: &Platform, caller: &Caller) -> Result<(), Error> {
    let organizations = organizations(platform).await?;
    some_at_a_time(organizations.iter().map(|org| collect_one(platform, caller, org))).await;
    Ok(())
}

async fn collect_one(platform: &Platform, caller: &Caller, org: &OrgKey) {
    let request = |change| Request::of(change, "collection");
    match platform.acting_for(org).collect(caller, org, Mode::ForGood, &request).await {
        Ok(found) if found != Collection { complete: true, ..Collection::default() } => {
            tracing::info!(%org, ?found, "leftovers were collected");
        }
        Ok(_) | Err(Error::Suspended) => {}
        Err(error) => tracing::error!(%org, %error, "leftovers were not collected"),
    }
}

/// Holds what publishers remember of each environment against what is there, as far as it comes until `until`. Run it
/// every hour; one that fails does not stop the others.
pub async fn reconcile(platform: &Platform, until: Timestamp) -> Result<(), Error> {
    for org in organizations(platform).await? {
        let acting = platform.acting_for(&org);
        let environments: Vec<Stored<Environment>> =
            store::all(acting.table(), &place::org_pk(&org), "ENV#").await?;
        for env in environments.into_iter().map(|stored| stored.value.key) {
            if platform.timer().now() >= until {
                return Ok(());
            }
            if let Err(error) = acting.reconcile(&org, &env).await {
                tracing::error!(%org, %env, %error, "an environment was not compared");
            }
        }
    }
    Ok(())
}

/// Removes what manifests of every organization have left behind: chunks that no root lists any more, and earlier roots
/// after their month. Run it every hour; it begins with no organization after `until`, and one that fails does not stop
/// the others.
pub async fn sweep(platform: &Platform, until: Timestamp) -> Result<(), Error> {
    let organizations = organizations(platform).await?;
    some_at_a_time(organizations.iter().map(|org| sweep_one(platform, org, until))).await;
    Ok(())
}

async fn sweep_one(platform: &Platform, org: &OrgKey, until: Timestamp) {
    if platform.timer().now() >= until {
        return;
    }
    match platform.acting_for(org).sweep(org).await {
        Ok(swept) if swept == Swept::default() => {}
        Ok(swept) => tracing::info!(%org, ?swept, "manifests were swept"),
        Err(error) => tracing::error!(%org, %error, "manifests were not swept"),
    }
}

async fn organizations(platform: &Platform) -> Result<Vec<OrgKey>, Error> {
    Ok(directory(platform).await?.into_iter().map(|organization| organization.key).collect())
}

async fn some_at_a_time<W: Future>(work: impl Iterator<Item = W>) -> Vec<W::Output> {
    let work: Vec<W> = work.collect();
    stream::iter(work).buffer_unordered(AT_A_TIME).collect().await
}

/// All organizations, each first in its turn.
async fn directory(platform: &Platform) -> Result<Vec<Organization>, Error> {
    let mut found: Vec<Stored<Organization>> =
        store::all(platform.table(), place::DIRECTORY_PK, "ORG#").await?;
    let turn = platform.timer().now().as_seconds().unsigned_abs() / TURN.as_secs();
    let first = turn.checked_rem(found.len() as u64).unwrap_or_default();
    found.rotate_left(first as usize);
    Ok(found.into_iter().map(|stored| stored.value).collect())
}

/// Asks the sources of tenants that are due, each for its organization. It may run twice at once: a source is asked by
/// one of them. One that fails does not stop the others.
pub async fn tenant_sources(platform: &Platform, caller: &Caller) -> Result<(), Error> {
    let mut organizations = directory(platform).await?;
    organizations.retain(|organization| organization.suspended.is_none());
    some_at_a_time(organizations.iter().map(|org| ask_source(platform, caller, &org.key))).await;
    Ok(())
}

async fn ask_source(platform: &Platform, caller: &Caller, org: &OrgKey) {
    let platform = platform.acting_for(org);
    let asked = async {
        if !platform.take_source_turn(org).await? {
            return Ok(());
        }
        let request = |change| Request::of(change, "tenant-source");
        let run = platform.pull_tenants(caller, org, false, &request).await;
        platform.end_source_turn(org).await?;
        run.map(drop)
    };
    if let Err(error) = asked.await {
        tracing::error!(%org, %error, "a source of tenants was not asked");
    }
}

/// Brings every manifest up to date and signs again what is getting old. Run on a schedule and at start.
/// One organization that fails does not stop the others; the first error is answered.
pub async fn resign(platform: &Platform) -> Result<(), Error> {
    let mut first = None;
    for org in organizations(platform).await? {
        if let Err(error) = catch_up(platform, &org).await {
            tracing::error!(%org, %error, "an organization was not published");
            first.get_or_insert(error);
        }
    }
    first.map_or(Ok(()), Err)
}

/// In slices, between which a kill passes: whoever lost count of an import's notices has all of it to publish.
async fn catch_up(platform: &Platform, org: &OrgKey) -> Result<(), Error> {
    while publish_organization(platform, org, Bulk::Slice).await? {}
    Ok(())
}

async fn publish_organization(
    platform: &Platform,
    org: &OrgKey,
    bulk: Bulk,
) -> Result<bool, Error> {
    let platform = platform.acting_for(org);
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
