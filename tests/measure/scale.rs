//! An organization at its design size on the hands of one machine, beside a tenth of it: a load run, not a test.
//!
//! ```text
//! cargo run --release -p flagforge-tests --bin scale                          10,000 flags, 100,000 tenants, 1,000,000 overrides
//! cargo run --release -p flagforge-tests --bin scale -- 1000 10000 100000     as many as said
//! ```
//!
//! Everything goes through the platform's own functions, without HTTP, on a data folder. Tenants are imported and
//! flags defined through `commit`. Overrides, for which there is no bulk change, are written into the table as
//! `commit` would have written them, 50 a transaction; then each kind of read and write is timed.

#[path = "filled.rs"]
mod filled;

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use filled::{caller, commit, env, flag, org, tenant};
use flagforge_embedded::Embedded;
use flagforge_flags::keys::VariantKey;
use flagforge_flags::propagation::Propagation;
use flagforge_platform::ports::{Condition, Item, ItemKey, Notice, Table as _, Write};
use flagforge_platform::read::PageOf;
use flagforge_platform::search::{FlagFilter, TenantFilter};
use flagforge_platform::{Change, Platform, bootstrap, handle};
use serde_json::{Value as Json, json};

/// How often each kind of read and write is timed.
const TIMES: usize = 300;
/// Overrides of one transaction, each in two orders.
const BATCH: usize = 50;

struct Scale {
    platform: Platform,
    hands: Embedded,
    flags: usize,
    tenants: usize,
    overrides: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let given: Vec<usize> =
        std::env::args().skip(1).map(|n| n.parse()).collect::<Result<_, _>>().context("counts")?;
    let (flags, tenants, overrides) = match given.as_slice() {
        [] => (10_000, 100_000, 1_000_000),
        [flags, tenants, overrides] => (*flags, *tenants, *overrides),
        _ => bail!("say how many flags, tenants and overrides, or nothing"),
    };
    let folder = std::env::temp_dir().join(format!("flagforge-scale-{}", std::process::id()));
    let hands = Embedded::open(&folder)?;
    hands.ensure_trust().await?;
    let platform = hands.platform();
    let scale = Scale { platform, hands, flags, tenants, overrides };
    say(&format!("{flags} flags, {tenants} tenants, {overrides} overrides"));
    scale.fill().await?;
    scale.time().await?;
    scale.publish().await?;
    drop(scale);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

impl Scale {
    async fn commit(&self, change: Change) -> anyhow::Result<Json> {
        commit(&self.platform, change).await
    }

    async fn fill(&self) -> anyhow::Result<()> {
        bootstrap::home(&self.platform, &org()?, "Scale", &[(env()?, "Prod")]).await?;
        let began = Instant::now();
        filled::flags(&self.platform, self.flags).await?;
        rate("flags defined", self.flags, began);
        let began = Instant::now();
        filled::tenants(&self.platform, self.tenants).await?;
        rate("tenants imported", self.tenants, began);
        let began = Instant::now();
        self.override_many().await?;
        rate("overrides written", self.overrides, began);
        Ok(())
    }

    async fn override_many(&self) -> anyhow::Result<()> {
        let mut uids = Vec::with_capacity(self.tenants);
        let mut page = PageOf { limit: Some(500), ..PageOf::default() };
        loop {
            let filter = TenantFilter::default();
            let found = self.platform.tenants(&caller(), &org()?, &filter, &page).await?;
            uids.extend(found.items.into_iter().map(|item| (item.value.key, item.value.uid)));
            match found.next {
                None => break,
                next => page.cursor = next,
            }
        }
        let pk = format!("{}#env#{}", org()?, env()?);
        let mut writes = Vec::new();
        for number in 0..self.overrides {
            // Every tenant has as many, and every flag.
            let (key, uid) = uids.get(number % uids.len()).context("no tenant")?;
            let at = (number / uids.len() + number % uids.len() * 7) % self.flags;
            let flag = flag(at)?;
            let body = json!({"flag": flag, "flagUid": format!("uid-of-flag-{at}"), "tenant": key, "tenantUid": uid, "variant": "on"}).to_string();
            for key in [
                ItemKey::new(pk.clone(), format!("OVERRIDE#{flag}#{key}")),
                ItemKey::new(format!("{pk}#by-tenant"), format!("OVERRIDE#{key}#{flag}")),
            ] {
                let item = Item { key, version: 1, body: body.clone(), expires_at_seconds: None };
                writes.push(Write::Put { item, condition: Condition::Any });
            }
            if writes.len() == 2 * BATCH || number + 1 == self.overrides {
                self.hands.table.transact(std::mem::take(&mut writes), None).await?;
            }
        }
        Ok(())
    }

