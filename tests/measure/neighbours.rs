//! What an organization that asks fifty times as often as it may does to its neighbour: a load run, not a test.
//!
//! ```text
//! cargo run --release -p flagforge-tests --bin neighbours             20 seconds each, three times
//! cargo run --release -p flagforge-tests --bin neighbours -- 5        5 seconds each
//! ```
//!
//! A `flagforge serve` of its own. One organization reads and writes at a steady rate, alone and while the other, which
//! may ask a hundred times a second, asks five thousand times; in turns, so that a busy machine moves both alike. The loud one's
//! callers are a process of their own at the lowest priority.

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use flagforge_tests::{Api, Delivery, Org, Stack, server};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

const ROUNDS: usize = 3;
/// Starts this program as the loud one.
const NOISE: &str = "noise";
/// What the loud organization may ask in a second, and what it does ask.
const ALLOWED: u32 = 100;
const ASKED: u32 = 50 * ALLOWED;
/// Connections that the loud one asks over.
const CALLERS: u32 = 50;
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
    if let [word, base, key, path] = arguments.as_slice()
        && word == NOISE
    {
        return be_loud(base, key, path).await;
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
    let (mut asked, mut refused) = (0, 0);
    for _ in 0..ROUNDS {
        ask(&quiet, each, &mut alone).await?;
        let noise = Noise::begin(&stack.url, &loud)?;
        ask(&quiet, each, &mut beside).await?;
        let (more, denied) = noise.end().await?;
        asked += more;
        refused += denied;
    }
    let rate = asked as f64 / (ROUNDS as f64 * each.as_secs_f64());
    say("| | p50 | p99 |");
    say("|---|---|---|");
    for (what, times) in [("alone", &mut alone), ("beside a loud neighbour", &mut beside)] {
        say(&row(&format!("{what}: reads"), &mut times.reads));
        say(&row(&format!("{what}: writes"), &mut times.writes));
    }
    let may = f64::from(ALLOWED);
    say(&format!(
        "| the neighbour asked {:.1} times what it may; refused | {refused} | of {asked} |",
        rate / may
    ));
    ensure!(refused * 10 > asked * 9, "the neighbour was let pass: {refused} of {asked} refused");
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

/// The loud organization's callers: a process of its own that gives way to everybody else on the machine, since what is
/// measured is what its requests do to the server, and not what its caller does to a machine that both share.
struct Noise(tokio::process::Child);

impl Noise {
    fn begin(base: &str, org: &Org) -> anyhow::Result<Self> {
        let mut caller = tokio::process::Command::new("nice");
        caller.args(["-n", "19"]).arg(std::env::current_exe()?).args([NOISE, base]);
        caller.args([&org.admin_key, &org.path("environments/prod/flags/f")]);
        caller.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        Ok(Self(caller.spawn().context("starting the loud one")?))
    }

    /// Answers how often it asked, and how often it was refused.
    async fn end(mut self) -> anyhow::Result<(usize, usize)> {
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output().await?;
        ensure!(output.status.success(), "the loud one failed");
        serde_json::from_slice(&output.stdout).context("what the loud one counted")
    }
}

/// Asks until nobody holds its standard input any more, and says how often, and how often it was refused.
async fn be_loud(base: &str, key: &str, path: &str) -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (api, path, stop) = (Api::new(base, Some(key)), path.to_owned(), stop.clone());
        callers.spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1) * CALLERS / ASKED);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let (mut asked, mut refused) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                tick.tick().await;
                let answer = api.get(&path).await?;
                asked += 1;
                refused += usize::from(answer.status == 429);
            }
            anyhow::Ok((asked, refused))
        });
    }
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    stop.store(true, Ordering::Relaxed);
    let (mut asked, mut refused) = (0, 0);
    while let Some(caller) = callers.join_next().await {
        let (more, denied): (usize, usize) = caller??;
        asked += more;
        refused += denied;
    }
    say(&json!([asked, refused]).to_string());
    Ok(())
}

fn row(what: &str, times: &mut [Duration]) -> String {
    times.sort();
    let at = |percent: usize| {
        times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied()
    };
    let [p50, p99] = [at(50), at(99)].map(Option::unwrap_or_default);
    format!("| {what} | {p50:.2?} | {p99:.2?} |")
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
