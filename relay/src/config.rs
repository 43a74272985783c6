//! What a relay is told, and what it allows itself.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use flagforge::propagation::{REPORT_EVERY, Reporter};
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::Thumbprint;

use crate::grants::Grants;

/// What a relay is told. [`Config::new`] gives what suits a server; change the fields that do not.
#[derive(Debug, Clone)]
pub struct Config {
    /// The thumbprints of the root keys that are believed.
    pub pinned: Vec<Thumbprint>,
    /// How often the origin is asked for new roots, announcements or not.
    pub poll: Duration,
    /// How manifests are kept fresh.
    pub freshness: Freshness,
    /// Keeps last good manifests in a folder, for starts without an origin.
    pub cache_dir: Option<PathBuf>,
    /// Who gives SDKs leave to read the bucket themselves; `None`: they read from this relay.
    pub grants: Option<Arc<dyn Grants>>,
    /// Whether flags that are tried out are answered as they shall become.
    pub ring: Ring,
    /// The environments that it loads at once and does not call itself ready without; others are loaded when they are
    /// asked for.
    pub begin_with: Vec<(OrgKey, EnvKey)>,
    /// Environments held in memory; beyond it the one that was asked longest ago is forgotten.
    pub max_environments: usize,
    /// Bytes of chunks held for SDKs to fetch.
    pub max_chunk_bytes: usize,
    /// Requests a second of one key to this process, sustained; five seconds' worth may come at once.
    pub requests_per_second_of_a_key: u32,
    /// The same of one tenant of an environment, whichever keys ask on its behalf.
    pub requests_per_second_of_a_tenant: u32,
    /// Streams open at a time; each costs a socket and a few kilobytes.
    pub max_streams: usize,
    /// Those of one key: it does not get all.
    pub max_streams_of_a_key: usize,
    /// Streams of whoever shows no key, besides: flagd's clients may open one, which tells nothing of anybody.
    pub max_streams_of_strangers: usize,
    /// Long polls that wait at a time; each costs what a stream does.
    pub max_waits: usize,
    /// Those of one key.
    pub max_waits_of_a_key: usize,
    /// The silence after which a stream sends a comment. SDKs give a stream up after 50 seconds.
    pub heartbeat: Duration,
    /// The age at which a stream is ended, so that a key which was revoked has to show itself again.
    pub max_stream_age: Duration,
    /// Who is told how far this relay and the SDKs behind it are; `None`: its origin, if that is another relay. Only a
    /// relay that is kept fresh in the background tells.
    pub reports_to: Option<Arc<dyn Reporter>>,
    /// The topics of SNS that are believed at `/notify/sns`.
    #[cfg(feature = "sns")]
    pub sns: Option<Arc<crate::sns::Sns>>,
    /// How often.
    pub report_every: Duration,
}

/// Who has a change that is tried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ring {
    /// Not this relay: it answers as all do.
    #[default]
    All,
    /// This relay: it answers as canaries do. SDKs behind it say themselves which they are.
    Canary,
}

/// How manifests are kept fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// By tasks of their own, which poll and listen: for servers.
    Background,
    /// By requests: one that finds a manifest older than the poll interval waits for a refresh, this long at
    /// most. For functions, whose tasks stand still between requests.
    OnRequest(Duration),
}

/// A backend of a busy tenant that asks for one flag at a time: five such tenants fill a key's share.
pub(crate) const PER_SECOND_OF_A_TENANT: u32 = 2_000;
pub(crate) const PER_SECOND_OF_A_KEY: u32 = 5 * PER_SECOND_OF_A_TENANT;

impl Config {
    /// A server's configuration: polls every 30 seconds and holds 1,024 environments.
    pub const fn new(pinned: Vec<Thumbprint>) -> Self {
        Self {
            pinned,
            poll: Duration::from_secs(30),
            freshness: Freshness::Background,
            cache_dir: None,
            grants: None,
            ring: Ring::All,
            begin_with: Vec::new(),
            max_environments: 1_024,
            max_chunk_bytes: 64 * 1024 * 1024,
            requests_per_second_of_a_key: PER_SECOND_OF_A_KEY,
            requests_per_second_of_a_tenant: PER_SECOND_OF_A_TENANT,
            max_streams: 12_000,
            max_streams_of_a_key: 10_000,
            max_streams_of_strangers: 1_000,
            max_waits: 12_000,
            max_waits_of_a_key: 10_000,
            heartbeat: Duration::from_secs(15),
            max_stream_age: Duration::from_secs(30 * 60),
            reports_to: None,
            #[cfg(feature = "sns")]
            sns: None,
            report_every: REPORT_EVERY,
        }
    }

    /// A function's configuration: no tasks; manifests older than five seconds are refreshed by the
    /// request that finds them so, for half a second at most.
    pub const fn for_function(pinned: Vec<Thumbprint>) -> Self {
        let mut config = Self::new(pinned);
        config.poll = Duration::from_secs(5);
        config.freshness = Freshness::OnRequest(Duration::from_millis(500));
        config
    }

    /// The same as the function's environment has it: `FLAGFORGE_ROOTS` (thumbprints, comma between) and, where it is set,
    /// `FLAGFORGE_POLL_MILLISECONDS`.
    pub fn for_function_from_env() -> anyhow::Result<Self> {
        let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let roots = set("FLAGFORGE_ROOTS").context("FLAGFORGE_ROOTS is not set")?;
        let pinned: Result<Vec<Thumbprint>, _> = roots.split(',').map(str::parse).collect();
        let mut config =
            Self::for_function(pinned.context("FLAGFORGE_ROOTS is no list of thumbprints")?);
        if let Some(milliseconds) = set("FLAGFORGE_POLL_MILLISECONDS") {
            let number =
                milliseconds.parse().context("FLAGFORGE_POLL_MILLISECONDS is no number")?;
            config.poll = Duration::from_millis(number);
        }
        Ok(config)
    }
}
