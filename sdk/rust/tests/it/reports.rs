//! Reports of what was answered.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use flagforge::report::{MAX_EXPOSURES, Report, Reports, Sink};
use flagforge::{Client, Flag};
use tokio::sync::{Mutex, mpsc};

use crate::kit::{Publisher, boolean, directory, flag};

const DASHBOARD: Flag<bool> = Flag::new("new-dashboard", false);
const MISSING: Flag<i64> = Flag::new("missing", 7);
const ALL: NonZeroU32 = NonZeroU32::MIN;
const LONG: Duration = Duration::from_secs(3_600);

struct Kept(mpsc::UnboundedSender<Report>);

#[async_trait]
impl Sink for Kept {
    async fn take(&self, report: Report) {
        self.0.send(report).unwrap();
    }
}

/// A sink that never comes back.
struct Stuck;

#[async_trait]
impl Sink for Stuck {
    async fn take(&self, _: Report) {
        std::future::pending().await
    }
}

async fn started(reports: Reports) -> (tempfile::TempDir, Client) {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    let flags = [boolean("new-dashboard"), flag("theme", "string", "dark", "light")];
    publisher.publish(&flags, &[directory("acme", &["new-dashboard"])]);
    let client = Client::connect(&publisher.connection()).report(reports).await.unwrap();
    (folder, client)
}

fn kept() -> (Arc<Kept>, mpsc::UnboundedReceiver<Report>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Arc::new(Kept(sender)), receiver)
}

#[tokio::test]
async fn closing_hands_over_what_was_gathered() {
    let (sink, mut reports) = kept();
    let (_folder, client) = started(Reports::to(sink).summaries().exposures(ALL).every(LONG)).await;
    let (acme, globex) = (client.tenant("acme").unwrap(), client.tenant("globex").unwrap());
    for user in 0..5 {
        let user = format!("u-{user}");
        assert!(acme.user(&user).flags().get(&DASHBOARD));
        assert!(!globex.user(&user).flags().get(&DASHBOARD));
        assert_eq!(acme.user(&user).flags().get(&MISSING), 7);
    }
    assert!(reports.try_recv().is_err(), "not before its time");
    assert!(client.close().await);
    let report = reports.recv().await.unwrap();
    let counted: Vec<String> = report
        .summaries
        .iter()
        .map(|(c, n)| format!("{} {:?} {} {:?} {n}", c.flag, c.variant, c.reason, c.error))
        .collect();
    let expected = [
        "missing None ERROR Some(\"FLAG_NOT_FOUND\") 5",
        "new-dashboard Some(\"off\") DEFAULT None 5",
        "new-dashboard Some(\"on\") TARGETING_MATCH None 5",
    ];
    assert_eq!(counted, expected);
    assert_eq!((report.dropped.answers, report.dropped.exposures), (0, 0));
    assert_eq!((report.scope.to_string().as_str(), report.one_in), ("demo/prod/environment", 1));
    assert!(report.from <= report.until);

    // The default that the caller had anyway is no exposure.
    assert_eq!(report.exposures.len(), 10);
    let first = &report.exposures[0];
    assert_eq!((first.flag, &*first.variant, first.version), ("new-dashboard", "on", Some(3)));
    assert_eq!(first.tenant.as_ref().unwrap().as_str(), "acme");
    assert_eq!((first.unit.as_deref(), first.revision.unwrap().env), (Some("u-0"), 1));
    assert!(first.at >= report.from && first.at <= report.until);
    assert!(reports.recv().await.is_none(), "and nothing comes after the end");
}

#[tokio::test]
async fn reports_come_at_intervals_and_empty_ones_do_not() {
    let (sink, mut reports) = kept();
    let every = Duration::from_millis(100);
    let (_folder, client) = started(Reports::to(sink).summaries().every(every)).await;
    tokio::time::sleep(3 * every).await;
    assert!(reports.try_recv().is_err());
    client.tenant("acme").unwrap().flags().get(&DASHBOARD);
    let report = reports.recv().await.unwrap();
    assert_eq!(report.summaries.values().sum::<u64>(), 1);
    assert!(report.exposures.is_empty() && report.one_in == 0);
}

#[tokio::test]
async fn exposures_at_their_bound_and_past_it_never_wait() {
    let (_folder, client) = started(Reports::to(Arc::new(Stuck)).exposures(ALL).every(LONG)).await;
    let acme = client.tenant("acme").unwrap();
    let begun = Instant::now();
    for _ in 0..3 * MAX_EXPOSURES {
        acme.flags().get(&DASHBOARD);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let begun = Instant::now();
    assert!(!client.close().within(Duration::from_millis(200)).await, "the sink is stuck");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_had_no_place_is_told() {
    // A sink that holds up the reports until it is let go.
    struct Held(Mutex<()>, mpsc::UnboundedSender<Report>);
    #[async_trait]
    impl Sink for Held {
        async fn take(&self, report: Report) {
            let _free = self.0.lock().await;
            self.1.send(report).unwrap();
        }
    }
    let (sender, mut reports) = mpsc::unbounded_channel();
    let sink = Arc::new(Held(Mutex::new(()), sender));
    let (_folder, client) = started(Reports::to(sink.clone()).exposures(ALL).every(LONG)).await;
    let acme = client.tenant("acme").unwrap();
    let held = sink.0.lock().await;
    // On this one thread the task does not run until it is awaited.
    for _ in 0..MAX_EXPOSURES + 7 {
        acme.flags().get(&DASHBOARD);
    }
    drop(held);
    let report = reports.recv().await.unwrap();
    assert_eq!((report.exposures.len(), report.dropped.exposures), (MAX_EXPOSURES, 7));
}

#[tokio::test]
async fn sampling_takes_a_share() {
    let (sink, mut reports) = kept();
    let one_in = NonZeroU32::new(10).unwrap();
    let (_folder, client) = started(Reports::to(sink).exposures(one_in).every(LONG)).await;
    let acme = client.tenant("acme").unwrap();
    for _ in 0..20_000 {
        acme.flags().get(&DASHBOARD);
    }
    assert!(client.close().await);
    let report = reports.recv().await.unwrap();
    // Six standard deviations of 42 either way.
    assert!((1_745..=2_255).contains(&report.exposures.len()), "{}", report.exposures.len());
    assert!(report.summaries.is_empty() && report.one_in == 10);
}

#[tokio::test]
async fn what_is_not_asked_for_is_not_gathered() {
    let (sink, mut reports) = kept();
    let (_folder, client) = started(Reports::to(sink).every(Duration::ZERO)).await;
    client.tenant("acme").unwrap().flags().get(&DASHBOARD);
    assert!(client.close().await);
    assert!(reports.recv().await.is_none());
}
