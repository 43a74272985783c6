//! Answers while what is answered is swapped as fast as it can be made: `swaps [<evaluations a task>]`, 2,000,000 when
//! not said, by 64 tasks for 64 tenants. Each answer names its tenant and the swap. One that is another tenant's, of
//! another swap than its neighbour in the same request, or of an older one than before ends it with an error.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use flagforge::testing::{Fixed, FixedError};
use flagforge::{Client, Flag, Tenant};

const TASKS: usize = 64;
const EVALUATIONS: u64 = 2_000_000;
const NAME: Flag<&str> = Flag::new("name", "-");
const AGAIN: Flag<&str> = Flag::new("again", "-");
/// Requests after which a task lets others have its thread.
const REQUESTS_AT_A_STRETCH: u64 = 256;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let evaluations = std::env::args().nth(1).map(|text| text.parse()).transpose();
    let evaluations = evaluations.context("evaluations")?.unwrap_or(EVALUATIONS);
    let client = answers(0).client()?;
    let done = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let swapping = std::thread::spawn({
        let (client, done) = (client.clone(), Arc::clone(&done));
        move || swap(&client, &done)
    });
    let tasks = (0..TASKS).map(|i| Ok(tokio::spawn(ask(client.tenant(key(i))?, evaluations))));
    let tasks: Vec<_> = tasks.collect::<anyhow::Result<_>>()?;
    let (mut asked, mut newest) = (0, 0);
    for task in tasks {
        let (evaluated, seen) = task.await??;
        (asked, newest) = (asked + evaluated, newest.max(seen));
    }
    done.store(true, Ordering::Relaxed);
    let swaps = swapping.join().map_err(|_| anyhow::anyhow!("swapping panicked"))??;
    ensure!(newest > 0, "no swap was seen");
    let mut out = std::io::stdout();
    writeln!(out, "| what | number |")?;
    writeln!(out, "| tasks, each a tenant | {TASKS} |")?;
    writeln!(out, "| evaluations | {asked} |")?;
    writeln!(out, "| swaps meanwhile | {swaps} |")?;
    writeln!(out, "| mixed answers | 0 |")?;
    writeln!(out, "| seconds | {:.1} |", began.elapsed().as_secs_f64())?;
    Ok(())
}

fn key(tenant: usize) -> String {
    format!("tenant-{tenant}")
}

/// Two flags that answer each tenant its own key and this number.
fn answers(number: u64) -> Fixed {
    (0..TASKS).fold(Fixed::new(), |fixed, tenant| {
        let value = format!("{} {number}", key(tenant));
        fixed.tenant(&key(tenant), |it| it.flag("name", value.as_str()).flag("again", value))
    })
}

fn swap(client: &Client, done: &AtomicBool) -> Result<u64, FixedError> {
    let mut swaps = 0;
    while !done.load(Ordering::Relaxed) {
        answers(swaps + 1).replace(client)?;
        swaps += 1;
    }
    Ok(swaps)
}

/// Answers how many evaluations there were, and the newest number that was seen.
async fn ask(tenant: Tenant, evaluations: u64) -> anyhow::Result<(u64, u64)> {
    let (mut asked, mut newest) = (0, 0);
    while asked < evaluations {
        for _ in 0..REQUESTS_AT_A_STRETCH {
            let flags = tenant.user("u").flags();
            let (first, second) = (flags.get(&NAME), flags.get(&AGAIN));
            ensure!(first == second, "{first} and {second} in one request");
            let (name, number) = first.split_once(' ').context("no answer")?;
            ensure!(name == tenant.key().as_str(), "{} was told {first}", tenant.key());
            let number: u64 = number.parse()?;
            ensure!(number >= newest, "{number} after {newest}");
            newest = number;
            asked += 2;
        }
        tokio::task::yield_now().await;
    }
    Ok((asked, newest))
}
