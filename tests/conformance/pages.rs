//! Ranges and their pages.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use flagforge_platform::ports::{
    Condition, ItemKey, MAX_ITEM_BYTES, MAX_TRANSACTION_WRITES, PageToken, Query, Table,
    TableError, Write,
};

use super::table::{item, partition, put};

async fn fill(table: &dyn Table, pk: &str, keys: impl IntoIterator<Item = String>) {
    let writes: Vec<_> = keys.into_iter().map(|sk| put(item(pk, &sk, 1, "{}"))).collect();
    for chunk in writes.chunks(MAX_TRANSACTION_WRITES) {
        table.transact(chunk.to_vec(), None).await.unwrap();
    }
}

/// The sort keys of each page, to the end.
async fn pages(table: &dyn Table, mut query: Query) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    loop {
        let page = table.query(&query).await.unwrap();
        assert!(page.items.len() <= query.limit as usize);
        assert!(page.items.iter().all(|item| item.key.pk == query.pk));
        pages.push(page.items.into_iter().map(|item| item.key.sk).collect());
        assert!(page.next.is_none() || page.next != query.page, "a page that leads to itself");
        query.page = page.next;
        if query.page.is_none() {
            return pages;
        }
    }
}

async fn keys(table: &dyn Table, query: Query) -> Vec<String> {
    pages(table, query).await.concat()
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("N#{number:04}")).collect()
}

pub(crate) async fn a_range_has_its_first_end_and_not_its_last(table: Arc<dyn Table>) {
    let pk = partition();
    fill(&*table, &pk, ["A#", "A#1", "A#2", "A#2x", "A#3", "B#1", "a#1"].map(str::to_owned)).await;
    let range = |from: &str, until: &str| Query {
        from: from.to_owned(),
        until: until.to_owned(),
        ..Query::prefix(pk.as_str(), "")
    };
    assert_eq!(keys(&*table, range("A#1", "A#3")).await, ["A#1", "A#2", "A#2x"]);
    assert_eq!(keys(&*table, range("A#0", "A#3\0")).await, ["A#1", "A#2", "A#2x", "A#3"]);
    for limit in [1, 2, 3, 4] {
        // The end of the range is never on a page, nor does it make one.
        for descending in [false, true] {
            let query = Query { limit, descending, ..range("A#1", "A#3") };
            let mut found = keys(&*table, query).await;
            found.sort_unstable();
            assert_eq!(found, ["A#1", "A#2", "A#2x"], "by {limit}, descending: {descending}");
        }
    }
    let prefix = keys(&*table, Query::prefix(pk.as_str(), "A#")).await;
    assert_eq!(prefix, ["A#", "A#1", "A#2", "A#2x", "A#3"]);
    assert_eq!(keys(&*table, Query::prefix(pk.as_str(), "A#2")).await, ["A#2", "A#2x"]);
}

pub(crate) async fn sort_keys_are_in_byte_order(table: Arc<dyn Table>) {
    let pk = partition();
    // In UTF-16 the rocket (a pair of surrogates) would come before U+FFFD; in most locales é before z.
    let texts = [
        "z", "Z", "é", "e\u{301}", "ß", "\u{7f}", "\u{80}", "\u{fffd}", "🚀", "-", "#", "~", "ａ",
        "日本",
    ];
    fill(&*table, &pk, texts.map(|text| format!("K#{text}"))).await;
    let mut expected = texts.map(|text| format!("K#{text}")).to_vec();
    expected.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    assert_eq!(keys(&*table, Query::prefix(pk.as_str(), "K#")).await, expected);
    let by_three = Query { limit: 3, ..Query::prefix(pk.as_str(), "K#") };
    assert_eq!(keys(&*table, by_three).await, expected);
}

pub(crate) async fn pages_join_without_gap_or_overlap(table: Arc<dyn Table>) {
    let pk = partition();
    let all = numbered(28);
    fill(&*table, &pk, all.clone()).await;
    // Neighbours on both sides, which no page may reach.
    fill(&*table, &pk, ["M#9999".to_owned(), "O#0000".to_owned()]).await;
    for limit in [1, 7, 9, 27, 28, 29, 1_000] {
        let query = Query { limit, ..Query::prefix(pk.as_str(), "N#") };
        let pages = pages(&*table, query).await;
        assert_eq!(pages.concat(), all, "by {limit}");
        // `next` is there only when something follows, so no page is empty.
        assert!(pages.iter().all(|page| !page.is_empty()), "by {limit}");
        assert_eq!(pages.len(), all.len().div_ceil(limit as usize), "by {limit}");
    }
}

