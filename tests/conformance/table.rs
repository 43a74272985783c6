//! Single items: what is read back, and which conditions hold.

use std::sync::Arc;

use flagforge_platform::ports::{
    Condition, Item, ItemKey, MAX_ITEM_BYTES, Query, Table, TableError, Write,
};

use super::unique;

pub(crate) fn item(pk: &str, sk: &str, version: u64, body: &str) -> Item {
    Item { key: ItemKey::new(pk, sk), version, body: body.to_owned(), expires_at_seconds: None }
}

pub(crate) fn put(item: Item) -> Write {
    Write::Put { item, condition: Condition::Any }
}

pub(crate) async fn read(table: &dyn Table, pk: &str, sk: &str) -> Option<Item> {
    table.get(&ItemKey::new(pk, sk)).await.unwrap()
}

/// A partition of an organization that only this case has.
pub(crate) fn partition() -> String {
    format!("{}#", unique())
}

pub(crate) async fn what_is_put_is_read_back_exactly(table: Arc<dyn Table>) {
    let pk = partition();
    assert_eq!(read(&*table, &pk, "ITEM").await, None);
    let bodies = ["{}", r#"{"a": [1, 2.0, "ü"],  "b":null}"#, "{\"text\":\"line\\n\\u0000🚀\"}"];
    for (version, body) in [0, 1, u64::MAX].into_iter().zip(bodies) {
        for expires_at_seconds in [None, Some(4_102_444_800)] {
            let put_item = Item { expires_at_seconds, ..item(&pk, "ITEM", version, body) };
            table.transact(vec![put(put_item.clone())], None).await.unwrap();
            assert_eq!(read(&*table, &pk, "ITEM").await, Some(put_item));
        }
    }
}

pub(crate) async fn a_put_replaces_the_whole_item(table: Arc<dyn Table>) {
    let pk = partition();
    let first = Item { expires_at_seconds: Some(4_102_444_800), ..item(&pk, "A", 1, "{\"a\":1}") };
    table.transact(vec![put(first)], None).await.unwrap();
    let second = item(&pk, "A", 2, "{\"b\":2}");
    table.transact(vec![put(second.clone())], None).await.unwrap();
    assert_eq!(read(&*table, &pk, "A").await, Some(second));
}

pub(crate) async fn a_delete_removes_and_a_second_delete_finds_nothing(table: Arc<dyn Table>) {
    let pk = partition();
    let delete = |condition| Write::Delete { key: ItemKey::new(pk.as_str(), "A"), condition };
    table.transact(vec![put(item(&pk, "A", 1, "{}"))], None).await.unwrap();
    table.transact(vec![delete(Condition::Present)], None).await.unwrap();
    assert_eq!(read(&*table, &pk, "A").await, None);
    table.transact(vec![delete(Condition::Any)], None).await.unwrap();
    let refused = table.transact(vec![delete(Condition::Present)], None).await;
    assert!(
        matches!(&refused, Err(TableError::Conflict { failed }) if failed == &[0]),
        "{refused:?}"
    );
}

pub(crate) async fn partitions_do_not_mix(table: Arc<dyn Table>) {
    let pk = partition();
    let longer = format!("{pk}#");
    let writes = [pk.as_str(), &longer].map(|pk| put(item(pk, "A", 1, &format!("{:?}", pk))));
    table.transact(writes.to_vec(), None).await.unwrap();
    for pk in [&pk, &longer] {
        let page = table.query(&Query::prefix(pk.as_str(), "")).await.unwrap();
        assert_eq!(page.items, [item(pk, "A", 1, &format!("{pk:?}"))]);
        assert_eq!(page.next, None);
    }
    let delete = Write::Delete { key: ItemKey::new(pk.as_str(), "A"), condition: Condition::Any };
    table.transact(vec![delete], None).await.unwrap();
    assert!(read(&*table, &longer, "A").await.is_some());
}

pub(crate) async fn bodies_from_empty_to_the_limit_are_kept(table: Arc<dyn Table>) {
    let pk = partition();
    // Of three bytes each, so a store that counts characters would be wrong by a factor of three.
    let longest = "€".repeat(MAX_ITEM_BYTES / 3);
    assert_eq!(longest.len(), MAX_ITEM_BYTES);
    for body in ["", &longest] {
        let large = item(&pk, "LARGE", 1, body);
        table.transact(vec![put(large.clone())], None).await.unwrap();
        assert!(read(&*table, &pk, "LARGE").await == Some(large), "{} bytes", body.len());
    }
    let before = read(&*table, &pk, "LARGE").await;
    let outcome = table.transact(vec![put(item(&pk, "LARGE", 2, &(longest + "x")))], None).await;
    assert!(matches!(outcome, Err(TableError::TooLarge { .. })), "{outcome:?}");
    assert!(read(&*table, &pk, "LARGE").await == before);
}

pub(crate) async fn keys_at_their_limit_are_kept_and_one_past_it_is_refused(table: Arc<dyn Table>) {
    // DynamoDB's bounds: 2,048 bytes of partition key and 1,024 of sort key.
    let pk = partition();
    let pk = format!("{pk}{}", "p".repeat(2_048 - pk.len()));
    let sk = "s".repeat(1_024);
    let longest = item(&pk, &sk, 1, "{}");
    table.transact(vec![put(longest.clone())], None).await.unwrap();
    assert_eq!(read(&*table, &pk, &sk).await, Some(longest));
    for (pk, sk) in [(format!("{pk}p"), sk.clone()), (pk, format!("{sk}s"))] {
        let beside = item(&pk[..100], "BESIDE", 1, "{}");
        let writes = vec![put(beside), put(item(&pk, &sk, 1, "{}"))];
        assert!(table.transact(writes, None).await.is_err());
        assert_eq!(read(&*table, &pk[..100], "BESIDE").await, None);
    }
}

pub(crate) async fn empty_keys_are_refused(table: Arc<dyn Table>) {
    let pk = partition();
    for (bad_pk, bad_sk) in [("", "A"), (pk.as_str(), "")] {
        let writes = vec![put(item(&pk, "BESIDE", 1, "{}")), put(item(bad_pk, bad_sk, 1, "{}"))];
        assert!(table.transact(writes, None).await.is_err());
        assert_eq!(read(&*table, &pk, "BESIDE").await, None);
    }
}

pub(crate) async fn every_condition_of_every_action_holds_or_refuses(table: Arc<dyn Table>) {
    let pk = partition();
    // What stands, the condition, whether it holds.
    let cases = [
        (None, Condition::Any, true),
        (None, Condition::Absent, true),
        (None, Condition::Present, false),
        (None, Condition::Version(0), false),
        (None, Condition::Version(3), false),
        (Some(3), Condition::Any, true),
        (Some(3), Condition::Absent, false),
        (Some(3), Condition::Present, true),
        (Some(3), Condition::Version(3), true),
        (Some(3), Condition::Version(2), false),
        (Some(3), Condition::Version(4), false),
        (Some(0), Condition::Version(0), true),
        (Some(u64::MAX), Condition::Version(u64::MAX), true),
        (Some(u64::MAX), Condition::Version(u64::MAX - 1), false),
    ];
    for (number, (standing, condition, holds)) in cases.into_iter().enumerate() {
        for action in ["put", "delete", "check"] {
            let sk = format!("{number} {action}");
            let before = standing.map(|version| item(&pk, &sk, version, "{\"old\":true}"));
            if let Some(before) = &before {
                table.transact(vec![put(before.clone())], None).await.unwrap();
            }
            let new = item(&pk, &sk, 9, "{\"new\":true}");
            let key = new.key.clone();
            let (write, after) = match action {
                "put" => (Write::Put { item: new.clone(), condition }, Some(new)),
                "delete" => (Write::Delete { key, condition }, None),
                _ => (Write::Check { key, condition }, before.clone()),
            };
            let outcome = table.transact(vec![write], None).await;
            let what = format!("{action} with {condition:?} where {standing:?} stands");
            match outcome {
                Ok(()) => assert!(holds, "{what} passed"),
                Err(TableError::Conflict { failed }) if !holds => assert_eq!(failed, [0], "{what}"),
                Err(other) => panic!("{what}: {other:?}"),
            }
            let expected = if holds { after } else { before };
            assert_eq!(read(&*table, &pk, &sk).await, expected, "after {what}");
        }
    }
}
