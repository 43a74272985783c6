//! The addresses of the data plane.

use std::sync::Arc;

use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::relay::Relay;
use crate::{browser, data, grants, heard, ofrep, scoped};

/// The whole data plane, for servers.
pub fn app(relay: Arc<Relay>) -> Router {
    let of_servers = Router::new()
        .route("/data/v1/{org}/{env}/stream", get(data::stream))
        .route("/data/v1/{org}/{env}/tenant/stream", get(scoped::tenant_stream))
        .route("/data/v1/{org}/{env}/propagation", post(heard::propagation))
        .with_state(Arc::clone(&relay));
    app_without_streams(relay).merge(of_servers)
}

/// The data plane for functions, which can neither hold a connection open nor keep what is reported.
pub fn app_without_streams(relay: Arc<Relay>) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route(
            "/ofrep/v1/evaluate/flags/{*key}",
            post(ofrep::evaluate_flag).options(browser::preflight),
        )
        .route("/data/v1/explain/{*key}", post(ofrep::explain_flag))
        .route("/data/v1/{org}/{env}/trust", get(data::trust))
        .route("/data/v1/{org}/{env}/trust/{number}", get(data::numbered_trust))
        .route("/data/v1/{org}/{env}/environment", get(data::environment_root))
        .route("/data/v1/{org}/{env}/relay", get(data::relay_root))
        .route("/data/v1/{org}/{env}/canary", get(scoped::canary_root))
        .route("/data/v1/{org}/{env}/tenant", get(scoped::tenant_root))
        .route("/data/v1/{org}/{env}/grant", post(grants::grant))
        .route("/data/v1/{org}/{env}/chunks/{sha256}", get(data::chunk))
        .with_state(relay)
}

/// `GET /healthz`: the process lives.
async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}
