//! What a relay tells of single requests, as OpenTelemetry's traces: a span for each, in the trace that its caller began, and
//! one for each look at an origin. Where nobody set up where they go they cost next to nothing.
//!
//! A trace leaves the house. It says which address was asked, of which organization and environment, and how a flag was
//! answered: no keys, no tenants, and nothing of a context.

mod collector;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use flagforge_flags::Answer;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{FutureExt as _, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;

use crate::env_id::EnvId;

pub use collector::{Traces, TracesError};

const NAME: &str = "flagforge-relay";
/// Whoever looks every few seconds whether a relay lives learns nothing from a trace.
const UNTOLD: [&str; 2] = ["/healthz", "/readyz"];
/// Bytes of a flag's key that are told: of the longest there can be. Of one that is not there somebody chose what it says.
const MAX_KEY_BYTES: usize = 128;

/// A request's span: from its head until its answer's head.
pub(crate) async fn trace(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let Some(path) = path.filter(|path| !UNTOLD.contains(&path.as_str())) else {
        return next.run(request).await;
    };
    let headers = HeaderExtractor(request.headers());
    let caller = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    let (tracer, method) = (global::tracer(NAME), known(request.method()));
    let span = tracer.span_builder(format!("{method} {path}")).with_kind(SpanKind::Server);
    let span = span.with_attributes([
        KeyValue::new("http.request.method", method),
        KeyValue::new("http.route", path),
    ]);
    let context = caller.with_span(span.start_with_context(&tracer, &caller));
    let response = next.run(request).with_context(context.clone()).await;
    let (span, status) = (context.span(), response.status());
    span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    if status.is_server_error() {
        span.set_attribute(KeyValue::new("error.type", status.as_str().to_owned()));
        span.set_status(Status::error(""));
    }
    span.end();
    response
}

/// Anybody can send any word for a method.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        Method::HEAD => "HEAD",
        _ => "_OTHER",
    }
}

/// Notes of which environment a request is, once its key is known.
pub(crate) fn place(id: &EnvId) {
    Context::map_current(|context| {
        if context.span().is_recording() {
            context.span().set_attributes(attributes(id));
        }
    });
}

/// Notes how a flag was answered, under the names of OpenTelemetry's conventions, as the SDK's `Traced` does. Of the user it
/// tells nothing.
pub(crate) fn evaluated(id: &EnvId, key: &str, answer: &Answer<'_>) {
    Context::map_current(|context| {
        let span = context.span();
        if !span.is_recording() {
            return;
        }
        let mut told = vec![
            KeyValue::new("feature_flag.key", key.get(..MAX_KEY_BYTES).unwrap_or(key).to_owned()),
            KeyValue::new("feature_flag.provider.name", "flagforge"),
            KeyValue::new("feature_flag.set.id", format!("{}/{}", id.org, id.env)),
            KeyValue::new("feature_flag.result.reason", word(answer.reason.as_str())),
        ];
        let variant = answer.variant.map(|variant| ("feature_flag.result.variant", variant.into()));
        let version = answer.flag_version.map(|it| ("feature_flag.version", it.to_string()));
        let error = answer.error.as_ref().map(|error| ("error.type", word(error.code())));
        told.extend(
            [variant, version, error]
                .into_iter()
                .flatten()
                .map(|(name, value)| KeyValue::new(name, value)),
        );
        span.add_event("feature_flag.evaluation", told);
    });
}

/// OpenTelemetry writes OpenFeature's words in lower case.
fn word(word: &str) -> String {
    word.to_ascii_lowercase()
}

/// A look at an environment's origin, and whether it went well.
pub(crate) async fn looked<T>(
    what: &'static str,
    id: &EnvId,
    look: impl Future<Output = T>,
    well: impl FnOnce(&T) -> bool,
) -> T {
    let (tracer, before) = (global::tracer(NAME), Context::current());
    let span = tracer.span_builder(what).with_attributes(attributes(id));
    let context = before.with_span(span.start_with_context(&tracer, &before));
    let found = look.with_context(context.clone()).await;
    if !well(&found) {
        context.span().set_status(Status::error("the origin did not answer as it should"));
    }
    context.span().end();
    found
}

fn attributes(id: &EnvId) -> [KeyValue; 2] {
    [
        KeyValue::new("flagforge.organization", id.org.to_string()),
        KeyValue::new("flagforge.environment", id.env.to_string()),
    ]
}
