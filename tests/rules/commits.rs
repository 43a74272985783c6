//! The one door under an unreliable table.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use flagforge_embedded::{FaultPlan, FaultTable};
use flagforge_flags::manifest::Digest;
use flagforge_platform::ports::{Condition, Item, ItemKey, Table as _, Write};
use flagforge_platform::{Error, Idempotency, LogId, Outcome, Precondition, Request};

use crate::kit::{caller, commit, enable, env, furnished, log, org, platform, tenant};

const SEEDS: u64 = 20;
const COMMITS: usize = 25;

/// A table that loses every fifth answer after committing and every tenth call before.
fn unreliable() -> FaultPlan {
    FaultPlan {
        fail_before_per_mille: 60,
        fail_after_per_mille: 200,
        contended_per_mille: 100,
        longest_delay: Duration::ZERO,
        ..FaultPlan::default()
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_never_doubles_an_effect() {
    let mut lost_answers = 0;
    for seed in 0..SEEDS {
        let (hands, reliable, _) = furnished().await;
        let table = FaultTable::new(hands.table.clone(), hands.timer.clone(), seed, unreliable());
        let table = Arc::new(table);
        let shaky = platform(&hands, table.clone());
        let mut acknowledged = 0;
        for number in 0..COMMITS {
            let request = Request::of(enable("f", number % 2 == 0), &format!("r-{number}"));
            match shaky.commit(&caller(), &request).await {
                Ok(_) => acknowledged += 1,
                // A read that failed: said so, and may be repeated.
                Err(Error::Busy { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        lost_answers += table.counts().failed_after;
        let entries = log(&reliable, Some(env("prod"))).await;
        let requests: HashSet<&str> = entries.iter().map(|e| e.request_id.as_str()).collect();
        assert_eq!(requests.len(), entries.len(), "seed {seed}: a request has two entries");
        assert!(entries.len() >= acknowledged, "seed {seed}: an acknowledged commit is missing");
    }
    assert!(lost_answers > 50, "only {lost_answers} answers were lost: nothing was tested");
}

#[tokio::test]
async fn a_repeat_with_its_key_finds_what_happened_whatever_was_lost() {
    for seed in 0..SEEDS {
        let (hands, reliable, _) = furnished().await;
        let table = FaultTable::new(hands.table.clone(), hands.timer.clone(), seed, unreliable());
        let shaky = platform(&hands, Arc::new(table));
        let request = Request {
            change: enable("f", true),
            precondition: Precondition::None,
            reason: None,
            links: Vec::new(),
            idempotency: Some(Idempotency { key: "once".to_owned(), request: Digest::of(b"it") }),
            request_id: "r".to_owned(),
        };
        let mut numbers = HashSet::new();
        for _ in 0..10 {
            if let Ok(Outcome::Committed(done)) = shaky.commit(&caller(), &request).await {
                numbers.insert(done.number);
            }
        }
        assert_eq!(numbers.len(), 1, "seed {seed}: ten repeats told of {numbers:?}");
        assert_eq!(log(&reliable, Some(env("prod"))).await.len(), 1, "seed {seed}: two effects");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_two_logs_do_not_contend() {
    let (hands, platform, _) = furnished().await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let platform = platform.clone();
        writers.spawn(async move {
            for number in 0..25 {
                if writer % 2 == 0 {
                    commit(&platform, enable("f", number % 2 == 0)).await;
                } else {
                    commit(&platform, tenant(&format!("t-{writer}-{number}"))).await;
                }
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    for (env, expected) in [(Some(env("prod")), 50), (None, 50)] {
        let entries = log(&platform, env).await;
        assert!(entries.iter().enumerate().all(|(i, entry)| entry.number == i as u64 + 1));
        let written = entries.iter().filter(|entry| entry.request_id == "test");
        // The organization's log also has what `furnished` wrote: the definition of `f`.
        assert!(written.count() - expected <= 1);
    }
    drop(hands);
}

#[tokio::test]
async fn every_entry_is_chained_to_the_one_before() {
    let (hands, platform, _) = furnished().await;
    for number in 0..5 {
        commit(&platform, enable("f", number % 2 == 0)).await;
    }
    let mut previous = Digest::of(b"");
    for number in 1..=5 {
        let key = ItemKey::new(format!("{}#env#prod#log", org()), format!("LOG#{number:020}"));
        let item = hands.table.get(&key).await.unwrap().unwrap();
        let entry: flagforge_platform::log::LogEntry = serde_json::from_str(&item.body).unwrap();
        assert_eq!(entry.previous, previous, "entry {number}");
        previous = Digest::of(item.body.as_bytes());
    }
}

#[tokio::test]
async fn whoever_changes_an_entry_breaks_the_chain() {
    let (hands, platform, _) = furnished().await;
    for number in 0..5 {
        commit(&platform, enable("f", number % 2 == 0)).await;
    }
    let log = LogId { org: org(), env: Some(env("prod")) };
    let whole = platform.verify_chain(&caller(), &log, 1).await.unwrap();
    assert!(whole.intact && whole.complete && whole.until == 5);
    let key = ItemKey::new(format!("{}#env#prod#log", org()), format!("LOG#{:020}", 3));
    let item = hands.table.get(&key).await.unwrap().unwrap();
    let forge = async |body: Option<String>| {
        let write = match body {
            Some(body) => {
                let item = Item { body, ..item.clone() };
                Write::Put { item, condition: Condition::Any }
            }
            None => Write::Delete { key: key.clone(), condition: Condition::Any },
        };
        hands.table.transact(vec![write], None).await.unwrap();
        platform.verify_chain(&caller(), &log, 1).await.unwrap()
    };
    let forged = forge(Some(item.body.replace("test", "tess"))).await;
    assert!(!forged.intact && forged.until == 3, "{forged:?}");
    let missing = forge(None).await;
    assert!(!missing.intact && missing.until == 2, "{missing:?}");
    let whole = forge(Some(item.body.clone())).await;
    assert!(whole.intact && whole.complete);
}
