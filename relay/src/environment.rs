//! One environment of one organization, as a relay holds it: the relay scope's manifest to evaluate and
//! authenticate with, the roots to pass on, and the news for streams.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use flagforge::follow::{Pace, listen};
use flagforge::loader::{LoadError, Loader, Manifest, Refreshed, RootNews, RootReader};
use flagforge::origin::Origin;
use flagforge::propagation::{self, Applied, ReportedStatus};
use flagforge_flags::keys::ReporterId;
use flagforge_flags::manifest::{Scope, ScopeId, Trust};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::asked_for::AskedFor;
use crate::clock;
use crate::config::{Config, Freshness, Ring};
use crate::env_id::EnvId;
use crate::heard::{Heard, pass_up};
use crate::news::News;
use crate::shelf::Shelf;

/// The time that one refresh may take, with all its chunks.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(60);
/// What askers may make a relay ask its origin, whatever they say they know.
const RING_EVERY: Duration = Duration::from_millis(200);

/// An environment that was loaded.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) id: EnvId,
    shelf: ArcSwap<Shelf>,
    following: tokio::sync::Mutex<Following>,
    /// Refreshes asked for, and how many of those are done: askers that come while one runs share the next.
    asked: AtomicU64,
    done: AtomicU64,
    /// When a request may next try to refresh, where requests do.
    next_try: Mutex<Instant>,
    news: watch::Sender<Option<Arc<News>>>,
    /// Rings when the shelf holds another root, of whichever scope.
    turned: watch::Sender<()>,
    /// The roots of single tenants and canaries, and how often the environment's were looked at since the start.
    pub(crate) asked_for: AskedFor,
    rounds: watch::Sender<u64>,
    bell: Arc<Notify>,
    /// When an asker rang it last.
    rung: Mutex<Option<Instant>>,
    /// The number of the last use, as the relay counts them.
    pub(crate) used: AtomicU64,
    /// What the SDKs behind this relay said.
    pub(crate) heard: Heard,
    applied: ArcSwapOption<Applied>,
    /// Whether the last refresh went well.
    well: AtomicBool,
    tasks: OnceLock<Vec<AbortHandle>>,
}

#[derive(Debug)]
struct Following {
    relay: Loader,
    /// Where this relay is among the canaries.
    canary: Option<Loader>,
    environment: RootReader,
    pace: Pace,
}

/// What asking for an environment for the first time came to.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    Loaded(Arc<Environment>),
    /// The origin has no such environment.
    Unknown,
    /// The origin does not say.
    Failed,
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.tasks.take().iter().flatten().for_each(AbortHandle::abort);
    }
}

impl Environment {
    /// Loads an environment and begins to follow it.
    pub(crate) async fn load(
        id: EnvId,
        origin: &Arc<dyn Origin>,
        config: &Config,
        relay_id: Option<&ReporterId>,
        poll: watch::Receiver<Duration>,
    ) -> Found {
        let scope = |scope| id.scope(scope);
        let reader = |scope| RootReader::new(Arc::clone(origin), scope, config.pinned.clone());
        let cache = config.cache_dir.as_deref();
        let loader = |of| Loader::new(Arc::clone(origin), scope(of), config.pinned.clone(), cache);
        let mut relay = loader(Scope::Relay);
        let restored = relay.restore().await;
        let refreshed = timeout(REFRESH_TIMEOUT, relay.refresh()).await;
        let well = matches!(refreshed, Ok(Ok(_)));
        let manifest = match refreshed {
            Ok(Ok(Refreshed::Changed(manifest))) => manifest,
            Ok(Ok(Refreshed::Confirmed)) | Err(_) => match restored {
                Some(manifest) => manifest,
                None => return Found::Failed,
            },
            Ok(Err(error)) => match (restored, &error) {
                (Some(manifest), _) => manifest,
                (None, LoadError::Absent(what)) => {
                    // An unknown name is a stranger's business; a missing trust document may be ours.
                    debug!(org = %id.org, env = %id.env, what, "nothing at the origin");
                    return Found::Unknown;
                }
                (None, _) => {
                    warn!(org = %id.org, env = %id.env, error = flagforge::chain(&error), "not loaded");
                    return Found::Failed;
                }
            },
        };
        relay.store().await;
        let applied = ArcSwapOption::new(Applied::now(&manifest, None).map(Arc::new));
        let environment = reader(scope(Scope::Environment));
        let shelf = Shelf::of(manifest, relay.trust().cloned());
        let mut canary = (config.ring == Ring::Canary).then(|| loader(Scope::Canary));
        if let Some(canary) = &mut canary {
            canary.restore().await;
        }
        let loaded = Arc::new(Self {
            id,
            shelf: ArcSwap::from_pointee(shelf),
            following: Following { relay, canary, environment, pace: Pace::new(*poll.borrow()) }
                .into(),
            asked: AtomicU64::new(0),
            done: AtomicU64::new(0),
            next_try: Mutex::new(Instant::now() + config.poll),
            news: watch::Sender::new(None),
            turned: watch::Sender::new(()),
            asked_for: AskedFor::default(),
            rounds: watch::Sender::new(0),
            bell: Arc::new(Notify::new()),
            rung: Mutex::new(None),
            used: AtomicU64::new(0),
            heard: Heard::default(),
            applied,
            well: AtomicBool::new(well),
            tasks: OnceLock::new(),
        });
        // The root for SDKs, and what canaries have; without them evaluation goes on, and the next refresh asks again.
        let mut following = loaded.following.lock().await;
        loaded.refresh_canary(&mut following).await;
        loaded.refresh_environment_root(&mut following).await;
        drop(following);
        if config.freshness == Freshness::Background {
            loaded.follow(origin, config, relay_id, poll);
        }
        Found::Loaded(loaded)
    }

