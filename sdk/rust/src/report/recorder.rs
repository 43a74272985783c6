//! Gathering what is answered, and the task that reports it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use flagforge_flags::Value;
use tokio::sync::{Notify, mpsc};

use super::counts::{Counts, Lot};
use super::{Dropped, Exposure, MAX_EXPOSURES, Report, Sink};
use crate::details::Details;
use crate::observers::Question;
use crate::shared::Shared;

/// Gathers answers. Nothing in it waits.
#[derive(Debug)]
pub(crate) struct Recorder {
    counts: Option<Counts>,
    exposures: Option<Exposures>,
}

#[derive(Debug)]
struct Exposures {
    one_in: NonZeroU32,
    lot: Lot,
    held: mpsc::Sender<Exposure>,
    dropped: AtomicU64,
    half_full: Notify,
}

/// The task's half.
pub(crate) struct Reporting {
    recorder: Arc<Recorder>,
    exposures: mpsc::Receiver<Exposure>,
    sink: Arc<dyn Sink>,
    every: Duration,
}

pub(super) fn recorder(
    sink: Arc<dyn Sink>,
    summaries: bool,
    one_in: Option<NonZeroU32>,
    every: Duration,
) -> (Arc<Recorder>, Reporting) {
    let (held, exposures) = mpsc::channel(MAX_EXPOSURES);
    let (dropped, half_full) = (AtomicU64::new(0), Notify::new());
    let lot = Lot::default();
    let recorder = Arc::new(Recorder {
        counts: summaries.then(Counts::default),
        exposures: one_in.map(|one_in| Exposures { one_in, lot, held, dropped, half_full }),
    });
    (Arc::clone(&recorder), Reporting { recorder, exposures, sink, every })
}

impl Recorder {
    /// Takes note of an answer.
    pub(crate) fn note(&self, question: &Question<'_>, details: &Details<'_, Option<&Value>>) {
        if let Some(counts) = &self.counts {
            let error = details.error.as_ref().map(|error| error.code());
            counts.add(question.flag(), details.variant, details.reason, error);
        }
        // Nobody is exposed to a default that the caller had anyway.
        if let (Some(exposures), Some(variant)) = (&self.exposures, details.variant)
            && exposures.lot.draw(exposures.one_in.get())
        {
            exposures.hold(|| Exposure {
                flag: question.flag(),
                variant: variant.into(),
                reason: details.reason,
                rule: details.rule.map(Into::into),
                version: details.version,
                tenant: question.tenant().cloned(),
                unit: question.user().map(Into::into),
                revision: details.basis.revision,
                at: SystemTime::now(),
            });
        }
    }
}

impl Exposures {
    /// Holds an exposure for the next report. Where there is no place it is not even made.
    fn hold(&self, exposure: impl FnOnce() -> Exposure) {
        match self.held.try_reserve() {
            Ok(place) => place.send(exposure()),
            Err(_) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        if self.held.capacity() <= MAX_EXPOSURES / 2 {
            self.half_full.notify_one();
        }
    }
}

impl Reporting {
    /// Reports at intervals until the client is closed, and then what is left.
    pub(crate) async fn run(mut self, shared: Arc<Shared>) {
        let mut from = SystemTime::now();
        loop {
            let ended = tokio::select! {
                () = shared.ended() => true,
                () = tokio::time::sleep(self.every) => false,
                () = self.half_full() => false,
            };
            let report = self.report(&shared, from);
            from = report.until;
            if !report.is_empty() {
                self.sink.take(report).await;
            }
            if ended {
                return;
            }
        }
    }

    async fn half_full(&self) {
        match &self.recorder.exposures {
            Some(exposures) => exposures.half_full.notified().await,
            None => std::future::pending().await,
        }
    }

    fn report(&mut self, shared: &Shared, from: SystemTime) -> Report {
        let (summaries, answers) =
            self.recorder.counts.as_ref().map(Counts::take).unwrap_or_default();
        let mut exposures = Vec::new();
        // No more than there is place for, however fast more come.
        while exposures.len() < MAX_EXPOSURES
            && let Ok(exposure) = self.exposures.try_recv()
        {
            exposures.push(exposure);
        }
        let drawn = self.recorder.exposures.as_ref();
        let lost = drawn.map_or(0, |drawn| drawn.dropped.swap(0, Ordering::Relaxed));
        Report {
            scope: shared.scope.clone(),
            from,
            until: SystemTime::now(),
            summaries,
            exposures,
            one_in: drawn.map_or(0, |drawn| drawn.one_in.get()),
            held: shared.current.load().held().to_vec(),
            dropped: Dropped { answers, exposures: lost },
        }
    }
}

impl Report {
    fn is_empty(&self) -> bool {
        self.summaries.is_empty() && self.exposures.is_empty() && self.dropped == Dropped::default()
    }
}
