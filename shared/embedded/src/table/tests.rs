use std::fs;
use std::sync::Arc;
use std::time::Duration;

use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{
    Condition, FeedRecord, Item, ItemKey, MAX_PAGE_ITEMS, PageToken, Query, Table, TableError,
    Timer, Write,
};
use tempfile::TempDir;

use super::apply::MAX_DROPPED;
use super::{
    EmbeddedTable, MAX_PAGE_BYTES, MAX_TOKEN_CHARACTERS, Misuse, StoreError, TOKEN_LIFETIME,
};
use crate::{FeedEvent, ManualTimer};
use flagforge_platform::ports::SystemTimer;

const START_SECONDS: i64 = 1_800_000_000;

fn manual() -> (ManualTimer, EmbeddedTable) {
    let timer = ManualTimer::at(Timestamp::from_seconds(START_SECONDS));
    let table = EmbeddedTable::memory(Arc::new(timer.clone())).unwrap();
    (timer, table)
}

fn item(sk: &str, version: u64) -> Item {
    let key = ItemKey::new("org#", sk);
    Item { key, version, body: "{}".to_owned(), expires_at_seconds: None }
}

fn expiring(sk: &str, seconds_from_start: i64) -> Item {
    Item { expires_at_seconds: Some(START_SECONDS + seconds_from_start), ..item(sk, 1) }
}

fn put(item: Item) -> Write {
    Write::Put { item, condition: Condition::Any }
}

fn delete(sk: &str) -> Write {
    Write::Delete { key: ItemKey::new("org#", sk), condition: Condition::Any }
}

async fn version(table: &EmbeddedTable, sk: &str) -> Option<u64> {
    table.get(&ItemKey::new("org#", sk)).await.unwrap().map(|item| item.version)
}

