//! Objects: whole, conditional, and named within a grammar.

use std::sync::Arc;

use bytes::Bytes;
use flagforge_platform::ports::{
    ETag, Fetched, ListedObject, MAX_OBJECT_BYTES, ObjectError, Objects, PutIf,
};

use super::unique;

const JSON: &str = "application/json";

async fn put(objects: &dyn Objects, name: &str, text: &str, condition: PutIf) -> Option<ETag> {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    match objects.put(name, bytes, JSON, condition).await {
        Ok(etag) => Some(etag),
        Err(ObjectError::Lost) => None,
        Err(other) => panic!("{name}: {other:?}"),
    }
}

async fn read(objects: &dyn Objects, name: &str) -> Option<(String, ETag)> {
    match objects.get(name, None).await.unwrap() {
        Fetched::Found { bytes, etag } => Some((String::from_utf8(bytes.to_vec()).unwrap(), etag)),
        Fetched::Absent => None,
        Fetched::NotModified => panic!("nothing was held"),
    }
}

pub(crate) async fn what_is_put_is_read_back_exactly(objects: Arc<dyn Objects>) {
    let name = format!("{}/prod/environment.jws", unique());
    assert_eq!(read(&*objects, &name).await, None);
    for text in ["one", "two", "two", "a longer one"] {
        let etag = put(&*objects, &name, text, PutIf::Any).await.unwrap();
        assert_eq!(read(&*objects, &name).await, Some((text.to_owned(), etag)));
    }
}

pub(crate) async fn a_held_tag_saves_the_fetch_until_the_object_changes(objects: Arc<dyn Objects>) {
    let name = format!("{}/root.jws", unique());
    let first = put(&*objects, &name, "first", PutIf::Any).await.unwrap();
    assert_eq!(objects.get(&name, Some(&first)).await.unwrap(), Fetched::NotModified);
    let second = put(&*objects, &name, "second", PutIf::Any).await.unwrap();
    assert_ne!(first, second);
    let found = objects.get(&name, Some(&first)).await.unwrap();
    assert_eq!(found, Fetched::Found { bytes: "second".into(), etag: second.clone() });
    assert_eq!(objects.get(&name, Some(&second)).await.unwrap(), Fetched::NotModified);
    let absent = format!("{}/root.jws", unique());
    assert_eq!(objects.get(&absent, Some(&second)).await.unwrap(), Fetched::Absent);
}

pub(crate) async fn a_put_on_absence_never_replaces(objects: Arc<dyn Objects>) {
    let name = format!("{}/trust/1.json", unique());
    assert!(put(&*objects, &name, "first", PutIf::Absent).await.is_some());
    assert_eq!(put(&*objects, &name, "second", PutIf::Absent).await, None);
    // The same content is no excuse: the caller asked for absence.
    assert_eq!(put(&*objects, &name, "first", PutIf::Absent).await, None);
    assert_eq!(read(&*objects, &name).await.unwrap().0, "first");
}

pub(crate) async fn a_put_on_a_tag_replaces_only_that(objects: Arc<dyn Objects>) {
    let name = format!("{}/root.jws", unique());
    let first = put(&*objects, &name, "first", PutIf::Absent).await.unwrap();
    let second = put(&*objects, &name, "second", PutIf::Matches(first.clone())).await.unwrap();
    assert_eq!(put(&*objects, &name, "third", PutIf::Matches(first.clone())).await, None);
    assert_eq!(read(&*objects, &name).await, Some(("second".to_owned(), second.clone())));
    assert!(put(&*objects, &name, "third", PutIf::Matches(second)).await.is_some());
    let absent = format!("{}/root.jws", unique());
    assert_eq!(put(&*objects, &absent, "first", PutIf::Matches(first)).await, None);
    assert_eq!(read(&*objects, &absent).await, None);
}

