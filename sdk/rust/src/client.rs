//! The client: follows one environment's manifest and hands out tenants.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use flagforge_flags::keys::{KeyError, TenantKey};
use flagforge_flags::manifest::{Scope, ScopeId, Thumbprint};
use flagforge_flags::{Revision, Snapshot};
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tracing::{info, warn};

use crate::clock;
use crate::connection::{Connection, ConnectionError};
use crate::follow::{self, Pace};
use crate::loader::{Loader, Manifest, Refreshed, chain};
use crate::origin::{self, Origin, SetupError};
use crate::tenant::{Tenant, Untenanted};

/// How long a start waits for the origin unless told otherwise.
const START_WITHIN: Duration = Duration::from_secs(5);
/// How often the origin is asked unless told otherwise.
const POLL_EVERY: Duration = Duration::from_secs(30);
/// The shortest interval that can be asked for: a hundred requests a second are an accident.
const MIN_POLL: Duration = Duration::from_millis(10);
/// The time that one refresh may take, with all its chunks: 256 MiB at 50 Mbit/s need 43 s.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(60);
/// The least time between two refreshes, however often announcements ring.
const MIN_SPACING: Duration = Duration::from_millis(10);

/// Bad configuration: the one thing for which a start fails.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The connection string.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The origin that it describes.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Awaited outside a tokio runtime, on which the manifest would be followed.
    #[error("a client is started inside a tokio runtime")]
    NoRuntime,
}

/// What answers are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// A verified manifest that the origin confirmed when it was last asked.
    Ready,
    /// A verified manifest that could not be confirmed: the origin does not answer, or answers with what is
    /// refused, or the manifest should have been signed again by now. [`Client::age`] says how old it is.
    LastKnownGood,
    /// No manifest: every flag answers its caller's default.
    Defaults,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::LastKnownGood => "last known good",
            Self::Defaults => "defaults",
        })
    }
}

/// A client of one environment. Cheap to clone; the clones share one manifest, and the last of them, or
/// of their tenants, ends the following of it.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

/// What clones and tenants share. Dropping it ends the tasks.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// What the tasks share with the client.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Before the first manifest one that says nothing.
    pub(crate) current: ArcSwap<Manifest>,
    scope: ScopeId,
    /// Whether the last refresh went well.
    confirmed: AtomicBool,
    /// What went wrong in it.
    trouble: ArcSwapOption<String>,
    /// Refreshes ended so far.
    refreshes: watch::Sender<u64>,
    bell: Notify,
}

impl Client {
    /// Describes a client by its connection string; `.await` starts it.
    ///
    /// The start waits for the origin as long as [`Connect::start_within`] says, then goes on with what it
    /// has: see [`Client::status`]. It fails for bad configuration only. It wants a tokio runtime,
    /// on which the following goes on in the background.
    pub fn connect(connection: &str) -> Connect {
        let described = Connection::parse(connection).map_err(ConnectError::from);
        let described = described.and_then(|connection| {
            let (org, env) = connection.environment()?;
            let scope = ScopeId { org: org.clone(), env: env.clone(), scope: Scope::Environment };
            let roots = connection.roots().to_vec();
            Ok(Described { origin: origin::open(&connection)?, scope, roots })
        });
        Connect::new(described)
    }

    /// The same over an origin of one's own.
    pub fn over(origin: Arc<dyn Origin>, scope: ScopeId, roots: Vec<Thumbprint>) -> Connect {
        Connect::new(Ok(Described { origin, scope, roots }))
    }

    /// A client that answers from one snapshot for ever: for tests and tools. It needs no runtime.
    pub fn fixed(snapshot: Snapshot) -> Self {
        let shared = Shared::new(snapshot.scope().clone());
        shared.current.store(Arc::new(Manifest::fixed(snapshot)));
        shared.confirmed.store(true, Ordering::Relaxed);
        Self { inner: Arc::new(Inner { shared: Arc::new(shared), tasks: Vec::new() }) }
    }

    /// A tenant to ask flags for. Owned, `Clone` and `Send`: jobs carry it, messages carry its id. A tenant
    /// that the directory does not know evaluates too, and its details say so.
    pub fn tenant(&self, key: impl AsRef<str>) -> Result<Tenant, KeyError> {
        Ok(Tenant::new(Arc::clone(&self.inner), TenantKey::new(key.as_ref())?))
    }

    /// For flags of start-up and infrastructure, which no tenant asks for; `why` is for whoever reads
    /// the code or the log. A flag that reads the tenant answers its caller's default and an error.
    pub fn untenanted(&self, why: &'static str) -> Untenanted {
        Untenanted::new(Arc::clone(&self.inner), why)
    }

    /// What answers are made of, now.
    pub fn status(&self) -> Status {
        self.inner.shared.status()
    }

    /// The time since the origin last confirmed the manifest; `None` without one.
    pub fn age(&self) -> Option<Duration> {
        let current = self.inner.shared.current.load();
        current.is_there().then(|| clock::now().since(current.confirmed()))
    }

    /// The manifest's revision; `None` without one.
    pub fn revision(&self) -> Option<Revision> {
        let current = self.inner.shared.current.load();
        current.is_there().then(|| current.snapshot().revision())
    }

    /// What went wrong when the origin was last asked, causes included; `None` when nothing did.
    pub fn trouble(&self) -> Option<Arc<String>> {
        self.inner.shared.trouble.load_full()
    }

    /// The environment that the client follows.
    pub fn scope(&self) -> &ScopeId {
        &self.inner.shared.scope
    }

