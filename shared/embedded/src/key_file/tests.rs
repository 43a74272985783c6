use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{KeyFileError, MAX_KEY_FILE_BYTES, read, read_or_create};

fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keys").join("online.pem");
    (folder, path)
}

#[test]
fn a_key_is_created_once_and_read_ever_after() {
    let (_folder, path) = place();
    assert!(read(&path).unwrap().is_none());
    let created = read_or_create(&path).unwrap().public();
    assert_eq!(read_or_create(&path).unwrap().public(), created);
    assert_eq!(read(&path).unwrap().unwrap().public(), created);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----"), "OpenSSL reads PKCS#8");
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "a file was left over");
    let (_other_folder, other) = place();
    assert_ne!(read_or_create(&other).unwrap().public(), created);
}

#[test]
fn a_creation_cut_short_is_begun_again() {
    let (_folder, path) = place();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path.with_extension("pem-new"), "-----BEGIN PRIV").unwrap();
    let created = read_or_create(&path).unwrap().public();
    assert_eq!(read_or_create(&path).unwrap().public(), created);
}

#[cfg(unix)]
#[test]
fn the_file_and_its_folder_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, path) = place();
    read_or_create(&path).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for (open, is_taken) in [(0o400, true), (0o640, false), (0o604, false), (0o660, false)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
        match read_or_create(&path) {
            Ok(_) => assert!(is_taken, "{open:o} was taken"),
            Err(refused) => {
                assert!(!is_taken, "{open:o}: {refused}");
                let remedy = format!("chmod 600 {}", path.display());
                assert!(refused.to_string().contains(&remedy), "{refused}");
                assert!(refused.to_string().contains(&format!("{open:04o}")), "{refused}");
            }
        }
    }
}

#[test]
fn a_file_without_a_key_is_refused_and_never_replaced() {
    let (_folder, path) = place();
    let key = read_or_create(&path).unwrap().to_pem();
    let huge = "x".repeat(usize::try_from(MAX_KEY_FILE_BYTES).unwrap() + 1);
    let halved = &key[..key.len() / 2];
    let bent = key.replacen("MI", "MJ", 1);
    assert_ne!(bent, key);
    for content in ["", "no key", halved, &bent, &huge] {
        // Overwriting keeps the mode that the file has.
        fs::write(&path, content).unwrap();
        let refused = read_or_create(&path).unwrap_err();
        assert!(matches!(refused, KeyFileError::Corrupt { .. }), "{refused:?}");
        assert!(refused.to_string().contains("online.pem"), "{refused}");
        assert!(content.len() < 10 || !refused.to_string().contains(content));
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(read(&path), Err(KeyFileError::Corrupt { .. })));
}

#[test]
fn a_place_that_cannot_be_is_named() {
    let (folder, _) = place();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = read_or_create(&file.join("online.pem")).unwrap_err();
    assert!(matches!(refused, KeyFileError::File { .. }), "{refused:?}");
    assert!(refused.to_string().contains("online.pem"));
}
