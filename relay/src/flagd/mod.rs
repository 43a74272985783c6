//! flagd's protocols over gRPC, for flagd's providers: evaluation (`flagd.evaluation.v1` and `v2`) for those that ask a relay,
//! and `flagd.sync.v1` for those that evaluate by themselves. The addresses stand beside OFREP's on the same listener, which takes HTTP/2 without asking for it first.

mod call;
mod caller;
mod evaluate;
mod events;
mod export;
mod follow;
mod message;
mod structs;
mod sync;

use std::sync::Arc;

use axum::Router;

use crate::relay::Relay;
use call::{missing, streaming, unary};
pub(crate) use export::Exports;

/// The two versions of the evaluation service. Their messages are the same, but that the second may leave a value out; and only
/// the first answers all flags at once.
const EVALUATION: [&str; 2] = ["/flagd.evaluation.v1.Service", "/flagd.evaluation.v2.Service"];

/// Every address there is: what is measured is measured by these.
#[cfg(any(test, feature = "metrics"))]
pub(crate) const PATHS: [&str; 16] = [
    "/flagd.evaluation.v1.Service/ResolveAll",
    "/flagd.evaluation.v1.Service/ResolveBoolean",
    "/flagd.evaluation.v1.Service/ResolveString",
    "/flagd.evaluation.v1.Service/ResolveFloat",
    "/flagd.evaluation.v1.Service/ResolveInt",
    "/flagd.evaluation.v1.Service/ResolveObject",
    "/flagd.evaluation.v1.Service/EventStream",
    "/flagd.evaluation.v2.Service/ResolveBoolean",
    "/flagd.evaluation.v2.Service/ResolveString",
    "/flagd.evaluation.v2.Service/ResolveFloat",
    "/flagd.evaluation.v2.Service/ResolveInt",
    "/flagd.evaluation.v2.Service/ResolveObject",
    "/flagd.evaluation.v2.Service/EventStream",
    "/flagd.sync.v1.FlagSyncService/SyncFlags",
    "/flagd.sync.v1.FlagSyncService/FetchAllFlags",
    "/flagd.sync.v1.FlagSyncService/GetMetadata",
];

const SYNC: &str = "/flagd.sync.v1.FlagSyncService";

/// The methods of all services.
pub(crate) fn routes(relay: &Arc<Relay>) -> Router {
    let [first, _] = EVALUATION;
    let mut routes = Router::new()
        .route(&format!("{first}/ResolveAll"), unary(relay, evaluate::all))
        .route(&format!("{SYNC}/SyncFlags"), streaming(relay, sync::stream))
        .route(&format!("{SYNC}/FetchAllFlags"), unary(relay, sync::fetch))
        // Providers ask it without saying who they are, and go on where there is no such method.
        .route(&format!("{SYNC}/GetMetadata"), missing());
    for service in EVALUATION {
        routes = routes
            .route(&format!("{service}/ResolveBoolean"), unary(relay, evaluate::boolean))
            .route(&format!("{service}/ResolveString"), unary(relay, evaluate::string))
            .route(&format!("{service}/ResolveFloat"), unary(relay, evaluate::float))
            .route(&format!("{service}/ResolveInt"), unary(relay, evaluate::int))
            .route(&format!("{service}/ResolveObject"), unary(relay, evaluate::object))
            .route(&format!("{service}/EventStream"), streaming(relay, events::stream));
    }
    routes
}

#[cfg(test)]
mod tests {
    use super::{EVALUATION, PATHS, SYNC};

    #[test]
    fn every_method_is_among_those_that_are_measured() {
        let (routes, _) = include_str!("mod.rs").split_once("mod tests").unwrap();
        let mut paths = Vec::new();
        for (names, services) in
            [("{first}/", &EVALUATION[..1]), ("{service}/", &EVALUATION[..]), ("{SYNC}/", &[SYNC])]
        {
            let methods = routes.split(names).skip(1).filter_map(|rest| rest.split('"').next());
            for method in methods {
                paths.extend(services.iter().map(|service| format!("{service}/{method}")));
            }
        }
        let mut measured = PATHS.to_vec();
        measured.sort_unstable();
        paths.sort_unstable();
        assert_eq!(paths, measured);
    }
}
