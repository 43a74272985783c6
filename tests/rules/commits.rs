//! The one door under an unreliable table.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use flagforge_embedded::{FaultPlan, FaultTable};
use flagforge_flags::manifest::Digest;
use flagforge_platform::ports::{Condition, Item, ItemKey, Table as _, Write};
use flagforge_platform::{
    Change, Error, Idempotency, LogId, Outcome, Platform, Precondition, Request,
};

use serde_json::json;

use crate::kit::{
    caller, commit, define, enable, env, flag, furnished, log, org, platform, tenant,
};

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
            fires: None,
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

const WRITERS: usize = 50;
const EDITS: usize = 200;
/// Flags that they share: five writers each.
const SHARED: usize = 10;

/// Fifty people on ten flags of one environment. Each reads what stands, adds one to a number in it, and writes
/// it on condition that it still stands, until all edits are in: a lost update leaves the number too low.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_writers_of_shared_flags_lose_no_update() {
    let (_hands, platform, _) = furnished().await;
    for number in 0..SHARED {
        define(&platform, &format!("shared-{number}")).await;
    }
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let platform = platform.clone();
        writers.spawn(async move {
            let mut lost_races = 0;
            for edit in 0..EDITS {
                let flag = format!("shared-{}", writer % SHARED);
                lost_races += add_one(&platform, &flag, &format!("{writer}-{edit}")).await;
            }
            lost_races
        });
    }
    let mut lost_races = 0;
    while let Some(writer) = writers.join_next().await {
        lost_races += writer.unwrap();
    }
    assert!(lost_races > 0, "nobody raced: nothing was tested");
    let mut total = 0;
    for number in 0..SHARED {
        total += standing(&platform, &format!("shared-{number}")).await.0;
    }
    assert_eq!(total, WRITERS * EDITS, "updates were lost");
    let entries = log(&platform, Some(env("prod"))).await;
    assert_eq!(entries.len(), WRITERS * EDITS);
    assert!(entries.iter().enumerate().all(|(i, entry)| entry.number == i as u64 + 1));
    let requests: HashSet<&str> = entries.iter().map(|e| e.request_id.as_str()).collect();
    assert_eq!(requests.len(), entries.len(), "an edit has two entries");
}

/// The number in a flag (the key of its one target), and the version it stands at.
async fn standing(platform: &Platform, key: &str) -> (usize, u64) {
    let state = platform.flag_state(&caller(), &org(), &env("prod"), &flag(key)).await.unwrap();
    let target = state.value.state.targets.first().and_then(|target| target.keys.first());
    (target.map_or(0, |number| number.parse().unwrap()), state.version)
}

/// Adds one to the number in a flag; answers how often somebody else was faster.
async fn add_one(platform: &Platform, key: &str, request_id: &str) -> usize {
    for lost_races in 0.. {
        let (number, version) = standing(platform, key).await;
        let patch = json!({"targets": [{"variant": "on", "keys": [(number + 1).to_string()]}]});
        let (org, env, flag) = (org(), env("prod"), flag(key));
        let mut request = Request::of(Change::PatchState { org, env, flag, patch }, request_id);
        request.precondition = match version {
            0 => Precondition::Absent,
            version => Precondition::Version(version),
        };
        match platform.commit(&caller(), &request).await {
            Ok(_) => return lost_races,
            Err(Error::PreconditionFailed) => {}
            // Bounded retries inside were not enough: that is what this test is about.
            Err(error) => panic!("{request_id}: {error}"),
        }
    }
    unreachable!("the range has no end")
}

/// A thousand repeats of one request at once, as a client's retries after an outage come in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_repeats_at_once_have_one_effect() {
    const REPEATS: usize = 1_000;
    let (_hands, platform, _) = furnished().await;
    let request = Request {
        change: enable("f", true),
        precondition: Precondition::None,
        reason: None,
        idempotency: Some(Idempotency { key: "once".to_owned(), request: Digest::of(b"it") }),
        request_id: "r".to_owned(),
        fires: None,
        links: Vec::new(),
    };
    let mut repeats = tokio::task::JoinSet::new();
    for _ in 0..REPEATS {
        let (platform, request) = (platform.clone(), request.clone());
        repeats.spawn(async move { platform.commit(&caller(), &request).await });
    }
    let (mut first, mut replayed) = (0, 0);
    while let Some(answer) = repeats.join_next().await {
        let Outcome::Committed(done) = answer.unwrap().unwrap() else { panic!("not committed") };
        assert_eq!(done.number, 1);
        if done.replayed { replayed += 1 } else { first += 1 }
    }
    assert_eq!((first, replayed), (1, REPEATS - 1));
    assert_eq!(log(&platform, Some(env("prod"))).await.len(), 1, "two effects");
}

/// Two processes share no line: their writers meet in the table, and its conditions keep what they wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_in_two_processes_lose_nothing_either() {
    const EACH: usize = 50;
    let (hands, one, _) = furnished().await;
    let other = platform(&hands, hands.table.clone());
    let mut writers = tokio::task::JoinSet::new();
    for (name, platform) in [("one", one.clone()), ("other", other)] {
        writers.spawn(async move {
            for edit in 0..EACH {
                add_one(&platform, "f", &format!("{name}-{edit}")).await;
            }
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    assert_eq!(standing(&one, "f").await.0, 2 * EACH);
    assert_eq!(log(&one, Some(env("prod"))).await.len(), 2 * EACH);
}
