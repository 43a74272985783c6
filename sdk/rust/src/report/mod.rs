//! Reports of what was answered: how often which, and to whom. Off unless the host asks for them, bounded in
//! memory, and never in the way of an answer: what has no place is dropped, and how much that was is told.

mod counts;
mod recorder;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use flagforge_flags::keys::TenantKey;
use flagforge_flags::manifest::{HeldFlag, ScopeId};
use flagforge_flags::{Reason, Revision};

pub(crate) use recorder::{Recorder, Reporting};

/// How often reports are made unless told otherwise.
const EVERY: Duration = Duration::from_secs(60);
/// The shortest interval: a report a second is telemetry, a hundred are a load.
const MIN_EVERY: Duration = Duration::from_millis(100);
/// Exposures held between two reports: of about 200 bytes each, 2 MB.
pub const MAX_EXPOSURES: usize = 10_000;
/// Different combinations of flag, variant and reason that are counted between two reports, per part of the counts: sixteen
/// parts of 4,096 of about 150 bytes each are 10 MB, and a host that asks for 1,000 flags fills a tenth.
pub const MAX_COMBINATIONS: usize = 4_096;

/// Where reports go. The host's: a file, a queue, a warehouse.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// Takes one report. While it does, what is answered is gathered for the next; a sink that takes longer
    /// than the bounds allow costs exposures, and never answers.
    async fn take(&self, report: Report);
}

/// What is reported, how often, and to whom: `Reports::to(sink).summaries().exposures(one_in).every(interval)`.
/// Without [`Reports::summaries`] and [`Reports::exposures`] nothing is.
#[must_use = "hand it to .report(…)"]
pub struct Reports {
    sink: Arc<dyn Sink>,
    summaries: bool,
    exposures: Option<NonZeroU32>,
    every: Duration,
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { summaries, exposures, every, .. } = self;
        let mut shown = f.debug_struct("Reports");
        shown.field("summaries", summaries).field("exposures", exposures).field("every", every);
        shown.finish_non_exhaustive()
    }
}

impl Reports {
    /// Reports of nothing yet, to this sink.
    pub fn to(sink: Arc<dyn Sink>) -> Self {
        Self { sink, summaries: false, exposures: None, every: EVERY }
    }

    /// How often each flag was answered with each variant, and why. It names no tenant and no user.
    pub const fn summaries(mut self) -> Self {
        self.summaries = true;
        self
    }

    /// Who was answered what: one in so many answers, drawn by lot.
    pub const fn exposures(mut self, one_in: NonZeroU32) -> Self {
        self.exposures = Some(one_in);
        self
    }

    /// The time between two reports; 60 s unless said otherwise, 100 ms at least. Exposures that fill half of their
    /// bound are reported at once.
    pub const fn every(mut self, interval: Duration) -> Self {
        self.every = interval;
        self
    }

    /// The recorder and the task that empties it; `None` where nothing is reported.
    pub(crate) fn begin(self) -> Option<(Arc<Recorder>, Reporting)> {
        let something = self.summaries || self.exposures.is_some();
        something.then(|| {
            let every = if self.every < MIN_EVERY { MIN_EVERY } else { self.every };
            recorder::recorder(self.sink, self.summaries, self.exposures, every)
        })
    }
}

/// What was answered between two instants.
#[derive(Debug, Clone)]
pub struct Report {
    /// The environment.
    pub scope: ScopeId,
    /// When the gathering began.
    pub from: SystemTime,
    /// When it ended.
    pub until: SystemTime,
    /// How often each flag was answered with each variant, and why; empty unless asked for.
    pub summaries: BTreeMap<Combination, u64>,
    /// Who was answered what; empty unless asked for.
    pub exposures: Vec<Exposure>,
    /// How many answers each exposure stands for; 0 where there are none.
    pub one_in: u32,
    /// The flags that were answered in an earlier form when it ended; see [`Client::held`](crate::Client::held).
    pub held: Vec<HeldFlag>,
    /// What had no place.
    pub dropped: Dropped,
}

/// A flag, a variant, and a reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Combination {
    /// The flag's key.
    pub flag: &'static str,
    /// The variant; `None` is the caller's default.
    pub variant: Option<Box<str>>,
    /// OpenFeature's word, say `TARGETING_MATCH`.
    pub reason: &'static str,
    /// OpenFeature's error code where there was an error, say `FLAG_NOT_FOUND`.
    pub error: Option<&'static str>,
}

/// Somebody was answered a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// The flag's key.
    pub flag: &'static str,
    /// The variant.
    pub variant: Box<str>,
    /// Why.
    pub reason: Reason,
    /// The rule that decided.
    pub rule: Option<Box<str>>,
    /// The flag's version.
    pub version: Option<u64>,
    /// The tenant; `None` where none asked.
    pub tenant: Option<TenantKey>,
    /// The user's key; `None` where none was named.
    pub unit: Option<Box<str>>,
    /// The configuration's revision.
    pub revision: Option<Revision>,
    /// When.
    pub at: SystemTime,
}

/// What had no place in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Answers that are missing from the summaries.
    pub answers: u64,
    /// Exposures that were drawn and are missing.
    pub exposures: u64,
}