    async fn time(&self) -> anyhow::Result<()> {
        let (who, org, env, p) = (caller(), org()?, env()?, &self.platform);
        let page = PageOf { limit: Some(100), ..PageOf::default() };
        // Spread over all there are, in no order that a cache would like.
        let spread = |n: usize, of: usize| (n * 7_919 + 13) % of;
        let variant = VariantKey::new("on")?;
        timed("write: kill or enable a flag", async |n| {
            let (flag, enabled) = (flag(spread(n, self.flags))?, n % 2 == 0);
            let (org, env) = (org.clone(), env.clone());
            self.commit(Change::SetEnabled { org, env, flag, enabled }).await.map(drop)
        })
        .await?;
        timed("write: set an override", async |n| {
            let change = json!({"change": "set-override", "org": org, "env": env, "flag": flag(spread(n, self.flags))?, "tenant": tenant(spread(n, self.tenants))?, "variant": variant});
            self.commit(serde_json::from_value(change)?).await.map(drop)
        })
        .await?;
        timed("write: change a tenant", async |n| {
            let attributes = json!({"plan": "gold"}).as_object().cloned().unwrap_or_default();
            let (tenant, synthetic) = (tenant(spread(n, self.tenants))?, false);
            let (org, uid, name) = (org.clone(), "unused".to_owned(), "Changed".to_owned());
            let change = Change::PutTenant { org, tenant, uid, name, attributes, synthetic };
            self.commit(change).await.map(drop)
        })
        .await?;
        timed("read: one flag's state", async |n| {
            p.flag_state(&who, &org, &env, &flag(spread(n, self.flags))?).await?;
            Ok(())
        })
        .await?;
        timed("read: a page of 100 tenants", async |n| {
            let cursor = Some(tenant(spread(n, self.tenants))?.to_string());
            let page = PageOf { limit: Some(100), cursor, search: None };
            p.tenants(&who, &org, &TenantFilter::default(), &page).await?;
            Ok(())
        })
        .await?;
        timed("read: 100 tenants special for a flag", async |n| {
            p.overrides(&who, &org, &env, &flag(spread(n, self.flags))?, &page).await?;
            Ok(())
        })
        .await?;
        timed("read: what is special about a tenant", async |n| {
            let tenant = tenant(spread(n, self.tenants))?;
            p.overrides_of(&who, (&org, &env), &tenant, &page).await?;
            Ok(())
        })
        .await?;
        timed("read: what a tenant gets, 100 flags", async |n| {
            let tenant = tenant(spread(n, self.tenants))?;
            let cursor = Some(flag(spread(n, self.flags))?.to_string());
            let page = PageOf { limit: Some(100), cursor, search: None };
            p.effective(&who, (&org, &env), (&tenant, None), &FlagFilter::default(), &page).await?;
            Ok(())
        })
        .await
    }

    /// Publishing reads everything once, and then what changed.
    async fn publish(&self) -> anyhow::Result<()> {
        let notice = Notice::Changed {
            org: org()?,
            env: Some(env()?),
            number: 0,
            change: "scale".to_owned(),
            propagation: Propagation::default(),
        };
        let began = Instant::now();
        handle::snapshot(&self.platform, &notice).await?;
        say(&format!("  publish: all of it, once: {:.2?}", began.elapsed()));
        for round in 0..3 {
            let (org, env) = (org()?, env()?);
            let change = Change::SetEnabled { org, env, flag: flag(0)?, enabled: round % 2 == 0 };
            self.commit(change).await?;
            let began = Instant::now();
            handle::snapshot(&self.platform, &notice).await?;
            say(&format!("  publish: after one kill: {:.2?}", began.elapsed()));
        }
        Ok(())
    }
}

async fn timed(what: &str, run: impl AsyncFn(usize) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut took = Vec::with_capacity(TIMES);
    for number in 0..TIMES {
        let began = Instant::now();
        run(number).await?;
        took.push(began.elapsed());
    }
    took.sort();
    let at = |percent: usize| -> Duration {
        took.get((took.len() * percent).div_ceil(100).saturating_sub(1))
            .copied()
            .unwrap_or_default()
    };
    say(&format!("  {what}: p50 {:.2?}  p99 {:.2?}", at(50), at(99)));
    Ok(())
}

fn rate(what: &str, count: usize, began: Instant) {
    let took = began.elapsed();
    let rate = count as f64 / took.as_secs_f64();
    say(&format!("  {count} {what} in {took:.1?}: {rate:.0} a second"));
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
