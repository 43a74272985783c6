//! A sink of events: whose it hears, where it begins, and what becomes of what it does not take.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flagforge_embedded::{Embedded, ManualTimer};
use flagforge_flags::keys::OrgKey;
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{EventSink, Outgoing, Timer as _};
use flagforge_platform::webhooks::RETRY_AFTER;
use flagforge_platform::{Platform, Request, handle};
use serde_json::Value as Json;

use crate::kit::{caller, commit, enable, furnished_on, org, tenant};

/// Takes what it is given, once it has refused as often as it is told to.
#[derive(Debug, Default)]
struct Recorder {
    refuses: AtomicUsize,
    taken: Mutex<Vec<Outgoing>>,
}

#[async_trait]
impl EventSink for Recorder {
    async fn take(&self, outgoing: &Outgoing) -> Result<(), String> {
        let less = |times: usize| times.checked_sub(1);
        if self.refuses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            return Err("refused".to_owned());
        }
        let body: Json = serde_json::from_slice(&outgoing.body).unwrap();
        assert_eq!(body, serde_json::to_value(&outgoing.event).unwrap());
        self.taken.lock().unwrap().push(outgoing.clone());
        Ok(())
    }
}

impl Recorder {
    /// What was taken since this was asked last: organization, kind and subject.
    fn taken(&self) -> Vec<String> {
        let taken = std::mem::take(&mut *self.taken.lock().unwrap());
        let line = |it: Outgoing| {
            format!("{} {} {}", it.org, it.event.kind, it.event.subject).trim_end().to_owned()
        };
        taken.into_iter().map(line).collect()
    }
}

struct Stage {
    timer: ManualTimer,
    platform: Platform,
    sink: Recorder,
}

/// The organization `home` with a flag, and what happened in it so far is untold.
async fn staged() -> Stage {
    let timer = ManualTimer::at(Timestamp::from_seconds(1_800_000_000));
    let hands = Embedded::memory_at(Arc::new(timer.clone())).unwrap();
    let (_, platform, _) = furnished_on(hands).await;
    Stage { timer, platform, sink: Recorder::default() }
}

impl Stage {
    fn until(&self) -> Timestamp {
        self.timer.now().plus(handle::TELL_WITHIN)
    }

    async fn told(&self, org: &OrgKey) -> Vec<String> {
        handle::events_until(&self.platform, &self.sink, org, self.until()).await;
        self.sink.taken()
    }

    async fn all_told(&self) -> Vec<String> {
        handle::all_events(&self.platform, &self.sink, self.until()).await.unwrap();
        self.sink.taken()
    }

    async fn found_another(&self) {
        let another = OrgKey::new("another").unwrap();
        let plain = |change| Request::of(change, "test");
        let caller = caller();
        let made = self.platform.create_organization(&caller, &another, "Another", false, plain);
        made.await.unwrap();
    }
}

#[tokio::test]
async fn an_organization_is_told_by_itself_and_from_its_first_entry() {
    let stage = staged().await;
    stage.found_another().await;
    commit(&stage.platform, enable("f", true)).await;
    let told = stage.told(&org()).await;
    assert_eq!(told.first().unwrap(), "home organization.created");
    assert_eq!(told.last().unwrap(), "home flag.enabled f");
    assert!(told.iter().all(|line| line.starts_with("home ")), "{told:?}");
    let told = stage.all_told().await;
    assert_eq!(told.first().unwrap(), "another organization.created");
    assert!(told.iter().all(|line| line.starts_with("another ")), "{told:?}");
    assert!(stage.all_told().await.is_empty(), "nothing is told twice");
}

#[tokio::test]
async fn what_was_before_a_sink_began_is_not_told_but_for_organizations_made_since() {
    let stage = staged().await;
    handle::begin_events(&stage.platform).await.unwrap();
    stage.found_another().await;
    commit(&stage.platform, tenant("acme")).await;
    assert_eq!(stage.told(&org()).await, ["home tenant.created acme"]);
    let told = stage.all_told().await;
    assert_eq!(told.first().unwrap(), "another organization.created");
    // Begun once, it goes on where it was, however often that is asked for.
    commit(&stage.platform, tenant("globex")).await;
    handle::begin_events(&stage.platform).await.unwrap();
    assert_eq!(stage.all_told().await, ["home tenant.created globex"]);
}

#[tokio::test]
async fn what_a_sink_refuses_is_tried_again_and_what_is_new_waits_behind_it() {
    let stage = staged().await;
    stage.all_told().await;
    stage.sink.refuses.store(2, Ordering::SeqCst);
    commit(&stage.platform, tenant("acme")).await;
    commit(&stage.platform, tenant("globex")).await;
    // Of two the first is tried and the second waits, so that it does not come before.
    assert!(stage.told(&org()).await.is_empty());
    assert_eq!(stage.sink.refuses.load(Ordering::SeqCst), 1);
    stage.timer.advance(RETRY_AFTER[0] - Duration::from_secs(1));
    assert!(stage.all_told().await.is_empty(), "a second too early");
    assert_eq!(stage.sink.refuses.load(Ordering::SeqCst), 1, "nobody tried");
    stage.timer.advance(Duration::from_secs(1));
    // Refused once more, so the first waits for longer; the second, being tried before, is taken.
    assert_eq!(stage.all_told().await, ["home tenant.created globex"]);
    stage.timer.advance(RETRY_AFTER[1]);
    assert_eq!(stage.all_told().await, ["home tenant.created acme"]);
    assert!(stage.all_told().await.is_empty());
}

#[tokio::test]
async fn nothing_is_told_once_the_time_is_over() {
    let stage = staged().await;
    let now = stage.timer.now();
    handle::events_until(&stage.platform, &stage.sink, &org(), now).await;
    handle::all_events(&stage.platform, &stage.sink, now).await.unwrap();
    assert!(stage.sink.taken().is_empty());
}
