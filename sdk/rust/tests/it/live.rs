//! A client that runs while its manifest changes, is tampered with, or goes away.

use std::fs;
use std::time::{Duration, Instant};

use flagforge::{Client, Flag, Status};

use crate::kit::{Publisher, boolean, directory};

const DASHBOARD: Flag<bool> = Flag::new("new-dashboard", false);
const POLL: Duration = Duration::from_millis(30);

async fn started(publisher: &Publisher) -> Client {
    let client = Client::connect(&publisher.connection()).poll_every(POLL).await.unwrap();
    assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());
    client
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}: not within ten seconds");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    begun.elapsed()
}

#[tokio::test]
async fn a_poll_finds_what_nobody_announced() {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &[])]);
    let client = started(&publisher).await;
    let acme = client.tenant("acme").unwrap();
    let held = acme.flags();
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
    let took = until("the flip", || acme.flags().get(&DASHBOARD)).await;
    assert!(took < POLL + Duration::from_millis(500), "{took:?}");
    assert!(!held.get(&DASHBOARD), "one `Flags` is of one revision whatever comes after it");
}

#[tokio::test]
async fn whatever_is_refused_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    publisher.revision.env = 5;
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
    let client = started(&publisher).await;
    let good = publisher.keep();
    type Attack = fn(&mut Publisher);
    let attacks: [(&str, Attack); 5] = [
        ("another digest", |p| {
            p.publish(&[boolean("new-dashboard")], &[directory("acme", &[])]);
            for entry in fs::read_dir(p.folder.join("demo/chunks")).unwrap().flatten() {
                let mut bytes = fs::read(entry.path()).unwrap();
                bytes[2] ^= 1;
                fs::write(entry.path(), bytes).unwrap();
            }
        }),
        ("signature", |p| {
            let mut root = p.read("demo/prod/environment.jws");
            let last = root.len() - 10;
            root[last] = if root[last] == b'A' { b'B' } else { b'A' };
            p.write("demo/prod/environment.jws", &root);
        }),
        ("not for demo/prod/environment", |p| {
            let relay = p.read("demo/prod/relay.jws");
            p.write("demo/prod/environment.jws", &relay);
        }),
        ("goes back", |p| {
            p.revision.env -= 2;
            p.publish(&[boolean("new-dashboard")], &[]);
        }),
        ("malformed root", |p| p.write("demo/prod/environment.jws", b"not a manifest")),
    ];
    for (expected, attack) in attacks {
        let (revision, serial) = (publisher.revision, publisher.serial);
        attack(&mut publisher);
        until(expected, || client.trouble().is_some_and(|trouble| trouble.contains(expected)))
            .await;
        assert!(client.tenant("acme").unwrap().flags().get(&DASHBOARD), "{expected}");
        assert_eq!(client.revision().unwrap().to_string(), "1.6", "{expected}");
        assert_eq!(client.status(), Status::LastKnownGood, "{expected}");
        publisher.restore(good.path());
        (publisher.revision, publisher.serial) = (revision, serial);
        until("recovery", || client.status() == Status::Ready).await;
    }
}

#[tokio::test]
async fn age_grows_while_the_origin_is_away_and_falls_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
    let client = started(&publisher).await;
    let kept = publisher.keep();
    fs::remove_dir_all(publisher.folder.join("demo/prod")).unwrap();
    until("loss", || client.status() == Status::LastKnownGood).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(client.age().unwrap() >= Duration::from_millis(300));
    assert!(client.tenant("acme").unwrap().flags().get(&DASHBOARD));
    publisher.restore(kept.path());
    until("return", || client.status() == Status::Ready).await;
    assert!(client.age().unwrap() < Duration::from_millis(300));
}

#[tokio::test]
async fn a_function_refreshes_when_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &[])]);
    let client = Client::connect(&publisher.connection())
        .poll_every(Duration::from_secs(3_600))
        .await
        .unwrap();
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let lenient = client.refresh_if_older(Duration::from_secs(60)).within(Duration::from_secs(5));
    assert_eq!(lenient.await, Status::Ready);
    assert!(!client.tenant("acme").unwrap().flags().get(&DASHBOARD));
    let strict = client.refresh_if_older(Duration::from_millis(10)).within(Duration::from_secs(5));
    assert_eq!(strict.await, Status::Ready);
    assert!(client.tenant("acme").unwrap().flags().get(&DASHBOARD));
}
