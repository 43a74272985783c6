//! How far the SDKs behind a relay are, as they say themselves, and passing that up with what the relay says of itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use flagforge::propagation::{
    Applied, HEARTBEAT, MAX_REPORTERS, MAX_REPORTS, Report, ReportedStatus, Reporter, ReporterKind,
    Reports,
};
use flagforge_flags::Revision;
use flagforge_flags::keys::ReporterId;
use flagforge_flags::manifest::Scope;
use flagforge_flags::propagation::FORGOTTEN_AFTER;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::data::{Place, Relayed, admitted, nothing, respond};
use crate::environment::Environment;
use crate::ofrep;
use crate::problem::{Refused, private};

/// What passing one request up may take.
const PASS_WITHIN: Duration = Duration::from_secs(10);
/// Doublings of the interval after failures in a row: 10 s become five minutes.
const MAX_DOUBLINGS: u32 = 5;

/// What the SDKs of one environment said, the newest of each: [`MAX_REPORTERS`] of 400 bytes are 400 KB.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    reporters: Mutex<HashMap<ReporterId, Known>>,
    /// How many were forgotten for want of a place.
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Known {
    report: Report,
    at: Instant,
    unsaid: bool,
}

impl Heard {
    /// Takes what was said. Where there is no place, who was heard longest ago makes one.
    pub(crate) fn take(&self, reports: Vec<Report>, now: Instant) {
        let mut reporters = self.reporters();
        for report in reports {
            if reporters.len() >= MAX_REPORTERS && !reporters.contains_key(&report.reporter) {
                self.make_place(&mut reporters, now);
            }
            let reporter = report.reporter.clone();
            reporters.insert(reporter, Known { report, at: now, unsaid: true });
        }
    }

    fn make_place(&self, reporters: &mut HashMap<ReporterId, Known>, now: Instant) {
        reporters.retain(|_, known| now.duration_since(known.at) < FORGOTTEN_AFTER);
        if reporters.len() < MAX_REPORTERS {
            return;
        }
        let oldest = reporters.iter().min_by_key(|(_, known)| known.at);
        if let Some(oldest) = oldest.map(|(reporter, _)| reporter.clone()) {
            reporters.remove(&oldest);
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if dropped.is_power_of_two() {
                warn!(dropped, "more SDKs say how far they are than are kept");
            }
        }
    }

    /// How many are known.
    #[cfg(feature = "metrics")]
    pub(crate) fn known(&self) -> usize {
        self.reporters().len()
    }

    /// Some of what was not passed up yet.
    fn unsaid(&self, limit: usize) -> Vec<Report> {
        let reporters = self.reporters();
        let unsaid = reporters.values().filter(|known| known.unsaid);
        unsaid.take(limit).map(|known| known.report.clone()).collect()
    }

    /// Notes that it was; what was said anew meanwhile was not.
    fn said(&self, reports: &[Report]) {
        let mut reporters = self.reporters();
        for report in reports {
            if let Some(known) = reporters.get_mut(&report.reporter)
                && known.report == *report
            {
                known.unsaid = false;
            }
        }
    }

