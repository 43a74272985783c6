//! What an import of 100,000 tenants does to a kill switch: a load run, not a test.
//!
//! ```text
//! cargo run --release -p flagforge-tests --bin imports             100,000 tenants
//! cargo run --release -p flagforge-tests --bin imports -- 10000    as many as said
//! ```
//!
//! A `flagforge serve` of its own, an SDK that is notified, and a flag that is flipped all the while: first with
//! the directory empty, then during the import, then after it.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use flagforge::{Client, Flag, Tenant};
use flagforge_tests::{Delivery, Org, Stack, server};
use reqwest::Method;
use serde_json::{Value as Json, json};

const FLAG: Flag<bool> = Flag::new("flipped", false);
/// Flips before and after the import.
const FLIPS: usize = 30;
/// Between two flips.
const PAUSE: Duration = Duration::from_millis(200);
/// A flip that takes longer is lost.
const LOST: Duration = Duration::from_secs(120);
/// Under the limit of a part.
const PART_BYTES: usize = 3 * 1024 * 1024;

/// How long a flip took: until the API answered, and until the SDK saw it.
#[derive(Debug, Clone, Copy)]
struct Took {
    answered: Duration,
    seen: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let tenants = match std::env::args().nth(1) {
        None => 100_000,
        Some(count) => count.parse().context("a count of tenants")?,
    };
    let folder = std::env::temp_dir().join(format!("flagforge-imports-{}", std::process::id()));
    let port = server::free_port()?;
    let server = server::Server::start(&server::program()?, &folder, port).await?;
    let org = found(&server, &folder).await?;
    let key = org.server_key().await?;
    org.sees(&key, "flipped", "acme", &json!(false)).await?;
    let connection = org.connection(&key, "prod");
    let client = Client::connect(&connection).poll_every(LOST).start_within(LOST).await?;
    let acme = client.tenant("acme")?;
    report("before the import", &flips(&org, &acme, FLIPS).await?);
    let began = Instant::now();
    let importing = tokio::spawn(import(org.clone(), tenants));
    let mut during = Vec::new();
    while !importing.is_finished() {
        during.extend(flips(&org, &acme, 1).await?);
    }
    let import = importing.await??;
    ensure!(import["tenantsCreated"] == tenants, "{import}");
    let took = began.elapsed();
    report("during the import", &during);
    report("after the import", &flips(&org, &acme, FLIPS).await?);
    let rate = tenants as f64 / took.as_secs_f64();
    say(&format!("{tenants} tenants in {took:.1?}: {rate:.0} a second, while flipping"));
    server.kill().await?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

async fn found(server: &server::Server, folder: &std::path::Path) -> anyhow::Result<Org> {
    let log = folder.with_extension("log");
    let roots = tokio::time::timeout(LOST, roots(&log));
    let stack = Stack {
        url: server.url.clone(),
        operator_key: server.admin_key.clone(),
        roots: vec![roots.await.context("serve printed no roots")??],
        delivery: Delivery::Http,
        patience: LOST,
        notified: None,
        push_url: None,
    };
    let org = stack.found("imports").await?;
    org.boolean_flag("flipped").await?;
    Ok(org)
}

/// The thumbprint that `serve` prints once it answers.
async fn roots(log: &std::path::Path) -> anyhow::Result<String> {
    loop {
        let printed = std::fs::read_to_string(log)?;
        let roots =
            printed.split("roots=").nth(1).and_then(|rest| rest.split_once(char::is_whitespace));
        if let Some((roots, _)) = roots {
            return Ok(roots.to_owned());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn import(org: Org, tenants: usize) -> anyhow::Result<Json> {
    let file: String = (0..tenants)
        .map(|n| {
            let plan = if n % 10 == 0 { "gold" } else { "free" };
            json!({"key": format!("tenant-{n:06}"), "name": format!("Tenant {n}"), "attributes": {"plan": plan, "seats": n % 500, "region": "eu"}})
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let begun = org.api.post(&org.path("imports"), &json!({"format": "ndjson"})).await?;
    let id = begun.expect(201)?.body["id"].as_str().context("no id")?.to_owned();
    let mut parts = 0;
    for part in file.as_bytes().chunks(PART_BYTES) {
        let path = org.path(&format!("imports/{id}/parts/{parts}"));
        let text = String::from_utf8(part.to_vec())?;
        org.api.call(Method::PUT, &path, &[], Some(text)).await?.expect(204)?;
        parts += 1;
    }
    let path = org.path(&format!("imports/{id}/start"));
    let mut import = org.api.post(&path, &json!({ "parts": parts })).await?.expect(200)?.body;
    while import["state"] == "applying" {
        let path = org.path(&format!("imports/{id}/continue"));
        import = org.api.post(&path, &Json::Null).await?.expect(200)?.body;
    }
    Ok(import)
}

async fn flips(org: &Org, acme: &Tenant, count: usize) -> anyhow::Result<Vec<Took>> {
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        tokio::time::sleep(PAUSE).await;
        let on = !acme.user("u-1").flags().get(&FLAG);
        let started = Instant::now();
        let seen = tokio::spawn(wait_until(acme.clone(), on, started));
        org.flip("flipped", on).await?;
        let answered = started.elapsed();
        took.push(Took { answered, seen: seen.await?? });
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

fn report(when: &str, took: &[Took]) {
    let line = |what: &str, mut times: Vec<Duration>| {
        times.sort();
        let at = |percent: usize| {
            times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied()
        };
        let [p50, p99, max] = [at(50), at(99), at(100)].map(Option::unwrap_or_default);
        format!("  {what}: p50 {p50:.1?}  p99 {p99:.1?}  max {max:.1?}")
    };
    say(&format!("{when}: {} flips", took.len()));
    say(&line("the API answered", took.iter().map(|took| took.answered).collect()));
    say(&line("the SDK saw it", took.iter().map(|took| took.seen).collect()));
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
