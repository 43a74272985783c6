//! How far SDKs are, as a relay hears it and passes it up.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;
use flagforge::Client;
use flagforge::origin::OriginError;
use flagforge::propagation::{MAX_REPORTS, Propagation, Report, Reporter, ReporterKind, Reports};
use flagforge_flags::KeyKind;
use flagforge_flags::manifest::ScopeId;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::kit::tenant;
use crate::world::{World, publish, relay};

const SOON: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct ControlPlane(mpsc::UnboundedSender<Report>);

#[async_trait]
impl Reporter for ControlPlane {
    async fn report(&self, scope: &ScopeId, reports: &Reports) -> Result<bool, OriginError> {
        assert_eq!(scope.to_string(), "demo/prod/environment");
        reports.reports.iter().for_each(|report| self.0.send(report.clone()).unwrap());
        Ok(true)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_passes_up_how_far_it_and_its_sdks_are() {
    let mut world = World::new();
    let (to, mut heard) = mpsc::unbounded_channel();
    world.relay = relay(&world.publisher, |config| {
        config.reports_to = Some(Arc::new(ControlPlane(to)));
        config.report_every = SOON;
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = flagforge_relay::app(Arc::clone(&world.relay));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let pin = &world.publisher.pinned()[0];
    let connection = format!("flagforge+http://{}@{address}/demo/prod?roots={pin}", world.server);
    let propagation = Propagation::default().named("checkout").unwrap().every(SOON);
    let client = Client::connect(&connection).propagation(propagation).await.unwrap();
    // From nothing to the first revision, and from that to the next: both say so, and the second time how long it took.
    for lag_is_known in [false, true] {
        let revision = Some(world.publisher.revision);
        let (mut by_relay, mut by_sdk) = (None, None);
        while by_relay.is_none() || by_sdk.is_none() {
            let next = tokio::time::timeout(Duration::from_secs(10), heard.recv()).await;
            let report = next.unwrap().unwrap();
            if report.revision == revision {
                assert_eq!(report.lag_millis.is_some(), lag_is_known, "{report:?}");
                let of_sdk = report.kind == ReporterKind::Sdk;
                *(if of_sdk { &mut by_sdk } else { &mut by_relay }) = Some(report);
            }
        }
        assert_ne!(by_relay.unwrap().reporter, by_sdk.as_ref().unwrap().reporter);
        assert_eq!(by_sdk.unwrap().name.unwrap().as_str(), "checkout");
        publish(&mut world.publisher, "blue");
        world.relay.notify(&world.publisher.org, &world.publisher.env).await;
    }
    drop(client);
}

#[tokio::test]
async fn only_services_of_the_environment_are_heard_and_no_more_at_once_than_the_limit() {
    let mut client = String::new();
    let world = World::with(|publisher| {
        client = publisher.key(KeyKind::Client, "k2", |key| key.tenant = Some(tenant("acme")));
    });
    let reports = |count: usize| {
        let report = |n| json!({"reporter": format!("r{n}"), "kind": "sdk", "version": "go 1", "status": "ready"});
        json!({"reports": (0..count).map(report).collect::<Vec<Json>>()}).to_string()
    };
    let say = async |place: &str, key: &str, body: String| {
        let path = format!("/data/v1/{place}/propagation");
        world.call("POST", &path, &[("x-api-key", key)], body).await.status
    };
    assert_eq!(say("demo/prod", &world.server, reports(MAX_REPORTS)).await, StatusCode::NO_CONTENT);
    let over = say("demo/prod", &world.server, reports(MAX_REPORTS + 1)).await;
    assert_eq!(over, StatusCode::BAD_REQUEST);
    assert_eq!(say("demo/prod", &world.server, "{".into()).await, StatusCode::BAD_REQUEST);
    let long = say("demo/prod", &world.server, " ".repeat((64 << 10) + 1)).await;
    assert_eq!(long, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(say("demo/prod", &client, reports(1)).await, StatusCode::FORBIDDEN);
    assert_eq!(say("demo/prod", "ff_server_demo.x_y", reports(1)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(say("other/prod", &world.server, reports(1)).await, StatusCode::NOT_FOUND);
}
