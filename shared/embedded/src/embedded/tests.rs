use std::error::Error as _;
use std::fs;

use flagforge_platform::ports::{
    Condition, Fetched, Item, ItemKey, PutIf, Signer as _, Table as _, Write,
};
use tempfile::TempDir;

use super::{Embedded, EmbeddedError};
use crate::FolderLockError;

fn write(body: &str) -> Vec<Write> {
    let key = ItemKey::new("org#", "A");
    let item = Item { key, version: 1, body: body.to_owned(), expires_at_seconds: None };
    vec![Write::Put { item, condition: Condition::Any }]
}

#[tokio::test]
async fn everything_is_there_again_after_a_restart() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("not yet there").join("data");
    let hands = Embedded::open(&folder).unwrap();
    hands.table.transact(write("{}"), None).await.unwrap();
    hands.objects.put("demo/chunk", "bytes".into(), "", PutIf::Any).await.unwrap();
    let key = hands.signer.public_key().await.unwrap();
    let trust = hands.ensure_trust().await.unwrap();
    assert_eq!(fs::read(folder.join("objects").join("demo").join("chunk")).unwrap(), b"bytes");
    assert_eq!(hands.object_folder(), Some(folder.join("objects")));
    drop(hands);

    let hands = Embedded::open(&folder).unwrap();
    let item = hands.table.get(&ItemKey::new("org#", "A")).await.unwrap().unwrap();
    assert_eq!(item.body, "{}");
    let found = hands.objects.get("demo/chunk", None).await.unwrap();
    assert!(matches!(found, Fetched::Found { bytes, .. } if bytes == "bytes"));
    assert_eq!(hands.signer.public_key().await.unwrap(), key);
    let again = hands.ensure_trust().await.unwrap();
    assert_eq!((again.root, again.trust.text()), (trust.root, trust.trust.text()));
}

#[test]
fn a_folder_in_use_is_refused_with_its_name_its_holder_and_what_to_do() {
    let folder = TempDir::new().unwrap();
    let hands = Embedded::open(folder.path()).unwrap();
    let refused = Embedded::open(folder.path()).unwrap_err();
    let EmbeddedError::Folder(source @ FolderLockError::InUse { .. }) = refused else {
        panic!("{refused:?}")
    };
    let message = source.to_string();
    assert!(message.contains(&folder.path().display().to_string()), "{message}");
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    assert!(message.contains("--data"), "{message}");
    drop(hands);
    Embedded::open(folder.path()).unwrap();
}

#[test]
fn a_folder_that_cannot_be_is_named() {
    let parent = TempDir::new().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    for folder in [file.clone(), file.join("data")] {
        let refused = Embedded::open(&folder).unwrap_err();
        let source = refused.source().unwrap().to_string();
        assert!(source.contains(&folder.display().to_string()), "{source}");
    }
}

#[tokio::test]
async fn memory_needs_no_folder_and_shares_nothing() {
    let (one, other) = (Embedded::memory().unwrap(), Embedded::memory().unwrap());
    one.table.transact(write("{}"), None).await.unwrap();
    assert_eq!(other.table.get(&ItemKey::new("org#", "A")).await.unwrap(), None);
    let trust = one.ensure_trust().await.unwrap();
    assert_eq!(one.ensure_trust().await.unwrap().trust.text(), trust.trust.text());
    assert_ne!(other.ensure_trust().await.unwrap().root, trust.root);
    assert_eq!((one.folder(), one.object_folder()), (None, None));
}
