//! flagd's protocols (`flagd.evaluation.v1` and `v2`, `flagd.sync.v1`) over gRPC, so that flagd's providers can ask a relay.
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

/// The methods of all services.
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
