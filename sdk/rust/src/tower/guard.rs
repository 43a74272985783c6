//! Endpoints that a flag switches.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use http::request::Parts;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::problem::not_found;
use crate::flag::Flag;
use crate::tenant::{Asking, Tenant};

type Asker = dyn for<'a> Fn(&'a Tenant, &'a Parts) -> Asking<'a> + Send + Sync;
type Otherwise = dyn Fn(&Parts) -> Response<String> + Send + Sync;

/// Lets requests through for whose tenant a flag is on. To the others the endpoint is not there: 404, or what
/// [`FlagGuard::otherwise`] says. A request without a tenant in its extensions is one of the others, so the guard
/// stands inside of a [`TenantLayer`](super::TenantLayer).
#[derive(Clone)]
pub struct FlagGuard {
    flag: Flag<bool>,
    asker: Arc<Asker>,
    otherwise: Arc<Otherwise>,
}

impl fmt::Debug for FlagGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlagGuard").field("flag", &self.flag).finish_non_exhaustive()
    }
}

impl FlagGuard {
    /// A guard that asks on the tenant's behalf. The flag's default decides while there is no answer.
    pub fn new(flag: Flag<bool>) -> Self {
        let asker: Arc<Asker> = Arc::new(|tenant, _| tenant.asking());
        Self { flag, asker, otherwise: Arc::new(|_| not_found()) }
    }

    /// Asks for whoever the closure says: a user of the tenant, with attributes that the request has.
    pub fn asking(
        mut self,
        asker: impl for<'a> Fn(&'a Tenant, &'a Parts) -> Asking<'a> + Send + Sync + 'static,
    ) -> Self {
        self.asker = Arc::new(asker);
        self
    }

    /// What is answered while the flag is off.
    pub fn otherwise(
        mut self,
        otherwise: impl Fn(&Parts) -> Response<String> + Send + Sync + 'static,
    ) -> Self {
        self.otherwise = Arc::new(otherwise);
        self
    }

    fn lets(&self, parts: &Parts) -> bool {
        let tenant = parts.extensions.get::<Tenant>();
        tenant.is_some_and(|tenant| (self.asker)(tenant, parts).flags().get(&self.flag))
    }
}

impl<S> Layer<S> for FlagGuard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, guard: self.clone() }
    }
}

/// The service that [`FlagGuard`] makes.
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    inner: S,
    guard: FlagGuard,
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response<R>, S::Error>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        if self.guard.lets(&parts) {
            return Either::Right(self.inner.call(Request::from_parts(parts, body)));
        }
        Either::Left(ready(Ok((self.guard.otherwise)(&parts).map(R::from))))
    }
}
