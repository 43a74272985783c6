//! What a change of one flag costs the publisher, and an SDK, as an environment grows; and what killing all of it costs: a
//! load run, not a test.
//!
//! ```text
//! cargo run --release -p flagforge-tests --bin growth
//! cargo run --release -p flagforge-tests --bin growth -- 1000 10000        flags and tenants of one row
//! ```
//!
//! Hands in memory, so that no disk is measured. Objects are counted where the publisher puts them and where the SDK's
//! loader gets them.

#[path = "filled.rs"]
mod filled;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use bytes::Bytes;
use filled::{commit, env, flag, org};
use flagforge::Loader;
use flagforge_embedded::Embedded;
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_flags::propagation::Propagation;
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{
    ETag, Fetched, ListedObject, Notice, ObjectError, Objects, OneTable, PutIf,
};
use flagforge_platform::{Change, Platform, bootstrap, handle};
use flagforge_tests::ObjectsOrigin;
use serde_json::json;

/// Changes of which the middle one is told.
const CHANGES: usize = 21;
const ROWS: [(usize, usize); 5] =
    [(100, 1_000), (1_000, 1_000), (10_000, 1_000), (1_000, 100_000), (10_000, 100_000)];

/// A store that counts what passes it.
#[derive(Debug)]
struct Counted {
    objects: Arc<dyn Objects>,
    count: AtomicUsize,
    bytes: AtomicUsize,
}

impl Counted {
    fn over(objects: &Arc<dyn Objects>) -> Arc<Self> {
        let (count, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { objects: Arc::clone(objects), count, bytes })
    }

    fn note(&self, bytes: usize) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn take(&self) -> (usize, usize) {
        (self.count.swap(0, Ordering::Relaxed), self.bytes.swap(0, Ordering::Relaxed))
    }
}

/// Puts are counted, for a publisher.
#[derive(Debug)]
struct Puts(Arc<Counted>);
/// Gets are, for a reader.
#[derive(Debug)]
struct Gets(Arc<Counted>);

macro_rules! objects {
    ($of:ident, $got:expr, $put:expr) => {
        #[async_trait]
        impl Objects for $of {
            async fn get(&self, name: &str, held: Option<&ETag>) -> Result<Fetched, ObjectError> {
                let found = self.0.objects.get(name, held).await?;
                if let (Fetched::Found { bytes, .. }, true) = (&found, $got) {
                    self.0.note(bytes.len());
                }
                Ok(found)
            }
            async fn put(
                &self,
                name: &str,
                bytes: Bytes,
                kind: &str,
                condition: PutIf,
            ) -> Result<ETag, ObjectError> {
                if $put {
                    self.0.note(bytes.len());
                }
                self.0.objects.put(name, bytes, kind, condition).await
            }
            async fn list(
                &self,
                prefix: &str,
                after: Option<&str>,
            ) -> Result<Vec<ListedObject>, ObjectError> {
                self.0.objects.list(prefix, after).await
            }
            async fn delete(&self, name: &str, before: Timestamp) -> Result<bool, ObjectError> {
                self.0.objects.delete(name, before).await
            }
        }
    };
}
objects!(Puts, false, true);
objects!(Gets, true, false);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let given: Vec<usize> =
        std::env::args().skip(1).map(|n| n.parse()).collect::<Result<_, _>>().context("counts")?;
    say(
        "| flags | tenants | after | publish | objects put | bytes put | SDK: refresh | fetched | bytes fetched |",
    );
    say("|---|---|---|---|---|---|---|---|---|");
    match given.as_slice() {
        [] => {
            for (flags, tenants) in ROWS {
                row(flags, tenants).await?;
            }
        }
        [flags, tenants] => row(*flags, *tenants).await?,
        _ => bail!("say how many flags and tenants, or nothing"),
    }
    Ok(())
}

struct Installation {
    platform: Platform,
    puts: Arc<Counted>,
    gets: Arc<Counted>,
    sdk: Loader,
}

/// What one change came to.
#[derive(Debug, Clone, Copy)]
struct Cost {
    publish: Duration,
    put: (usize, usize),
    refresh: Duration,
    got: (usize, usize),
}

async fn row(flags: usize, tenants: usize) -> anyhow::Result<()> {
    let mut installation = Installation::of(flags, tenants).await?;
    let mut costs = Vec::with_capacity(CHANGES);
    for number in 0..CHANGES {
        let (org, env, flag) = (org()?, env()?, flag(number * 7_919 % flags)?);
        let change = Change::SetEnabled { org, env, flag, enabled: false };
        costs.push(installation.change(change).await?);
    }
    costs.sort_by_key(|cost| cost.publish);
    tell(flags, tenants, "a flag", costs[CHANGES / 2]);
    for (word, change) in [("the kill of all", "kill"), ("its end", "end-kill")] {
        let change =
            json!({"change": change, "org": org()?, "env": env()?, "scope": "environment"});
        let cost = installation.change(serde_json::from_value(change)?).await?;
        tell(flags, tenants, word, cost);
    }
    Ok(())
}

impl Installation {
    async fn of(flags: usize, tenants: usize) -> anyhow::Result<Self> {
        let hands = Embedded::memory()?;
        let trust = hands.ensure_trust().await?;
        let (puts, gets) = (Counted::over(&hands.objects), Counted::over(&hands.objects));
        let tables = Arc::new(OneTable(hands.table.clone()));
        let objects = Arc::new(Puts(puts.clone()));
        let (signer, bus) = (hands.signer.clone(), hands.bus.clone());
        let platform = Platform::new(tables, objects, signer, bus, hands.timer.clone(), None);
        bootstrap::home(&platform, &org()?, "Scale", &[(env()?, "Prod")]).await?;
        filled::flags(&platform, flags).await?;
        // So that a kill of all has something to do.
        for number in 0..flags {
            let (org, env, flag) = (org()?, env()?, flag(number)?);
            commit(&platform, Change::SetEnabled { org, env, flag, enabled: true }).await?;
        }
        filled::tenants(&platform, tenants).await?;
        handle::resign(&platform).await?;
        let id = ScopeId { org: org()?, env: env()?, scope: Scope::Environment };
        let origin = Arc::new(ObjectsOrigin(Arc::new(Gets(gets.clone()))));
        let mut sdk = Loader::new(origin, id, vec![trust.root], None);
        sdk.refresh().await?;
        Ok(Self { platform, puts, gets, sdk })
    }

    async fn change(&mut self, change: Change) -> anyhow::Result<Cost> {
        commit(&self.platform, change).await?;
        let (env, change) = (Some(env()?), "measured".to_owned());
        let propagation = Propagation::Immediate;
        let notice = Notice::Changed { org: org()?, env, number: 0, change, propagation };
        self.puts.take();
        self.gets.take();
        let began = Instant::now();
        handle::snapshot(&self.platform, &notice).await?;
        let publish = began.elapsed();
        let began = Instant::now();
        self.sdk.refresh().await?;
        let refresh = began.elapsed();
        Ok(Cost { publish, put: self.puts.take(), refresh, got: self.gets.take() })
    }
}

fn tell(flags: usize, tenants: usize, after: &str, cost: Cost) {
    let Cost { publish, put, refresh, got } = cost;
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    say(&format!(
        "| {flags} | {tenants} | {after} | {:.1} ms | {} | {} | {:.1} ms | {} | {} |",
        millis(publish),
        put.0,
        put.1,
        millis(refresh),
        got.0,
        got.1
    ));
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
