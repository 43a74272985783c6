//! How long a flip takes from the start of the REST request to a running SDK: a load run, not a test.
//!
//! ```text
//! cargo run --release -p flagforge-tests --bin flips -- embedded         a `flagforge serve` of its own
//! cargo run --release -p flagforge-tests --bin flips -- embedded-polled  the same, not notified
//! cargo run --release -p flagforge-tests --bin flips -- cloud            the stack that localstack/up started
//! ```
//!
//! With `classes` after it, 300 changes of each class of propagation (docs/propagation.md) beside a writer that changes another
//! flag fifty times a second, so that there are bursts to coalesce.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use flagforge::{Client, Flag, Tenant};
use flagforge_tests::{Delivery, Org, Stack, server};
use serde_json::{Value as Json, json};

const FLAG: Flag<bool> = Flag::new("flipped", false);
const FLIPS: usize = 50;
/// Of each class.
const CHANGES: usize = 300;
/// A flag of a class of propagation: what it is called, and what defines it.
type OfClass = (&'static str, Flag<bool>, fn() -> Json);
const CLASSES: [OfClass; 3] = [
    ("immediate", Flag::new("of-ops", false), || {
        let stale = json!({"afterSeconds": 3_600, "then": "lastKnown"});
        json!({"class": "ops", "type": "boolean", "stale": stale})
    }),
    (
        "near real time",
        Flag::new("of-release", false),
        || json!({"class": "release", "type": "boolean"}),
    ),
    (
        "eventual",
        Flag::new("of-experiment", false),
        || json!({"class": "experiment", "type": "boolean", "expiresAt": "2099-01-01T00:00:00Z"}),
    ),
];
/// The pause of the writer beside.
const BESIDE: Duration = Duration::from_millis(20);
/// One poll interval of the SDK, when it is not notified.
const POLL: Duration = Duration::from_secs(1);
/// A flip that takes longer is lost.
const LOST: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let by_class = match std::env::args().nth(2).as_deref() {
        None => false,
        Some("classes") => true,
        Some(other) => bail!("{other}: say `classes`, or nothing"),
    };
    let (what, measured) = match mode.as_str() {
        "embedded" => ("embedded, notified over SSE", embedded(true, by_class).await?),
        "embedded-polled" => ("embedded, polling every second", embedded(false, by_class).await?),
        "cloud" => ("emulated cloud, polling S3 every second", cloud(by_class).await?),
        _ => bail!("say `embedded`, `embedded-polled` or `cloud`"),
    };
    for (class, took) in measured {
        report(&format!("{what}{class}"), took);
    }
    Ok(())
}

/// What was measured: of which class, and how long each took.
type Measured = Vec<(String, Vec<Duration>)>;

async fn measure(org: &Org, client: Client, by_class: bool) -> anyhow::Result<Measured> {
    if by_class {
        classes(org, client).await
    } else {
        Ok(vec![(String::new(), flips(org, client).await?)])
    }
}

async fn classes(org: &Org, client: Client) -> anyhow::Result<Measured> {
    for (_, flag, define) in CLASSES {
        let path = org.path(&format!("flags/{}", flag.key()));
        org.api.put(&path, &define()).await?.expect(201)?;
        change(org, flag.key(), false).await?;
    }
    let beside = org.clone();
    let beside = tokio::spawn(async move {
        for number in 0_usize.. {
            change(&beside, "flipped", number.is_multiple_of(2)).await?;
            tokio::time::sleep(BESIDE).await;
        }
        anyhow::Ok(())
    });
    let acme = client.tenant("acme")?;
    let mut measured = Vec::new();
    for (class, flag, _) in CLASSES {
        let mut took = Vec::with_capacity(CHANGES);
        for number in 0..CHANGES {
            tokio::time::sleep(Duration::from_millis(7 * (number as u64 % 11))).await;
            let on = number.is_multiple_of(2);
            let started = Instant::now();
            let seen = tokio::spawn(wait_until(acme.clone(), flag, on, started));
            change(org, flag.key(), on).await?;
            took.push(seen.await??);
        }
        measured.push((format!(", {class}, beside a burst"), took));
    }
    beside.abort();
    Ok(measured)
}

/// Lets a flag serve one of its variants: a change of the flag's class, where killing it would be immediate.
async fn change(org: &Org, flag: &str, on: bool) -> anyhow::Result<()> {
    let variant = if on { "on" } else { "off" };
    let state = json!({"enabled": true, "fallthrough": {"variant": variant}}).to_string();
    let path = org.path(&format!("environments/prod/flags/{flag}"));
    let why = [("flagforge-reason", "measured"), ("content-type", "application/merge-patch+json")];
    let answer = org.api.call(reqwest::Method::PATCH, &path, &why, Some(state)).await?;
    anyhow::ensure!(answer.status.is_success(), "{} {}", answer.status, answer.body);
    Ok(())
}

async fn embedded(notified: bool, by_class: bool) -> anyhow::Result<Measured> {
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
        notified: None,
        push_url: None,
    };
    let org = stack.found("flips").await?;
    let took = if notified {
        let connection = connection(&org).await?;
        let client = Client::connect(&connection).poll_every(LOST).start_within(LOST).await?;
        measure(&org, client, by_class).await?
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
        let client = Client::connect(&connection).poll_every(POLL).start_within(LOST).await?;
        measure(&org, client, by_class).await?
    };
    server.kill().await?;
    std::fs::remove_dir_all(&folder)?;
    Ok(took)
}

async fn cloud(by_class: bool) -> anyhow::Result<Measured> {
    let stack = Stack::running()?.context("no stack runs; start one with localstack/up")?;
    let org = stack.found("flips").await?;
    let connection = connection(&org).await?;
    let client = Client::connect(&connection).poll_every(POLL).start_within(LOST).await?;
    measure(&org, client, by_class).await
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
        let seen = tokio::spawn(wait_until(acme.clone(), FLAG, on, started));
        org.flip("flipped", on).await?;
        took.push(seen.await??);
    }
    Ok(took)
}

async fn wait_until(
    acme: Tenant,
    flag: Flag<bool>,
    on: bool,
    started: Instant,
) -> anyhow::Result<Duration> {
    loop {
        if acme.user("u-1").flags().get(&flag) == on {
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
