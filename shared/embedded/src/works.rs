//! The platform at work on one machine: the same handlers as on AWS, set off by the table's feed, the
//! bus and the clock of this process.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_platform::ports::{Notice, Timer};
use flagforge_platform::{Platform, handle};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::task::JoinSet;

use crate::embedded::Embedded;
use crate::feed::{Feed, FeedEvent};

/// How often roots are looked at for signing again: they are when six hours old and expire after 24.
const RESIGN_EVERY: Duration = Duration::from_secs(3_600);
/// The wait before a publication that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The tasks that publish. Dropping it stops them; nothing is lost, the next start catches up.
#[derive(Debug)]
pub struct Works {
    tasks: JoinSet<()>,
}

impl Works {
    /// Publishes what the logs hold now, then keeps publishing what is committed. Call it once for a platform on
    /// these hands, inside a tokio runtime.
    pub async fn start(platform: &Platform, hands: &Embedded) -> Self {
        let feed = hands.table.feed();
        let changes = hands.bus.subscribe();
        if let Err(error) = handle::resign(platform).await {
            tracing::error!(%error, "not everything could be published at start; it is tried again");
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(ring(platform.clone(), feed));
        tasks.spawn(publish(platform.clone(), changes, hands.timer.clone()));
        tasks.spawn(resign(platform.clone(), hands.timer.clone()));
        Self { tasks }
    }

    /// Whether every task is still at work.
    pub fn healthy(&mut self) -> bool {
        self.tasks.try_join_next().is_none()
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

/// What a publication is owed to: an environment, or a whole organization.
type Owed = BTreeSet<(OrgKey, Option<EnvKey>)>;

/// From the bus to manifests. Notices that came while the last publication ran are answered by one.
async fn publish(platform: Platform, mut notices: Receiver<Notice>, timer: Arc<dyn Timer>) {
    let mut owed = Owed::new();
    loop {
        if owed.is_empty() {
            match notices.recv().await {
                Ok(notice) => owe(&mut owed, notice),
                Err(RecvError::Lagged(_)) => catch_up(&platform).await,
                Err(RecvError::Closed) => return,
            }
        }
        loop {
            match notices.try_recv() {
                Ok(notice) => owe(&mut owed, notice),
                Err(TryRecvError::Lagged(_)) => catch_up(&platform).await,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let mut failed = Owed::new();
        for (org, env) in std::mem::take(&mut owed) {
            let change = "coalesced".to_owned();
            let notice = Notice::Changed { org: org.clone(), env: env.clone(), number: 0, change };
            if let Err(error) = handle::snapshot(&platform, &notice).await {
                tracing::error!(%org, env = env.as_ref().map(EnvKey::as_str), %error, "not published; trying again");
                failed.insert((org, env));
            }
        }
        if !failed.is_empty() {
            timer.sleep(RETRY_AFTER).await;
            owed = failed;
        }
    }
}

fn owe(owed: &mut Owed, notice: Notice) {
    if let Notice::Changed { org, env, .. } = notice {
        owed.insert((org, env));
    }
}

async fn catch_up(platform: &Platform) {
    if let Err(error) = handle::resign(platform).await {
        tracing::error!(%error, "catching up failed; the next notice tries again");
    }
}

async fn resign(platform: Platform, timer: Arc<dyn Timer>) {
    loop {
        timer.sleep(RESIGN_EVERY).await;
        catch_up(&platform).await;
    }
}
