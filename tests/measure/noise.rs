//! A loud caller: a process of its own at the lowest priority, since what is measured is what its requests do to a server, and not
//! what making them does to a machine that all share.

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use flagforge_tests::Api;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Starts this program as the loud one.
const NOISE: &str = "noise";
/// What the loud one may ask in a second, and what it does ask.
pub(crate) const ALLOWED: u32 = 100;
const ASKED: u32 = 50 * ALLOWED;
/// Connections that it asks over.
const CALLERS: u32 = 50;

/// What it asks, over and over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) base: &'a str,
    pub(crate) key: &'a str,
    /// Where it is empty a resource is read, else posted to on behalf of this tenant.
    pub(crate) tenant: &'a str,
    pub(crate) path: &'a str,
}

#[derive(Debug)]
pub(crate) struct Noise(tokio::process::Child);

/// How often it asked, and how often it was refused.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    asked: usize,
    refused: usize,
}

impl Noise {
    pub(crate) fn begin(Asking { base, key, tenant, path }: Asking<'_>) -> anyhow::Result<Self> {
        let mut caller = tokio::process::Command::new("nice");
        caller.args(["-n", "19"]).arg(std::env::current_exe()?);
        caller.args([NOISE, base, key, tenant, path]);
        caller.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        Ok(Self(caller.spawn().context("starting the loud one")?))
    }

    /// Ends it, and adds what it counted.
    pub(crate) async fn end(mut self, counted: &mut Counted) -> anyhow::Result<()> {
        drop(self.0.stdin.take());
        let output = self.0.wait_with_output().await?;
        ensure!(output.status.success(), "the loud one failed");
        let (asked, refused): (usize, usize) =
            serde_json::from_slice(&output.stdout).context("what the loud one counted")?;
        counted.asked += asked;
        counted.refused += refused;
        Ok(())
    }
}

impl Counted {
    /// A row of the table. Where it was let pass nothing was measured.
    pub(crate) fn row(&self, during: Duration) -> anyhow::Result<String> {
        let Self { asked, refused } = *self;
        ensure!(
            refused * 10 > asked * 9,
            "the loud one was let pass: {refused} of {asked} refused"
        );
        let times = asked as f64 / during.as_secs_f64() / f64::from(ALLOWED);
        Ok(format!(
            "| the loud one asked {times:.1} times what it may; refused | {refused} | of {asked} |"
        ))
    }
}

/// Whether this process was started as the loud one, which it then has been to the end.
pub(crate) async fn was_loud(arguments: &[String]) -> anyhow::Result<bool> {
    let [word, base, key, tenant, path] = arguments else { return Ok(false) };
    if word != NOISE {
        return Ok(false);
    }
    be_loud(Asking { base, key, tenant, path }).await?;
    Ok(true)
}

/// Asks until nobody holds its standard input any more, and says how often, and how often it was refused.
async fn be_loud(Asking { base, key, tenant, path }: Asking<'_>) -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (api, path, tenant) = (Api::new(base, Some(key)), path.to_owned(), tenant.to_owned());
        let stop = stop.clone();
        callers.spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1) * CALLERS / ASKED);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let (mut asked, mut refused) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                tick.tick().await;
                let answer = if tenant.is_empty() {
                    api.get(&path).await?
                } else {
                    let (headers, body) = ([("flagforge-tenant", tenant.as_str())], json!({}));
                    api.call(Method::POST, &path, &headers, Some(body.to_string())).await?
                };
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

/// How long answers took, as a row of the table.
pub(crate) fn row(what: &str, times: &mut [Duration]) -> String {
    times.sort();
    let at = |percent: usize| {
        times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied()
    };
    let [p50, p99] = [at(50), at(99)].map(Option::unwrap_or_default);
    format!("| {what} | {p50:.2?} | {p99:.2?} |")
}

pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
