//! Starts from a folder that was shipped with the host.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use flagforge::origin::FolderOrigin;
use flagforge::{Client, Connect, Flag, Status};

use crate::kit::{Publisher, ago, boolean, directory, secret_key};

const DASHBOARD: Flag<bool> = Flag::new("new-dashboard", false);
const HOUR: Duration = Duration::from_secs(3_600);

/// A bundle that is on for acme and was signed an hour ago, and a publisher that goes on elsewhere.
fn shipped() -> (tempfile::TempDir, tempfile::TempDir, Publisher) {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    publisher.revision.env = 4;
    publisher.issued = ago(HOUR);
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
    (publisher.keep(), folder, publisher)
}

fn connect(publisher: &Publisher, bundle: &std::path::Path) -> Connect {
    let origin = Arc::new(FolderOrigin::new(&publisher.folder));
    Client::over(origin, publisher.environment(), publisher.pinned())
        .start_within(Duration::from_millis(300))
        .poll_every(Duration::from_millis(20))
        .bootstrap(bundle)
}

fn on_for_acme(client: &Client) -> bool {
    client.tenant("acme").unwrap().flags().get(&DASHBOARD)
}

#[tokio::test]
async fn without_an_origin_it_serves_what_was_shipped_and_says_how_old_that_is() {
    let (bundle, folder, publisher) = shipped();
    fs::remove_dir_all(folder.path()).unwrap();
    let client = connect(&publisher, bundle.path()).await.unwrap();
    assert_eq!((client.status(), on_for_acme(&client)), (Status::LastKnownGood, true));
    let age = client.age().unwrap();
    assert!(age >= HOUR && age < HOUR + Duration::from_secs(30), "{age:?}");
}

#[tokio::test]
async fn the_origin_goes_on_from_it_and_never_back() {
    let (bundle, _folder, mut publisher) = shipped();
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &[])]);
    let client = connect(&publisher, bundle.path()).await.unwrap();
    assert!(client.wait_for("1.6".parse().unwrap()).within(Duration::from_secs(5)).await);
    assert_eq!((client.status(), on_for_acme(&client)), (Status::Ready, false));
    drop(client);

    publisher.revision.env = 2;
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &[])]);
    let client = connect(&publisher, bundle.path()).await.unwrap();
    assert_eq!(client.revision().unwrap().to_string(), "1.5");
    assert!(client.trouble().unwrap().contains("goes back"), "{:?}", client.trouble());
    assert!(on_for_acme(&client));
}

#[tokio::test]
async fn it_is_believed_no_more_than_an_origin() {
    let (bundle, folder, mut publisher) = shipped();
    fs::remove_dir_all(folder.path()).unwrap();
    let root = bundle.path().join("demo/prod/environment.jws");
    let signed = fs::read(&root).unwrap();
    let mut forged = signed.clone();
    let last = forged.len() - 10;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    fs::write(&root, forged).unwrap();
    assert_eq!(connect(&publisher, bundle.path()).await.unwrap().status(), Status::Defaults);
    fs::write(&root, signed).unwrap();
    publisher.roots = vec![secret_key(9)];
    assert_eq!(connect(&publisher, bundle.path()).await.unwrap().status(), Status::Defaults);
    let nothing = tempfile::tempdir().unwrap();
    assert_eq!(connect(&publisher, nothing.path()).await.unwrap().status(), Status::Defaults);
}

#[tokio::test]
async fn what_the_disk_has_comes_first() {
    let (bundle, folder, mut publisher) = shipped();
    let cache = tempfile::tempdir().unwrap();
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &[])]);
    let client = connect(&publisher, bundle.path()).cache_dir(cache.path()).await.unwrap();
    assert!(client.wait_for("1.6".parse().unwrap()).within(Duration::from_secs(5)).await);
    assert!(client.close().await);
    fs::remove_dir_all(folder.path()).unwrap();
    let client = connect(&publisher, bundle.path()).cache_dir(cache.path()).await.unwrap();
    assert_eq!((client.status(), on_for_acme(&client)), (Status::LastKnownGood, false));
}
