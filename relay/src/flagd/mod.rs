//! flagd's evaluation protocol (`flagd.evaluation.v1` and `v2`) over gRPC, so that flagd's providers can ask a relay.
//! The addresses stand beside OFREP's on the same listener, which takes HTTP/2 without asking for it first.

mod call;
mod caller;
mod evaluate;
mod events;
mod follow;
mod message;
mod structs;

use std::sync::Arc;

use axum::Router;

use crate::relay::Relay;
use call::{streaming, unary};

/// The two versions of the evaluation service. Their messages are the same, but that the second may leave a value out; and only
/// the first answers all flags at once.
const EVALUATION: [&str; 2] = ["/flagd.evaluation.v1.Service", "/flagd.evaluation.v2.Service"];

/// Every address there is: what is measured is measured by these.
#[cfg(any(test, feature = "metrics"))]
pub(crate) const PATHS: [&str; 13] = [
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
];

/// The methods of both services.
pub(crate) fn routes(relay: &Arc<Relay>) -> Router {
    let [first, _] = EVALUATION;
    let mut routes =
        Router::new().route(&format!("{first}/ResolveAll"), unary(relay, evaluate::all));
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
    use super::{EVALUATION, PATHS};

    #[test]
    fn every_method_is_among_those_that_are_measured() {
        let (routes, _) = include_str!("mod.rs").split_once("mod tests").unwrap();
        let methods = routes.split("{service}/").skip(1);
        let methods: Vec<&str> = methods.filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(methods.len() * EVALUATION.len() + 1, PATHS.len(), "{methods:?}");
        for service in EVALUATION {
            for path in methods.iter().map(|method| format!("{service}/{method}")) {
                assert!(PATHS.contains(&path.as_str()), "{path} is in no measure");
            }
        }
    }
}
