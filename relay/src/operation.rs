//! What whoever runs a relay asks of it: whether it lives, whether it may be sent requests, and what it measures. It tells
//! the names of organizations and environments, so it has an address of its own, which nobody else should reach.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::{Value, json};

use crate::relay::Relay;

/// `/healthz` and `/readyz`, with the feature `metrics` `/metrics`, and with the feature `server` `/configuration`.
pub fn operation(relay: Arc<Relay>) -> Router {
    let router = Router::new().route("/healthz", get(health)).route("/readyz", get(readiness));
    #[cfg(feature = "metrics")]
    let router = router.route("/metrics", get(metrics));
    #[cfg(feature = "server")]
    let router = router.route("/configuration", get(configuration));
    router.with_state(relay)
}

/// `GET /healthz`: the process lives.
pub(crate) async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Whether a relay may be sent requests, and if not why. It names nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Readiness {
    status: &'static str,
    /// How many are held in memory.
    environments: usize,
    /// How many it was told to begin with and has no manifest of.
    lacking: usize,
}

impl Readiness {
    pub(crate) const fn of(closed: bool, environments: usize, lacking: usize) -> Self {
        let status = match (closed, lacking) {
            (true, _) => "draining",
            (false, 0) => "ready",
            (false, _) => "starting",
        };
        Self { status, environments, lacking }
    }
}

/// `GET /readyz`: 200 while it has a manifest of every environment that it was told to begin with, however old, and does not
/// end; else 503.
pub(crate) async fn readiness(State(relay): State<Arc<Relay>>) -> Response {
    let readiness = relay.readiness();
    let ready = readiness.status == "ready";
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

/// `GET /configuration`: what may change while it runs, as it is in force.
#[cfg(feature = "server")]
async fn configuration(State(relay): State<Arc<Relay>>) -> Json<crate::tuning::InForce> {
    Json(crate::tuning::InForce::clone(&relay.tuned.in_force()))
}

/// `GET /metrics`: the text format of OpenMetrics 1.0.
#[cfg(feature = "metrics")]
async fn metrics(State(relay): State<Arc<Relay>>) -> Response {
    use axum::http::header::CONTENT_TYPE;
    match relay.measures.told(&relay) {
        Ok(text) => {
            let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, media)], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "what was measured could not be told");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