    fn reporters(&self) -> MutexGuard<'_, HashMap<ReporterId, Known>> {
        // Every change is whole, so a panic elsewhere leaves nothing half done.
        self.reporters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `POST /data/v1/{org}/{env}/propagation`: how far processes are that read from here.
pub(crate) async fn propagation(
    State(relay): Relayed,
    place: Place<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    respond(async {
        let Path((org, env)) = place.map_err(|_| nothing())?;
        let asker = admitted(&relay, &headers, &org, &env).await?;
        // A tenant's manifest has numbers of its own, and whose it is says nothing of the environment.
        asker.speaks_for_all()?;
        let body = ofrep::whole(body).await?;
        let Reports { reports } =
            serde_json::from_slice(&body).map_err(|error| Refused::Malformed(error.to_string()))?;
        if reports.len() > MAX_REPORTS {
            return Err(Refused::Invalid(format!("at most {MAX_REPORTS} reports at once")));
        }
        asker.environment.heard.take(reports, Instant::now());
        Ok(private(StatusCode::NO_CONTENT.into_response()))
    })
    .await
}

/// Passes up what is known of an environment, as long as there is the environment.
pub(crate) async fn pass_up(
    environment: Weak<Environment>,
    relay: ReporterId,
    to: Arc<dyn Reporter>,
    every: Duration,
) {
    let mut passing = Passing { relay, to, own: None, failures: 0 };
    loop {
        let doublings = passing.failures.min(MAX_DOUBLINGS);
        let wait = (every * 2_u32.pow(doublings)).min(HEARTBEAT.max(every));
        sleep(flagforge::follow::spread(wait)).await;
        let Some(environment) = environment.upgrade() else { return };
        passing.pass(&environment).await;
    }
}

struct Passing {
    relay: ReporterId,
    to: Arc<dyn Reporter>,
    /// What the relay last said of itself, and when.
    own: Option<((ReportedStatus, Option<Revision>), Instant)>,
    failures: u32,
}

impl Passing {
    /// Everything there is, a request at a time, until one fails.
    async fn pass(&mut self, environment: &Environment) {
        self.say_own(environment);
        loop {
            let reports = Reports { reports: environment.heard.unsaid(MAX_REPORTS) };
            if reports.reports.is_empty() {
                return;
            }
            let scope = environment.id.scope(Scope::Environment);
            let passed = timeout(PASS_WITHIN, self.to.report(&scope, &reports)).await;
            let error = match passed {
                // Where nobody wants to know, what is known is not kept for them.
                Ok(Ok(_)) => {
                    self.failures = 0;
                    environment.heard.said(&reports.reports);
                    continue;
                }
                Ok(Err(error)) => flagforge::chain(&error),
                Err(late) => late.to_string(),
            };
            self.failures = self.failures.saturating_add(1);
            debug!(%scope, error, "how far SDKs are was not passed up");
            return;
        }
    }

    /// What the relay has itself, when that is news or has not been said for long.
    fn say_own(&mut self, environment: &Environment) {
        let (applied, status) = (environment.applied(), environment.status());
        let (news, now) = ((status, applied.map(|applied| applied.revision)), Instant::now());
        let known = |(said, at): &(_, Instant)| *said == news && now - *at < HEARTBEAT;
        if self.own.as_ref().is_some_and(known) {
            return;
        }
        let confirmed = environment.shelf().manifest.confirmed();
        let (relay, kind) = (self.relay.clone(), ReporterKind::Relay);
        if let Some(report) = Applied::report(applied, relay, kind, status, Some(confirmed)) {
            environment.heard.take(vec![report], now);
            self.own = Some((news, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(reporter: usize, env: u64) -> Report {
        let reporter = ReporterId::new(&format!("r{reporter}")).unwrap();
        let applied = None;
        let status = ReportedStatus::Ready;
        let report = Applied::report(applied, reporter, ReporterKind::Sdk, status, None).unwrap();
        Report { revision: Some(Revision { org: 1, env }), ..report }
    }

    #[test]
    fn at_the_limit_all_are_kept_and_one_past_it_the_oldest_goes_and_is_counted() {
        let (heard, start) = (Heard::default(), Instant::now());
        for number in 0..MAX_REPORTERS {
            heard.take(vec![report(number, 1)], start + Duration::from_millis(number as u64));
        }
        assert_eq!(heard.reporters().len(), MAX_REPORTERS);
        assert_eq!(heard.dropped.load(Ordering::Relaxed), 0);
        let later = start + Duration::from_secs(60);
        heard.take(vec![report(0, 2)], later);
        assert_eq!(heard.dropped.load(Ordering::Relaxed), 0, "one who is known needs no place");
        heard.take(vec![report(MAX_REPORTERS, 1)], later);
        assert_eq!(heard.reporters().len(), MAX_REPORTERS);
        assert_eq!(heard.dropped.load(Ordering::Relaxed), 1);
        assert!(heard.reporters().contains_key("r0") && !heard.reporters().contains_key("r1"));
        heard.take(vec![report(MAX_REPORTERS + 1, 1)], later + FORGOTTEN_AFTER);
        assert_eq!(heard.reporters().len(), 1, "who ended long ago is no loss");
        assert_eq!(heard.dropped.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_was_said_anew_while_the_old_was_passed_up_is_passed_up_too() {
        let (heard, now) = (Heard::default(), Instant::now());
        heard.take(vec![report(1, 1), report(2, 1)], now);
        let passed = heard.unsaid(MAX_REPORTS);
        heard.take(vec![report(1, 2)], now);
        heard.said(&passed);
        assert_eq!(heard.unsaid(MAX_REPORTS), [report(1, 2)]);
        heard.said(&[report(1, 2)]);
        assert_eq!(heard.unsaid(MAX_REPORTS), []);
    }
}
