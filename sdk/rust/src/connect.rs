//! Starting a client, and the task that follows its manifest.

use std::fmt;
use std::future::{Future, IntoFuture, pending};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use flagforge_flags::manifest::{ScopeId, Thumbprint};
use thiserror::Error;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::{info, warn};

use crate::client::{Client, Status};
use crate::connection::{Connection, ConnectionError};
use crate::follow::{self, Pace};
use crate::hook::Hook;
use crate::loader::{Directory, Loader, Refreshed, chain};
use crate::metrics::{self, Outcome};
use crate::observers::Observing;
#[cfg(feature = "sqs")]
use crate::origin::SqsQueue;
#[cfg(feature = "websocket")]
use crate::origin::{self, PushSocket};
use crate::origin::{Origin, SetupError};
use crate::propagation::Propagation;
use crate::report::Reports;
use crate::shared::{Inner, Shared};

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

/// Whose manifest, from where, and who is believed.
pub(crate) struct Described {
    origin: Arc<dyn Origin>,
    scope: ScopeId,
    roots: Vec<Thumbprint>,
    #[cfg(feature = "websocket")]
    push: Option<PushSocket>,
}

impl Described {
    pub(crate) fn new(origin: Arc<dyn Origin>, scope: ScopeId, roots: Vec<Thumbprint>) -> Self {
        Self {
            origin,
            scope,
            roots,
            #[cfg(feature = "websocket")]
            push: None,
        }
    }

    /// The same with who announces new roots, where the connection string says so.
    #[cfg(feature = "websocket")]
    pub(crate) fn pushed(self, connection: &Connection) -> Result<Self, SetupError> {
        Ok(Self { push: origin::push(connection)?, ..self })
    }

    #[cfg(not(feature = "websocket"))]
    pub(crate) fn pushed(self, connection: &Connection) -> Result<Self, SetupError> {
        let none = connection.push().is_none();
        if none { Ok(self) } else { Err(SetupError::NotBuilt("websocket")) }
    }
}

/// A client that is described and not started; `.await` starts it.
#[must_use = "a client starts when it is awaited"]
pub struct Connect {
    described: Result<Described, ConnectError>,
    start_within: Duration,
    poll_every: Duration,
    cache: Option<PathBuf>,
    bundle: Option<PathBuf>,
    directory: Directory,
    #[cfg(feature = "sqs")]
    queue: Option<SqsQueue>,
    observing: Observing,
    propagation: Propagation,
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("start_within", &self.start_within).finish_non_exhaustive()
    }
}

