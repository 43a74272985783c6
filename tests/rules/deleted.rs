//! Deleting, restoring and purging: when each may be, and what races with them.

use std::sync::Arc;
use std::time::Duration;

use flagforge_embedded::{Embedded, FaultPlan, FaultTable, ManualTimer};
use flagforge_flags::time::Timestamp;
use flagforge_platform::limits::Limits;
use flagforge_platform::{Change, Error, KEPT_DAYS, Outcome, Platform, Request};
use serde_json::{Value as Json, json};

use crate::kit::{
    caller, commit, define, enable, env, flag, furnished, furnished_on, org, platform,
};

const SEEDS: u64 = 40;
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn delete(key: &str) -> Change {
    Change::DeleteFlag { org: org(), flag: flag(key) }
}

fn restore(key: &str) -> Change {
    Change::RestoreFlag { org: org(), flag: flag(key) }
}

fn purge(key: &str) -> Change {
    Change::PurgeFlag { org: org(), flag: flag(key) }
}

fn asks(key: &str, of: Option<&str>) -> Change {
    let prerequisites: Vec<Json> =
        of.iter().map(|of| json!({"flag": of, "is": "enabled"})).collect();
    let patch = json!({"prerequisites": prerequisites});
    Change::PatchState { org: org(), env: env("prod"), flag: flag(key), patch }
}

async fn attempt(platform: &Platform, change: Change) -> Result<Outcome, Error> {
    platform.commit(&caller(), &Request::of(change, "test")).await
}

#[tokio::test]
async fn what_was_deleted_is_kept_to_the_last_instant_and_no_longer() {
    let start = Timestamp::from_seconds(1_800_000_000);
    for kept_days in [None, Some(2)] {
        let timer = ManualTimer::at(start);
        let hands = Embedded::memory_at(Arc::new(timer.clone())).unwrap();
        let (_hands, platform, _) = furnished_on(hands).await;
        let limits = Limits { kept_days, ..Limits::default() };
        commit(&platform, Change::SetLimits { org: org(), limits }).await;
        commit(&platform, enable("f", true)).await;
        commit(&platform, delete("f")).await;
        let kept = DAY * kept_days.unwrap_or(KEPT_DAYS);
        timer.set(start.plus(kept - Duration::from_millis(1)));
        let early = attempt(&platform, purge("f")).await;
        assert!(matches!(early, Err(Error::Kept { until, .. }) if until == start.plus(kept)));
        timer.set(start.plus(kept));
        // Its time is over, and still nobody has purged it.
        commit(&platform, restore("f")).await;
        assert!(state(&platform, "f").await.unwrap()["enabled"] == true);
        commit(&platform, delete("f")).await;
        timer.set(start.plus(kept + kept));
        commit(&platform, purge("f")).await;
        let gone = attempt(&platform, restore("f")).await;
        assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
        define(&platform, "f").await;
    }
}

async fn state(platform: &Platform, key: &str) -> Option<Json> {
    let found = platform.flag_state(&caller(), &org(), &env("prod"), &flag(key)).await;
    found.ok().map(|stored| serde_json::to_value(stored.value).unwrap())
}

/// Two processes on one slow table: one begins to ask for a flag, or brings back who asks for it, while the other
/// deletes it or ends it for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_ever_asks_for_what_is_not_there() {
    let slow = FaultPlan {
        delay_per_mille: 500,
        longest_delay: Duration::from_millis(3),
        ..FaultPlan::default()
    };
    let (mut asked, mut deleted) = (0, 0);
    for seed in 0..SEEDS {
        let (hands, calm, _) = furnished().await;
        let limits = Limits { kept_days: Some(0), ..Limits::default() };
        commit(&calm, Change::SetLimits { org: org(), limits }).await;
        define(&calm, "a").await;
        define(&calm, "b").await;
        let comes_back = seed % 2 == 0;
        if comes_back {
            commit(&calm, asks("a", Some("b"))).await;
            commit(&calm, delete("a")).await;
        }
        let is_gone_already = seed % 4 == 0;
        if is_gone_already {
            commit(&calm, delete("b")).await;
        }
        let shaky = |seed| {
            let table = FaultTable::new(hands.table.clone(), hands.timer.clone(), seed, slow);
            platform(&hands, Arc::new(table))
        };
        let (one, other) = (shaky(seed), shaky(1_000 + seed));
        let first = if comes_back { restore("a") } else { asks("a", Some("b")) };
        let second = if is_gone_already { purge("b") } else { delete("b") };
        let (first, second) = tokio::join!(
            tokio::spawn(async move { attempt(&one, first).await }),
            tokio::spawn(async move { attempt(&other, second).await }),
        );
        let (asks_now, is_deleted) = (first.unwrap().is_ok(), second.unwrap().is_ok());
        let gone = state(&calm, "b").await.is_none();
        let asking =
            state(&calm, "a").await.is_some_and(|a| a.to_string().contains("\"flag\":\"b\""));
        assert!(!(gone && asking), "seed {seed}: `a` asks for `b`, which is not there");
        if !is_gone_already {
            assert!(asks_now != is_deleted, "seed {seed}: {asks_now} and {is_deleted}");
            asked += u32::from(asks_now);
            deleted += u32::from(is_deleted);
        } else {
            assert!(!asks_now && !is_deleted, "seed {seed}: what `a` needs went for good");
        }
    }
    assert!(asked > 2 && deleted > 2, "no race: {asked} asked and {deleted} deleted");
}
