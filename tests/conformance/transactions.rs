//! Several writes at once: all or none, within their limits, and repeated without a second effect.

use std::sync::Arc;

use flagforge_platform::ports::{
    Condition, ItemKey, MAX_ITEM_BYTES, MAX_TRANSACTION_BYTES, MAX_TRANSACTION_WRITES, Query,
    Table, TableError, Write,
};

use super::table::{item, partition, put, read};
use super::unique;

async fn count(table: &dyn Table, pk: &str) -> usize {
    let mut query = Query::prefix(pk, "");
    let mut count = 0;
    loop {
        let page = table.query(&query).await.unwrap();
        count += page.items.len();
        query.page = page.next;
        if query.page.is_none() {
            return count;
        }
    }
}

pub(crate) async fn all_failed_conditions_are_named_and_nothing_is_written(table: Arc<dyn Table>) {
    let pk = partition();
    let standing = vec![put(item(&pk, "B", 1, "{}")), put(item(&pk, "D", 1, "{}"))];
    table.transact(standing, None).await.unwrap();
    let key = |sk| ItemKey::new(pk.as_str(), sk);
    let writes = vec![
        put(item(&pk, "A", 1, "{}")),
        Write::Put { item: item(&pk, "B", 2, "{}"), condition: Condition::Absent },
        Write::Put { item: item(&pk, "C", 1, "{}"), condition: Condition::Absent },
        Write::Delete { key: key("D"), condition: Condition::Version(1) },
        Write::Check { key: key("E"), condition: Condition::Present },
    ];
    let outcome = table.transact(writes.clone(), None).await;
    assert!(
        matches!(&outcome, Err(TableError::Conflict { failed }) if failed == &[1, 4]),
        "{outcome:?}"
    );
    assert_eq!(read(&*table, &pk, "A").await, None);
    assert_eq!(read(&*table, &pk, "B").await, Some(item(&pk, "B", 1, "{}")));
    assert_eq!(read(&*table, &pk, "C").await, None);
    assert_eq!(read(&*table, &pk, "D").await, Some(item(&pk, "D", 1, "{}")));

    // The same, once the conditions hold, is done whole.
    let remedy = vec![
        Write::Delete { key: key("B"), condition: Condition::Present },
        put(item(&pk, "E", 1, "{}")),
    ];
    table.transact(remedy, None).await.unwrap();
    table.transact(writes, None).await.unwrap();
    assert_eq!(read(&*table, &pk, "B").await, Some(item(&pk, "B", 2, "{}")));
    assert_eq!(read(&*table, &pk, "D").await, None);
    assert_eq!(count(&*table, &pk).await, 4);
}

pub(crate) async fn a_transaction_of_no_writes_does_nothing(table: Arc<dyn Table>) {
    table.transact(Vec::new(), None).await.unwrap();
}

pub(crate) async fn a_key_twice_in_a_transaction_is_refused(table: Arc<dyn Table>) {
    let pk = partition();
    let check = Write::Check { key: ItemKey::new(pk.as_str(), "A"), condition: Condition::Absent };
    for second in [put(item(&pk, "A", 2, "{}")), check] {
        let writes = vec![put(item(&pk, "B", 1, "{}")), put(item(&pk, "A", 1, "{}")), second];
        let outcome = table.transact(writes, None).await;
        assert!(outcome.is_err());
        assert!(!matches!(outcome, Err(TableError::Conflict { .. } | TableError::Contended)));
        assert_eq!(count(&*table, &pk).await, 0);
    }
}

pub(crate) async fn the_number_of_writes_at_its_limit_and_one_past_it(table: Arc<dyn Table>) {
    let pk = partition();
    let writes = |pk: &str, count: usize| -> Vec<Write> {
        (0..count).map(|number| put(item(pk, &format!("{number:03}"), 1, "{}"))).collect()
    };
    table.transact(writes(&pk, MAX_TRANSACTION_WRITES), None).await.unwrap();
    assert_eq!(count(&*table, &pk).await, MAX_TRANSACTION_WRITES);
    let pk = partition();
    let outcome = table.transact(writes(&pk, MAX_TRANSACTION_WRITES + 1), None).await;
    assert!(matches!(outcome, Err(TableError::TooLarge { .. })), "{outcome:?}");
    assert_eq!(count(&*table, &pk).await, 0);
}

