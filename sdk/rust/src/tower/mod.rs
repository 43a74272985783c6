//! The tenant of a request, for servers built of `tower` services, axum's among them: found once, by a layer, and
//! carried in the request's extensions, never in a global. And a guard that lets a flag decide whether an endpoint is there.
//!
//! ```
//! use axum::{Extension, Router, routing::get};
//! use flagforge::tower::{FlagGuard, TENANT_HEADER, TenantLayer};
//! use flagforge::{Client, Flag, Tenant};
//!
//! const CHECKOUT: Flag<bool> = Flag::new("checkout.express", false);
//!
//! #[derive(Clone)]
//! struct Claims { tenant: String }
//!
//! fn app(client: Client) -> Router {
//!     let tenants = TenantLayer::new(client)
//!         // Put there by the host's own layer, outside of this one, once it has verified the token.
//!         .claim(|request| Some(request.extensions.get::<Claims>()?.tenant.clone()))
//!         .header(TENANT_HEADER)
//!         .subdomain_of("example.com");
//!     Router::new()
//!         .route("/checkout", get(async |Extension(tenant): Extension<Tenant>| tenant.key().to_string()))
//!         .layer(FlagGuard::new(CHECKOUT))
//!         .layer(tenants)
//! }
//! ```

mod guard;
mod named;
mod problem;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use http::request::Parts;
use http::{HeaderName, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::client::Client;

pub use guard::{FlagGuard, Guarded};
pub use named::TENANT_HEADER;
use named::{Named, Source};
use problem::invalid;

/// Finds the tenant of each request and puts a [`Tenant`](crate::Tenant) into its extensions. Every source that is
/// configured is read; a request in which two say different tenants, or one says what is no tenant's key, is answered
/// 400 and goes no further, and so is one that names none, unless [`TenantLayer::optional`] allows that.
///
/// A header and a host name are what the client says. Behind a gateway that sets them that is good enough; where
/// clients reach the service themselves, configure [`TenantLayer::claim`]: then the other sources may only agree
/// with what was verified, and never stand alone.
#[derive(Clone)]
pub struct TenantLayer {
    config: Arc<Config>,
}

#[derive(Clone)]
struct Config {
    client: Client,
    sources: Vec<Source>,
    required: bool,
}

impl fmt::Debug for TenantLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { sources, required, .. } = &*self.config;
        f.debug_struct("TenantLayer").field("sources", sources).field("required", required).finish()
    }
}

impl TenantLayer {
    /// A layer without sources yet, that requires a tenant.
    pub fn new(client: Client) -> Self {
        Self { config: Arc::new(Config { client, sources: Vec::new(), required: true }) }
    }

    /// Reads a header; [`TENANT_HEADER`] is the one that the relay reads too.
    pub fn header(self, name: HeaderName) -> Self {
        self.with(|config| config.sources.push(Source::Header(name)))
    }

    /// Reads the label before a domain in the request's host: `acme` in `acme.example.com`. A host beside the domain,
    /// or the domain itself, names no tenant; more labels than one are refused. Host names know no capitals, so
    /// tenants whose keys have some are not reached this way.
    pub fn subdomain_of(self, domain: &str) -> Self {
        let domain = domain.trim_matches('.').to_ascii_lowercase();
        self.with(|config| config.sources.push(Source::Subdomain(domain.into())))
    }

    /// Reads the tenant from what the host has verified, say the claims of a token that an outer layer left in the
    /// extensions. Nothing is verified here: what the closure answers is believed.
    pub fn claim(self, claim: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        self.with(|config| config.sources.push(Source::Claim(Arc::new(claim))))
    }

    /// Lets requests pass that name no tenant, without one in their extensions.
    pub fn optional(self) -> Self {
        self.with(|config| config.required = false)
    }

    fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }
}

impl<S> Layer<S> for TenantLayer {
    type Service = Tenanted<S>;

    fn layer(&self, inner: S) -> Tenanted<S> {
        Tenanted { inner, config: Arc::clone(&self.config) }
    }
}

/// The service that [`TenantLayer`] makes.
#[derive(Clone)]
pub struct Tenanted<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S: fmt::Debug> fmt::Debug for Tenanted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenanted").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for Tenanted<S>
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
        let (mut parts, body) = request.into_parts();
        let Config { client, sources, required } = &*self.config;
        match Named::by(&parts, sources, *required) {
            Ok(Some(key)) => {
                parts.extensions.insert(client.tenant_with(key));
                Either::Right(self.inner.call(Request::from_parts(parts, body)))
            }
            Ok(None) => Either::Right(self.inner.call(Request::from_parts(parts, body))),
            Err(detail) => Either::Left(ready(Ok(invalid(&detail).map(R::from)))),
        }
    }
}
