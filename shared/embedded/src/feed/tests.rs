use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{FeedRecord, Item, ItemKey};

use super::{
    Feed, FeedChaos, FeedEvent, FeedHub, MAX_FEED_BATCHES, MAX_FEED_BYTES, MAX_HELD_RECORDS,
};
use crate::ManualTimer;

fn record(number: usize, bytes: usize) -> FeedRecord {
    let key = ItemKey::new("org#", format!("{number:06}"));
    let body = "x".repeat(bytes - key.pk.len() - key.sk.len());
    let item = Item { key: key.clone(), version: 1, body, expires_at_seconds: None };
    FeedRecord { key, item: Some(item) }
}

fn numbers(records: &[FeedRecord]) -> Vec<usize> {
    records.iter().map(|record| record.key.sk.parse().unwrap()).collect()
}

async fn next_numbers(feed: &mut Feed) -> Vec<usize> {
    match feed.next().await {
        Some(FeedEvent::Records(records)) => numbers(&records),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_reader_at_the_limit_of_batches_loses_nothing_and_one_past_it_is_told() {
    let hub = FeedHub::default();
    let mut feed = hub.subscribe();
    for number in 0..MAX_FEED_BATCHES {
        hub.publish(&[record(number, 20)]);
    }
    assert_eq!(next_numbers(&mut feed).await, [0]);
    for number in MAX_FEED_BATCHES..MAX_FEED_BATCHES + 3 {
        hub.publish(&[record(number, 20)]);
    }
    assert_eq!(feed.next().await, Some(FeedEvent::Lagged { batches: 2 }));
    assert_eq!(next_numbers(&mut feed).await, [3]);
}

#[tokio::test]
async fn a_reader_at_the_limit_of_bytes_loses_nothing_and_one_past_it_is_told() {
    let hub = FeedHub::default();
    let mut feed = hub.subscribe();
    let quarter = MAX_FEED_BYTES / 4;
    for number in 0..4 {
        hub.publish(&[record(number, quarter)]);
    }
    assert_eq!(next_numbers(&mut feed).await, [0]);
    hub.publish(&[record(4, quarter + 1)]);
    assert_eq!(feed.next().await, Some(FeedEvent::Lagged { batches: 1 }));
    assert_eq!(next_numbers(&mut feed).await, [2]);
    // A batch over the limit by itself is told all the same.
    hub.publish(&[record(5, MAX_FEED_BYTES + 1)]);
    assert_eq!(feed.next().await, Some(FeedEvent::Lagged { batches: 2 }));
    assert_eq!(next_numbers(&mut feed).await, [5]);
}

#[tokio::test]
async fn readers_do_not_disturb_each_other_and_hear_the_end() {
    let hub = FeedHub::default();
    let (mut one, other) = (hub.subscribe(), hub.subscribe());
    hub.publish(&[record(1, 20)]);
    drop(other);
    let mut late = hub.subscribe();
    hub.publish(&[record(2, 20), record(3, 20)]);
    hub.publish(&[]);
    drop(hub);
    assert_eq!(next_numbers(&mut one).await, [1]);
    assert_eq!(next_numbers(&mut one).await, [2, 3]);
    assert_eq!(one.next().await, None);
    assert_eq!(next_numbers(&mut late).await, [2, 3]);
    assert_eq!(late.next().await, None);
}

#[tokio::test]
async fn a_reader_that_waits_is_woken() {
    let hub = FeedHub::default();
    let mut feed = hub.subscribe();
    let reader = tokio::spawn(async move { next_numbers(&mut feed).await });
    tokio::task::yield_now().await;
    hub.publish(&[record(7, 20)]);
    assert_eq!(reader.await.unwrap(), [7]);
}

/// What a reader with this chaos sees of 60 transactions of three records, time moving on by 10 ms after each.
async fn story(seed: u64) -> Vec<usize> {
    let hub = FeedHub::default();
    let timer = ManualTimer::at(Timestamp::from_seconds(1_800_000_000));
    let chaos =
        FeedChaos { seed, repeat_per_mille: 200, longest_delay: Duration::from_millis(100) };
    let mut feed = hub.subscribe().with(chaos, Arc::new(timer.clone()));
    let mut seen = Vec::new();
    for transaction in 0..60 {
        let batch: Vec<_> = (0..3).map(|at| record(transaction * 3 + at, 20)).collect();
        hub.publish(&batch);
        timer.advance(Duration::from_millis(10));
        while let Ok(event) = tokio::time::timeout(Duration::from_millis(1), feed.next()).await {
            let Some(FeedEvent::Records(records)) = event else { panic!("{event:?}") };
            seen.extend(numbers(&records));
        }
    }
    drop(hub);
    while seen.len() < 1_000 {
        timer.advance(Duration::from_millis(100));
        match feed.next().await {
            Some(FeedEvent::Records(records)) => seen.extend(numbers(&records)),
            Some(lagged) => panic!("{lagged:?}"),
            None => break,
        }
    }
    seen
}

#[tokio::test]
async fn chaos_loses_nothing_repeats_and_shuffles_and_tells_the_same_story_by_seed() {
    let seen = story(11).await;
    let mut times = HashMap::<usize, usize>::new();
    seen.iter().for_each(|number| *times.entry(*number).or_default() += 1);
    assert!((0..180).all(|number| times.contains_key(&number)), "something was lost");
    let repeated = times.values().filter(|times| **times == 2).count();
    assert!((15..60).contains(&repeated), "{repeated} of 180 came twice");
    assert_eq!(times.len() + repeated, seen.len());
    let backwards = seen.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(backwards > 30, "{backwards} steps back are hardly a shuffle");
    assert_eq!(seen, story(11).await);
    assert_ne!(seen, story(12).await);
}

#[tokio::test]
async fn chaos_holds_a_record_no_longer_than_said() {
    let hub = FeedHub::default();
    let timer = ManualTimer::at(Timestamp::from_seconds(1_800_000_000));
    let chaos = FeedChaos { seed: 3, repeat_per_mille: 0, longest_delay: Duration::from_secs(60) };
    let mut feed = hub.subscribe().with(chaos, Arc::new(timer.clone()));
    hub.publish(&(0..20).map(|number| record(number, 20)).collect::<Vec<_>>());
    let reader = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < 20 {
            seen.extend(next_numbers(&mut feed).await);
        }
        seen.len()
    });
    while timer.sleepers() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!reader.is_finished());
    timer.advance(Duration::from_secs(60));
    assert_eq!(reader.await.unwrap(), 20);
}

#[tokio::test]
async fn chaos_holds_at_most_its_bound() {
    let hub = FeedHub::default();
    let timer = ManualTimer::at(Timestamp::from_seconds(1_800_000_000));
    let day = Duration::from_secs(86_400);
    let chaos = FeedChaos { seed: 3, repeat_per_mille: 0, longest_delay: day };
    let mut feed = hub.subscribe().with(chaos, Arc::new(timer));
    hub.publish(&(0..MAX_HELD_RECORDS).map(|number| record(number, 20)).collect::<Vec<_>>());
    let early = tokio::time::timeout(Duration::from_millis(20), feed.next()).await;
    assert!(early.is_err(), "at the bound everything is held: {early:?}");
    hub.publish(&[record(0, 20), record(1, 20)]);
    assert_eq!(next_numbers(&mut feed).await.len(), 2);
}
