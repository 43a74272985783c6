//! The publisher: from the logs to signed manifests. It reads the logs, not the stream, so nothing
//! depends on how often or in which order it is woken.

mod canary;
mod certify;
mod held;
mod membership;
mod owed;
mod removed;
mod render;
mod restored;
mod roots;
mod segments;
mod shards;
mod shrinkage;
mod sweep;
mod tenants;
pub(crate) mod trust;
mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use flagforge_flags::Revision;
use flagforge_flags::keys::{EnvKey, OrgKey};
use tokio::sync::Mutex;

use crate::Platform;
use crate::error::Error;
use crate::ports::Notice;

use certify::Certified;
pub(crate) use render::Bulk;
pub use shrinkage::{ACCEPTED_FOR, MAY_END_AT_ONCE, MAY_GO_AT_ONCE};
pub use sweep::ROOTS_KEPT;
pub(crate) use sweep::{Swept, claims_of, history_of};
use view::View;

/// How long a root is good before a reader calls it stale (DESIGN §7).
pub const ROOT_LIFETIME: Duration = Duration::from_secs(24 * 3_600);
/// A root this old is signed again though nothing changed, three times before it would expire.
pub const RESIGN_AFTER: Duration = Duration::from_secs(6 * 3_600);
/// Environments whose state the publisher keeps in memory between notices; beyond them it reads whole.
const MAX_VIEWS: usize = 64;

/// Tries against other publishers before giving up; the notice comes again.
const MAX_ATTEMPTS: usize = 5;

/// What a publication came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Published {
    /// New roots stand, at this revision.
    Roots(Revision),
    /// The roots that stand are current and young.
    Unchanged,
}

type Views = HashMap<(OrgKey, EnvKey), Arc<Mutex<Option<View>>>>;

/// What the publisher remembers between notices. All of it can be lost.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    views: Mutex<Views>,
    certified: Mutex<Option<Certified>>,
}

impl Publisher {
    async fn view(&self, org: &OrgKey, env: &EnvKey) -> Arc<Mutex<Option<View>>> {
        let mut views = self.views.lock().await;
        let key = (org.clone(), env.clone());
        if views.len() >= MAX_VIEWS && !views.contains_key(&key) {
            let victim = views.keys().next().cloned();
            victim.and_then(|victim| views.remove(&victim));
        }
        views.entry(key).or_default().clone()
    }
}

impl Platform {
    /// Publishes an environment as its logs stand now: chunks first, then the roots of the scopes
    /// `environment` and `relay`, each by a conditional put. One publication of an environment runs at
    /// a time in a process, and those that wait take turns; of two processes the loser reads again.
    ///
    /// Answers whether a backlog of tenants is left.
    pub(crate) async fn publish(
        &self,
        org: &OrgKey,
        env: &EnvKey,
        bulk: Bulk,
    ) -> Result<bool, Error> {
        let shared = self.publisher().view(org, env).await;
        let mut slot = shared.lock().await;
        let mut view = match slot.take() {
            Some(view) => view,
            None => View::read(self.table(), org, env).await?,
        };
        view.catch_up(self.table()).await?;
        let published = self.publish_roots(&mut view, bulk).await;
        let more = view.has_backlog();
        // A failed publication leaves nothing in the view that the next could not use.
        *slot = Some(view);
        drop(slot);
        self.announce(org, env, published?).await;
        self.publish_all_tenants(org, env, &shared).await?;
        Ok(more)
    }

    /// The manifests of single tenants, after the environment's was announced. Whoever waits for the view passes between
    /// two slices.
    async fn publish_all_tenants(
        &self,
        org: &OrgKey,
        env: &EnvKey,
        shared: &Mutex<Option<View>>,
    ) -> Result<(), Error> {
        let (mut after, mut outcome) = (None, Ok(()));
        loop {
            let mut slot = shared.lock().await;
            // Whoever took the view in between, and failed, publishes all of it again.
            let Some(view) = slot.as_mut() else { return outcome };
            let (published, last) = self.publish_tenants(view, after.as_ref()).await?;
            drop(slot);
            match published {
                Ok(published) => self.announce(org, env, published).await,
                Err(error) => outcome = Err(error),
            }
            if last.is_none() {
                return outcome;
            }
            after = last;
        }
    }

    /// Makes an environment's manifest from all items anew, and holds it against the one that is made by following the logs:
    /// they have to be the same. If they are not that is an alarm, and what was read anew is published.
    ///
    /// Answers whether they were the same.
    pub(crate) async fn reconcile(&self, org: &OrgKey, env: &EnvKey) -> Result<bool, Error> {
        let shared = self.publisher().view(org, env).await;
        let mut slot = shared.lock().await;
        if slot.is_none() {
            return Ok(true);
        }
        let mut fresh = View::read(self.table(), org, env).await?;
        let Some(mut followed) = slot.take() else { return Ok(true) };
        let same = self.same_chunks(&mut followed, &mut fresh).await?;
        if same {
            *slot = Some(followed);
            return Ok(true);
        }
        tracing::error!(%org, %env, alarm = "drift", "what was followed is not what is there");
        let published = self.publish_roots(&mut fresh, Bulk::All).await;
        *slot = Some(fresh);
        self.announce(org, env, published?).await;
        Ok(false)
    }

    async fn same_chunks(&self, followed: &mut View, fresh: &mut View) -> Result<bool, Error> {
        fresh.catch_up(self.table()).await?;
        followed.catch_up(self.table()).await?;
        if followed.revision != fresh.revision {
            // Somebody commits all the time; the next time, then.
            return Ok(true);
        }
        Ok(self.made(followed).await? == self.made(fresh).await?)
    }

    async fn announce(&self, org: &OrgKey, env: &EnvKey, published: Published) {
        let Published::Roots(revision) = published else { return };
        let notice = Notice::Published {
            org: org.clone(),
            env: env.clone(),
            revision: revision.to_string(),
        };
        if let Err(error) = self.bus().publish(&notice).await {
            // Readers poll: the doorbell only makes them sooner.
            tracing::warn!(%org, %env, error = %error, "a publication was not announced");
        }
    }
}
