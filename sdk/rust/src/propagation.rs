//! Telling how far this process is: which revision it answers from, since when, and how long that took to come. On by
//! default toward a data plane over HTTP, which asks "who has not got it yet?"; [`Connect::propagation`] sets it.
//! It names no tenant and no user, is sent seldom and in the background, and what cannot be sent is dropped.
//!
//! [`Connect::propagation`]: crate::Connect::propagation

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flagforge_flags::Revision;
use flagforge_flags::keys::{KeyError, ReporterId, ReporterName};
use flagforge_flags::manifest::{Scope, ScopeId};
pub use flagforge_flags::propagation::{
    HEARTBEAT, MAX_REPORTERS, MAX_REPORTS, MAX_REPORTS_BYTES, REPORT_EVERY, Report, ReportedStatus,
    ReporterKind, Reports,
};
use flagforge_flags::time::Timestamp;
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::client::Status;
use crate::clock;
use crate::jitter::{dice, shortened};
use crate::loader::{Manifest, chain};
use crate::origin::{Origin, OriginError};
use crate::shared::Shared;

/// What one report may take; then it is given up.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// The shortest interval that can be asked for.
const MIN_EVERY: Duration = Duration::from_millis(100);
/// Doublings of the interval after failures in a row: 10 s become five minutes.
const MAX_DOUBLINGS: u32 = 5;
/// What a report says that it is built of.
const VERSION: &str = concat!("rust ", env!("CARGO_PKG_VERSION"));

/// Takes reports of processes.
#[async_trait]
pub trait Reporter: Send + Sync + fmt::Debug {
    /// Takes reports on one environment; `false` where nobody wants any.
    async fn report(&self, scope: &ScopeId, reports: &Reports) -> Result<bool, OriginError>;
}

/// Whether and where this process tells how far it is, how often, and under which name.
#[must_use = "hand it to .propagation(…)"]
#[derive(Debug, Clone)]
pub struct Propagation {
    to: To,
    name: Option<ReporterName>,
    every: Duration,
}

#[derive(Debug, Clone)]
enum To {
    Nobody,
    Origin,
    Reporter(Arc<dyn Reporter>),
}

impl Default for Propagation {
    /// To the origin, where that is a data plane over HTTP.
    fn default() -> Self {
        Self { to: To::Origin, name: None, every: REPORT_EVERY }
    }
}

impl Propagation {
    /// Tells nobody.
    pub fn off() -> Self {
        Self { to: To::Nobody, ..Self::default() }
    }

    /// Tells somebody else than the origin: where that is a folder or a bucket, the control plane, say
    /// ([`ControlPlane`]).
    pub fn to(reporter: Arc<dyn Reporter>) -> Self {
        Self { to: To::Reporter(reporter), ..Self::default() }
    }

    /// The name under which people find this process, say its service and host. Without one it has a random id alone.
    pub fn named(self, name: &str) -> Result<Self, KeyError> {
        Ok(Self { name: Some(ReporterName::new(name)?), ..self })
    }

    /// The least time between two reports; 10 s unless said otherwise, 100 ms at least.
    pub fn every(self, interval: Duration) -> Self {
        Self { every: interval.max(MIN_EVERY), ..self }
    }

    /// The task that reports; `None` where nobody is told. The manifest of one tenant has revisions of its own, which
    /// say nothing of how far the environment's are.
    pub(crate) fn begin(self, origin: &Arc<dyn Origin>, scope: &ScopeId) -> Option<Reporting> {
        if scope.scope != Scope::Environment {
            return None;
        }
        let to: Arc<dyn Reporter> = match self.to {
            To::Nobody => return None,
            To::Origin => to_origin(Arc::clone(origin)),
            To::Reporter(reporter) => reporter,
        };
        Some(Reporting { to, name: self.name, every: self.every, reporter: id()?, failures: 0 })
    }
}

/// Whoever gives manifests takes reports, where it wants any.
pub fn to_origin(origin: Arc<dyn Origin>) -> Arc<dyn Reporter> {
    Arc::new(Upstream(origin))
}

/// Whoever gives manifests takes reports, too.
#[derive(Debug)]
struct Upstream(Arc<dyn Origin>);

#[async_trait]
impl Reporter for Upstream {
    async fn report(&self, scope: &ScopeId, reports: &Reports) -> Result<bool, OriginError> {
        self.0.report(scope, reports).await
    }
}

/// An id for this process, drawn by lot.
pub fn id() -> Option<ReporterId> {
    ReporterId::new(&format!("{:016x}{:016x}", dice(), dice())).ok()
}

/// What this library says that it is.
pub fn version() -> Option<ReporterName> {
    ReporterName::new(VERSION).ok()
}

/// A revision that was applied, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The revision.
    pub revision: Revision,
    /// When answers began to be of it.
    pub at: Timestamp,
    /// The time from its newest change's commit until then; `None` for what a process begins with, however old that is.
    pub lag: Option<Duration>,
}

impl Applied {
    /// Of a manifest that was applied just now. A root that was signed again is no new revision.
    pub fn now(manifest: &Manifest, before: Option<Self>) -> Option<Self> {
        let revision = manifest.snapshot().revision();
        if before.is_some_and(|before| before.revision == revision) {
            return before;
        }
        let (at, root) = (clock::now(), manifest.root()?);
        let lag = before.map(|_| at.since(root.claims().committed));
        Some(Self { revision, at, lag })
    }