    /// What is handed out now.
    pub(crate) fn shelf(&self) -> Arc<Shelf> {
        self.shelf.load_full()
    }

    /// What was applied last, and how long it took to come.
    pub(crate) fn applied(&self) -> Option<Applied> {
        self.applied.load().as_deref().copied()
    }

    /// What answers are made of.
    pub(crate) fn status(&self) -> ReportedStatus {
        let good =
            self.well.load(Ordering::Relaxed) && !self.shelf().manifest.expired(clock::now());
        if good { ReportedStatus::Ready } else { ReportedStatus::LastKnownGood }
    }

    /// The newest announcement first, then those to come; of several that a slow reader missed, the newest only.
    pub(crate) fn news(&self) -> watch::Receiver<Option<Arc<News>>> {
        self.news.subscribe()
    }

    /// Rings whenever the shelf holds another root from here on.
    pub(crate) fn turns(&self) -> watch::Receiver<()> {
        self.turned.subscribe()
    }

    /// The number of the last look at the origin, and of those to come.
    pub(crate) fn rounds(&self) -> watch::Receiver<u64> {
        self.rounds.subscribe()
    }

    /// Asks for a look at the origin soon, no oftener than [`RING_EVERY`]: somebody knows of more than is here.
    pub(crate) fn ring(&self) {
        let (now, mut rung) =
            (Instant::now(), self.rung.lock().unwrap_or_else(PoisonError::into_inner));
        if rung.is_none_or(|rung| now.duration_since(rung) >= RING_EVERY) {
            *rung = Some(now);
            self.bell.notify_one();
        }
    }

    /// Asks for a look at the origin now: somebody who is known announced a root. Announcements that come while it looks share
    /// the next look.
    #[cfg(any(feature = "sns", feature = "sqs"))]
    pub(crate) fn announced(&self) {
        self.bell.notify_one();
    }

    /// Asks the origin now. Whoever asks while a refresh runs shares the next one with all others who do.
    pub(crate) async fn refresh(&self) -> Duration {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut following = self.following.lock().await;
        if self.done.load(Ordering::SeqCst) >= mine {
            return following.pace.clone().after_success();
        }
        let covered = self.asked.load(Ordering::SeqCst);
        let look = async {
            self.refresh_relay_scope(&mut following).await
                & self.refresh_canary(&mut following).await
                & self.refresh_environment_root(&mut following).await
        };
        #[cfg(feature = "otel")]
        let look = crate::traces::looked("refresh", &self.id, look, |well| *well);
        let well = look.await;
        following.relay.store().await;
        self.rounds.send_modify(|round| *round += 1);
        self.done.store(covered, Ordering::SeqCst);
        self.well.store(well, Ordering::Relaxed);
        if well { following.pace.after_success() } else { following.pace.after_failure() }
    }

    /// Polls at another pace from here on. Answers how long to wait first.
    async fn poll_every(&self, interval: Duration) -> Duration {
        let mut following = self.following.lock().await;
        following.pace = Pace::new(interval);
        following.pace.after_success()
    }

    /// Where requests keep manifests fresh: refreshes when it is time, waiting no longer than `within`.
    pub(crate) async fn refresh_when_due(&self, within: Duration) {
        let now = Instant::now();
        {
            let mut next_try = self.next_try.lock().unwrap_or_else(PoisonError::into_inner);
            if now < *next_try {
                return;
            }
            // Others go on with what there is while this one asks.
            *next_try = now + within;
        }
        if let Ok(wait) = timeout(within, self.refresh()).await {
            *self.next_try.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + wait;
        }
    }

    async fn refresh_relay_scope(&self, following: &mut Following) -> bool {
        let well = self.refreshed(&mut following.relay).await;
        if let Some(keys) = following.relay.held() {
            let canary = following.canary.is_some();
            self.put(keys, if canary { None } else { Some(keys) }, following.relay.trust());
        }
        well
    }

    /// Where this relay is among the canaries it answers from what they have; and from what all have, where theirs cannot
    /// be had and is behind: a kill must not wait for them.
    async fn refresh_canary(&self, following: &mut Following) -> bool {
        let Following { relay, canary: Some(canary), .. } = following else { return true };
        let well = self.refreshed(canary).await;
        canary.store().await;
        if let Some(keys) = relay.held() {
            let reached = keys.snapshot().revision();
            let good =
                |theirs: &&Arc<Manifest>| well || theirs.snapshot().revision().includes(reached);
            self.put(keys, canary.held().filter(good).or(Some(keys)), relay.trust());
        }
        well
    }