async fn race(objects: Arc<dyn Objects>, name: &str, condition: PutIf) {
    let racers: Vec<_> = (0..16)
        .map(|racer| {
            let (objects, name, condition) = (objects.clone(), name.to_owned(), condition.clone());
            tokio::spawn(async move {
                let text = format!("racer {racer}");
                put(&*objects, &name, &text, condition).await.map(|etag| (text, etag))
            })
        })
        .collect();
    let mut winners = Vec::new();
    for racer in racers {
        winners.extend(racer.await.unwrap());
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(read(&*objects, name).await, winners.pop());
}

/// Races in a row: what only sometimes has two winners has them in one of these.
const RACES: usize = 8;

pub(crate) async fn of_sixteen_puts_on_absence_one_wins(objects: Arc<dyn Objects>) {
    for _ in 0..RACES {
        race(objects.clone(), &format!("{}/a/b/race.jws", unique()), PutIf::Absent).await;
    }
}

pub(crate) async fn of_sixteen_puts_on_a_tag_one_wins(objects: Arc<dyn Objects>) {
    for _ in 0..RACES {
        let name = format!("{}/race.jws", unique());
        let start = put(&*objects, &name, "start", PutIf::Absent).await.unwrap();
        race(objects.clone(), &name, PutIf::Matches(start)).await;
    }
}

pub(crate) async fn concurrent_readers_see_whole_objects(objects: Arc<dyn Objects>) {
    let name = format!("{}/whole.json", unique());
    let text = |turn: usize| char::from(b'a' + (turn % 26) as u8).to_string().repeat(100_000);
    put(&*objects, &name, &text(0), PutIf::Absent).await.unwrap();
    let writer = {
        let (objects, name) = (objects.clone(), name.clone());
        tokio::spawn(async move {
            for turn in 1..=25 {
                put(&*objects, &name, &text(turn), PutIf::Any).await.unwrap();
            }
        })
    };
    let mut last = 0;
    while last < 25 {
        let (seen, _) = read(&*objects, &name).await.unwrap();
        let turn = usize::from(seen.as_bytes()[0] - b'a');
        assert!(seen == text(turn), "a torn object");
        assert!(turn >= last, "an older object after a newer one");
        last = turn;
    }
    writer.await.unwrap();
}

pub(crate) async fn bodies_from_empty_to_the_limit_are_kept(objects: Arc<dyn Objects>) {
    let prefix = unique();
    for size in [0, 1, 1024 * 1024, MAX_OBJECT_BYTES] {
        let name = format!("{prefix}/{size}");
        let bytes: Bytes = (0..size).map(|at| (at % 251) as u8).collect::<Vec<_>>().into();
        let condition = PutIf::Absent;
        let etag =
            objects.put(&name, bytes.clone(), "application/octet-stream", condition).await.unwrap();
        let found = objects.get(&name, None).await.unwrap();
        assert!(found == Fetched::Found { bytes, etag }, "{size} bytes");
    }
}

pub(crate) async fn a_body_one_past_the_limit_is_refused(objects: Arc<dyn Objects>) {
    let name = format!("{}/large", unique());
    let before = put(&*objects, &name, "before", PutIf::Any).await.unwrap();
    let large = Bytes::from(vec![0; MAX_OBJECT_BYTES + 1]);
    let outcome = objects.put(&name, large, JSON, PutIf::Any).await;
    assert!(matches!(outcome, Err(ObjectError::Unavailable(_))), "{outcome:?}");
    assert_eq!(read(&*objects, &name).await, Some(("before".to_owned(), before)));
}

pub(crate) async fn names_of_the_grammar_are_names(objects: Arc<dyn Objects>) {
    let prefix = unique();
    let names = ["a", "b/c", "b/d", "b/e/f/g/h", ".hidden", "dots...", "..a", "A-Z_=.9", "1/2"];
    for name in names {
        let name = format!("{prefix}/{name}");
        put(&*objects, &name, &name, PutIf::Absent).await.unwrap();
    }
    for name in names {
        let name = format!("{prefix}/{name}");
        assert_eq!(read(&*objects, &name).await.unwrap().0, name);
    }
    // The beginning of a name is another name.
    assert_eq!(read(&*objects, &format!("{prefix}/b")).await, None);
    assert_eq!(read(&*objects, &format!("{prefix}/a/b")).await, None);
}

pub(crate) async fn names_outside_the_grammar_are_refused(objects: Arc<dyn Objects>) {
    let prefix = unique();
    for bad in [
        "../x", "..", ".", "x/../y", "x/./y", "/x", "x/", "x//y", "", "x y", "x\\y", "ü", "x\0",
        "x?y", "x%2e",
    ] {
        let within = format!("{prefix}/{bad}");
        for name in [bad, within.as_str()] {
            let outcome = objects.put(name, Bytes::from_static(b"{}"), JSON, PutIf::Any).await;
            assert!(matches!(outcome, Err(ObjectError::Unavailable(_))), "{name:?}: {outcome:?}");
            assert!(objects.get(name, None).await.is_err(), "{name:?}");
        }
    }
}

pub(crate) async fn a_listing_has_what_begins_with_its_prefix_in_order(objects: Arc<dyn Objects>) {
    let own = unique();
    for name in ["lists/b", "lists/a", "lists/c/d", "listsx/e", "lists-f"] {
        put(&*objects, &format!("{own}/{name}"), "{}", PutIf::Any).await.unwrap();
    }
    let prefix = format!("{own}/lists/");
    let named = |listed: Vec<ListedObject>| -> Vec<String> {
        listed.into_iter().map(|object| object.name.replace(&own, "")).collect()
    };
    let all = objects.list(&prefix, None).await.unwrap();
    assert_eq!(named(all.clone()), ["/lists/a", "/lists/b", "/lists/c/d"]);
    let rest = objects.list(&prefix, Some(&all[0].name)).await.unwrap();
    assert_eq!(named(rest), ["/lists/b", "/lists/c/d"]);
    assert_eq!(objects.list(&prefix, Some(&all[2].name)).await.unwrap(), Vec::new());
    assert_eq!(objects.list(&format!("{own}/nothing/"), None).await.unwrap(), Vec::new());
}

pub(crate) async fn only_what_is_old_enough_is_removed(objects: Arc<dyn Objects>) {
    let prefix = format!("{}/lists/", unique());
    let name = format!("{prefix}a");
    put(&*objects, &name, "{}", PutIf::Any).await.unwrap();
    let listed = objects.list(&prefix, None).await.unwrap().remove(0).put;
    assert!(!objects.delete(&name, listed).await.unwrap(), "it is not older than itself");
    assert!(read(&*objects, &name).await.is_some());
    let later = listed.plus(std::time::Duration::from_secs(1));
    assert!(objects.delete(&name, later).await.unwrap());
    assert_eq!(read(&*objects, &name).await, None);
    assert!(!objects.delete(&name, later).await.unwrap(), "it is gone already");
    assert!(put(&*objects, &name, "again", PutIf::Absent).await.is_some());
}
