//! Ten thousand pages that listen to one relay: what they cost it, how soon all hear of a kill, and how they come back when it
//! is gone. A load run, not a test.
//!
//! ```text
//! cargo run --release -p flagforge-tests --bin streams                   10,000 streams
//! cargo run --release -p flagforge-tests --bin streams -- 2000           fewer
//! cargo run --release -p flagforge-tests --bin streams -- 1000 weather   through a proxy that stalls and breaks connections
//! ```
//!
//! `flagforge serve`, a relay behind it and the listeners (this program) are three processes on one machine. The listeners come from several
//! loopback addresses. Times are from the start of the REST request that changes the flag until the listener has the whole event.

#[path = "streams/listener.rs"]
mod listener;
#[path = "streams/proxy.rs"]
mod proxy;

use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use flagforge_tests::{Api, server};
use serde_json::json;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::{sleep, timeout_at};

use listener::{Listener, Seen};
use proxy::Proxy;

const STREAMS: u32 = 10_000;
const TENANTS: u32 = 100;
const FLIPS: usize = 10;
/// Streams that are begun in a second at the start.
const PER_SECOND: u32 = 1_000;
/// How long a phase may take before the run has failed.
const PATIENCE: Duration = Duration::from_secs(90);
/// For how long the network is bad.
const BAD_FOR: Duration = Duration::from_secs(60);
const SEED: u64 = 20_261_122;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let streams = arguments.first().map_or(Ok(STREAMS), |text| text.parse()).context("streams")?;
    let weather = arguments.get(1).is_some_and(|word| word == "weather");
    let folder = std::env::temp_dir().join(format!("flagforge-streams-{}", std::process::id()));
    let control = server::Server::start(&server::program()?, &folder, server::free_port()?).await?;
    let mut run = Run::begin(&control, streams).await?;
    let result = if weather { run.weather().await } else { run.fair().await };
    control.kill().await?;
    std::fs::remove_dir_all(&folder)?;
    result
}

/// Everything that takes part.
struct Run {
    api: Api,
    relay: server::Relay,
    streams: u32,
    /// The addresses of streams, one for each tenant.
    paths: Vec<String>,
    stands: Vec<Arc<AtomicU64>>,
    open: Vec<bool>,
    seen: UnboundedReceiver<Seen>,
    told: mpsc::UnboundedSender<Seen>,
    tried: Vec<Instant>,
    on: bool,
}

impl Run {
    async fn begin(control: &server::Server, streams: u32) -> anyhow::Result<Self> {
        let api = control.api();
        let flag = json!({"class": "release", "type": "boolean", "clientVisible": true});
        api.put("/v1/orgs/default/flags/f", &flag).await?.expect(201)?;
        let key = async |kind: &str| {
            let issued =
                api.post("/v1/orgs/default/keys", &json!({"kind": kind})).await?.expect(201)?;
            issued.body["key"].as_str().map(str::to_owned).context("no key")
        };
        let (relays, services) = (key("relay").await?, key("server").await?);
        let relay = server::Relay::start(control, &relays, "default/prod", &[]).await?;
        let mut paths = Vec::new();
        for number in 0..TENANTS {
            let tenant = format!("tenant-{number}");
            let headers =
                [("flagforge-tenant", tenant.as_str()), ("flagforge-environment", "prod")];
            let body = Some(json!({"context": {}}).to_string());
            let asker = Api::new(&relay.url, Some(&services));
            let path = "/ofrep/v1/evaluate/flags";
            let answer =
                asker.call(reqwest::Method::POST, path, &headers, body).await?.expect(200)?;
            let uri = &answer.body["eventStreams"][0]["endpoint"]["requestUri"];
            paths.push(uri.as_str().context("no stream is offered")?.to_owned());
        }
        let (told, seen) = mpsc::unbounded_channel();
        let places = usize::try_from(streams)?;
        let stands = (0..places).map(|_| Arc::default()).collect();
        let (open, tried) = (vec![false; places], Vec::new());
        Ok(Self { api, relay, streams, paths, stands, open, seen, told, tried, on: false })
    }

    /// What streams cost, how soon they are told, and how they come back.
    async fn fair(&mut self) -> anyhow::Result<()> {
        let empty = self.relay.resident()?;
        let began = Instant::now();
        self.listen(self.relay.address()).await;
        self.until_all_open("at the start").await?;
        let took = began.elapsed();
        sleep(Duration::from_secs(2)).await;
        let full = self.relay.resident()?;
        say("| what | result |");
        say("|---|---|");
        say(&format!(
            "| {} streams open, begun {PER_SECOND} a second | {took:.1?} |",
            self.streams
        ));
        let each = full.now.saturating_sub(empty.now) / u64::from(self.streams);
        say(&format!(
            "| the relay's memory without them, with them, each | {} MB, {} MB, {:.1} KB |",
            empty.now >> 20,
            full.now >> 20,
            each as f64 / 1024.0
        ));
        let mut times = Vec::new();
        for _ in 0..FLIPS {
            times.extend(self.flip().await?);
            sleep(Duration::from_secs(1)).await;
        }
        say(&format!("| {FLIPS} kills and starts, each to all streams | {} |", spread(&mut times)));
        self.come_back("killed", true).await?;
        self.come_back("told to end", false).await?;
        times.clear();
        for _ in 0..FLIPS {
            times.extend(self.flip().await?);
        }
        say(&format!("| {FLIPS} more, one after another | {} |", spread(&mut times)));
        let most = self.relay.resident()?.most;
        say(&format!("| the last relay's memory at most | {} MB |", most >> 20));
        Ok(())
    }