    /// Whether the origin answered as it should.
    async fn refreshed(&self, loader: &mut Loader) -> bool {
        let error = match timeout(REFRESH_TIMEOUT, loader.refresh()).await {
            Ok(Ok(Refreshed::Changed(_) | Refreshed::Confirmed)) => return true,
            Ok(Err(error)) => flagforge::chain(&error),
            Err(late) => late.to_string(),
        };
        self.warn(loader.scope(), &error)
    }

    /// Puts manifests on the shelf; `None`: what was answered from stays.
    fn put(&self, keys: &Arc<Manifest>, answered: Option<&Arc<Manifest>>, trust: Option<&Trust>) {
        let shelf = self.shelf();
        let answered = answered.unwrap_or(&shelf.manifest);
        if Arc::ptr_eq(&shelf.keys, keys) && Arc::ptr_eq(&shelf.manifest, answered) {
            return;
        }
        if !Arc::ptr_eq(&shelf.manifest, answered) {
            self.applied.store(Applied::now(answered, self.applied()).map(Arc::new));
        }
        self.shelf.rcu(|shelf| shelf.with(keys, answered, trust));
        self.turned.send_replace(());
    }

    async fn refresh_environment_root(&self, following: &mut Following) -> bool {
        let scope = self.id.scope(Scope::Environment);
        let (root, etag) = match timeout(REFRESH_TIMEOUT, following.environment.read()).await {
            Ok(Ok(RootNews::New(root, etag) | RootNews::Pushed(root, etag))) => (root, etag),
            Ok(Ok(RootNews::Same)) => return true,
            Ok(Err(error)) => return self.warn(&scope, &flagforge::chain(&error)),
            Err(late) => return self.warn(&scope, &late.to_string()),
        };
        // Both scopes share their indexes, and the relay's was read a moment ago.
        let held = following.relay.held().map(|manifest| manifest.snapshot().listing());
        let listing = match timeout(REFRESH_TIMEOUT, following.environment.list(&root, held)).await
        {
            Ok(Ok((listing, _))) => listing,
            Ok(Err(error)) => return self.warn(&scope, &flagforge::chain(&error)),
            Err(late) => return self.warn(&scope, &late.to_string()),
        };
        let before = self.shelf().environment.clone();
        let news = News::of(&root, &listing, before.as_ref(), &following.environment).await;
        following.environment.accept(&root, etag);
        let trust = following.environment.trust().cloned();
        self.shelf.rcu(|shelf| shelf.with_environment(&root, &listing, trust.clone()));
        let revision = &news.announcement.revision;
        info!(org = %self.id.org, env = %self.id.env, revision, "announcing a root");
        self.turned.send_replace(());
        self.news.send_replace(Some(Arc::new(news)));
        true
    }

    /// Says what went wrong. It is known from here on, and not only when all the rest was asked for.
    fn warn(&self, scope: &ScopeId, error: &str) -> bool {
        self.well.store(false, Ordering::Relaxed);
        warn!(%scope, error, "not refreshed");
        false
    }

    /// Starts the tasks that poll, listen, and tell how far SDKs are; they end with the environment.
    fn follow(
        self: &Arc<Self>,
        origin: &Arc<dyn Origin>,
        config: &Config,
        relay_id: Option<&ReporterId>,
        poll: watch::Receiver<Duration>,
    ) {
        let bell = Arc::clone(&self.bell);
        let following = tokio::spawn(follow(Arc::downgrade(self), bell, poll));
        let bell = Arc::clone(&self.bell);
        let scope = self.id.scope(Scope::Environment);
        let listening = tokio::spawn(listen(Arc::clone(origin), scope, move || bell.notify_one()));
        let mut tasks = vec![following.abort_handle(), listening.abort_handle()];
        if let Some(relay_id) = relay_id {
            let to = config.reports_to.clone();
            let to = to.unwrap_or_else(|| propagation::to_origin(Arc::clone(origin)));
            let (environment, every) = (Arc::downgrade(self), config.report_every);
            let telling = tokio::spawn(pass_up(environment, relay_id.clone(), to, every));
            tasks.push(telling.abort_handle());
        }
        // Set once, by `load`.
        let _ = self.tasks.set(tasks);
    }
}

async fn follow(
    environment: Weak<Environment>,
    bell: Arc<Notify>,
    mut poll: watch::Receiver<Duration>,
) {
    let mut wait = Pace::new(*poll.borrow_and_update()).after_success();
    loop {
        let other = tokio::select! {
            () = sleep(wait) => None,
            () = bell.notified() => None,
            Ok(()) = poll.changed() => Some(*poll.borrow_and_update()),
        };
        let Some(environment) = environment.upgrade() else { return };
        wait = match other {
            Some(every) => environment.poll_every(every).await,
            None => environment.refresh().await,
        };
    }
}
