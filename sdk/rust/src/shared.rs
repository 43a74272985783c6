//! What a client, its clones, its tenants and its tasks share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use flagforge_flags::manifest::{HeldFlag, ScopeId};
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::client::Status;
use crate::clock;
use crate::loader::{Manifest, OnDemand};
use crate::observers::Observers;
use crate::propagation::Applied;

/// What clones and tenants share. Dropping it ends the tasks.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    /// Waited for by whoever closes the client.
    tasks: Mutex<Vec<JoinHandle<()>>>,
    aborts: Vec<AbortHandle>,
}

impl Inner {
    pub(crate) fn new(shared: Arc<Shared>, tasks: Vec<JoinHandle<()>>) -> Self {
        let aborts = tasks.iter().map(JoinHandle::abort_handle).collect();
        Self { shared, tasks: Mutex::new(tasks), aborts }
    }

    /// Asks the tasks to end, waits for them until the limit, and ends those that are left. Answers whether
    /// none was. Who is cancelled while waiting leaves the rest to the next who closes.
    pub(crate) async fn close(&self, limit: Duration) -> bool {
        self.shared.end();
        // A fixed client has no tasks, and may be outside of the runtime that waiting needs.
        if self.aborts.is_empty() {
            return true;
        }
        let all = async {
            let mut tasks = self.tasks.lock().await;
            while let Some(task) = tasks.last_mut() {
                // A task that panicked has ended too.
                let _ = task.await;
                tasks.pop();
            }
        };
        let in_time = timeout(limit, all).await.is_ok();
        self.aborts.iter().for_each(AbortHandle::abort);
        in_time
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.aborts.iter().for_each(AbortHandle::abort);
    }
}

/// What the tasks share with the client.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Before the first manifest one that says nothing.
    pub(crate) current: ArcSwap<Manifest>,
    pub(crate) scope: ScopeId,
    /// Whether the last refresh went well.
    confirmed: AtomicBool,
    /// What went wrong in it.
    trouble: ArcSwapOption<String>,
    /// What was applied last, and how long it took to come.
    applied: ArcSwapOption<Applied>,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) bell: Notify,
    /// Who is held of the tenant directory; `None` is everybody.
    pub(crate) directory: Option<Arc<OnDemand>>,
    /// Who hears of answers; almost always nobody.
    pub(crate) observers: Option<Box<Observers>>,
}

/// How far the following of a manifest has got.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    /// Manifests taken up so far. Each is in use before it is counted.
    pub(crate) swaps: u64,
    /// Refreshes begun so far.
    pub(crate) begun: u64,
    /// Refreshes ended so far, well or not.
    pub(crate) refreshes: u64,
    /// Whether there will be none any more.
    pub(crate) ended: bool,
}

impl Shared {
    /// Of a client that follows a manifest.
    pub(crate) fn following(
        scope: ScopeId,
        observers: Option<Observers>,
        directory: Option<Arc<OnDemand>>,
    ) -> Self {
        Self {
            directory,
            current: ArcSwap::from_pointee(Manifest::none(scope.clone())),
            scope,
            confirmed: AtomicBool::new(false),
            trouble: ArcSwapOption::empty(),
            applied: ArcSwapOption::empty(),
            progress: watch::Sender::new(Progress::default()),
            bell: Notify::new(),
            observers: observers.map(Box::new),
        }
    }

    /// Of a client that has one manifest for ever.
    pub(crate) fn fixed(manifest: Manifest, observers: Option<Observers>) -> Self {
        let shared = Self::following(manifest.snapshot().scope().clone(), observers, None);
        shared.current.store(Arc::new(manifest));
        shared.confirmed.store(true, Ordering::Relaxed);
        shared.progress.send_modify(|progress| progress.ended = true);
        shared
    }

    pub(crate) fn status(&self) -> Status {
        let confirmed = self.confirmed.load(Ordering::Relaxed);
        let current = self.current.load();
        if !current.is_there() {
            Status::Defaults
        } else if confirmed && !current.expired(clock::now()) {
            Status::Ready
        } else {
            Status::LastKnownGood
        }
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Relaxed)
    }

    pub(crate) fn trouble(&self) -> Option<Arc<String>> {
        self.trouble.load_full()
    }

    pub(crate) fn applied(&self) -> Option<Applied> {
        self.applied.load().as_deref().copied()
    }

    /// Answers are of this manifest from here on.
    pub(crate) fn take_up(&self, manifest: Arc<Manifest>) {
        self.tell_held(self.current.load().held(), manifest.held());
        // Before the origin was asked it is what this process begins with.
        let asked = self.progress.borrow().refreshes > 0;
        let applied = Applied::now(&manifest, self.applied().filter(|_| asked));
        self.current.store(manifest);
        self.applied.store(applied.map(Arc::new));
        self.progress.send_modify(|progress| progress.swaps += 1);
    }

    /// Tells the log once which flags are held from here on, and which are no longer.
    fn tell_held(&self, before: &[HeldFlag], now: &[HeldFlag]) {
        let scope = &self.scope;
        for HeldFlag { flag, since } in now.iter().filter(|held| !before.contains(held)) {
            warn!(%scope, %flag, %since, "the flag is held: it goes on in an earlier form");
        }
        let again = |held: &&HeldFlag| !now.iter().any(|other| other.flag == held.flag);
        for HeldFlag { flag, since } in before.iter().filter(again) {
            info!(%scope, %flag, %since, "the flag is held no more");
        }
    }

    /// Notes that a refresh begins. Nobody waits for that.
    pub(crate) fn begin(&self) {
        self.progress.send_if_modified(|progress| {
            progress.begun += 1;
            false
        });
    }

    /// Notes how a refresh ended.
    pub(crate) fn settle(&self, trouble: Option<String>) {
        let well = trouble.is_none();
        if let (Some(text), true) = (&trouble, self.is_confirmed()) {
            warn!(scope = %self.scope, trouble = text, "the manifest can no longer be confirmed");
        }
        self.progress.send_modify(|progress| {
            progress.refreshes += 1;
            // Who was closed while this was under way stays closed.
            if !progress.ended {
                self.confirmed.store(well, Ordering::Relaxed);
                self.trouble.store(trouble.map(Arc::new));
            }
        });
    }

    /// From here on nothing is followed. What is held goes on answering, and ages.
    fn end(&self) {
        self.progress.send_if_modified(|progress| {
            let first = !std::mem::replace(&mut progress.ended, true);
            // One who has a fixed manifest never followed any, and stays as good as it was.
            if first {
                self.confirmed.store(false, Ordering::Relaxed);
                self.trouble.store(Some(Arc::new("the client was closed".to_owned())));
            }
            first
        });
    }

    /// Waits until nothing is followed any more.
    pub(crate) async fn ended(&self) {
        // An error would say that the sender is gone, which is ours.
        let _ = self.progress.subscribe().wait_for(|progress| progress.ended).await;
    }
}
