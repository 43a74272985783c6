//! What is kept, and how it stays fresh.

use std::time::{Duration, Instant};

use flagforge::{Flag, Status};
use flagforge_ofrep::Failure;
use tokio::time::{sleep, timeout};

use crate::world::World;

const DARK: Flag<bool> = Flag::new("dark", false);
const ALL: &str = "/ofrep/v1/evaluate/flags";
const STREAM: &str = "/ofrep/v1/stream";
const SOON: Duration = Duration::from_secs(10);

async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            sleep(Duration::from_millis(10)).await
        }
    };
    timeout(SOON, wait).await.unwrap();
}

#[tokio::test]
async fn a_kill_is_seen_within_a_second() {
    let mut world = World::new().await;
    let asking = world.remote().tenant("acme").unwrap().user("u-7");
    let mut followed = asking.follow().await.unwrap();
    assert!(followed.flags().get(&DARK) && followed.status() == Status::Ready);
    until(|| world.asked(STREAM) == [200]).await;
    let before = followed.flags();
    let begin = Instant::now();
    world.kill().await;
    timeout(SOON, followed.changed()).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    let after = followed.flags();
    assert_eq!((before.get(&DARK), after.get(&DARK)), (true, false), "one answer stays one");
    assert_eq!(
        (after.details(&DARK).reason, &after.metadata()["revision"]),
        ("DISABLED", &"1.2".into())
    );
    // The event's tag went along.
    let asked = world.asked.lock().unwrap().clone();
    let told = "/ofrep/v1/evaluate/flags?flagConfigEtag=1.1.2.0&flagConfigLastModified=";
    assert!(
        asked.iter().any(|(path, status)| path.starts_with(told) && *status == 200),
        "{asked:?}"
    );
    assert_eq!(world.asked(ALL).len(), 2, "nothing was asked but that");
}

#[tokio::test]
async fn a_stream_that_ends_is_opened_again_and_nothing_is_missed() {
    let mut world = World::with(|config| config.max_stream_age = Duration::from_millis(400)).await;
    let mut followed = world.remote().tenant("acme").unwrap().asking().follow().await.unwrap();
    until(|| world.asked(STREAM).len() >= 3).await;
    assert!(world.asked(STREAM).iter().all(|status| *status == 200));
    world.kill().await;
    timeout(SOON, followed.changed()).await.unwrap();
    assert!(!followed.flags().get(&DARK));
}

#[tokio::test]
async fn the_same_answer_is_a_304_and_confirms() {
    // Answers are asked for again when a stream lets nobody in: none is allowed here.
    let world = World::with(|config| config.max_streams = 0).await;
    let followed = world.remote().tenant("acme").unwrap().asking().follow().await.unwrap();
    assert!(followed.flags().get(&DARK));
    tokio::time::pause();
    sleep(Duration::from_secs(20)).await;
    assert!(followed.age().unwrap() >= Duration::from_secs(20));
    sleep(Duration::from_secs(11)).await;
    tokio::time::resume();
    until(|| world.asked(ALL) == [200, 304]).await;
    until(|| followed.age().unwrap() < Duration::from_secs(5)).await;
    assert_eq!((followed.flags().get(&DARK), followed.status()), (true, Status::Ready));
}

#[tokio::test]
async fn it_asks_no_more_when_nobody_follows() {
    let world = World::new().await;
    let followed = world.remote().tenant("acme").unwrap().asking().follow().await.unwrap();
    let clone = followed.clone();
    drop(followed);
    until(|| world.asked(STREAM) == [200]).await;
    assert!(clone.flags().get(&DARK));
    drop(clone);
    tokio::time::pause();
    sleep(Duration::from_secs(120)).await;
    assert_eq!(world.asked(ALL), [200]);
}

#[tokio::test]
async fn who_asks_too_often_is_left_waiting_and_nobody_else() {
    let world = World::with(|config| config.requests_per_second_of_a_tenant = 1).await;
    let (remote, other) = (world.remote(), world.remote());
    let acme = remote.tenant("acme").unwrap().asking();
    let mut passed = 0;
    let wait = loop {
        match acme.all().await {
            Ok(_) => passed += 1,
            Err(Failure::Wait(wait)) => break wait,
            Err(other) => panic!("{other:?}"),
        }
    };
    assert!((5..8).contains(&passed) && wait >= Duration::from_secs(1), "{passed} {wait:?}");
    let asked = world.asked(ALL).len();
    // The clones of this one keep still, for whomever they ask; nothing is sent.
    let flags = remote.clone().tenant("globex").unwrap().asking().one("dark").await;
    assert_eq!(flags.details(&DARK).error.unwrap().code, "GENERAL");
    assert!(matches!(acme.all().await, Err(Failure::Wait(left)) if left <= wait));
    assert_eq!(world.asked(ALL).len(), asked);
    assert!(other.tenant("globex").unwrap().asking().all().await.unwrap().get(&DARK));
    sleep(wait).await;
    assert!(acme.all().await.unwrap().get(&DARK));
}