    /// The report of a process that has applied this.
    pub fn report(
        applied: Option<Self>,
        reporter: ReporterId,
        kind: ReporterKind,
        status: ReportedStatus,
        confirmed: Option<Timestamp>,
    ) -> Option<Report> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Some(Report {
            reporter,
            kind,
            name: None,
            version: version()?,
            status,
            revision: applied.map(|applied| applied.revision),
            applied: applied.map(|applied| applied.at),
            lag_millis: applied.and_then(|applied| applied.lag).map(millis),
            age_millis: confirmed.map(|at| millis(clock::now().since(at))),
        })
    }
}

/// The task that reports.
pub(crate) struct Reporting {
    to: Arc<dyn Reporter>,
    name: Option<ReporterName>,
    every: Duration,
    reporter: ReporterId,
    failures: u32,
}

/// What there is to say: once it is another, it is said.
type News = (ReportedStatus, Option<Revision>);

impl Reporting {
    /// Reports until the client is closed: what is new, and else now and then that there is nothing new.
    pub(crate) async fn run(mut self, shared: Arc<Shared>) {
        let mut progress = shared.progress.subscribe();
        let mut said: Option<News> = None;
        loop {
            let heartbeat = shortened(HEARTBEAT, dice());
            let another =
                progress.wait_for(|progress| progress.ended || said != Some(news(&shared)));
            // A heartbeat has nothing new; neither is there an error, for the sender is ours.
            let _ = timeout(heartbeat, another).await;
            // Who applied the same at the same instant does not tell at the same instant.
            let spread = self.every - shortened(self.every, dice());
            if self.pause(&shared, spread).await {
                return;
            }
            let saying = news(&shared);
            // Whoever closes the client does not wait for who never answers.
            let outcome = tokio::select! {
                outcome = self.say(&shared) => outcome,
                () = shared.ended() => return,
            };
            let wait = match outcome {
                Said::Taken => {
                    said = Some(saying);
                    shortened(self.every * 5 / 4, dice())
                }
                Said::Unwanted => HEARTBEAT,
                Said::Failed => {
                    let doublings = self.failures.min(MAX_DOUBLINGS);
                    shortened((self.every * 2_u32.pow(doublings)).min(HEARTBEAT), dice())
                }
            };
            if self.pause(&shared, wait).await {
                return;
            }
        }
    }

    /// Waits; answers whether the client was closed meanwhile.
    async fn pause(&self, shared: &Shared, wait: Duration) -> bool {
        tokio::select! {
            () = sleep(wait) => false,
            () = shared.ended() => true,
        }
    }

    async fn say(&mut self, shared: &Shared) -> Said {
        let Some(report) = self.report(shared) else { return Said::Unwanted };
        let reports = Reports { reports: vec![report] };
        let sent = timeout(SEND_WITHIN, self.to.report(&shared.scope, &reports)).await;
        match sent {
            Ok(Ok(wanted)) => {
                self.failures = 0;
                if wanted { Said::Taken } else { Said::Unwanted }
            }
            Ok(Err(error)) => self.failed(shared, &chain(&error)),
            Err(late) => self.failed(shared, &late.to_string()),
        }
    }

    fn failed(&mut self, shared: &Shared, error: &str) -> Said {
        debug!(scope = %shared.scope, error, "how far this process is was not told");
        self.failures = self.failures.saturating_add(1);
        Said::Failed
    }

    fn report(&self, shared: &Shared) -> Option<Report> {
        let current = shared.current.load();
        let confirmed = current.is_there().then(|| current.confirmed());
        let (status, reporter) = (status(shared), self.reporter.clone());
        let kind = ReporterKind::Sdk;
        let report = Applied::report(shared.applied(), reporter, kind, status, confirmed)?;
        Some(Report { name: self.name.clone(), ..report })
    }
}

enum Said {
    Taken,
    /// Nobody there wants to know.
    Unwanted,
    Failed,
}

fn news(shared: &Shared) -> News {
    (status(shared), shared.applied().map(|applied| applied.revision))
}

fn status(shared: &Shared) -> ReportedStatus {
    match shared.status() {
        Status::Ready => ReportedStatus::Ready,
        Status::LastKnownGood => ReportedStatus::LastKnownGood,
        Status::Defaults => ReportedStatus::Defaults,
    }
}

#[cfg(feature = "http")]
pub use control_plane::ControlPlane;

#[cfg(feature = "http")]
mod control_plane {
    use flagforge_flags::access_key::AccessKey;

    use super::*;
    use crate::origin::{HttpOrigin, SetupError};

    /// The management API of an installation, for processes whose origin takes no reports, and for relays.
    #[derive(Debug, Clone)]
    pub struct ControlPlane(HttpOrigin);

    impl ControlPlane {
        /// The management API at `http(s)://host[:port]`. The key is one of the kinds server and relay; with it nothing
        /// can be read or changed there.
        pub fn new(base: &str, key: &AccessKey) -> Result<Self, SetupError> {
            Ok(Self(HttpOrigin::new(base, key)?))
        }
    }

    #[async_trait]
    impl Reporter for ControlPlane {
        async fn report(&self, scope: &ScopeId, reports: &Reports) -> Result<bool, OriginError> {
            let ScopeId { org, env, .. } = scope;
            self.0.tell(&format!("v1/orgs/{org}/environments/{env}/propagation"), reports).await
        }
    }
}