    /// The relay ends and another one begins at the same address.
    async fn come_back(&mut self, how: &str, kill: bool) -> anyhow::Result<()> {
        self.hear();
        self.tried.clear();
        let began = Instant::now();
        self.relay.end(kill).await?;
        let gone = began.elapsed();
        self.hear();
        self.open.fill(false);
        self.relay.again().await?;
        let up = began.elapsed();
        self.until_all_open(how).await?;
        let back = began.elapsed();
        // By whole seconds from the one in which the first came back.
        let mut seconds: HashMap<u64, usize> = HashMap::new();
        for tried in &self.tried {
            *seconds.entry(tried.duration_since(began).as_secs()).or_default() += 1;
        }
        let first = seconds.keys().min().copied().unwrap_or_default();
        let (busiest, most) = seconds
            .iter()
            .filter(|(second, _)| **second > first)
            .max_by_key(|(_, n)| **n)
            .context("nobody came back")?;
        let memory = self.relay.resident()?.most >> 20;
        say(&format!(
            "| relay {how} ({gone:.1?}), another one up after {up:.1?} | all back after {back:.1?}; at most {most} connections in a second after the first (second {busiest}), {memory} MB at most |"
        ));
        Ok(())
    }

    /// All converge, whatever the network does.
    async fn weather(&mut self) -> anyhow::Result<()> {
        let proxy = Proxy::begin(self.relay.address(), SEED).await?;
        self.listen(proxy.address).await;
        let (mut flips, began) = (0, Instant::now());
        while began.elapsed() < BAD_FOR {
            self.change().await?;
            flips += 1;
            sleep(Duration::from_millis(500)).await;
        }
        proxy.be_good();
        let (last, calm) = (self.change().await?.0, Instant::now());
        loop {
            self.hear();
            let behind = self.stands.iter().filter(|it| it.load(Ordering::Relaxed) < last).count();
            if behind == 0 {
                break;
            }
            ensure!(
                calm.elapsed() < PATIENCE,
                "{behind} of {} did not hear of {last}",
                self.streams
            );
            sleep(Duration::from_millis(100)).await;
        }
        let [stalled, broken] =
            [&proxy.stalled, &proxy.broken].map(|it| it.load(Ordering::Relaxed));
        say("| what | result |");
        say("|---|---|");
        say(&format!(
            "| {} streams through a proxy, {BAD_FOR:.0?}, seed {SEED}: {stalled} stalls, {broken} breaks, {flips} changes | all know the last one {:.1?} after the network was good again |",
            self.streams,
            calm.elapsed()
        ));
        Ok(())
    }

    async fn listen(&mut self, to: SocketAddr) {
        for number in 0..self.streams {
            let path = self.paths[number as usize % self.paths.len()].clone();
            let (seen, stands) = (self.told.clone(), self.stands[number as usize].clone());
            tokio::spawn(Listener { number, to, path, seen, stands }.listen());
            if number % (PER_SECOND / 20) == 0 {
                sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Turns the flag, and says which number the log has then, and when the request began.
    async fn change(&mut self) -> anyhow::Result<(u64, Instant)> {
        self.on = !self.on;
        let verb = if self.on { "enable" } else { "kill" };
        let path = format!("/v1/orgs/default/environments/prod/flags/f/{verb}");
        let began = Instant::now();
        let answer = self.api.post(&path, &serde_json::Value::Null).await?;
        ensure!(answer.status.is_success(), "{verb}: {} {}", answer.status, answer.body);
        // An item's version is the number of its entry in the log.
        let version = answer.header("etag").trim_matches('"').parse().context("no version")?;
        Ok((version, began))
    }

    /// One change, and how long it took to each.
    async fn flip(&mut self) -> anyhow::Result<Vec<Duration>> {
        self.hear();
        let (number, began) = self.change().await?;
        let (mut times, until) = (HashMap::new(), tokio::time::Instant::now() + PATIENCE);
        while times.len() < self.streams as usize {
            let seen = timeout_at(until, self.seen.recv()).await;
            let seen = seen.with_context(|| format!("{} heard of it", times.len()))?;
            let seen = seen.context("nobody listens")?;
            if let Seen::Told(listener, env, at) = seen
                && env >= number
            {
                times.entry(listener).or_insert(at.duration_since(began));
            }
            self.note(&seen);
        }
        Ok(times.into_values().collect())
    }

    async fn until_all_open(&mut self, when: &str) -> anyhow::Result<()> {
        let until = tokio::time::Instant::now() + PATIENCE;
        while self.open.iter().any(|open| !open) {
            let Ok(seen) = timeout_at(until, self.seen.recv()).await else {
                let open = self.open.iter().filter(|open| **open).count();
                bail!("{when}: {open} of {} streams are open", self.streams);
            };
            self.note(&seen.context("nobody listens")?);
        }
        Ok(())
    }

    /// What happened meanwhile.
    fn hear(&mut self) {
        while let Ok(seen) = self.seen.try_recv() {
            self.note(&seen);
        }
    }

    fn note(&mut self, seen: &Seen) {
        match seen {
            Seen::Open(number) => self.open[*number as usize] = true,
            Seen::Ended(number) => self.open[*number as usize] = false,
            Seen::Tried(at) => self.tried.push(*at),
            Seen::Told(..) => {}
        }
    }
}

fn spread(times: &mut [Duration]) -> String {
    times.sort();
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100).saturating_sub(1)];
    format!("p50 {:.0?}, p99 {:.0?}, the last {:.0?}", at(50), at(99), at(100))
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
