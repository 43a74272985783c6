//! The platform at work on one machine: the same handlers as on AWS, set off by the table's feed, the
//! bus and the clock of this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::propagation::Propagation;
use flagforge_platform::ports::{EventSink, Notice, Timer};
use flagforge_platform::{Caller, HttpOutbound, Platform, handle};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::task::JoinSet;

use crate::embedded::Embedded;
use crate::feed::{Feed, FeedEvent};
use crate::pacing::Pacing;

/// How often everything is looked at, bells or not: what failed is tried again, what is old is signed again.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How often webhooks are looked at for what is to be tried again; the first wait of a retry.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// How often scheduled changes are looked for: they come that much late at most.
const FIRE_EVERY: Duration = Duration::from_secs(1);
/// How often leftovers are collected; what they take is no more than an hour's.
const COLLECT_EVERY: Duration = Duration::from_secs(3_600);
/// How often it is looked whether a source of tenants is due.
const PULL_EVERY: Duration = Duration::from_secs(30);
/// How often the trust document is looked at; it lasts a year and is renewed a month before its end.
const RENEW_TRUST_EVERY: Duration = Duration::from_secs(24 * 3_600);
/// The wait before a publication that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The tasks that publish. Dropping it stops them; nothing is lost, the next start catches up.
#[derive(Debug)]
pub struct Works {
    // Held so that the tasks end with it.
    tasks: JoinSet<()>,
    hands: Arc<Embedded>,
}

impl Works {
    /// Publishes what the logs hold now, then keeps publishing what is committed. Call it once for a platform on
    /// these hands, inside a tokio runtime.
    ///
    /// The tasks share the hands, and with them the lock on the data folder, until they are stopped.
    pub async fn start(platform: &Platform, hands: Arc<Embedded>) -> Self {
        let feed = hands.table.feed();
        let of_environments = hands.bus.subscribe();
        let of_organizations = hands.bus.subscribe();
        if let Err(error) = handle::resign(platform).await {
            tracing::error!(%error, "not everything could be published at start; it is tried again");
        }
        platform.deliver_webhooks();
        platform.fire_schedules();
        let mut tasks = JoinSet::new();
        tasks.spawn(ring(platform.clone(), feed));
        for (share, changes) in
            [(Share::Environments, of_environments), (Share::Organizations, of_organizations)]
        {
            tasks.spawn(publish(platform.clone(), share, changes, hands.timer.clone()));
        }
        tasks.spawn(look(platform.clone(), hands.timer.clone()));
        tasks.spawn(tell(platform.clone(), hands.timer.clone(), hands.bus.subscribe()));
        tasks.spawn(tell_again(platform.clone(), hands.timer.clone()));
        tasks.spawn(fire(platform.clone(), hands.timer.clone()));
        tasks.spawn(collect(platform.clone(), hands.timer.clone()));
        tasks.spawn(pull(platform.clone(), hands.timer.clone()));
        tasks.spawn(renew_trust(hands.clone()));
        Self { tasks, hands }
    }

    /// Tells every event to somebody's own bus, too, from now on.
    pub fn tell_events(&mut self, platform: &Platform, sink: Arc<dyn EventSink>) {
        let (notices, timer) = (self.hands.bus.subscribe(), self.hands.timer.clone());
        self.tasks.spawn(tell_sink(platform.clone(), sink, notices, timer));
    }
}

/// From the bus to somebody's own. Nothing is told before it is kept where each organization stands, so that what comes
/// later is told from its beginning.
async fn tell_sink(
    platform: Platform,
    sink: Arc<dyn EventSink>,
    mut notices: Receiver<Notice>,
    timer: Arc<dyn Timer>,
) {
    while let Err(error) = handle::begin_events(&platform).await {
        tracing::error!(%error, "events cannot be told yet; trying again");
        timer.sleep(RETRY_AFTER).await;
    }
    // What was left over, or missed, when this was stopped.
    tell_everything(&platform, &*sink, &*timer).await;
    let mut look = timer.sleep(TELL_EVERY);
    loop {
        tokio::select! {
            rung = notices.recv() => match rung {
                Ok(Notice::Changed { org, .. }) => {
                    let until = timer.now().plus(handle::TELL_WITHIN);
                    handle::events_until(&platform, &*sink, &org, until).await;
                }
                Ok(Notice::Published { .. }) => {}
                Err(RecvError::Lagged(_)) => tell_everything(&platform, &*sink, &*timer).await,
                Err(RecvError::Closed) => return,
            },
            () = &mut look => {
                tell_everything(&platform, &*sink, &*timer).await;
                look = timer.sleep(TELL_EVERY);
            }
        }
    }
}

/// To a sink, of every organization.
async fn tell_everything(platform: &Platform, sink: &dyn EventSink, timer: &dyn Timer) {
    let until = timer.now().plus(handle::TELL_WITHIN);
    if let Err(error) = handle::all_events(platform, sink, until).await {
        tracing::error!(%error, "events were not told; the next look tries again");
    }
}

/// From the feed to the bus.
async fn ring(platform: Platform, mut feed: Feed) {
    while let Some(event) = feed.next().await {
        let rung = match event {
            FeedEvent::Records(records) => handle::fanout(&platform, &records).await,
            // Which logs grew is not known any more: look at all of them.
            FeedEvent::Lagged { .. } => handle::resign(&platform).await,
        };
        if let Err(error) = rung {
            tracing::error!(%error, "changes were not announced");
        }
    }
}

/// Which logs a publisher looks after. A kill is in an environment's, and does not stand in line behind an import,
/// which is in an organization's and has every environment published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Environments,
    Organizations,
}

