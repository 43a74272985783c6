//! The environments that a relay holds: loaded when first asked for, bounded in number, shared by all who
//! ask at the same time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flagforge::origin::Origin;
use flagforge::{follow, propagation};
use flagforge_flags::keys::{EnvKey, OrgKey, ReporterId};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, info};

use crate::breaker::Breaker;
use crate::budget::Budget;
use crate::chunks::ChunkCache;
use crate::config::{Config, Freshness};
use crate::env_id::EnvId;
use crate::environment::{Environment, Found};
use crate::grants::Granted;
#[cfg(feature = "metrics")]
use crate::measures::Measures;
use crate::operation::Readiness;
use crate::rates::Rates;
use crate::seats::Seats;
#[cfg(feature = "server")]
use crate::tuning::Tuned;

/// How long a request waits for a first load. The load goes on, for those who come later.
const LOAD_WITHIN: Duration = Duration::from_secs(5);
/// How long after a failure what a relay is to begin with is asked for again.
const BEGIN_AGAIN: Duration = Duration::from_secs(2);
/// How long an environment that the origin does not have is not asked for again. A publisher's notice ends it at once.
const UNKNOWN_FOR: Duration = Duration::from_secs(5);
/// Unknown environments remembered: names of 40 bytes and an instant, 1.5 MB. Strangers choose them, so
/// at the limit all are forgotten.
const MAX_UNKNOWN: usize = 10_000;

/// The data plane's state. Made once, and shared by its router and whoever brings news to it.
#[derive(Debug)]
pub struct Relay {
    pub(crate) config: Config,
    pub(crate) origin: Arc<dyn Origin>,
    pub(crate) rates: Arc<Rates>,
    pub(crate) granted: Option<Granted>,
    /// The memory in front of the origin.
    #[cfg(feature = "metrics")]
    pub(crate) chunks: Arc<ChunkCache>,
    #[cfg(feature = "metrics")]
    pub(crate) breaker: Arc<Breaker>,
    #[cfg(feature = "metrics")]
    pub(crate) measures: Measures,
    places: Arc<Mutex<Places>>,
    pub(crate) streams: Seats,
    /// Of whoever shows no key: they take none from others.
    #[cfg(feature = "flagd")]
    pub(crate) strangers: Seats,
    pub(crate) waits: Seats,
    /// Whether streams and long polls end now.
    closed: watch::Sender<bool>,
    uses: AtomicU64,
    /// How many it has of those that it was to begin with.
    begun: AtomicUsize,
    /// How often environments are polled, which may change.
    pub(crate) poll: watch::Sender<Duration>,
    #[cfg(feature = "server")]
    pub(crate) tuned: Tuned,
    /// Under which it says how far it is; drawn by lot.
    id: Option<ReporterId>,
}

#[derive(Debug)]
struct Places {
    loaded: HashMap<EnvId, Arc<Environment>>,
    loading: HashMap<EnvId, watch::Receiver<Option<Found>>>,
    unknown: HashMap<EnvId, Instant>,
    budget: Budget,
}

/// Why there is no environment to answer from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoEnvironment {
    /// The origin does not have it.
    Unknown,
    /// The origin does not answer, or has been asked for too many new ones.
    Unavailable,
}

impl Relay {
    /// A relay over an origin. It loads nothing yet.
    pub fn new(origin: Arc<dyn Origin>, config: Config) -> Arc<Self> {
        let breaker = Arc::new(Breaker::new(origin));
        let chunks = Arc::new(ChunkCache::new(Arc::clone(&breaker) as _, config.max_chunk_bytes));
        let origin: Arc<dyn Origin> = Arc::clone(&chunks) as _;
        let places = Places {
            loaded: HashMap::new(),
            loading: HashMap::new(),
            unknown: HashMap::new(),
            budget: Budget::new(Instant::now()),
        };
        Arc::new(Self {
            origin,
            #[cfg(feature = "metrics")]
            chunks,
            #[cfg(feature = "metrics")]
            breaker,
            #[cfg(feature = "metrics")]
            measures: Measures::default(),
            places: Arc::new(Mutex::new(places)),
            streams: Seats::new("streams", config.max_streams, config.max_streams_of_a_key),
            #[cfg(feature = "flagd")]
            strangers: Seats::new("streams without a key", config.max_streams_of_strangers, 0),
            waits: Seats::new("answers held back", config.max_waits, config.max_waits_of_a_key),
            closed: watch::Sender::new(false),
            uses: AtomicU64::new(0),
            begun: AtomicUsize::new(0),
            poll: watch::Sender::new(config.poll),
            #[cfg(feature = "server")]
            tuned: Tuned::new(&config),
            id: propagation::id(),
            rates: Arc::new(Rates::new(&config)),
            granted: config.grants.clone().map(Granted::new),
            config,
        })
    }

