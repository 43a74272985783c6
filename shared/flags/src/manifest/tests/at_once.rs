//! A chunk read in one go.

use serde_json::json;
use serde_json::value::RawValue;

use super::load::rich_flag;
use super::*;
use crate::Flag;

/// Every byte of a chunk made another: where it can still be read in one go, that gives what reading its entries one by
/// one gives.
#[test]
fn in_one_go_is_as_one_by_one() {
    let mut odd = rich_flag();
    odd["key"] = json!("odd");
    odd["state"]["fallthrough"] = json!({"variant": "no such variant"});
    let body = json!({"flags": {"rich": rich_flag(), "odd": odd, "other": rich_flag()}});
    let bytes = body.to_string().into_bytes();
    let same = |bytes: &[u8]| {
        let one_by_one = chunk::entries(bytes, ChunkKind::Flags).map(|entries| {
            let of_json = |(key, json): (String, &RawValue)| {
                let content = Flag::of_json(&key, json.get());
                (key, format!("{content:?}"))
            };
            entries.into_iter().map(of_json).collect::<Vec<_>>()
        });
        let read = chunk::entries_at_once::<Flag>(bytes, ChunkKind::Flags)?;
        let twice = |key: &str| read.iter().filter(|(other, _)| other == key).count() > 1;
        // Keys that stand twice are found when the shard is made.
        if !read.iter().any(|(key, _)| twice(key)) {
            let mut read: Vec<_> =
                read.iter().map(|(key, content)| (key.clone(), format!("{content:?}"))).collect();
            read.sort_unstable();
            assert_eq!(read, one_by_one.unwrap(), "{}", String::from_utf8_lossy(bytes));
        }
        Some(())
    };
    assert!(same(&bytes).is_some());
    let (mut read, mut changed) = (0, bytes.clone());
    for place in 0..bytes.len() {
        for other in [b'"', b'0', b'x', b'}', b',', 0xff] {
            changed[place] = other;
            read += usize::from(same(&changed).is_some());
        }
        changed[place] = bytes[place];
    }
    assert!(read > bytes.len(), "{read} of {} could be read", 6 * bytes.len());
    // More than the entries, and other members before or after them.
    for text in [r#"{"flags":{}} x"#, r#"{"a":1,"flags":{}}"#, r#"{"flags":{},"a":1}"#] {
        assert!(same(text.as_bytes()).is_none(), "{text}");
    }
    assert!(same(br#"{"flags":{}}"#).is_some());
}
