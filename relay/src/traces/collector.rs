//! Where traces go: to an OTLP collector over HTTP, as OpenTelemetry's own settings say.

use std::time::Duration;

use async_trait::async_trait;
use axum::http::{Request, Response};
use bytes::{Bytes, BytesMut};
use opentelemetry::{KeyValue, global};
use opentelemetry_http::{HttpClient, HttpError, ResponseBodyTooLarge};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::{info, warn};

/// What one export may take where nothing is said, as the standard has it.
const EXPORT_WITHIN: Duration = Duration::from_secs(10);
/// How long the last export may take while the process ends.
const END_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of a collector's answer: how many spans it took, and a sentence.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// The one form in which traces are sent.
const PROTOCOL: &str = "http/protobuf";

/// Traces that are sent to a collector.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

/// Why there are no traces.
#[derive(Debug)]
pub enum TracesError {
    /// A setting that cannot be followed.
    Setting(&'static str, String),
    /// What sends them cannot be made.
    Client(reqwest::Error),
    /// Nor what writes them.
    Exporter(ExporterBuildError),
}

impl std::fmt::Display for TracesError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Setting(name, value) => write!(f, "{name}={value}: this relay does not do that"),
            Self::Client(why) => write!(f, "traces: {why}"),
            Self::Exporter(why) => write!(f, "traces: {why}"),
        }
    }
}

impl std::error::Error for TracesError {}

impl Traces {
    /// As the variables `OTEL_…` say, for the whole process: `None` where they name no collector. The exporter, its batches, the sampler and
    /// the resource read the rest of them by themselves.
    pub fn begin() -> Result<Option<Self>, TracesError> {
        let off = setting(&["OTEL_SDK_DISABLED"]).is_some_and(|it| it.eq_ignore_ascii_case("true"));
        let to = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        let Some(collector) = setting(&to).filter(|_| !off) else { return Ok(None) };
        match setting(&["OTEL_TRACES_EXPORTER"]).as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(other) => return Err(TracesError::Setting("OTEL_TRACES_EXPORTER", other.into())),
        }
        let protocol = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
        if let Some(other) = setting(&protocol).filter(|it| it != PROTOCOL) {
            return Err(TracesError::Setting("OTEL_EXPORTER_OTLP_PROTOCOL", other));
        }
        let exporter = SpanExporter::builder().with_http().with_http_client(Client::new()?);
        let exporter = exporter.build().map_err(TracesError::Exporter)?;
        let provider = SdkTracerProvider::builder().with_resource(resource());
        let provider = provider.with_batch_exporter(exporter).build();
        global::set_tracer_provider(provider.clone());
        info!(collector, "sending traces");
        Ok(Some(Self(provider)))
    }

    /// Sends what is left, and no more after that.
    pub async fn end(self) {
        let Self(provider) = self;
        // The last export waits in its own thread for a task of this runtime.
        let ending =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(END_WITHIN));
        match ending.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "the last traces were not sent"),
            Err(error) => warn!(%error, "the last traces were not sent"),
        }
    }
}

/// The first of these variables that says something.
fn setting(names: &[&str]) -> Option<String> {
    let said = names.iter().filter_map(|name| std::env::var(name).ok());
    said.map(|value| value.trim().to_owned()).find(|value| !value.is_empty())
}

/// What these variables do not name is called by its own name.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_attribute(version);
    let named = setting(&["OTEL_SERVICE_NAME"]).is_some()
        || setting(&["OTEL_RESOURCE_ATTRIBUTES"]).is_some_and(|it| it.contains("service.name="));
    if named { resource.build() } else { resource.with_service_name(super::NAME).build() }
}

/// Exports wait in a thread of their own, where no runtime is; so they are sent by a task of the relay's.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
}

impl Client {
    fn new() -> Result<Self, TracesError> {
        let names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
        let within = match setting(&names) {
            None => EXPORT_WITHIN,
            Some(text) => match text.parse() {
                Ok(millis) => Duration::from_millis(millis),
                Err(_) => return Err(TracesError::Setting("OTEL_EXPORTER_OTLP_TIMEOUT", text)),
            },
        };
        let http = reqwest::Client::builder().timeout(within).build();
        Ok(Self { http: http.map_err(TracesError::Client)?, runtime: Handle::current() })
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let mut answer = http.execute(request.try_into()?).await?;
            let mut body = BytesMut::new();
            while let Some(chunk) = answer.chunk().await? {
                if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                    return Err(ResponseBodyTooLarge::new().into());
                }
                body.extend_from_slice(&chunk);
            }
            let mut response = Response::new(body.freeze());
            *response.status_mut() = answer.status();
            *response.headers_mut() = std::mem::take(answer.headers_mut());
            Ok(response)
        });
        sent.await?
    }
}