impl Connect {
    pub(crate) fn new(described: Result<Described, ConnectError>) -> Self {
        let (start_within, poll_every) = (START_WITHIN, POLL_EVERY);
        let (cache, bundle, observing) = (None, None, Observing::default());
        let (directory, propagation) = (Directory::Whole, Propagation::default());
        Self {
            described,
            start_within,
            poll_every,
            cache,
            bundle,
            directory,
            #[cfg(feature = "sqs")]
            queue: None,
            observing,
            propagation,
        }
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

    /// A folder of objects, shipped with the host, to begin from where there is no last good manifest: the trust
    /// documents, the root and its chunks under the names that the publisher writes, so a copy of its folder or
    /// bucket will do. It is verified as everything is, and the origin has to go on from it.
    pub fn bootstrap(mut self, folder: impl AsRef<Path>) -> Self {
        self.bundle = Some(folder.as_ref().to_owned());
        self
    }

    /// How much of the tenant directory is held; all of it unless said otherwise. On demand a tenant is asked for with
    /// [`Client::load_tenant`].
    pub const fn directory(mut self, directory: Directory) -> Self {
        self.directory = directory;
        self
    }

    /// Has a queue ring for new roots, besides what the origin announces. One that is away costs time and nothing else.
    #[cfg(feature = "sqs")]
    pub fn notified_by(mut self, queue: &SqsQueue) -> Self {
        self.queue = Some(queue.clone());
        self
    }

    /// Has somebody announce new roots over WebSocket, besides what the origin announces. One that is away costs time and
    /// nothing else.
    #[cfg(feature = "websocket")]
    pub fn pushed_by(mut self, socket: &PushSocket) -> Self {
        if let Ok(described) = &mut self.described {
            described.push = Some(socket.clone());
        }
        self
    }

    /// Lets a hook hear of every answer, after those named before.
    pub fn hook(mut self, hook: impl Hook) -> Self {
        self.observing.hook(hook);
        self
    }

    /// Reports what was answered, in batches; see [`Reports`].
    pub fn report(mut self, reports: Reports) -> Self {
        self.observing.report(reports);
        self
    }

    /// Whether and where this process tells how far it is; see [`Propagation`].
    pub fn propagation(mut self, propagation: Propagation) -> Self {
        self.propagation = propagation;
        self
    }

    /// Tells the `metrics` recorder that the host installed how the client fares: its age, revision and refreshes,
    /// and how often answers were fallbacks. The names stand in the README.
    #[cfg(feature = "metrics")]
    pub const fn metrics(mut self) -> Self {
        self.observing.metrics();
        self
    }

    async fn start(self) -> Result<Client, ConnectError> {
        tokio::runtime::Handle::try_current().map_err(|_| ConnectError::NoRuntime)?;
        let deadline = Instant::now() + self.start_within;
        let described = self.described?;
        #[cfg(feature = "websocket")]
        let push = described.push;
        let Described { origin, scope, roots, .. } = described;
        let (observers, reporting) = self.observing.begin();
        let directory = self.directory.begin();
        let shared = Arc::new(Shared::following(scope.clone(), observers, directory.clone()));
        let mut progress = shared.progress.subscribe();

        let loader = Loader::new(Arc::clone(&origin), scope.clone(), roots, self.cache.as_deref());
        let loader = loader.on_demand(directory);
        let poll = self.poll_every.max(MIN_POLL);
        let following = tokio::spawn(follow(Arc::clone(&shared), loader, self.bundle, poll));
        let telling = self.propagation.begin(&origin, &scope);
        let bell = Arc::clone(&shared);
        let listening = tokio::spawn(async move {
            tokio::select! {
                () = follow::listen(origin, scope, || bell.bell.notify_one()) => {}
                () = bell.ended() => {}
            }
        });
        let mut tasks = vec![following, listening];
        #[cfg(feature = "sqs")]
        if let Some(queue) = self.queue {
            let bell = Arc::clone(&shared);
            tasks.push(tokio::spawn(async move {
                tokio::select! {
                    () = queue.listen(&bell.scope, || bell.bell.notify_one()) => {}
                    () = bell.ended() => {}
                }
            }));
        }
        #[cfg(feature = "websocket")]
        if let Some(push) = push {
            let bell = Arc::clone(&shared);
            tasks.push(tokio::spawn(async move {
                tokio::select! {
                    () = push.listen(&bell.scope, || bell.bell.notify_one()) => {}
                    () = bell.ended() => {}
                }
            }));
        }
        if let Some(reporting) = reporting {
            tasks.push(tokio::spawn(reporting.run(Arc::clone(&shared))));
        }
        if let Some(telling) = telling {
            tasks.push(tokio::spawn(telling.run(Arc::clone(&shared))));
        }
        let client = Client { inner: Arc::new(Inner::new(shared, tasks)) };

        // The first refresh to end well ends the wait; so does the first to end badly when the disk had a manifest.
        let mut seen = 0;
        while client.status() == Status::Defaults {
            let another = progress.wait_for(|progress| progress.refreshes != seen);
            let Ok(Ok(ended)) = timeout_at(deadline, another).await else { break };
            seen = ended.refreshes;
        }
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

/// Follows the manifest until the client is closed or dropped.
async fn follow(shared: Arc<Shared>, mut loader: Loader, bundle: Option<PathBuf>, poll: Duration) {
    begin(&shared, &mut loader, bundle.as_deref()).await;
    let mut pace = Pace::new(poll);
    loop {
        let earliest = Instant::now() + MIN_SPACING;
        shared.begin();
        let refreshed = tokio::select! {
            refreshed = timeout(REFRESH_TIMEOUT, loader.refresh()) => refreshed,
            () = shared.ended() => return,
        };
        let (outcome, trouble) = match refreshed {
            Ok(Ok(Refreshed::Changed(manifest))) => {
                shared.take_up(manifest);
                (Outcome::Changed, None)
            }
            Ok(Ok(Refreshed::Confirmed)) => (Outcome::Confirmed, None),
            Ok(Err(error)) => (Outcome::of(&error), Some(chain(&error))),
            Err(late) => {
                let text = format!("the refresh took over {REFRESH_TIMEOUT:?}: {late}");
                (Outcome::Failed, Some(text))
            }
        };
        metrics::refreshed(&shared, outcome);
        let well = trouble.is_none();
        let wait = if well { pace.after_success() } else { pace.after_failure() };
        let next = Instant::now() + wait;
        shared.settle(trouble);
        if well && let Some(manifest) = loader.trim().await {
            shared.take_up(manifest);
        }
        loader.store().await;
        while tokio::select! {
            () = sleep_until(next) => false,
            () = shared.bell.notified() => {
                sleep_until(earliest).await;
                false
            }
            () = tenants_asked(&shared) => true,
            () = shared.ended() => return,
        } {
            tokio::select! {
                () = load_asked(&shared, &mut loader) => {}
                () = shared.ended() => return,
            }
        }
    }
}

/// Returns when somebody waits for a tenant; never where all of them are held.
async fn tenants_asked(shared: &Shared) {
    match &shared.directory {
        Some(directory) => directory.asked().await,
        None => pending().await,
    }
}

/// Loads the tenants that were asked for. They are in use before anybody is told.
async fn load_asked(shared: &Shared, loader: &mut Loader) {
    let mut loaded = loader.load_asked().await;
    if let Some(manifest) = loaded.manifest.take() {
        shared.take_up(manifest);
    }
    loaded.tell();
    loader.store().await;
}

/// The last good manifest from the disk; where there is none, what was shipped with the host.
async fn begin(shared: &Shared, loader: &mut Loader, bundle: Option<&Path>) {
    if let Some(manifest) = loader.restore().await {
        shared.take_up(manifest);
    } else if let Some(folder) = bundle {
        match loader.bootstrap(folder).await {
            Ok(manifest) => shared.take_up(manifest),
            Err(error) => {
                let (scope, folder, error) = (&shared.scope, folder.display(), chain(&error));
                warn!(%scope, %folder, error, "there is nothing to begin from in the folder");
            }
        }
    }
}
