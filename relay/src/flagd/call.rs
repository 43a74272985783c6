//! A method of a gRPC service as a route.

use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use axum::routing::{MethodRouter, post};
use futures_util::Stream;
use prost::Message;
use tonic::server::Grpc;
use tonic::{Response, Status};
use tonic_prost::ProstCodec;

use super::caller::status;
use crate::ofrep::MAX_BODY_BYTES;
use crate::problem::Refused;
use crate::relay::Relay;

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
            grpc::<A, Q>().unary(service, request).await.map(Body::new)
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
            grpc::<A, Q>().server_streaming(service, request).await.map(Body::new)
        }
    })
}

/// A method that there is not, said so that no proxy between takes it for an address that there is not.
pub(super) fn missing() -> MethodRouter {
    post(async || Status::unimplemented("there is no such method here").into_http::<Body>())
}

/// A request may be as large here as OFREP's.
fn grpc<A, Q>() -> Grpc<ProstCodec<A, Q>>
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
{
    Grpc::new(ProstCodec::default()).max_decoding_message_size(MAX_BODY_BYTES)
}
