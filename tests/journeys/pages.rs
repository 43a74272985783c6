//! Pages while others write: what stood throughout is there once, and in its order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::ensure;
use serde_json::json;

use crate::{Org, Stack};

/// Things that stand throughout, with as many between them that come and go.
const STANDING: usize = 20;
const WALKS: usize = 3;

/// Names by seed, so that a failure can be had again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn standing(number: usize) -> String {
    format!("k{number:02}")
}

/// Makes a tenant and a flag of a name; where they stand already they stay, and a flag that was deleted keeps its name.
async fn put(org: &Org, key: &str) -> anyhow::Result<()> {
    let flag = json!({"class": "release", "type": "boolean"});
    for (what, body) in [("tenants", &json!({})), ("flags", &flag)] {
        let made = org.api.put(&org.path(&format!("{what}/{key}")), body).await?;
        let taken = made.status == 428 || made.problem() == "kept";
        ensure!(made.status == 201 || taken, "{what}/{key}: {}", made.body);
    }
    Ok(())
}

/// Makes and deletes what sorts between the standing ones, until it is told to stop.
async fn churn(org: Org, seed: u64, stop: Arc<AtomicBool>) -> anyhow::Result<usize> {
    let (mut dice, mut changes) = (Dice(seed), 0);
    while !stop.load(Ordering::Relaxed) {
        let key = format!("k{:02}-{}", dice.below(STANDING as u64), dice.below(4));
        if dice.below(2) == 0 {
            put(&org, &key).await?;
        } else {
            for what in ["tenants", "flags"] {
                org.api.delete(&org.path(&format!("{what}/{key}"))).await?;
            }
        }
        changes += 1;
    }
    Ok(changes)
}

/// All keys of a listing, page by page.
async fn walk(org: &Org, path: &str, name: &str) -> anyhow::Result<Vec<String>> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = org.api.get(&org.path(&format!("{path}{cursor}"))).await?.expect(200)?.body;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        seen.extend(items.iter().map(|item| item[name].to_string().replace('"', "")));
        match page["next"].as_str() {
            None => return Ok(seen),
            Some(next) => cursor = format!("&cursor={next}"),
        }
    }
}

pub async fn pages_skip_and_double_nothing_while_others_write(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("churned").await?;
    for number in 0..STANDING {
        put(&org, &standing(number)).await?;
    }
    let log_before = walk(&org, "log?limit=50", "number").await?;
    let stop = Arc::new(AtomicBool::new(false));
    let churning = tokio::spawn(churn(org.clone(), 20_261_121, stop.clone()));
    let expected: Vec<String> = (0..STANDING).map(standing).collect();
    let mut outcome = Ok(());
    'walks: for walk_number in 0..WALKS {
        for path in ["tenants?limit=3", "tenants?limit=3&search=k", "flags?limit=3"] {
            outcome = walked(&org, path, &expected).await;
            if outcome.is_err() {
                break 'walks;
            }
        }
        // A log only grows.
        let numbers = walk(&org, "log?limit=7", "number").await?;
        let whole: Vec<String> = (1..=numbers.len()).map(|number| number.to_string()).collect();
        ensure!(
            numbers == whole && numbers.len() >= log_before.len(),
            "walk {walk_number}: {numbers:?}"
        );
    }
    stop.store(true, Ordering::Relaxed);
    let changes = churning.await??;
    outcome?;
    ensure!(changes > WALKS, "only {changes} changes came between");
    Ok(())
}

async fn walked(org: &Org, path: &str, expected: &[String]) -> anyhow::Result<()> {
    let seen = walk(org, path, "key").await?;
    let mut times: BTreeMap<&String, usize> = BTreeMap::new();
    for key in &seen {
        *times.entry(key).or_default() += 1;
    }
    ensure!(times.values().all(|times| *times == 1), "{path}: doubled: {seen:?}");
    ensure!(seen.is_sorted(), "{path}: out of order: {seen:?}");
    let stood: Vec<&String> = seen.iter().filter(|key| expected.contains(key)).collect();
    ensure!(stood.iter().copied().eq(expected.iter()), "{path}: skipped some: {seen:?}");
    Ok(())
}
