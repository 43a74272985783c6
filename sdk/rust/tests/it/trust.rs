//! Keys that change: rotation, revocation, a stolen key's absurd revision.

use std::time::Duration;

use flagforge::origin::FolderOrigin;
use flagforge::{Client, Flag, Status};

use crate::kit::{Publisher, boolean, directory, secret_key};

const DASHBOARD: Flag<bool> = Flag::new("new-dashboard", false);

async fn start(publisher: &Publisher, pins: &[flagforge_flags::manifest::Thumbprint]) -> Client {
    let origin = std::sync::Arc::new(FolderOrigin::new(&publisher.folder));
    Client::over(origin, publisher.environment(), pins.to_vec())
        .start_within(Duration::from_millis(400))
        .poll_every(Duration::from_millis(20))
        .await
        .unwrap()
}

fn place() -> (tempfile::TempDir, Publisher) {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
    (folder, publisher)
}

#[tokio::test]
async fn a_client_that_slept_through_rotations_walks_the_chain() {
    let (_folder, mut publisher) = place();
    let pins = publisher.pinned();
    for seed in 10..14 {
        let before = std::mem::replace(&mut publisher.roots, vec![secret_key(seed)]);
        publisher.online = secret_key(seed + 50);
        publisher.publish_trust(&before);
    }
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
    let client = start(&publisher, &pins).await;
    assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());

    // Pinned anew, it needs no step; pinned to a stranger, no step helps.
    assert_eq!(start(&publisher, &publisher.pinned()).await.status(), Status::Ready);
    let stranger = [secret_key(99).public().thumbprint()];
    assert_eq!(start(&publisher, &stranger).await.status(), Status::Defaults);
}

#[tokio::test]
async fn a_step_that_nobody_vouches_for_ends_the_walk() {
    let (_folder, mut publisher) = place();
    let pins = publisher.pinned();
    publisher.roots = vec![secret_key(10)];
    publisher.online = secret_key(60);
    publisher.publish_trust(&[]);
    publisher.publish(&[boolean("new-dashboard")], &[]);
    let client = start(&publisher, &pins).await;
    assert_eq!(client.status(), Status::Defaults);
    assert!(client.trouble().unwrap().contains("signatures"), "{:?}", client.trouble());
}

#[tokio::test]
async fn a_running_client_follows_a_new_online_key_and_outlives_a_stolen_one() {
    let (_folder, mut publisher) = place();
    let client = start(&publisher, &publisher.pinned()).await;
    assert_eq!(client.status(), Status::Ready);

    // Whoever stole the signing key publishes an absurd revision.
    let honest = publisher.revision;
    publisher.revision.env = u64::MAX - 1;
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &[])]);
    wait(&client, |client| !client.tenant("acme").unwrap().flags().get(&DASHBOARD)).await;

    // The authors revoke it: another online key, a higher epoch, and on from where they were.
    publisher.online = secret_key(40);
    publisher.signing = secret_key(41);
    publisher.epoch += 1;
    publisher.publish_trust(&[]);
    publisher.revision = honest;
    publisher.serial = 0;
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
    wait(&client, |client| client.tenant("acme").unwrap().flags().get(&DASHBOARD)).await;
    assert_eq!(client.status(), Status::Ready);
    assert_eq!(client.revision().unwrap().to_string(), "1.2");
}

async fn wait(client: &Client, condition: impl Fn(&Client) -> bool) {
    for _ in 0..1_000 {
        if condition(client) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not within five seconds: {:?}", client.trouble());
}
