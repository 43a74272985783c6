//! Hours without a control plane, and functions that stand still, with both clocks in the test's hands.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flagforge::testing::later;
use flagforge::{Client, Connect, Flag, Origin, Reason, Status};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::kit::{Publisher, boolean, directory, edited, flag, now};
use crate::on_demand::Watched;

const DASHBOARD: Flag<bool> = Flag::new("new-dashboard", false);
const THEME: Flag<&str> = Flag::new("theme", "-");
const WARY: Flag<bool> = Flag::new("wary", false);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const TEN_MINUTES: Duration = Duration::from_secs(10 * 60);
/// What the machine itself may take for everything here.
const SLACK: Duration = Duration::from_secs(30);

struct Place {
    publisher: Publisher,
    origin: Arc<Watched>,
    _folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut publisher = Publisher::new(folder.path());
        publisher.expires = now().plus(48 * HOUR);
        publisher.publish_trust(&[]);
        let origin = Watched::over(folder.path());
        let mut place = Self { publisher, origin, _folder: folder };
        place.publish("dark");
        place
    }

    /// Acme has the theme and the dashboard; `wary` is on, and off where the configuration is over six hours old.
    fn publish(&mut self, theme: &str) {
        let wary = edited("wary", "boolean", true, false, |wire| {
            wire["state"]["fallthrough"] = json!({"variant": "on"});
            let off = json!({"serve": {"variant": "off"}});
            wire["state"]["stale"] = json!({"afterSeconds": 6 * 60 * 60, "then": off});
        });
        let flags = [boolean("new-dashboard"), flag("theme", "string", theme, "light"), wary];
        let tenants = [directory("acme", &["new-dashboard", "theme"]), directory("globex", &[])];
        self.publisher.publish(&flags, &tenants);
    }

    fn connect(&self) -> Connect {
        let origin = Arc::clone(&self.origin) as Arc<dyn Origin>;
        Client::over(origin, self.publisher.environment(), self.publisher.pinned())
    }
}

/// A while passes, by the machine's clock and by the timers.
async fn pass(while_: Duration) {
    later(while_);
    sleep(while_).await;
}

/// Every answer is there and its tenant's own.
fn check(client: &Client, theme: &str) {
    for (name, on) in [("acme", true), ("globex", false), ("stranger", false)] {
        let tenant = client.tenant(name).unwrap();
        let flags = tenant.user("u").flags();
        let (theme, dashboard) = (if on { theme } else { "light" }, flags.details(&DASHBOARD));
        assert_eq!((flags.get(&THEME), dashboard.value, dashboard.error), (theme, on, None));
        assert!(flags.details(&WARY).error.is_none());
    }
}