pub(crate) async fn descending_is_ascending_backwards(table: Arc<dyn Table>) {
    let pk = partition();
    let mut all = numbered(21);
    fill(&*table, &pk, all.clone()).await;
    fill(&*table, &pk, ["M#9999".to_owned(), "O#0000".to_owned()]).await;
    all.reverse();
    for limit in [1, 5, 7, 20, 21, 22] {
        let query = Query { limit, descending: true, ..Query::prefix(pk.as_str(), "N#") };
        let pages = pages(&*table, query).await;
        assert_eq!(pages.concat(), all, "by {limit}");
        assert!(pages.iter().all(|page| !page.is_empty()), "by {limit}");
    }
    let newest = Query { limit: 1, descending: true, ..Query::prefix(pk.as_str(), "N#") };
    let page = table.query(&newest).await.unwrap();
    assert_eq!(page.items[0].key.sk, "N#0020");
    assert!(page.next.is_some());
}

pub(crate) async fn a_page_token_outlives_the_item_it_names(table: Arc<dyn Table>) {
    let pk = partition();
    let all = numbered(9);
    fill(&*table, &pk, all.clone()).await;
    for descending in [false, true] {
        let query = Query { limit: 3, descending, ..Query::prefix(pk.as_str(), "N#") };
        let first = table.query(&query).await.unwrap();
        let last = first.items.last().unwrap().clone();
        let token = first.next.unwrap();
        assert_eq!(token, PageToken(last.key.sk.clone()));
        let delete = Write::Delete { key: last.key.clone(), condition: Condition::Present };
        table.transact(vec![delete], None).await.unwrap();
        let rest = keys(&*table, Query { page: Some(token), ..query }).await;
        let expected: Vec<_> =
            if descending { all[..6].iter().rev().cloned().collect() } else { all[3..].to_vec() };
        assert_eq!(rest, expected);
        table.transact(vec![put(last)], None).await.unwrap();
    }
}

pub(crate) async fn pages_of_large_items_are_followed_to_the_end(table: Arc<dyn Table>) {
    let pk = partition();
    let body = "x".repeat(MAX_ITEM_BYTES);
    let all = numbered(7);
    for sk in &all {
        table.transact(vec![put(item(&pk, sk, 1, &body))], None).await.unwrap();
    }
    for descending in [false, true] {
        let query = Query { descending, ..Query::prefix(pk.as_str(), "N#") };
        let pages = pages(&*table, query).await;
        let mut found = pages.concat();
        found.sort_unstable();
        assert_eq!(found, all);
        // 2.6 MB: no store of this kind gives that at once, so readers must have met a `next` here.
        assert!(pages.len() > 1);
    }
}

pub(crate) async fn paging_under_writes_sees_every_standing_item_once(table: Arc<dyn Table>) {
    let pk = partition();
    let standing = numbered(60);
    fill(&*table, &pk, standing.clone()).await;
    let (is_over, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writer = {
        let (table, pk) = (table.clone(), pk.clone());
        let (is_over, turns) = (is_over.clone(), turns.clone());
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                disturb(&*table, &pk, turns.load(Ordering::Relaxed)).await;
                turns.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let mut round = 0;
    while round < 6 || turns.load(Ordering::Relaxed) < 60 {
        assert!(!writer.is_finished(), "the writer failed");
        round += 1;
        let descending = round % 2 == 1;
        let query = Query { limit: 7, descending, ..Query::prefix(pk.as_str(), "N#") };
        let found = keys(&*table, query).await;
        let distinct: BTreeSet<_> = found.iter().collect();
        assert_eq!(distinct.len(), found.len(), "something was seen twice");
        let missed: Vec<_> = standing.iter().filter(|sk| !distinct.contains(sk)).collect();
        assert!(missed.is_empty(), "missed {missed:?}");
        let is_in_order = |pair: &[String]| (pair[0] < pair[1]) != descending;
        assert!(found.windows(2).all(is_in_order));
    }
    is_over.store(true, Ordering::Relaxed);
    writer.await.unwrap();
}

/// Lets a guest come or go between the standing items, and rewrites one of those.
async fn disturb(table: &dyn Table, pk: &str, turn: usize) {
    let guest = ItemKey::new(pk, format!("N#{:04}-guest", turn % 60));
    let write = if turn % 120 < 60 {
        put(item(pk, &guest.sk, 1, "{}"))
    } else {
        Write::Delete { key: guest, condition: Condition::Any }
    };
    let touched = item(pk, &format!("N#{:04}", (turn * 7) % 60), 2, "{\"b\":1}");
    match table.transact(vec![write, put(touched)], None).await {
        Ok(()) | Err(TableError::Contended) => {}
        Err(other) => panic!("{other:?}"),
    }
}

pub(crate) async fn an_empty_range_has_no_next_page(table: Arc<dyn Table>) {
    let pk = partition();
    for descending in [false, true] {
        let nothing = Query { descending, ..Query::prefix(pk.as_str(), "N#") };
        assert_eq!(pages(&*table, nothing.clone()).await, [Vec::<String>::new()]);
    }
    fill(&*table, &pk, ["M#1".to_owned(), "O#1".to_owned()]).await;
    for limit in [1, 1_000] {
        let between = Query { limit, ..Query::prefix(pk.as_str(), "N#") };
        assert_eq!(pages(&*table, between).await, [Vec::<String>::new()]);
    }
}
