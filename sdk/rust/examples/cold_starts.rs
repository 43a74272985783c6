//! How long a process takes from its start to its first answer when the origin is gone and the disk has the last good
//! manifest: a load run, not a test.
//!
//! ```text
//! cargo run -p flagforge-sdk --example cold_starts -- [starts] [flags] [tenants]
//! ```

#![expect(clippy::unwrap_used, reason = "a run that cannot go on has failed")]

#[path = "../tests/it/kit.rs"]
mod kit;

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flagforge::origin::FolderOrigin;
use flagforge::{Client, Flag, Loader, Status};

use kit::{Publisher, SECRET, boolean, directory};

const LAST: Flag<bool> = Flag::new("flag-0", false);

#[tokio::main]
async fn main() {
    let begun = Instant::now();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, connection, cache] = arguments.as_slice()
        && word == "start"
    {
        return start(begun, connection, Path::new(cache)).await;
    }
    let number = |place: usize, otherwise: usize| {
        arguments.get(place).map_or(otherwise, |text| text.parse().unwrap())
    };
    run(number(0, 1_000), number(1, 1_000), number(2, 1_000)).await;
}

/// One process: says how long it took itself.
async fn start(begun: Instant, connection: &str, cache: &Path) {
    let client = Client::connect(connection).cache_dir(cache).await.unwrap();
    let on = client.tenant("tenant-0").unwrap().flags().get(&LAST);
    let took = begun.elapsed();
    assert_eq!((client.status(), on), (Status::LastKnownGood, true));
    let mut out = std::io::stdout();
    writeln!(out, "{}", took.as_micros()).unwrap();
}

async fn run(starts: usize, flags: usize, tenants: usize) {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut publisher = Publisher::new(folder.path());
    publisher.shards = 16;
    let wires: Vec<_> = (0..flags).map(|n| boolean(&format!("flag-{n}"))).collect();
    let entries: Vec<_> = (0..tenants)
        .map(|n| directory(&format!("tenant-{n}"), &["flag-0", "flag-1", "flag-2"]))
        .collect();
    publisher.publish(&wires, &entries);
    let (scope, pins) = (publisher.environment(), publisher.pinned());
    let roots: Vec<String> = pins.iter().map(ToString::to_string).collect();
    let origin = Arc::new(FolderOrigin::new(folder.path()));
    let mut loader = Loader::new(origin, scope, pins, Some(cache.path()));
    loader.refresh().await.unwrap();
    loader.store().await;

    // Nobody listens there.
    let connection = format!(
        "flagforge+http://ff_server_demo.k1_{SECRET}@127.0.0.1:1/demo/prod?roots={}",
        roots.join(",")
    );
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for _ in 0..starts {
        let begun = Instant::now();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["start", &connection])
            .arg(cache.path())
            .output()
            .unwrap();
        outside.push(begun.elapsed());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let micros = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        inside.push(Duration::from_micros(micros));
    }
    let mut out = std::io::stdout();
    writeln!(out, "{starts} starts from disk, {flags} flags, {tenants} tenants of three overrides")
        .unwrap();
    for (what, mut took) in [("main to first answer", inside), ("whole process", outside)] {
        took.sort();
        let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
        let late = took.iter().filter(|took| **took >= Duration::from_secs(1)).count();
        writeln!(
            out,
            "{what}: p50 {:?}, p99 {:?}, longest {:?}, {late} of a second or more",
            at(50),
            at(99),
            at(100)
        )
        .unwrap();
    }
}