fn is_about(client: &Client, age: Duration, step: Duration) {
    let told = client.age().unwrap();
    assert!(told >= age && told <= age + step + SLACK, "{told:?} where {age:?} have passed");
    let acme = client.tenant("acme").unwrap();
    let of_answers = acme.flags().basis().age.unwrap();
    assert!(of_answers >= told && of_answers < told + SLACK, "{of_answers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_is_dark_for_twelve_hours_fails_no_evaluation() {
    let mut place = Place::new();
    let client = place.connect().await.unwrap();
    for _ in 0..60 {
        pass(MINUTE).await;
        check(&client, "dark");
        assert_eq!(client.status(), Status::Ready);
        is_about(&client, Duration::ZERO, MINUTE);
    }
    place.origin.go_dark(true);
    for minute in 1..=12 * 60 {
        pass(MINUTE).await;
        check(&client, "dark");
        assert_eq!(client.status(), Status::LastKnownGood, "minute {minute}");
        assert!(client.trouble().unwrap().contains("503"));
        is_about(&client, minute * MINUTE, MINUTE);
        let acme = client.tenant("acme").unwrap();
        let flags = acme.flags();
        let wary = flags.details(&WARY);
        match minute {
            0..358 => assert_eq!((wary.value, wary.reason), (true, Reason::Default)),
            // The bound is passed somewhere between two polls.
            358..=361 => {}
            _ => assert_eq!((wary.value, wary.reason), (false, Reason::Stale)),
        }
    }
    place.publish("blue");
    place.origin.go_dark(false);
    pass(MINUTE).await;
    check(&client, "blue");
    assert_eq!((client.status(), client.trouble()), (Status::Ready, None));
    is_about(&client, Duration::ZERO, MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_root_that_is_not_signed_again_is_said_to_be_stale_once_it_has_expired() {
    let mut place = Place::new();
    place.publisher.expires = now().plus(HOUR);
    place.publish("dark");
    let client = place.connect().await.unwrap();
    for minute in 1..=90 {
        pass(MINUTE).await;
        check(&client, "dark");
        // The origin confirms it every time: only its own word says that it is old.
        is_about(&client, Duration::ZERO, MINUTE);
        let expected = if minute < 60 { Status::Ready } else { Status::LastKnownGood };
        assert!(minute == 60 || client.status() == expected, "minute {minute}");
        assert_eq!(client.trouble(), None);
    }
    place.publisher.expires = now().plus(24 * HOUR);
    place.publish("blue");
    pass(MINUTE).await;
    check(&client, "blue");
    assert_eq!(client.status(), Status::Ready);
}

/// A client of a function, which is frozen between calls: the machine's clock goes on, and no timer does.
async fn function() -> (Place, Client) {
    let place = Place::new();
    let client = place.connect().poll_every(24 * HOUR).await.unwrap();
    assert_eq!(client.status(), Status::Ready);
    (place, client)
}

/// What a call does first, and how long that took by the timers.
async fn called(client: &Client) -> (Status, Duration) {
    let begun = Instant::now();
    let status = client.refresh_if_older(5 * MINUTE / 60).within(WITHIN).await;
    (status, begun.elapsed())
}

const WITHIN: Duration = Duration::from_millis(500);

#[tokio::test(start_paused = true)]
async fn a_function_that_was_frozen_for_ten_minutes_answers_with_fresh_flags() {
    let (mut place, client) = function().await;
    for theme in ["blue", "green"] {
        place.publish(theme);
        later(TEN_MINUTES);
        is_about(&client, TEN_MINUTES, Duration::ZERO);
        let (status, took) = called(&client).await;
        assert!(status == Status::Ready && took < WITHIN, "{status}, {took:?}");
        check(&client, theme);
        is_about(&client, Duration::ZERO, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_whose_origin_is_dark_answers_in_time_and_says_how_old_it_is() {
    let (mut place, client) = function().await;
    place.publish("blue");
    place.origin.go_dark(true);
    later(TEN_MINUTES);
    let (status, took) = called(&client).await;
    assert!(status == Status::LastKnownGood && took < WITHIN, "{status}, {took:?}");
    check(&client, "dark");
    is_about(&client, TEN_MINUTES, Duration::ZERO);

    // One that says nothing costs what the call allows, and no more.
    place.origin.go_dark(false);
    place.origin.holds_back.store(true, Ordering::SeqCst);
    later(TEN_MINUTES);
    let (_, took) = called(&client).await;
    assert!(took >= WITHIN && took < WITHIN + MINUTE / 60, "{took:?}");
    check(&client, "dark");
    is_about(&client, 2 * TEN_MINUTES, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_slept_through_the_freeze_confirms_nothing_of_today() {
    let (mut place, client) = function().await;
    // A call asks, and is frozen with the answer on its way.
    place.origin.holds_back.store(true, Ordering::SeqCst);
    later(MINUTE);
    called(&client).await;
    place.publish("blue");
    later(TEN_MINUTES);
    place.origin.holds_back.store(false, Ordering::SeqCst);
    let (status, took) = called(&client).await;
    assert!(status == Status::Ready && took < WITHIN, "{status}, {took:?}");
    check(&client, "blue");
    is_about(&client, Duration::ZERO, Duration::ZERO);
}
