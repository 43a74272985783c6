//! The addresses of the data plane.

use std::sync::Arc;

use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::relay::Relay;
use crate::{browser, bulk, data, grants, heard, ofrep, refetch, scoped};

/// The whole data plane, for servers.
pub fn app(relay: Arc<Relay>) -> Router {
    let of_servers = Router::new()
        .route("/data/v1/{org}/{env}/stream", get(data::stream))
        .route("/data/v1/{org}/{env}/tenant/stream", get(scoped::tenant_stream))
        .route("/data/v1/{org}/{env}/propagation", post(heard::propagation))
        .route(refetch::PATH, get(refetch::stream).options(browser::preflight))
        .with_state(Arc::clone(&relay));
    app_with(post(bulk::evaluate_flags_and_stream), relay).merge(of_servers)
}

/// The data plane for functions, which can neither hold a connection open nor keep what is reported.
pub fn app_without_streams(relay: Arc<Relay>) -> Router {
    app_with(post(bulk::evaluate_flags), relay)
}

fn app_with(all_flags: MethodRouter<Arc<Relay>>, relay: Arc<Relay>) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route(
            "/ofrep/v1/evaluate/flags/{*key}",
            post(ofrep::evaluate_flag).options(browser::preflight),
        )
        .route("/ofrep/v1/evaluate/flags", all_flags.options(browser::preflight))
        // A key of no characters; some clients put it there.
        .route(
            "/ofrep/v1/evaluate/flags/",
            post(ofrep::evaluate_nothing).options(browser::preflight),
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
