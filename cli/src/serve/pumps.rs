//! What moves by itself: commits ring, the publisher publishes, the relay and the pages are told.
//!
//! feed → `handle::fanout` → bus → `handle::snapshot` → bus → relay and pages. Each ring may be lost or doubled
//! without harm, because whoever hears one reads the logs; a timer rings for everything as well.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use flagforge_embedded::{Embedded, Feed, FeedEvent};
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_platform::ports::Notice;
use flagforge_platform::{Platform, handle};
use flagforge_relay::Relay;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::page::News;

/// How often everything is looked at, bells or not: what failed is tried again, what is old is signed again.
const LOOK_AT_EVERYTHING: Duration = Duration::from_secs(60);
/// How often the trust document is looked at; it lasts a year and is renewed a month before its end.
const LOOK_AT_TRUST: Duration = Duration::from_secs(24 * 60 * 60);

/// Starts them all. They end with the process.
pub(super) fn start(
    platform: &Platform,
    embedded: Embedded,
    relay: Arc<Relay>,
    news: broadcast::Sender<News>,
) {
    tokio::spawn(ring(platform.clone(), embedded.table.feed()));
    tokio::spawn(publish(platform.clone(), embedded.bus.subscribe()));
    tokio::spawn(tell(relay, embedded.bus.subscribe(), news));
    tokio::spawn(look_at_everything(platform.clone()));
    tokio::spawn(look_at_trust(embedded));
}

/// From the table's feed to the bus.
async fn ring(platform: Platform, mut feed: Feed) {
    while let Some(event) = feed.next().await {
        match event {
            FeedEvent::Records(records) => {
                log("ringing", handle::fanout(&platform, &records).await);
            }
            FeedEvent::Lagged { batches } => {
                tracing::warn!(batches, "the feed was read too slowly: publishing everything");
                log("publishing", handle::resign(&platform).await);
            }
        }
    }
}

/// From the bus to new roots. Rings that wait while one is served are served together.
async fn publish(platform: Platform, mut bus: broadcast::Receiver<Notice>) {
    while let Some(rings) = rings(&mut bus).await {
        match rings {
            Rings::Some(notices) => {
                for notice in notices {
                    log("publishing", handle::snapshot(&platform, &notice).await);
                }
            }
            Rings::Lost => log("publishing", handle::resign(&platform).await),
        }
    }
}

enum Rings {
    /// One notice for each environment or organization that changed.
    Some(Vec<Notice>),
    /// Too many to remember.
    Lost,
}

/// Waits for a ring and takes all that are there. `None` when the bus is gone.
async fn rings(bus: &mut broadcast::Receiver<Notice>) -> Option<Rings> {
    let mut changed: HashSet<(OrgKey, Option<EnvKey>)> = HashSet::new();
    let mut notices = Vec::new();
    let mut next = match bus.recv().await {
        Ok(notice) => notice,
        Err(RecvError::Lagged(_)) => return Some(Rings::Lost),
        Err(RecvError::Closed) => return None,
    };
    loop {
        if let Notice::Changed { org, env, .. } = &next
            && changed.insert((org.clone(), env.clone()))
        {
            notices.push(next);
        }
        next = match bus.try_recv() {
            Ok(notice) => notice,
            Err(TryRecvError::Lagged(_)) => return Some(Rings::Lost),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return Some(Rings::Some(notices)),
        };
    }
}

/// From new roots to the relay, and then to the pages, which ask the relay.
async fn tell(
    relay: Arc<Relay>,
    mut bus: broadcast::Receiver<Notice>,
    news: broadcast::Sender<News>,
) {
    loop {
        match bus.recv().await {
            Ok(Notice::Published { org, env, revision }) => {
                relay.notify(&org, &env).await;
                // An error says that no page is open.
                drop(news.send(News { env: env.to_string(), revision }));
            }
            // The relay polls, and a page that missed something is told of the next.
            Ok(Notice::Changed { .. }) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

async fn look_at_everything(platform: Platform) {
    loop {
        tokio::time::sleep(LOOK_AT_EVERYTHING).await;
        log("looking at everything", handle::resign(&platform).await);
    }
}

/// Owns the hands, and with them the lock on the data folder.
async fn look_at_trust(embedded: Embedded) {
    loop {
        tokio::time::sleep(LOOK_AT_TRUST).await;
        if let Err(error) = embedded.ensure_trust().await {
            tracing::error!(
                error = format!("{:#}", anyhow::Error::new(error)),
                "renewing the trust document failed"
            );
        }
    }
}

fn log(what: &'static str, done: Result<(), flagforge_platform::Error>) {
    if let Err(error) = done {
        let error = format!("{:#}", anyhow::Error::new(error));
        tracing::error!(error, "{what} failed; it is tried again within a minute");
    }
}