    /// Tells the relay that an environment has a new root. Returns when the root was fetched and announced
    /// to streams, or could not be; does nothing for an environment that nobody has asked for. Notices that come
    /// while one is carried out are carried out together.
    pub async fn notify(&self, org: &OrgKey, env: &EnvKey) {
        let id = EnvId { org: org.clone(), env: env.clone() };
        let (loaded, loading) = {
            let mut places = places(&self.places);
            places.unknown.remove(&id);
            (places.loaded.get(&id).cloned(), places.loading.get(&id).cloned())
        };
        let environment = match (loaded, loading) {
            (None, Some(loading)) => self.after_load(&id, loading).await,
            (loaded, _) => loaded,
        };
        if let Some(environment) = environment {
            environment.refresh().await;
        }
    }

    /// An environment was announced to have a new root, by whoever need not be believed: it looks soon.
    #[cfg(any(feature = "sns", feature = "sqs"))]
    pub(crate) fn announced(self: &Arc<Self>, id: EnvId) {
        let mut places = places(&self.places);
        places.unknown.remove(&id);
        if let Some(environment) = places.loaded.get(&id) {
            environment.announced();
        } else if places.loading.contains_key(&id) {
            let relay = Arc::clone(self);
            tokio::spawn(async move { relay.notify(&id.org, &id.env).await });
        }
    }

    /// Hears of new roots from a queue that is subscribed to the topic which announces them, until the relay is closed. What
    /// it says is believed no further than a doorbell is.
    #[cfg(feature = "sqs")]
    pub async fn listen_to(self: &Arc<Self>, queue: &flagforge::origin::SqsQueue) {
        let closed = self.closed();
        let heard = queue.announce(|named| match named {
            Some((org, env)) => self.announced(EnvId { org, env }),
            None => places(&self.places).loaded.values().for_each(|held| held.announced()),
        });
        tokio::select! {
            () = heard => {}
            () = closed => {}
        }
    }

    /// What a load under way came to. It may have read what stood before the notice, or that nothing did.
    async fn after_load(
        &self,
        id: &EnvId,
        mut loading: watch::Receiver<Option<Found>>,
    ) -> Option<Arc<Environment>> {
        // A load that takes longer is the origin's trouble; polling finds the root.
        let found = timeout(LOAD_WITHIN, loading.wait_for(Option::is_some)).await;
        let found = found.ok().and_then(|found| found.ok().and_then(|found| found.clone()));
        match found {
            Some(Found::Loaded(environment)) => Some(environment),
            Some(Found::Unknown | Found::Failed) | None => {
                places(&self.places).unknown.remove(id);
                None
            }
        }
    }

    /// An environment, loaded when it is not yet, and refreshed where requests do that.
    pub(crate) async fn environment(&self, id: EnvId) -> Result<Arc<Environment>, NoEnvironment> {
        let mut loading = match self.find_or_begin(id)? {
            Held::Loaded(environment) => {
                if let Freshness::OnRequest(within) = self.config.freshness {
                    environment.refresh_when_due(within).await;
                }
                return Ok(environment);
            }
            Held::Loading(loading) => loading,
        };
        let found = timeout(LOAD_WITHIN, loading.wait_for(Option::is_some)).await;
        match found.map(|found| found.map(|found| found.clone())) {
            Ok(Ok(Some(Found::Loaded(environment)))) => Ok(environment),
            Ok(Ok(Some(Found::Unknown))) => Err(NoEnvironment::Unknown),
            // Too late, which the task goes on from, or the task was ended from outside.
            Ok(Ok(Some(Found::Failed) | None) | Err(_)) | Err(_) => Err(NoEnvironment::Unavailable),
        }
    }

    /// Ends the streams and the long polls, so that a server which is shutting down waits for none of them. Whatever
    /// else is asked is answered as before.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Loads the environments that it is to begin with, those that cannot be had again and again. Returns when all are
    /// there, or the relay is closed.
    pub async fn start(&self) {
        let closed = self.closed();
        let load = self.load_all(&self.config.begin_with, || {
            self.begun.fetch_add(1, Ordering::Relaxed);
        });
        tokio::select! {
            () = load => {}
            () = closed => {}
        }
    }

