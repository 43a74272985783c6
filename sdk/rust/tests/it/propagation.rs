//! Telling how far this process is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use flagforge::origin::OriginError;
use flagforge::propagation::{
    Propagation, Report, ReportedStatus, Reporter, ReporterKind, Reports,
};
use flagforge::{Client, Status};
use flagforge_flags::manifest::ScopeId;
use tokio::sync::mpsc;

use crate::kit::{Publisher, boolean, directory};

const SOON: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(10);

/// Keeps what is reported, and answers as it was told to.
#[derive(Debug)]
struct Kept {
    reports: mpsc::UnboundedSender<(String, Report)>,
    asked: AtomicUsize,
    answer: Answer,
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Taken,
    Unwanted,
    Refused,
    Never,
}

#[async_trait]
impl Reporter for Kept {
    async fn report(&self, scope: &ScopeId, reports: &Reports) -> Result<bool, OriginError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        for report in &reports.reports {
            self.reports.send((scope.to_string(), report.clone())).unwrap();
        }
        match self.answer {
            Answer::Taken => Ok(true),
            Answer::Unwanted => Ok(false),
            Answer::Never => std::future::pending().await,
            Answer::Refused => Err(OriginError::Refused { status: 500, what: "a report".into() }),
        }
    }
}

type Heard = mpsc::UnboundedReceiver<(String, Report)>;

fn kept(answer: Answer) -> (Arc<Kept>, Heard) {
    let (reports, heard) = mpsc::unbounded_channel();
    (Arc::new(Kept { reports, asked: AtomicUsize::new(0), answer }), heard)
}

fn publish(publisher: &mut Publisher) {
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
}

struct Running {
    _folder: tempfile::TempDir,
    publisher: Publisher,
    client: Client,
}

async fn started(propagation: Propagation) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    publish(&mut publisher);
    let connect = Client::connect(&publisher.connection()).propagation(propagation);
    let client = connect.poll_every(Duration::from_millis(10)).await.unwrap();
    assert_eq!(client.status(), Status::Ready);
    Running { _folder: folder, publisher, client }
}

#[tokio::test]
async fn what_was_applied_is_told_with_its_lag_and_what_one_began_with_without() {
    let (to, mut heard) = kept(Answer::Taken);
    let propagation = Propagation::to(to).named("checkout").unwrap().every(SOON);
    let mut running = started(propagation).await;
    let (mut scope, mut first) = heard.recv().await.unwrap();
    while first.status == ReportedStatus::Defaults {
        // It was told before there was a manifest.
        (scope, first) = heard.recv().await.unwrap();
    }
    assert_eq!(scope, "demo/prod/environment");
    assert_eq!((first.kind, first.status), (ReporterKind::Sdk, ReportedStatus::Ready));
    assert_eq!(first.name.unwrap().as_str(), "checkout");
    assert_eq!((first.revision, first.lag_millis), (running.client.revision(), None));
    publish(&mut running.publisher);
    let (_, second) = heard.recv().await.unwrap();
    assert_eq!(second.reporter, first.reporter);
    assert_eq!(second.revision, Some(running.publisher.revision));
    assert!(second.lag_millis.unwrap() < 5_000 && second.applied > first.applied, "{second:?}");
    // It can no longer be confirmed, which is news too.
    std::fs::remove_file(running.publisher.folder.join("demo/prod/environment.jws")).unwrap();
    let (_, third) = heard.recv().await.unwrap();
    assert_eq!(third.status, ReportedStatus::LastKnownGood);
    assert_eq!((third.revision, third.lag_millis), (second.revision, second.lag_millis));
    assert!(running.client.close().await);
    assert!(heard.recv().await.is_none(), "the task ended with the client");
}

#[tokio::test]
async fn a_burst_of_news_is_told_no_oftener_than_the_interval() {
    let (to, mut heard) = kept(Answer::Taken);
    let every = Duration::from_millis(400);
    let mut running = started(Propagation::to(to.clone()).every(every)).await;
    heard.recv().await.unwrap();
    let begun = Instant::now();
    for _ in 0..40 {
        publish(&mut running.publisher);
        assert!(running.client.wait_for(running.publisher.revision).within(LONG).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let newest = Some(running.publisher.revision);
    while heard.recv().await.unwrap().1.revision != newest {}
    let most = begun.elapsed().as_millis() / every.as_millis() + 1;
    let told = to.asked.load(Ordering::SeqCst) - 1;
    assert!(
        (1..=usize::try_from(most).unwrap()).contains(&told),
        "{told} in {:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn who_does_not_take_reports_is_not_stormed() {
    for (answer, most) in [(Answer::Unwanted, 1), (Answer::Refused, 6)] {
        let (to, _heard) = kept(answer);
        let mut running = started(Propagation::to(to.clone()).every(SOON)).await;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            publish(&mut running.publisher);
            assert!(running.client.wait_for(running.publisher.revision).within(LONG).await);
        }
        let asked = to.asked.load(Ordering::SeqCst);
        assert!((1..=most).contains(&asked), "{answer:?}: {asked}");
    }
}

#[tokio::test]
async fn it_can_be_turned_off() {
    let (to, _) = kept(Answer::Taken);
    drop(Propagation::to(to.clone()));
    let running = started(Propagation::off()).await;
    tokio::time::sleep(SOON).await;
    assert_eq!((running.client.status(), to.asked.load(Ordering::SeqCst)), (Status::Ready, 0));
    assert!(Propagation::default().named("a/b").is_err());
}

#[tokio::test]
async fn who_never_answers_does_not_hold_up_the_end() {
    let (kept, mut heard) = kept(Answer::Never);
    let running = started(Propagation::to(kept).every(SOON)).await;
    tokio::time::timeout(LONG, heard.recv()).await.unwrap().unwrap();
    let begun = Instant::now();
    assert!(running.client.close().await);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}
