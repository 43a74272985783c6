//! What may change while a relay runs: its rates, its places, how often it polls, what it holds from the beginning, what it
//! logs. A file says so, and is read again when it is replaced. All of it counts or none: a file with a fault changes nothing.

mod file;
mod read;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::Digest;
use flagforge_flags::time::Timestamp;
use serde::Serialize;
use serde_json::{Value as Json, json};
use tokio::task::AbortHandle;

pub use file::{SetLog, TuningError, TuningFile};

use crate::clock;
use crate::config::Config;
use crate::relay::Relay;
use crate::server::{MAX_CONNECTIONS, OTHER_CONNECTIONS};

/// Streams and answers that are held back have a connection each: all but those that are kept for everything else.
pub(crate) const MAX_PLACES: usize = MAX_CONNECTIONS - OTHER_CONNECTIONS;
/// Ten times what two cores answer.
pub(crate) const MAX_PER_SECOND: u32 = 1_000_000;
/// Beyond an hour nobody would notice that announcements do not come.
pub(crate) const MAX_POLL_SECONDS: u64 = 3_600;

/// What may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tuning {
    poll: Duration,
    requests_per_second_of_a_key: u32,
    requests_per_second_of_a_tenant: u32,
    max_streams: usize,
    max_streams_of_a_key: usize,
    max_streams_of_strangers: usize,
    max_waits: usize,
    max_waits_of_a_key: usize,
    begin_with: Vec<(OrgKey, EnvKey)>,
    log: String,
}

impl Tuning {
    /// What holds where no file says otherwise.
    fn of(config: &Config, log: &str) -> Self {
        Self {
            poll: config.poll,
            requests_per_second_of_a_key: config.requests_per_second_of_a_key,
            requests_per_second_of_a_tenant: config.requests_per_second_of_a_tenant,
            max_streams: config.max_streams,
            max_streams_of_a_key: config.max_streams_of_a_key,
            max_streams_of_strangers: config.max_streams_of_strangers,
            max_waits: config.max_waits,
            max_waits_of_a_key: config.max_waits_of_a_key,
            begin_with: config.begin_with.clone(),
            log: log.to_owned(),
        }
    }

    fn json(&self) -> Json {
        let places: Vec<String> =
            self.begin_with.iter().map(|(org, env)| format!("{org}/{env}")).collect();
        json!({
            "pollSeconds": self.poll.as_secs(),
            "requestsPerSecondOfAKey": self.requests_per_second_of_a_key,
            "requestsPerSecondOfATenant": self.requests_per_second_of_a_tenant,
            "maxStreams": self.max_streams,
            "maxStreamsOfAKey": self.max_streams_of_a_key,
            "maxStreamsOfStrangers": self.max_streams_of_strangers,
            "maxWaits": self.max_waits,
            "maxWaitsOfAKey": self.max_waits_of_a_key,
            "beginWith": places,
            "log": self.log,
        })
    }
}

/// Which file is in force, and which is not.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InForce {
    /// Of the file's content; none where no file was named.
    pub(crate) digest: Option<String>,
    pub(crate) since: Timestamp,
    /// The file as it is now, where it is not in force.
    pub(crate) refused: Option<Refusal>,
    /// Everything that may change, with what counts for it.
    settings: Json,
}

/// Why a file is not in force.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Refusal {
    at: Timestamp,
    why: String,
}

/// What a relay knows of its tuning.
#[derive(Debug)]
pub(crate) struct Tuned {
    in_force: ArcSwap<InForce>,
    /// Loads what a file named last.
    loading: Mutex<Option<AbortHandle>>,
}

impl Tuned {
    pub(crate) fn new(config: &Config) -> Self {
        let settings = Tuning::of(config, "").json();
        let in_force = InForce { digest: None, since: clock::now(), refused: None, settings };
        Self { in_force: ArcSwap::from_pointee(in_force), loading: Mutex::new(None) }
    }

    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }
}

impl Relay {
    /// From here on it does as the file says.
    fn tune(self: &Arc<Self>, tuning: &Tuning, digest: Digest) {
        let Tuning { requests_per_second_of_a_key, requests_per_second_of_a_tenant, .. } = *tuning;
        self.rates.set(requests_per_second_of_a_key, requests_per_second_of_a_tenant);
        self.streams.set(tuning.max_streams, tuning.max_streams_of_a_key);
        #[cfg(feature = "flagd")]
        self.strangers.set(tuning.max_streams_of_strangers, 0);
        self.waits.set(tuning.max_waits, tuning.max_waits_of_a_key);
        // Those who wait for a poll begin to wait anew; that what is told is the same wakes nobody.
        self.poll.send_if_modified(|poll| {
            let other = *poll != tuning.poll;
            *poll = tuning.poll;
            other
        });
        self.load_in_the_background(tuning.begin_with.clone());
        let (settings, digest) = (tuning.json(), Some(digest.to_string()));
        let in_force = InForce { digest, since: clock::now(), refused: None, settings };
        self.tuned.in_force.store(Arc::new(in_force));
    }

    /// What stands in the file does not count.
    fn keep_tuning(&self, why: &str) {
        self.tuned.in_force.rcu(|held| {
            let refused = Some(Refusal { at: clock::now(), why: why.to_owned() });
            InForce { refused, ..InForce::clone(held) }
        });
    }

    /// Loads what a file names. Whether the relay is ready does not hang on it: a name that is wrong must not take every relay
    /// out at once.
    fn load_in_the_background(self: &Arc<Self>, places: Vec<(OrgKey, EnvKey)>) {
        let relay = Arc::downgrade(self);
        let loading = tokio::spawn(async move {
            if let Some(relay) = relay.upgrade() {
                relay.load_all(&places, || {}).await;
            }
        });
        let mut held = self.tuned.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = held.replace(loading.abort_handle()) {
            before.abort();
        }
    }
}
