//! What callers wait for, each with a limit: a younger manifest, a revision, the end.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use flagforge_flags::Revision;
use tokio::time::timeout;

use crate::client::{Client, Status};

/// How long closing waits unless told otherwise: a batch on its way, and a manifest on its way to the disk.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// A refresh to wait for; see [`Client::refresh_if_older`].
#[derive(Debug)]
#[must_use = "it is waited for with .within(…)"]
pub struct Refresh<'c> {
    pub(crate) client: &'c Client,
    pub(crate) age: Duration,
}

impl Refresh<'_> {
    /// Waits until the manifest is young enough, one refresh that began after this has ended, or `limit` is over.
    pub async fn within(self, limit: Duration) -> Status {
        let shared = &self.client.inner.shared;
        let young = || self.client.age().is_some_and(|age| age <= self.age);
        if !young() {
            let mut progress = shared.progress.subscribe();
            // One that is under way says how things stood before: for a function maybe before it was frozen.
            let begun = progress.borrow().begun;
            shared.bell.notify_one();
            let over = progress.wait_for(|it| it.ended || it.refreshes > begun || young());
            // An error says that the following has ended, or that time is up: then things are as they are.
            let _ = timeout(limit, over).await;
        }
        shared.status()
    }
}

/// A revision to wait for; see [`Client::wait_for`].
#[derive(Debug)]
#[must_use = "it is waited for with .within(…)"]
pub struct WaitFor<'c> {
    pub(crate) client: &'c Client,
    pub(crate) revision: Revision,
}

impl WaitFor<'_> {
    /// Waits until the manifest includes the revision, or `limit` is over. Answers whether it does.
    pub async fn within(self, limit: Duration) -> bool {
        let includes = || self.client.revision().is_some_and(|held| held.includes(self.revision));
        let shared = &self.client.inner.shared;
        if includes() {
            return true;
        }
        let mut progress = shared.progress.subscribe();
        // Nothing will come, and a fixed client may be outside of the runtime that waiting needs.
        if progress.borrow().ended {
            return includes();
        }
        // Asked for once: whoever knows of the revision knows more than the next poll.
        shared.bell.notify_one();
        let _ = timeout(limit, progress.wait_for(|progress| progress.ended || includes())).await;
        includes()
    }
}

/// A client being closed; see [`Client::close`].
#[derive(Debug)]
#[must_use = "a client closes when this is awaited"]
pub struct Close<'c> {
    pub(crate) client: &'c Client,
}

impl<'c> Close<'c> {
    /// Waits for the end at most so long. Answers whether all that was under way ended by itself; what had not was
    /// cut off.
    pub async fn within(self, limit: Duration) -> bool {
        self.client.inner.close(limit).await
    }
}

impl<'c> IntoFuture for Close<'c> {
    type Output = bool;
    type IntoFuture = Pin<Box<dyn Future<Output = bool> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.within(CLOSE_WITHIN))
    }
}
