//! What a relay measures of itself. Requests are counted as they come; all else is looked up when somebody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use flagforge::propagation::ReportedStatus;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::breaker::{Breaker, Seen};
use crate::clock;
use crate::environment::Environment;
use crate::relay::Relay;
use crate::router::PATHS;

/// Of 50 µs, which is a good answer, to 3.3 s, four times as much each: nine buckets.
const FASTEST: f64 = 50e-6;
const FACTOR: f64 = 4.0;
const BUCKETS: u16 = 9;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    path: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Path {
    path: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Place {
    org: String,
    env: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Log {
    org: String,
    env: String,
    log: &'static str,
}

fn histogram() -> Histogram {
    let buckets =
        prometheus_client::metrics::histogram::exponential_buckets(FASTEST, FACTOR, BUCKETS);
    Histogram::new(buckets)
}

/// Counters of requests, by address and status: a hundred series at most, whoever asks for what.
#[derive(Debug)]
pub(crate) struct Measures {
    requests: Family<Asked, Counter>,
    seconds: Family<Path, Histogram, fn() -> Histogram>,
}

impl Default for Measures {
    fn default() -> Self {
        let seconds = Family::new_with_constructor(histogram as fn() -> Histogram);
        Self { requests: Family::default(), seconds }
    }
}

type Seconds = Gauge<f64, AtomicU64>;

/// What is known of each environment.
#[derive(Default)]
struct Places {
    revision: Family<Log, Gauge>,
    age: Family<Place, Seconds>,
    lag: Family<Place, Seconds>,
    ready: Family<Place, Gauge>,
    readers: Family<Place, Gauge>,
}

impl Places {
    fn note(&self, environment: &Environment) {
        let (org, env) = (environment.id.org.to_string(), environment.id.env.to_string());
        let shelf = environment.shelf();
        let revision = shelf.manifest.snapshot().revision();
        for (log, number) in [("org", revision.org), ("env", revision.env)] {
            let (org, env) = (org.clone(), env.clone());
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            self.revision.get_or_create(&Log { org, env, log }).set(number);
        }
        let place = Place { org, env };
        let age = clock::now().since(shelf.manifest.confirmed());
        self.age.get_or_create(&place).set(age.as_secs_f64());
        if let Some(lag) = environment.applied().and_then(|applied| applied.lag) {
            self.lag.get_or_create(&place).set(lag.as_secs_f64());
        }
        let ready = environment.status() == ReportedStatus::Ready;
        self.ready.get_or_create(&place).set(i64::from(ready));
        let readers = i64::try_from(environment.heard.known()).unwrap_or(i64::MAX);
        self.readers.get_or_create(&place).set(readers);
    }

    fn register(self, registry: &mut Registry) {
        let Self { revision, age, lag, ready, readers } = self;
        registry.register("revision", "The revision that is answered from, by log", revision);
        let name = "age";
        registry.register_with_unit(name, "Since it was known to be current", Unit::Seconds, age);
        let help = "From the newest change's commit until it was answered from here";
        registry.register_with_unit("lag", help, Unit::Seconds, lag);
        let help = "1: its origin answers, and the manifest has not expired; 0: last known good";
        registry.register("ready", help, ready);
        registry.register(
            "readers",
            "SDKs and relays behind this one that said how far they are",
            readers,
        );
    }
}

impl Measures {
    /// The text of all that is measured.
    pub(crate) fn told(&self, relay: &Relay) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("flagforge_relay");
        let help = "Requests, by address and status";
        registry.register("requests", help, self.requests.clone());
        let help = "From a request's head until its answer's head";
        registry.register_with_unit("request", help, Unit::Seconds, self.seconds.clone());
        let places = Places::default();
        let environments = relay.environments();
        environments.iter().for_each(|environment| places.note(environment));
        let gauges = [
            ("environments", "Environments in memory", environments.len()),
            ("streams", "Streams that are open", relay.streams.taken()),
            ("waits", "Answers that are held back", relay.waits.taken()),
            ("chunk_bytes", "Bytes of chunks in memory", relay.chunks.bytes()),
        ];
        for (name, help, number) in gauges {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            registry.register(name, help, ConstGauge::new(number));
        }
        let (found, fetched) = relay.chunks.asked();
        registry.register("chunk_hits", "Chunks found in memory", ConstCounter::new(found));
        registry.register("chunk_misses", "Chunks asked of the origin", ConstCounter::new(fetched));
        places.register(&mut registry);
        origin(&relay.breaker, &mut registry);
        #[cfg(feature = "server")]
        configuration(&relay.tuned.in_force(), &mut registry);
        let mut told = String::new();
        text::encode(&mut told, &registry)?;
        Ok(told)
    }
}

/// How the origin does, for all environments together.
fn origin(breaker: &Breaker, registry: &mut Registry) {
    let (left_alone, seen) = breaker.told();
    let help = "1: the origin failed again and again, and is asked by single probes only";
    registry.register("origin_left_alone", help, ConstGauge::new(i64::from(left_alone)));
    let Seen { failures, opened, spared } = seen;
    for (name, help, count) in [
        ("origin_failures", "Calls that the origin did not answer", failures),
        ("origin_outages", "How often it was begun to be left alone", opened),
        ("origin_spared", "Calls that were not made while it was", spared),
    ] {
        registry.register(name, help, ConstCounter::new(count.load(Ordering::Relaxed)));
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
#[cfg(feature = "server")]
struct Content {
    digest: String,
}

/// Which configuration is in force, where a file says it.
#[cfg(feature = "server")]
fn configuration(in_force: &crate::tuning::InForce, registry: &mut Registry) {
    let Some(digest) = in_force.digest.clone() else { return };
    let content: Family<Content, Gauge> = Family::default();
    content.get_or_create(&Content { digest }).set(1);
    registry.register("configuration", "The file in force, by the digest of its content", content);
    let since = ConstGauge::new(in_force.since.as_millis() / 1_000);
    let help = "Since when it is, in seconds since 1970";
    registry.register_with_unit("configuration_since", help, Unit::Seconds, since);
    let refused = ConstGauge::new(i64::from(in_force.refused.is_some()));
    let help = "1: the file as it is now is no good, and the one before stays";
    registry.register("configuration_refused", help, refused);
}

/// Counts a request and how long it took.
pub(crate) async fn measure(
    State(relay): State<Arc<Relay>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    // Only addresses that there are, so that nobody can make series of their own.
    let known = PATHS.into_iter();
    #[cfg(feature = "flagd")]
    let known = known.chain(crate::flagd::PATHS);
    let mut known = known;
    let path = path.and_then(|path| known.find(|known| *known == path.as_str()));
    let Some(path) = path else { return next.run(request).await };
    let began = Instant::now();
    let response = next.run(request).await;
    let Measures { requests, seconds } = &relay.measures;
    seconds.get_or_create(&Path { path }).observe(began.elapsed().as_secs_f64());
    requests.get_or_create(&Asked { path, status: response.status().as_u16() }).inc();
    response
}