fn misuse<T: std::fmt::Debug>(outcome: Result<T, TableError>) -> Misuse {
    match outcome {
        Err(TableError::Unavailable(source)) => source.downcast_ref::<Misuse>().unwrap().clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_is_forgotten_after_ten_minutes() {
    let (timer, table) = manual();
    let writes = vec![Write::Put { item: item("A", 1), condition: Condition::Absent }];
    table.transact(writes.clone(), Some("token")).await.unwrap();
    timer.advance(TOKEN_LIFETIME.checked_sub(Duration::from_millis(1)).unwrap());
    table.transact(writes.clone(), Some("token")).await.unwrap();
    timer.advance(Duration::from_millis(1));
    let again = table.transact(writes, Some("token")).await;
    assert!(matches!(again, Err(TableError::Conflict { .. })), "{again:?}");
    // And may then be used for another transaction.
    table.transact(vec![put(item("B", 1))], Some("token")).await.unwrap();
    assert_eq!(version(&table, "B").await, Some(1));
}

#[tokio::test]
async fn a_token_has_1_to_36_characters_and_names_one_transaction() {
    let (_, table) = manual();
    let longest = "é".repeat(MAX_TOKEN_CHARACTERS);
    table.transact(vec![put(item("A", 1))], Some(&longest)).await.unwrap();
    let outcome = table.transact(vec![put(item("A", 2))], Some(&(longest.clone() + "e"))).await;
    assert!(matches!(outcome, Err(TableError::TooLarge { limit: 36, actual: 37, .. })));
    let outcome = table.transact(vec![put(item("A", 2))], Some("")).await;
    assert_eq!(misuse(outcome), Misuse::EmptyToken);
    for other in [
        vec![put(item("A", 2))],
        vec![put(item("A", 1)), put(item("B", 1))],
        vec![put(expiring("A", 9))],
        vec![Write::Put { item: item("A", 1), condition: Condition::Present }],
        vec![delete("A")],
    ] {
        let outcome = table.transact(other.clone(), Some(&longest)).await;
        assert_eq!(misuse(outcome), Misuse::TokenReused, "{other:?}");
    }
    assert_eq!(version(&table, "A").await, Some(1));
}

#[tokio::test]
async fn what_has_expired_is_dropped_by_a_later_commit_and_the_feed_says_so() {
    let (timer, table) = manual();
    let mut feed = table.feed();
    table.transact(vec![put(expiring("A", 60)), put(expiring("B", 60))], None).await.unwrap();
    table.transact(vec![put(expiring("B", 600))], None).await.unwrap();
    timer.advance(Duration::from_secs(60));
    table.transact(vec![put(item("C", 1))], None).await.unwrap();
    // Not over yet: it expires *after* the second it names.
    assert_eq!(version(&table, "A").await, Some(1));
    timer.advance(Duration::from_secs(1));
    assert_eq!(version(&table, "A").await, Some(1), "reading drops nothing");
    table.transact(vec![put(item("C", 2))], None).await.unwrap();
    assert_eq!(version(&table, "A").await, None);
    assert_eq!(version(&table, "B").await, Some(1), "it was given more time");
    let mut removed = Vec::new();
    while removed.is_empty() {
        let Some(FeedEvent::Records(records)) = feed.next().await else { panic!("records") };
        removed = records.into_iter().filter(|record| record.item.is_none()).collect();
    }
    assert_eq!(removed, [FeedRecord { key: ItemKey::new("org#", "A"), item: None }]);
}

#[tokio::test]
async fn one_commit_drops_a_bounded_number() {
    let (timer, table) = manual();
    for group in 0..=MAX_DROPPED / 100 {
        let writes = (0..100).map(|number| put(expiring(&format!("{group}-{number:02}"), 1)));
        table.transact(writes.collect(), None).await.unwrap();
    }
    timer.advance(Duration::from_secs(10));
    let left = async || table.query(&Query::prefix("org#", "")).await.unwrap().items.len();
    assert_eq!(left().await, MAX_DROPPED + 100);
    table.transact(vec![put(item("x", 1))], None).await.unwrap();
    assert_eq!(left().await, 100 + 1);
    table.transact(vec![put(item("x", 2))], None).await.unwrap();
    assert_eq!(left().await, 1);
}

#[tokio::test]
async fn an_item_that_was_deleted_or_made_to_stay_is_not_dropped_later() {
    let (timer, table) = manual();
    table.transact(vec![put(expiring("A", 1)), put(expiring("B", 1))], None).await.unwrap();
    table.transact(vec![put(item("A", 2)), delete("B")], None).await.unwrap();
    table.transact(vec![put(item("B", 3))], None).await.unwrap();
    timer.advance(Duration::from_secs(10));
    table.transact(vec![put(item("C", 1))], None).await.unwrap();
    assert_eq!((version(&table, "A").await, version(&table, "B").await), (Some(2), Some(3)));
}

#[tokio::test]
async fn the_feed_tells_each_transaction_once_and_nothing_that_did_not_happen() {
    let (_, table) = manual();
    table.transact(vec![put(item("BEFORE", 1))], None).await.unwrap();
    let mut feed = table.feed();
    let check = Write::Check { key: ItemKey::new("org#", "A"), condition: Condition::Present };
    let refused = table.transact(vec![put(item("B", 1)), check.clone()], None).await;
    assert!(refused.is_err());
    let writes = vec![put(item("A", 1)), put(item("B", 1))];
    table.transact(writes.clone(), Some("token")).await.unwrap();
    table.transact(writes, Some("token")).await.unwrap();
    table.transact(vec![check, delete("B"), delete("NOTHING")], None).await.unwrap();
    drop(table);
    let mut told = Vec::new();
    while let Some(event) = feed.next().await {
        let FeedEvent::Records(records) = event else { panic!("{event:?}") };
        let named = records.into_iter().map(|it| (it.key.sk, it.item.map(|it| it.version)));
        told.push(named.collect::<Vec<_>>());
    }
    let name = |sk: &str, version| (sk.to_owned(), version);
    assert_eq!(told, [vec![name("A", Some(1)), name("B", Some(1))], vec![name("B", None)]]);
}

#[tokio::test]
async fn a_page_is_full_at_its_bytes_and_not_one_before() {
    let (_, table) = manual();
    let keys = ["org#".len() + 1, "org#".len() + 1, "org#".len() + 1];
    let room = MAX_PAGE_BYTES - keys.iter().sum::<usize>();
    let third = room / 3;
    let sizes = [third, third, room - 2 * third];
    let sized = |sk: &str, size: usize| Item { body: "x".repeat(size), ..item(sk, 1) };
    for (sk, size) in ["A", "B", "C"].into_iter().zip(sizes) {
        table.transact(vec![put(sized(sk, size))], None).await.unwrap();
    }
    let all = Query::prefix("org#", "");
    let page = table.query(&all).await.unwrap();
    assert_eq!((page.items.len(), page.next), (3, None));
    table.transact(vec![put(sized("C", sizes[2] + 1))], None).await.unwrap();
    let page = table.query(&all).await.unwrap();
    assert_eq!((page.items.len(), page.next), (2, Some(PageToken("B".to_owned()))));
}

#[tokio::test]
async fn a_forged_page_token_never_widens_the_range() {
    let (_, table) = manual();
    let writes = ["A", "B#1", "B#2", "C"].map(|sk| put(item(sk, 1)));
    table.transact(writes.to_vec(), None).await.unwrap();
    for descending in [false, true] {
        for token in ["", "A", "B", "B#", "B#9", "C", "\u{10FFFF}\u{10FFFF}"] {
            let page = Some(PageToken(token.to_owned()));
            let query = Query { page, descending, ..Query::prefix("org#", "B#") };
            let page = table.query(&query).await.unwrap();
            assert!(page.items.iter().all(|item| item.key.sk.starts_with("B#")), "{token}");
            assert_eq!(page.next, None);
        }
    }
}

#[tokio::test]
async fn queries_that_no_table_takes_are_called_what_they_are() {
    let (_, table) = manual();
    let all = Query::prefix("org#", "");
    for limit in [0, MAX_PAGE_ITEMS + 1] {
        let query = Query { limit, ..all.clone() };
        assert_eq!(misuse(table.query(&query).await), Misuse::PageItems(limit));
    }
    let query = Query { until: String::new(), ..all.clone() };
    assert_eq!(misuse(table.query(&query).await), Misuse::EmptyRange);
    let query = Query { pk: String::new(), ..all };
    assert_eq!(misuse(table.query(&query).await), Misuse::EmptyKey);
}

fn open(folder: &TempDir) -> Result<EmbeddedTable, StoreError> {
    let timer: Arc<dyn Timer> = Arc::new(SystemTimer);
    EmbeddedTable::open(&folder.path().join("table.redb"), timer)
}

#[tokio::test]
async fn a_file_is_one_tables_and_is_free_again_when_that_is_dropped() {
    let folder = TempDir::new().unwrap();
    let table = open(&folder).unwrap();
    table.transact(vec![put(item("A", 1))], Some("token")).await.unwrap();
    let refused = open(&folder).unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused:?}");
    assert!(refused.to_string().contains("table.redb"));
    table.transact(vec![put(item("A", 2))], None).await.unwrap();
    drop(table);
    let table = open(&folder).unwrap();
    assert_eq!(version(&table, "A").await, Some(2));
    table.transact(vec![put(item("A", 1))], Some("token")).await.unwrap();
    assert_eq!(version(&table, "A").await, Some(2), "the token was forgotten");
}

#[tokio::test]
async fn a_creation_cut_short_is_begun_again() {
    let folder = TempDir::new().unwrap();
    // What a kill leaves between making room for the file and marking it as redb's.
    fs::write(folder.path().join("table.redb-new"), vec![0; 2 << 20]).unwrap();
    let table = open(&folder).unwrap();
    table.transact(vec![put(item("A", 1))], None).await.unwrap();
    assert_eq!(version(&table, "A").await, Some(1));
}

#[test]
fn a_file_that_is_no_table_is_refused_by_name_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("table.redb");
    fs::write(&path, "something else, and longer than a few bytes").unwrap();
    let refused = open(&folder).unwrap_err();
    assert!(matches!(refused, StoreError::Open { .. }), "{refused:?}");
    assert!(refused.to_string().contains("table.redb"));
    assert_eq!(fs::read(&path).unwrap().len(), 43);
    let nowhere = folder.path().join("no/such/folder/table.redb");
    let refused = EmbeddedTable::open(&nowhere, Arc::new(SystemTimer)).unwrap_err();
    assert!(matches!(refused, StoreError::Create { .. }), "{refused:?}");
}

#[cfg(unix)]
#[test]
fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let _table = open(&folder).unwrap();
    let about = fs::metadata(folder.path().join("table.redb")).unwrap();
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_of_one_commit_are_answered_each_for_itself() {
    let (_, table) = manual();
    let table = Arc::new(table);
    let waiting: Vec<_> = (0..200_u64)
        .map(|number| {
            let table = table.clone();
            // Every third asks for what is not there; of the others each pair wants the same key.
            let write = match number % 3 {
                0 => Write::Check {
                    key: ItemKey::new("org#", "MISSING"),
                    condition: Condition::Present,
                },
                _ => Write::Put {
                    item: item(&format!("K{}", number / 3), number),
                    condition: Condition::Absent,
                },
            };
            tokio::spawn(async move { table.transact(vec![write], None).await.is_ok() })
        })
        .collect();
    let mut won = 0;
    for outcome in waiting {
        won += usize::from(outcome.await.unwrap());
    }
    let standing = table.query(&Query::prefix("org#", "K")).await.unwrap().items.len();
    assert_eq!((won, standing), (67, 67));
}