impl Share {
    fn owe(self, owed: &mut Pacing<Place>, notice: Notice) {
        if let Notice::Changed { org, env, propagation, .. } = notice
            && env.is_some() == (self == Self::Environments)
        {
            owed.owe((org, env), propagation);
        }
    }
}

/// What is published at a time: an environment, or a whole organization.
type Place = (OrgKey, Option<EnvKey>);

/// From the bus to manifests. What came while the last publication ran, or before its class may be published again, is
/// answered by one; what is immediate waits for nothing but a publication of the same place that is under way.
async fn publish(
    platform: Platform,
    share: Share,
    mut notices: Receiver<Notice>,
    timer: Arc<dyn Timer>,
) {
    let mut owed = Pacing::default();
    loop {
        let due = owed.next(Instant::now());
        tokio::select! {
            rung = notices.recv() => match rung {
                Ok(notice) => share.owe(&mut owed, notice),
                Err(RecvError::Lagged(_)) => catch_up(&platform).await,
                Err(RecvError::Closed) => return,
            },
            () = until(due) => {}
        }
        loop {
            match notices.try_recv() {
                Ok(notice) => share.owe(&mut owed, notice),
                Err(TryRecvError::Lagged(_)) => catch_up(&platform).await,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let mut has_failed = false;
        for (org, env) in owed.due(Instant::now()) {
            let place = (org.clone(), env.clone());
            let (change, propagation) = ("coalesced".to_owned(), Propagation::default());
            let notice = Notice::Changed { org, env, number: 0, change, propagation };
            match handle::snapshot_some(&platform, &notice).await {
                Ok(false) => {}
                // What is left of an import is taken up again without a pause, after the others.
                Ok(true) => owed.owe(place, Propagation::Immediate),
                Err(error) => {
                    let (org, env) = &place;
                    tracing::error!(%org, env = env.as_ref().map(EnvKey::as_str), %error, "not published; trying again");
                    owed.owe(place, Propagation::Immediate);
                    has_failed = true;
                }
            }
        }
        if has_failed {
            timer.sleep(RETRY_AFTER).await;
        }
    }
}

/// Waits until an instant, for ever where there is none.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

async fn catch_up(platform: &Platform) {
    if let Err(error) = handle::resign(platform).await {
        tracing::error!(%error, "catching up failed; the next notice tries again");
    }
}

async fn look(platform: Platform, timer: Arc<dyn Timer>) {
    loop {
        timer.sleep(LOOK_EVERY).await;
        catch_up(&platform).await;
    }
}

/// From the bus to webhooks. One machine has one owner, so its own addresses are called too.
async fn tell(platform: Platform, timer: Arc<dyn Timer>, mut notices: Receiver<Notice>) {
    let outbound = HttpOutbound::with_loopback();
    loop {
        let notice = notices.recv().await;
        let until = timer.now().plus(handle::TELL_WITHIN);
        let told = match notice {
            Ok(Notice::Changed { org, .. }) => {
                handle::webhooks_until(&platform, &outbound, &org, until).await
            }
            Ok(Notice::Published { .. }) => Ok(()),
            Err(RecvError::Lagged(_)) => handle::all_webhooks(&platform, &outbound, until).await,
            Err(RecvError::Closed) => return,
        };
        if let Err(error) = told {
            tracing::error!(%error, "webhooks were not told; the next look tries again");
        }
    }
}

async fn tell_again(platform: Platform, timer: Arc<dyn Timer>) {
    let outbound = HttpOutbound::with_loopback();
    loop {
        timer.sleep(TELL_EVERY).await;
        let until = timer.now().plus(handle::TELL_WITHIN);
        if let Err(error) = handle::all_webhooks(&platform, &outbound, until).await {
            tracing::error!(%error, "webhooks were not told; trying again");
        }
    }
}

async fn fire(platform: Platform, timer: Arc<dyn Timer>) {
    let clock = Caller::system("scheduler");
    loop {
        timer.sleep(FIRE_EVERY).await;
        if let Err(error) = handle::fire(&platform, &clock, timer.now()).await {
            tracing::error!(%error, "scheduled changes were not made; trying again");
        }
    }
}

async fn collect(platform: Platform, timer: Arc<dyn Timer>) {
    let caller = Caller::system("collector");
    loop {
        timer.sleep(COLLECT_EVERY).await;
        if let Err(error) = handle::collect(&platform, &caller).await {
            tracing::error!(%error, "leftovers were not collected; the next hour again");
        }
        let until = timer.now().plus(COLLECT_EVERY);
        if let Err(error) = handle::reconcile(&platform, until).await {
            tracing::error!(%error, "manifests were not compared; the next hour again");
        }
        if let Err(error) = handle::sweep(&platform, until).await {
            tracing::error!(%error, "manifests were not swept; the next hour again");
        }
    }
}

async fn pull(platform: Platform, timer: Arc<dyn Timer>) {
    let caller = Caller::system("tenant-source");
    loop {
        timer.sleep(PULL_EVERY).await;
        if let Err(error) = handle::tenant_sources(&platform, &caller).await {
            tracing::error!(%error, "sources of tenants were not asked; trying again");
        }
    }
}

async fn renew_trust(hands: Arc<Embedded>) {
    loop {
        hands.timer.sleep(RENEW_TRUST_EVERY).await;
        if let Err(error) = hands.ensure_trust().await {
            tracing::error!(%error, source = ?error, "the trust document was not renewed; tomorrow again");
        }
    }
}
