//! The addresses of the data plane.

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, get, post};

use crate::relay::Relay;
use crate::{browser, bulk, data, grants, heard, ofrep, operation, refetch, scoped};

/// Every address there is: what is measured is measured by these.
#[cfg(any(test, feature = "metrics"))]
pub(crate) const PATHS: [&str; 19] = [
    "/healthz",
    "/readyz",
    "/ofrep/v1/evaluate/flags/{*key}",
    "/ofrep/v1/evaluate/flags",
    "/ofrep/v1/evaluate/flags/",
    refetch::PATH,
    "/notify/sns",
    "/data/v1/explain/{*key}",
    "/data/v1/{org}/{env}/trust",
    "/data/v1/{org}/{env}/trust/{number}",
    "/data/v1/{org}/{env}/environment",
    "/data/v1/{org}/{env}/relay",
    "/data/v1/{org}/{env}/canary",
    "/data/v1/{org}/{env}/tenant",
    "/data/v1/{org}/{env}/tenant/stream",
    "/data/v1/{org}/{env}/stream",
    "/data/v1/{org}/{env}/propagation",
    "/data/v1/{org}/{env}/grant",
    "/data/v1/{org}/{env}/chunks/{sha256}",
];

/// The whole data plane, for servers.
pub fn app(relay: Arc<Relay>) -> Router {
    let of_servers = Router::new()
        .route("/data/v1/{org}/{env}/stream", get(data::stream))
        .route("/data/v1/{org}/{env}/tenant/stream", get(scoped::tenant_stream))
        .route("/data/v1/{org}/{env}/propagation", post(heard::propagation))
        .route(refetch::PATH, get(refetch::stream).options(browser::preflight))
        .with_state(Arc::clone(&relay));
    let others = routes(post(bulk::evaluate_flags_and_stream)).with_state(Arc::clone(&relay));
    #[cfg(feature = "flagd")]
    let others = others.merge(crate::flagd::routes(&relay));
    #[cfg(feature = "sns")]
    let others = others.merge(
        Router::new()
            .route("/notify/sns", post(crate::sns::notified))
            .with_state(Arc::clone(&relay)),
    );
    measured(others.merge(of_servers), relay)
}

/// The data plane for functions, which can neither hold a connection open nor keep what is reported.
pub fn app_without_streams(relay: Arc<Relay>) -> Router {
    let routes = routes(post(bulk::evaluate_flags)).with_state(Arc::clone(&relay));
    measured(routes, relay)
}

#[cfg(feature = "metrics")]
fn measured(routes: Router, relay: Arc<Relay>) -> Router {
    traced(routes.layer(axum::middleware::from_fn_with_state(relay, crate::measures::measure)))
}

#[cfg(not(feature = "metrics"))]
fn measured(routes: Router, _: Arc<Relay>) -> Router {
    traced(routes)
}

#[cfg(feature = "otel")]
fn traced(routes: Router) -> Router {
    routes.layer(axum::middleware::from_fn(crate::traces::trace))
}

#[cfg(not(feature = "otel"))]
const fn traced(routes: Router) -> Router {
    routes
}

fn routes(all_flags: MethodRouter<Arc<Relay>>) -> Router<Arc<Relay>> {
    Router::new()
        .route("/healthz", get(operation::health))
        .route("/readyz", get(operation::readiness))
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
}

#[cfg(test)]
mod tests {
    use super::PATHS;

    #[test]
    fn every_address_is_among_those_that_are_measured() {
        let (routes, _) = include_str!("router.rs").split_once("mod tests").unwrap();
        let routed = routes.split(".route(").skip(1).filter_map(|rest| rest.split('"').nth(1));
        let routed: Vec<&str> = routed.filter(|path| path.starts_with('/')).collect();
        assert!(routed.len() >= PATHS.len() - 1, "{routed:?}");
        for path in routed {
            assert!(PATHS.contains(&path), "{path} is in no measure");
        }
    }
}
