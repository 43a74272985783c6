//! A method of a gRPC service as a route.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use axum::routing::{MethodRouter, post};
use futures_util::Stream;
use prost::Message;
use tokio::time::timeout;
use tonic::server::Grpc;
use tonic::{Response, Status};
use tonic_prost::ProstCodec;

use super::caller::status;
use crate::ofrep::MAX_BODY_BYTES;
use crate::problem::Refused;
use crate::relay::Relay;

/// For the request's message to come, which is OFREP's 10 s, and for the longest waits behind it: 5 s for a first load.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// What a stream tells.
pub(super) type Told<A> = Pin<Box<dyn Stream<Item = Result<A, Status>> + Send>>;

/// A method with one answer.
pub(super) fn unary<Q, A, F>(
    relay: &Arc<Relay>,
    method: impl Fn(Arc<Relay>, HeaderMap, Q) -> F + Clone + Send + Sync + 'static,
) -> MethodRouter
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
    F: Future<Output = Result<A, Refused>> + Send + 'static,
{
    let relay = Arc::clone(relay);
    post(move |request: Request<Body>| {
        let (relay, method) = (Arc::clone(&relay), method.clone());
        async move {
            let service = tower::service_fn(move |request: tonic::Request<Q>| {
                let (metadata, _, message) = request.into_parts();
                let answered = method(Arc::clone(&relay), metadata.into_headers(), message);
                async move { answered.await.map(Response::new).map_err(|it| status(&it)) }
            });
            in_time(grpc::<A, Q>().unary(service, request)).await
        }
    })
}

/// A method that answers with a stream.
pub(super) fn streaming<Q, A, F>(
    relay: &Arc<Relay>,
    method: impl Fn(Arc<Relay>, HeaderMap, Q) -> F + Clone + Send + Sync + 'static,
) -> MethodRouter
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
    F: Future<Output = Result<Told<A>, Refused>> + Send + 'static,
{
    let relay = Arc::clone(relay);
    post(move |request: Request<Body>| {
        let (relay, method) = (Arc::clone(&relay), method.clone());
        async move {
            let service = tower::service_fn(move |request: tonic::Request<Q>| {
                let (metadata, _, message) = request.into_parts();
                let answered = method(Arc::clone(&relay), metadata.into_headers(), message);
                async move { answered.await.map(Response::new).map_err(|it| status(&it)) }
            });
            in_time(grpc::<A, Q>().server_streaming(service, request)).await
        }
    })
}

/// A method that there is not, said so that no proxy between takes it for an address that there is not.
pub(super) fn missing() -> MethodRouter {
    post(async || Status::unimplemented("there is no such method here").into_http::<Body>())
}

/// An answer, or a stream's beginning. Whoever is slow to write the message that asks for it is cut off.
async fn in_time(
    answered: impl Future<Output = axum::http::Response<tonic::body::Body>>,
) -> axum::http::Response<Body> {
    let answered = timeout(ANSWER_WITHIN, answered).await;
    let late = |_| Status::deadline_exceeded("the request did not come in time").into_http();
    answered.unwrap_or_else(late).map(Body::new)
}

/// A request may be as large here as OFREP's.
fn grpc<A, Q>() -> Grpc<ProstCodec<A, Q>>
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
{
    Grpc::new(ProstCodec::default()).max_decoding_message_size(MAX_BODY_BYTES)
}
