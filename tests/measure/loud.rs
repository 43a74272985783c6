//! What a key that asks a relay fifty times as often as it may does to another key: a load run, not a test.
//!
//! ```text
//! cargo run --release -p flagforge-tests --bin loud             20 seconds each, three times
//! cargo run --release -p flagforge-tests --bin loud -- 5        5 seconds each
//! ```
//!
//! A relay behind a `flagforge serve`. One key asks for all flags at a steady rate, alone and while another key, of the same environment and
//! another tenant, which may ask a hundred times a second, asks five thousand times; in turns, so that a busy machine moves both alike.

#[path = "noise.rs"]
mod noise;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use flagforge_tests::{Api, server};
use reqwest::Method;
use serde_json::json;

use noise::{ALLOWED, Asking, Counted, Noise, row, say};

const ROUNDS: usize = 3;
const FLAGS: usize = 100;
/// Between two requests of the quiet one: fewer than it may.
const PAUSE: Duration = Duration::from_millis(12);
const ALL: &str = "/ofrep/v1/evaluate/flags";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if noise::was_loud(&arguments).await? {
        return Ok(());
    }
    let seconds = arguments.first().map(|text| text.parse()).transpose().context("seconds")?;
    let each = Duration::from_secs(seconds.unwrap_or(20));
    let folder = std::env::temp_dir().join(format!("flagforge-loud-{}", std::process::id()));
    let control = server::Server::start(&server::program()?, &folder, server::free_port()?).await?;
    let api = control.api();
    let flag = json!({"class": "release", "type": "boolean", "clientVisible": true});
    for number in 0..FLAGS {
        api.put(&format!("/v1/orgs/default/flags/f{number}"), &flag).await?.expect(201)?;
    }
    let key = async |spec: serde_json::Value| {
        let issued = api.post("/v1/orgs/default/keys", &spec).await?.expect(201)?;
        issued.body["key"].as_str().map(str::to_owned).context("no key")
    };
    let relays = key(json!({"kind": "relay"})).await?;
    let services = json!({"kind": "server", "envs": ["prod"]});
    let (quiet, loud) = (key(services.clone()).await?, key(services).await?);
    let allowed = [("FLAGFORGE_REQUESTS_PER_SECOND_OF_A_KEY", ALLOWED.to_string())];
    let relay = server::Relay::start(&control, &relays, "default/prod", &allowed).await?;

    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let mut counted = Counted::default();
    for _ in 0..ROUNDS {
        ask(&relay.url, &quiet, each, &mut alone).await?;
        let (base, key) = (relay.url.as_str(), loud.as_str());
        let noise = Noise::begin(Asking { base, key, tenant: "loud", path: ALL })?;
        ask(&relay.url, &quiet, each, &mut beside).await?;
        noise.end(&mut counted).await?;
    }
    say("| all of 100 flags | p50 | p99 |");
    say("|---|---|---|");
    say(&row("alone", &mut alone));
    say(&row("beside a loud key", &mut beside));
    say(&counted.row(each * u32::try_from(ROUNDS)?)?);
    control.kill().await?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Asks for all flags, each time for another user. Any refusal ends the run.
async fn ask(
    base: &str,
    key: &str,
    during: Duration,
    times: &mut Vec<Duration>,
) -> anyhow::Result<()> {
    let api = Api::new(base, Some(key));
    let until = Instant::now() + during;
    while Instant::now() < until {
        tokio::time::sleep(PAUSE).await;
        let body = json!({"context": {"targetingKey": format!("u-{}", times.len())}}).to_string();
        let began = Instant::now();
        let headers = [("flagforge-tenant", "quiet")];
        api.call(Method::POST, ALL, &headers, Some(body)).await?.expect(200)?;
        times.push(began.elapsed());
    }
    Ok(())
}
