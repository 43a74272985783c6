//! Starts: bounded, and honest about what they came to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use flagforge::origin::{Fetched, Origin, OriginError};
use flagforge::{Client, ConnectError, Flag, FlagError, Reason, Status};
use flagforge_flags::manifest::{Named, ScopeId};

use crate::kit::{Publisher, boolean, directory};

const DASHBOARD: Flag<bool> = Flag::new("new-dashboard", true);

/// An origin that never answers.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl Origin for Silent {
    async fn trust(&self, _: &ScopeId, _: Option<u64>) -> Result<Option<Bytes>, OriginError> {
        std::future::pending().await
    }

    async fn root(&self, _: &ScopeId, _: Option<&str>) -> Result<Fetched, OriginError> {
        std::future::pending().await
    }

    async fn chunk(&self, _: &ScopeId, _: Named) -> Result<Option<Bytes>, OriginError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_start_with_nothing_serves_defaults_within_its_bound_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let publisher = Publisher::new(folder.path());
    let begun = Instant::now();
    let client = Client::over(Arc::new(Silent), publisher.environment(), publisher.pinned())
        .start_within(Duration::from_millis(200))
        .await
        .unwrap();
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(1), "{took:?}");
    assert_eq!((client.status(), client.age(), client.revision()), (Status::Defaults, None, None));

    let acme = client.tenant("acme").unwrap();
    let flags = acme.flags();
    let details = flags.details(&DASHBOARD);
    assert!(details.value && flags.get(&DASHBOARD));
    assert_eq!((details.reason, details.error), (Reason::Error, Some(FlagError::NotReady)));
    assert_eq!(FlagError::NotReady.code(), "PROVIDER_NOT_READY");
}

#[tokio::test]
async fn a_start_waits_for_an_origin_that_comes_late() {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    let connection = publisher.connection();
    let start = tokio::spawn(async move {
        Client::connect(&connection).start_within(Duration::from_secs(20)).await.unwrap()
    });
    tokio::time::sleep(Duration::from_millis(150)).await;
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &[])]);
    let client = start.await.unwrap();
    assert_eq!(client.status(), Status::Ready);
}

#[tokio::test]
async fn a_manifest_past_its_time_is_served_and_not_called_ready() {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new(folder.path());
    publisher.issued = crate::kit::ago(Duration::from_secs(7_200));
    publisher.expires = crate::kit::ago(Duration::from_secs(3_600));
    publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
    let client = Client::connect(&publisher.connection()).await.unwrap();
    assert_eq!(client.status(), Status::LastKnownGood);
    assert!(client.tenant("acme").unwrap().flags().get(&DASHBOARD));
}

#[tokio::test]
async fn only_bad_configuration_is_an_error() {
    let pin = "A".repeat(43);
    for bad in [
        String::new(),
        "http://127.0.0.1:8080/demo/prod".to_owned(),
        format!("flagforge+ftp://x/demo/prod?roots={pin}"),
        "flagforge+file:///tmp?org=demo&env=prod".to_owned(),
        format!("flagforge+file:///tmp?org=demo&roots={pin}"),
        format!("flagforge+http://127.0.0.1:1/demo/prod?roots={pin}"),
    ] {
        let outcome = Client::connect(&bad).start_within(Duration::ZERO).await;
        assert!(matches!(outcome, Err(ConnectError::Connection(_))), "{bad}: {outcome:?}");
    }
    let nowhere = format!("flagforge+file:///no/such/folder?org=demo&env=prod&roots={pin}");
    let client = Client::connect(&nowhere).start_within(Duration::from_millis(50)).await.unwrap();
    assert_eq!(client.status(), Status::Defaults);
    assert!(client.trouble().unwrap().contains("trust document"));
}

#[test]
fn a_start_outside_a_runtime_is_an_error_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let connection = Publisher::new(folder.path()).connection();
    let outcome = futures_util::FutureExt::now_or_never(Client::connect(&connection).into_future());
    assert!(matches!(outcome, Some(Err(ConnectError::NoRuntime))), "{outcome:?}");
}

#[test]
fn handles_cross_threads_and_awaits() {
    fn crosses<T: Send + Sync>() {}
    crosses::<Client>();
    crosses::<flagforge::Tenant>();
    crosses::<flagforge::Flags<'_>>();
    crosses::<flagforge::Untenanted>();
}
