//! How long a flip takes from the start of the REST request to a running SDK: a load run, not a test.
//!
//! ```text
//! cargo run --release -p flagforge-tests --bin flips -- embedded         a `flagforge serve` of its own
//! cargo run --release -p flagforge-tests --bin flips -- embedded-polled  the same, not notified
//! cargo run --release -p flagforge-tests --bin flips -- cloud            the stack that localstack/up started
//! ```

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use flagforge::{Client, Flag, Tenant};
use flagforge_tests::{Delivery, Org, Stack, server};
use serde_json::json;

const FLAG: Flag<bool> = Flag::new("flipped", false);
const FLIPS: usize = 50;
/// One poll interval of the SDK, when it is not notified.
const POLL: Duration = Duration::from_secs(1);
/// A flip that takes longer is lost.
const LOST: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let (what, took) = match mode.as_str() {
        "embedded" => ("embedded, notified over SSE", embedded(true).await?),
        "embedded-polled" => ("embedded, polling every second", embedded(false).await?),
        "cloud" => ("emulated cloud, polling S3 every second", cloud().await?),
        _ => bail!("say `embedded`, `embedded-polled` or `cloud`"),
    };
    report(what, took);
    Ok(())
}

async fn embedded(notified: bool) -> anyhow::Result<Vec<Duration>> {
    let folder = std::env::temp_dir().join(format!("flagforge-flips-{}", std::process::id()));
    let port = server::free_port()?;
    let server = server::Server::start(&server::program()?, &folder, port).await?;
    let printed = std::fs::read_to_string(folder.with_extension("log"))?;
    let roots = printed.split("roots=").nth(1).and_then(|rest| rest.split_whitespace().next());
    let stack = Stack {
        url: server.url.clone(),
        operator_key: server.admin_key.clone(),
        roots: vec![roots.context("serve printed no roots")?.to_owned()],
        delivery: Delivery::Http,
        patience: LOST,
    };
    let org = stack.found("flips").await?;
    let took = if notified {
        let connection = connection(&org).await?;
        flips(&org, Client::connect(&connection).poll_every(LOST).start_within(LOST).await?).await?
    } else {
        // The same objects, from their folder: nobody announces anything there.
        org.boolean_flag("flipped").await?;
        let objects = folder.join("objects");
        let connection = format!(
            "flagforge+file://{}?org={}&env=prod&roots={}",
            objects.display(),
            org.key,
            stack.roots.join(",")
        );
        published(&org).await?;
        flips(&org, Client::connect(&connection).poll_every(POLL).start_within(LOST).await?).await?
    };
    server.kill().await?;
    std::fs::remove_dir_all(&folder)?;
    Ok(took)
}

async fn cloud() -> anyhow::Result<Vec<Duration>> {
    let stack = Stack::running()?.context("no stack runs; start one with localstack/up")?;
    let org = stack.found("flips").await?;
    let connection = connection(&org).await?;
    flips(&org, Client::connect(&connection).poll_every(POLL).start_within(LOST).await?).await
}

/// A connection string that is good already.
async fn connection(org: &Org) -> anyhow::Result<String> {
    org.boolean_flag("flipped").await?;
    let key = org.server_key().await?;
    org.sees(&key, "flipped", "acme", &json!(false)).await?;
    Ok(org.connection(&key, "prod"))
}

async fn published(org: &Org) -> anyhow::Result<()> {
    let key = org.server_key().await?;
    org.sees(&key, "flipped", "acme", &json!(false)).await.map(drop)
}

async fn flips(org: &Org, client: Client) -> anyhow::Result<Vec<Duration>> {
    let acme = client.tenant("acme")?;
    let mut took = Vec::with_capacity(FLIPS);
    for flip in 0..FLIPS {
        let on = flip % 2 == 0;
        // Not in step with anybody's poll.
        tokio::time::sleep(Duration::from_millis(37 * (flip as u64 % 11))).await;
        let started = Instant::now();
        let seen = tokio::spawn(wait_until(acme.clone(), on, started));
        org.flip("flipped", on).await?;
        took.push(seen.await??);
    }
    Ok(took)
}

async fn wait_until(acme: Tenant, on: bool, started: Instant) -> anyhow::Result<Duration> {
    loop {
        if acme.user("u-1").flags().get(&FLAG) == on {
            return Ok(started.elapsed());
        }
        if started.elapsed() > LOST {
            bail!("a flip was not seen within {LOST:?}");
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn report(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let at = |percent: usize| took[(took.len() * percent).div_ceil(100).saturating_sub(1)];
    let mut out = std::io::stdout();
    let _ = writeln!(
        out,
        "{what}: {} flips, from the start of the request to the SDK's answer\n  p50 {:?}  p99 {:?}  max {:?}",
        took.len(),
        at(50),
        at(99),
        at(100)
    );
}
