//! What an organization that asks fifty times as often as it may does to its neighbour: a load run, not a test.
//!
//! ```text
//! cargo run --release -p flagforge-tests --bin neighbours             20 seconds each, three times
//! cargo run --release -p flagforge-tests --bin neighbours -- 5        5 seconds each
//! ```
//!
//! A `flagforge serve` of its own. One organization reads and writes at a steady rate, alone and while the other, which
//! may ask a hundred times a second, asks five thousand times; in turns, so that a busy machine moves both alike.

#[path = "noise.rs"]
mod noise;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use flagforge_tests::{Delivery, Org, Stack, server};
use serde_json::json;

use noise::{ALLOWED, Asking, Counted, Noise, row, say};

const ROUNDS: usize = 3;
/// Between two requests of the quiet one.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
struct Times {
    reads: Vec<Duration>,
    writes: Vec<Duration>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if noise::was_loud(&arguments).await? {
        return Ok(());
    }
    let seconds = arguments.first().map(|text| text.parse()).transpose().context("seconds")?;
    let each = Duration::from_secs(seconds.unwrap_or(20));
    let folder = std::env::temp_dir().join(format!("flagforge-neighbours-{}", std::process::id()));
    let server = server::Server::start(&server::program()?, &folder, server::free_port()?).await?;
    let stack = Stack {
        url: server.url.clone(),
        operator_key: server.admin_key.clone(),
        roots: Vec::new(),
        delivery: Delivery::Http,
        patience: Duration::from_secs(30),
        notified: None,
        push_url: None,
    };
    let (quiet, loud) = (stack.found("quiet").await?, stack.found("loud").await?);
    for org in [&quiet, &loud] {
        org.boolean_flag("f").await?;
    }
    let limits = json!({"requestsPerSecond": ALLOWED, "writesPerSecond": 10});
    let path = format!("/v1/operator/orgs/{}/limits", loud.key);
    stack.api(Some(&stack.operator_key)).put(&path, &limits).await?.expect(200)?;
    let (mut alone, mut beside) = (Times::default(), Times::default());
    let (mut counted, path) = (Counted::default(), loud.path("environments/prod/flags/f"));
    for _ in 0..ROUNDS {
        ask(&quiet, each, &mut alone).await?;
        let (base, key) = (stack.url.as_str(), loud.admin_key.as_str());
        let noise = Noise::begin(Asking { base, key, tenant: "", path: &path })?;
        ask(&quiet, each, &mut beside).await?;
        noise.end(&mut counted).await?;
    }
    say("| | p50 | p99 |");
    say("|---|---|---|");
    for (what, times) in [("alone", &mut alone), ("beside a loud neighbour", &mut beside)] {
        say(&row(&format!("{what}: reads"), &mut times.reads));
        say(&row(&format!("{what}: writes"), &mut times.writes));
    }
    say(&counted.row(each * u32::try_from(ROUNDS)?)?);
    server.kill().await?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Reads a flag's state, and each fourth time changes it.
async fn ask(org: &Org, during: Duration, times: &mut Times) -> anyhow::Result<()> {
    let path = org.path("environments/prod/flags/f");
    let until = Instant::now() + during;
    let mut number = 0;
    while Instant::now() < until {
        tokio::time::sleep(PAUSE).await;
        number += 1;
        let began = Instant::now();
        if number % 4 == 0 {
            org.flip("f", number % 8 == 0).await?;
            times.writes.push(began.elapsed());
        } else {
            org.api.get(&path).await?.expect(200)?;
            times.reads.push(began.elapsed());
        }
    }
    Ok(())
}