    /// For functions whose timers stand still between calls: asks the origin when the manifest is older
    /// than `age`. Calls at the same time share one refresh. `.within(…)` bounds the wait.
    pub fn refresh_if_older(&self, age: Duration) -> Refresh<'_> {
        Refresh { client: self, age }
    }
}

/// A refresh to wait for; see [`Client::refresh_if_older`].
#[derive(Debug)]
pub struct Refresh<'c> {
    client: &'c Client,
    age: Duration,
}

impl Refresh<'_> {
    /// Waits until the manifest is young enough, one refresh has ended, or `limit` is over.
    pub async fn within(self, limit: Duration) -> Status {
        let shared = &self.client.inner.shared;
        if self.client.age().is_none_or(|age| age > self.age) {
            let mut refreshes = shared.refreshes.subscribe();
            shared.bell.notify_one();
            // An error says that the following has ended, or that time is up: then things are as they are.
            let _ = timeout(limit, refreshes.changed()).await;
        }
        shared.status()
    }
}

impl Shared {
    fn new(scope: ScopeId) -> Self {
        Self {
            current: ArcSwap::from_pointee(Manifest::none(scope.clone())),
            scope,
            confirmed: AtomicBool::new(false),
            trouble: ArcSwapOption::empty(),
            refreshes: watch::Sender::new(0),
            bell: Notify::new(),
        }
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
}

struct Described {
    origin: Arc<dyn Origin>,
    scope: ScopeId,
    roots: Vec<Thumbprint>,
}

/// A client that is described and not started; `.await` starts it.
#[must_use = "a client starts when it is awaited"]
pub struct Connect {
    described: Result<Described, ConnectError>,
    start_within: Duration,
    poll_every: Duration,
    cache: Option<PathBuf>,
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("start_within", &self.start_within).finish_non_exhaustive()
    }
}

impl Connect {
    fn new(described: Result<Described, ConnectError>) -> Self {
        Self { described, start_within: START_WITHIN, poll_every: POLL_EVERY, cache: None }
    }

    /// How long the start waits for the origin; 5 s unless said otherwise. Zero waits for nothing, not even the disk.
    pub const fn start_within(mut self, limit: Duration) -> Self {
        self.start_within = limit;
        self
    }

    /// How often the origin is asked, announcements or not; 30 s unless said otherwise, 10 ms at least.
    pub const fn poll_every(mut self, interval: Duration) -> Self {
        self.poll_every = interval;
        self
    }

    /// Keeps the last good manifest in a folder, for starts without an origin. Processes may share it.
    pub fn cache_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.cache = Some(folder.as_ref().to_owned());
        self
    }

    async fn start(self) -> Result<Client, ConnectError> {
        tokio::runtime::Handle::try_current().map_err(|_| ConnectError::NoRuntime)?;
        let deadline = Instant::now() + self.start_within;
        let Described { origin, scope, roots } = self.described?;
        let shared = Arc::new(Shared::new(scope.clone()));
        let mut refreshes = shared.refreshes.subscribe();

        let loader = Loader::new(Arc::clone(&origin), scope.clone(), roots, self.cache.as_deref());
        let poll = self.poll_every.max(MIN_POLL);
        let following = tokio::spawn(follow(Arc::clone(&shared), loader, poll));
        let bell = Arc::clone(&shared);
        let listening = follow::listen(origin, scope, move || bell.bell.notify_one());
        let tasks = vec![following.abort_handle(), tokio::spawn(listening).abort_handle()];
        let client = Client { inner: Arc::new(Inner { shared, tasks }) };

        // The first refresh to end well ends the wait; so does the first to end badly when the disk had a manifest.
        while client.status() == Status::Defaults
            && matches!(timeout_at(deadline, refreshes.changed()).await, Ok(Ok(())))
        {}
        let trouble = client.trouble();
        let (scope, status) = (client.scope(), client.status());
        info!(%scope, %status, trouble = trouble.as_ref().map(|text| text.as_str()), "started");
        Ok(client)
    }
}

impl IntoFuture for Connect {
    type Output = Result<Client, ConnectError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

/// Follows the manifest until the task is aborted.
async fn follow(shared: Arc<Shared>, mut loader: Loader, poll: Duration) {
    if let Some(manifest) = loader.restore().await {
        shared.current.store(manifest);
    }
    let mut pace = Pace::new(poll);
    loop {
        let earliest = Instant::now() + MIN_SPACING;
        let refreshed = timeout(REFRESH_TIMEOUT, loader.refresh()).await;
        let trouble = match refreshed {
            Ok(Ok(Refreshed::Changed(manifest))) => {
                shared.current.store(manifest);
                None
            }
            Ok(Ok(Refreshed::Confirmed)) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(late) => Some(format!("the refresh took over {REFRESH_TIMEOUT:?}: {late}")),
        };
        shared.settle(trouble);
        loader.store().await;
        let wait = if shared.confirmed.load(Ordering::Relaxed) {
            pace.after_success()
        } else {
            pace.after_failure()
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = shared.bell.notified() => sleep_until(earliest).await,
        }
    }
}

impl Shared {
    /// Notes how a refresh ended.
    fn settle(&self, trouble: Option<String>) {
        let well = trouble.is_none();
        if let (Some(text), true) = (&trouble, self.confirmed.load(Ordering::Relaxed)) {
            warn!(scope = %self.scope, trouble = text, "the manifest can no longer be confirmed");
        }
        self.confirmed.store(well, Ordering::Relaxed);
        self.trouble.store(trouble.map(Arc::new));
        self.refreshes.send_modify(|count| *count += 1);
    }
}