    /// Loads environments, those that cannot be had again and again, until all are there.
    pub(crate) async fn load_all(&self, places: &[(OrgKey, EnvKey)], loaded: impl Fn()) {
        let mut lacking: Vec<&(OrgKey, EnvKey)> = places.iter().collect();
        loop {
            let mut still = Vec::new();
            for place @ (org, env) in lacking {
                match self.environment(EnvId { org: org.clone(), env: env.clone() }).await {
                    Ok(_) => {
                        loaded();
                        info!(%org, %env, "loaded");
                    }
                    Err(why) => {
                        debug!(%org, %env, ?why, "not loaded yet");
                        still.push(place);
                    }
                }
            }
            if still.is_empty() {
                return;
            }
            lacking = still;
            sleep(follow::spread(BEGIN_AGAIN)).await;
        }
    }

    /// Whether it may be sent requests.
    pub(crate) fn readiness(&self) -> Readiness {
        let loaded = places(&self.places).loaded.len();
        // What was loaded once can be had again, if only from here.
        let begun = self.begun.load(Ordering::Relaxed);
        let lacking = self.config.begin_with.len().saturating_sub(begun);
        Readiness::of(*self.closed.borrow(), loaded, lacking)
    }

    /// All that are held, by their names.
    #[cfg(feature = "metrics")]
    pub(crate) fn environments(&self) -> Vec<Arc<Environment>> {
        let mut all: Vec<_> = places(&self.places).loaded.values().cloned().collect();
        all.sort_by(|a, b| (&a.id.org, &a.id.env).cmp(&(&b.id.org, &b.id.env)));
        all
    }

    /// Returns when the relay is closed.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut closed = self.closed.subscribe();
        async move {
            // An error says that the relay is gone, which is its end as well.
            let _ = closed.wait_for(|closed| *closed).await;
        }
    }

    fn find_or_begin(&self, id: EnvId) -> Result<Held, NoEnvironment> {
        let now = Instant::now();
        let mut held = places(&self.places);
        if let Some(environment) = held.loaded.get(&id) {
            let use_number = self.uses.fetch_add(1, Ordering::Relaxed);
            environment.used.store(use_number, Ordering::Relaxed);
            return Ok(Held::Loaded(Arc::clone(environment)));
        }
        if held.unknown.get(&id).is_some_and(|until| now < *until) {
            return Err(NoEnvironment::Unknown);
        }
        let Places { loading, budget, .. } = &mut *held;
        match loading.entry(id) {
            Entry::Occupied(place) => Ok(Held::Loading(place.get().clone())),
            Entry::Vacant(place) => {
                if !budget.take(now) {
                    debug!("too many environments are asked for the first time");
                    return Err(NoEnvironment::Unavailable);
                }
                let (sender, receiver) = watch::channel(None);
                let id = place.key().clone();
                place.insert(receiver.clone());
                self.begin(id, sender);
                Ok(Held::Loading(receiver))
            }
        }
    }

    /// Loads in a task of its own, which goes on when whoever asked first has hung up.
    fn begin(&self, id: EnvId, sender: watch::Sender<Option<Found>>) {
        let (origin, config) = (Arc::clone(&self.origin), self.config.clone());
        let (relay_id, poll) = (self.id.clone(), self.poll.subscribe());
        let (held, use_number) =
            (Arc::clone(&self.places), self.uses.fetch_add(1, Ordering::Relaxed));
        tokio::spawn(async move {
            let load = Environment::load(id.clone(), &origin, &config, relay_id.as_ref(), poll);
            #[cfg(feature = "otel")]
            let load = crate::traces::looked("load", &id, load, |found| {
                matches!(found, Found::Loaded(_) | Found::Unknown)
            });
            let found = load.await;
            let mut places = places(&held);
            places.loading.remove(&id);
            match &found {
                Found::Loaded(environment) => {
                    environment.used.store(use_number, Ordering::Relaxed);
                    places.keep(id, Arc::clone(environment), config.max_environments);
                }
                Found::Unknown => places.forget(id, Instant::now()),
                Found::Failed => {}
            }
            sender.send_replace(Some(found));
        });
    }
}

enum Held {
    Loaded(Arc<Environment>),
    Loading(watch::Receiver<Option<Found>>),
}

fn places(places: &Mutex<Places>) -> MutexGuard<'_, Places> {
    // Every change is whole, so a panic elsewhere leaves nothing half done.
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Places {
    fn keep(&mut self, id: EnvId, environment: Arc<Environment>, limit: usize) {
        self.unknown.remove(&id);
        while self.loaded.len() >= limit.max(1) {
            let oldest =
                self.loaded.iter().min_by_key(|(_, held)| held.used.load(Ordering::Relaxed));
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { break };
            self.loaded.remove(&oldest);
        }
        self.loaded.insert(id, environment);
    }

    fn forget(&mut self, id: EnvId, now: Instant) {
        if self.unknown.len() >= MAX_UNKNOWN {
            self.unknown.clear();
        }
        self.unknown.insert(id, now + UNKNOWN_FOR);
    }
}
