//! A table whose process is killed at any moment keeps what it acknowledged, and keeps nothing by halves.
//!
//! The child is this test binary once more, told by an environment variable where to write.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use flagforge_embedded::EmbeddedTable;
use flagforge_platform::ports::SystemTimer;
use flagforge_platform::ports::{Condition, Item, ItemKey, Query, Table, Write};

const FOLDER: &str = "FLAGFORGE_CRASH_FOLDER";
const ROUNDS: u64 = 60;
const PK: &str = "crash#";

fn item(sk: &str, version: u64, body: String) -> Item {
    Item { key: ItemKey::new(PK, sk), version, body, expires_at_seconds: None }
}

/// One step of the child: a head, an item and an entry of the log, as a commit of the platform writes them. Bodies are of
/// every size up to some pages of the file, so that a torn write would show.
fn step(number: u64) -> Vec<Write> {
    let size = usize::try_from(number * 7_919 % 20_000).unwrap_or(0);
    let body = format!("{{\"number\":{number},\"fill\":\"{}\"}}", "x".repeat(size));
    let before = if number == 1 { Condition::Absent } else { Condition::Version(number - 1) };
    vec![
        Write::Put { item: item("HEAD", number, "{}".to_owned()), condition: before },
        Write::Put { item: item("ITEM", number, body.clone()), condition: Condition::Any },
        Write::Put {
            item: item(&format!("LOG#{number:020}"), number, body),
            condition: Condition::Absent,
        },
    ]
}

async fn head(table: &EmbeddedTable) -> Result<u64> {
    let head = table.get(&ItemKey::new(PK, "HEAD")).await?;
    Ok(head.map_or(0, |head| head.version))
}

/// Not a test of its own: without the variable it has nothing to do.
#[test]
fn child_that_writes_until_it_is_killed() -> Result<()> {
    let Some(folder) = std::env::var_os(FOLDER) else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    runtime.block_on(async {
        let path = Path::new(&folder).join("table.redb");
        let table = EmbeddedTable::open(&path, Arc::new(SystemTimer))?;
        let mut out = std::io::stdout();
        for number in head(&table).await? + 1.. {
            table.transact(step(number), Some(&format!("step-{number}"))).await?;
            writeln!(out, "\nacknowledged {number}")?;
            out.flush()?;
        }
        Ok(())
    })
}

fn start(folder: &Path) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--exact", "child_that_writes_until_it_is_killed", "--nocapture"]);
    command.env(FOLDER, folder).stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().context("the child did not start")
}

/// Lets the child write for `life`, kills it, and answers the last number it said it had written.
fn run_until_killed(folder: &Path, life: Duration) -> Result<Option<u64>> {
    let mut child = start(folder)?;
    let out = child.stdout.take().context("no output")?;
    let reader = std::thread::spawn(move || {
        let mut last = None;
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if let Some(number) = line.strip_prefix("acknowledged ") {
                last = number.parse().ok();
            }
        }
        last
    });
    std::thread::sleep(life);
    child.kill()?;
    let status = child.wait()?;
    ensure!(!status.success() && status.code().is_none(), "the child ended by itself: {status}");
    reader.join().ok().context("the reader panicked")
}

#[tokio::test]
async fn acknowledged_writes_outlive_kill_9_and_none_is_half_there() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("table.redb");
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        // From before the file is whole to some dozens of commits; the same spread in every run.
        let life = Duration::from_millis(round * 37 % 120);
        acknowledged = run_until_killed(folder.path(), life)?.unwrap_or(0).max(acknowledged);
        let table = EmbeddedTable::open(&path, Arc::new(SystemTimer))?;
        let reached = head(&table).await?;
        ensure!(reached >= acknowledged, "{acknowledged} was acknowledged, and {reached} is there");
        check_whole(&table, reached).await.with_context(|| format!("round {round}"))?;
        if reached > 0 {
            // A token outlives the crash too: what was written last is not written again.
            table.transact(step(reached), Some(&format!("step-{reached}"))).await?;
            ensure!(head(&table).await? == reached);
        }
    }
    ensure!(acknowledged > ROUNDS, "only {acknowledged} writes in {ROUNDS} rounds show little");
    Ok(())
}

/// Head, item and log agree, and the log has no gap.
async fn check_whole(table: &EmbeddedTable, reached: u64) -> Result<()> {
    let mut query = Query::prefix(PK, "LOG#");
    let mut number = 0;
    loop {
        let page = table.query(&query).await?;
        for entry in page.items {
            number += 1;
            let Some(Write::Put { item: expected, .. }) = step(number).pop() else {
                bail!("a step")
            };
            ensure!(entry == expected, "entry {number} is not what was written");
        }
        query.page = page.next;
        if query.page.is_none() {
            break;
        }
    }
    ensure!(number == reached, "the head says {reached} and the log ends at {number}");
    let standing = table.get(&ItemKey::new(PK, "ITEM")).await?;
    let writes = if reached == 0 { Vec::new() } else { step(reached) };
    match (standing, writes.into_iter().nth(1)) {
        (None, None) => Ok(()),
        (Some(standing), Some(Write::Put { item, .. })) if standing == item => Ok(()),
        (standing, _) => bail!("the item is at {:?}", standing.map(|item| item.version)),
    }
}
