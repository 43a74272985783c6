//! Many writers at once: nothing is lost, and nobody wins twice.

use std::sync::Arc;
use std::time::Duration;

use flagforge_platform::ports::{Condition, Table, TableError, Write};

use super::table::{item, partition, put, read};

/// Whether the write was taken; when it was not, waits before the caller reads again and tries once more.
async fn is_taken(table: &dyn Table, writes: Vec<Write>, attempt: u64) -> bool {
    match table.transact(writes, None).await {
        Ok(()) => return true,
        Err(TableError::Conflict { failed }) => assert!(!failed.is_empty()),
        Err(TableError::Contended) => {}
        Err(other) => panic!("{other:?}"),
    }
    // A spread that needs no dice: writers lose at different times.
    tokio::time::sleep(Duration::from_millis(attempt.min(20))).await;
    false
}

/// Tries before a case gives up: eight writers lose at most a few hundred times.
const ATTEMPTS: std::ops::Range<u64> = 0..10_000;

fn number(body: &str) -> i64 {
    body.parse().unwrap()
}

pub(crate) async fn eight_compare_and_swap_writers_lose_nothing(table: Arc<dyn Table>) {
    const WRITERS: usize = 8;
    const EACH: usize = 12;
    let pk = partition();
    table.transact(vec![put(item(&pk, "COUNT", 0, "0"))], None).await.unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let (table, pk) = (table.clone(), pk.clone());
        tokio::spawn(async move {
            for turn in 0..EACH {
                count_once(&*table, &pk, &format!("TURN#{writer}#{turn}")).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let total = WRITERS * EACH;
    let end = read(&*table, &pk, "COUNT").await.unwrap();
    assert_eq!((end.version, end.body), (total as u64, total.to_string()));
    let mut seen = Vec::new();
    for writer in 0..WRITERS {
        for turn in 0..EACH {
            let witness = read(&*table, &pk, &format!("TURN#{writer}#{turn}")).await.unwrap();
            seen.push(number(&witness.body));
        }
    }
    seen.sort_unstable();
    assert!(seen.into_iter().eq(1..=total as i64));
}

/// Raises the count by one, and leaves a witness that is written with it or not at all.
async fn count_once(table: &dyn Table, pk: &str, witness: &str) {
    for attempt in ATTEMPTS {
        let before = read(table, pk, "COUNT").await.unwrap();
        let after = (number(&before.body) + 1).to_string();
        let counted = item(pk, "COUNT", before.version + 1, &after);
        let writes = vec![
            Write::Put { item: counted, condition: Condition::Version(before.version) },
            Write::Put { item: item(pk, witness, 1, &after), condition: Condition::Absent },
        ];
        if is_taken(table, writes, attempt).await {
            return;
        }
    }
    panic!("{witness} was never taken");
}

pub(crate) async fn concurrent_transfers_keep_the_sum(table: Arc<dyn Table>) {
    let pk = partition();
    let purses = ["A", "B", "C"];
    let start = purses.map(|purse| put(item(&pk, purse, 0, "100")));
    table.transact(start.to_vec(), None).await.unwrap();
    let movers = [(0, 1), (1, 2), (2, 0), (1, 0)].map(|(from, to)| {
        let (table, pk) = (table.clone(), pk.clone());
        tokio::spawn(async move {
            for amount in 1..=8 {
                transfer(&*table, &pk, [(purses[from], -amount), (purses[to], amount)]).await;
            }
        })
    });
    for mover in movers {
        mover.await.unwrap();
    }
    // Each mover moved 36: A gave 36 and got 72, B gave 72 and got 36, C gave and got 36.
    for (purse, expected) in purses.into_iter().zip(["136", "64", "100"]) {
        assert_eq!(read(&*table, &pk, purse).await.unwrap().body, expected, "{purse}");
    }
}

async fn transfer(table: &dyn Table, pk: &str, moves: [(&str, i64); 2]) {
    for attempt in ATTEMPTS {
        let mut writes = Vec::new();
        for (purse, change) in moves {
            let before = read(table, pk, purse).await.unwrap();
            let after = (number(&before.body) + change).to_string();
            let moved = item(pk, purse, before.version + 1, &after);
            let condition = Condition::Version(before.version);
            writes.push(Write::Put { item: moved, condition });
        }
        if is_taken(table, writes, attempt).await {
            return;
        }
    }
    panic!("{moves:?} was never taken");
}

pub(crate) async fn of_sixteen_puts_on_absence_one_wins(table: Arc<dyn Table>) {
    let pk = partition();
    let racers: Vec<_> = (0..16_u64)
        .map(|racer| {
            let (table, pk) = (table.clone(), pk.clone());
            tokio::spawn(async move {
                loop {
                    let mine = item(&pk, "ONE", racer, &racer.to_string());
                    let write = Write::Put { item: mine, condition: Condition::Absent };
                    match table.transact(vec![write], None).await {
                        Ok(()) => return Some(racer),
                        Err(TableError::Conflict { .. }) => return None,
                        Err(TableError::Contended) => {
                            tokio::time::sleep(Duration::from_millis(racer)).await;
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    let mut winners = Vec::new();
    for racer in racers {
        winners.extend(racer.await.unwrap());
    }
    let standing = read(&*table, &pk, "ONE").await.unwrap();
    assert_eq!(winners, [standing.version]);
}