pub(crate) async fn the_bytes_of_a_transaction_at_their_limit_and_one_past_it(
    table: Arc<dyn Table>,
) {
    let writes = |pk: &str, bytes: usize| -> Vec<Write> {
        let whole = bytes / MAX_ITEM_BYTES;
        let sizes = std::iter::repeat_n(MAX_ITEM_BYTES, whole).chain([bytes % MAX_ITEM_BYTES]);
        let put_of = |(number, size): (usize, usize)| {
            put(item(pk, &format!("{number:02}"), 1, &"x".repeat(size)))
        };
        sizes.enumerate().map(put_of).collect()
    };
    let pk = partition();
    let largest = writes(&pk, MAX_TRANSACTION_BYTES);
    let items = largest.len();
    table.transact(largest, None).await.unwrap();
    assert_eq!(count(&*table, &pk).await, items);
    let pk = partition();
    let outcome = table.transact(writes(&pk, MAX_TRANSACTION_BYTES + 1), None).await;
    assert!(matches!(outcome, Err(TableError::TooLarge { .. })), "{outcome:?}");
    assert_eq!(count(&*table, &pk).await, 0);
}

/// 36 characters, the most a token may have.
fn token() -> String {
    format!("{:-<36}", unique())
}

pub(crate) async fn a_repeated_token_has_no_second_effect(table: Arc<dyn Table>) {
    let pk = partition();
    let token = token();
    let first = Write::Put { item: item(&pk, "A", 1, "{}"), condition: Condition::Absent };
    let writes = vec![first, put(item(&pk, "B", 1, "{}"))];
    table.transact(writes.clone(), Some(&token)).await.unwrap();
    let later = vec![
        put(item(&pk, "A", 2, "{}")),
        Write::Delete { key: ItemKey::new(pk.as_str(), "B"), condition: Condition::Present },
    ];
    table.transact(later, None).await.unwrap();
    // Its conditions do not hold any more, which a repeat does not ask.
    table.transact(writes, Some(&token)).await.unwrap();
    assert_eq!(read(&*table, &pk, "A").await, Some(item(&pk, "A", 2, "{}")));
    assert_eq!(read(&*table, &pk, "B").await, None);
}

pub(crate) async fn a_token_of_another_transaction_is_refused(table: Arc<dyn Table>) {
    let pk = partition();
    let token = token();
    table.transact(vec![put(item(&pk, "A", 1, "{}"))], Some(&token)).await.unwrap();
    for other in [item(&pk, "A", 1, "{\"other\":true}"), item(&pk, "B", 1, "{}")] {
        assert!(table.transact(vec![put(other)], Some(&token)).await.is_err());
    }
    assert_eq!(read(&*table, &pk, "A").await, Some(item(&pk, "A", 1, "{}")));
    assert_eq!(read(&*table, &pk, "B").await, None);
}

pub(crate) async fn a_refused_transaction_does_not_use_up_its_token(table: Arc<dyn Table>) {
    let pk = partition();
    let token = token();
    let writes =
        vec![Write::Put { item: item(&pk, "A", 2, "{}"), condition: Condition::Version(1) }];
    let outcome = table.transact(writes.clone(), Some(&token)).await;
    assert!(matches!(outcome, Err(TableError::Conflict { .. })), "{outcome:?}");
    table.transact(vec![put(item(&pk, "A", 1, "{}"))], None).await.unwrap();
    table.transact(writes, Some(&token)).await.unwrap();
    assert_eq!(read(&*table, &pk, "A").await, Some(item(&pk, "A", 2, "{}")));
}
