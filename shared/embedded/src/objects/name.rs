//! Names of objects: checked before they become paths, so that none leads out of the folder.

use thiserror::Error;

/// Bytes of a name, as S3 has it.
pub const MAX_NAME_BYTES: usize = 1_024;
/// Bytes of one part of a name, as file systems have it.
pub const MAX_PART_BYTES: usize = 255;

/// A name that no object can have. It arrives as the source of `Unavailable`: only a fault in the program makes one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{name:?} is not an object name: it needs /-separated parts of A-Z a-z 0-9 . _ = -, none of them empty, `.` or `..`, \
     of at most {MAX_PART_BYTES} bytes, and {MAX_NAME_BYTES} bytes in all"
)]
pub struct NameError {
    pub name: String,
}

pub(super) fn check(name: &str) -> Result<(), NameError> {
    let is_part = |part: &str| {
        (1..=MAX_PART_BYTES).contains(&part.len())
            && part != "."
            && part != ".."
            && part.bytes().all(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'=' | b'-')
            })
    };
    if name.len() <= MAX_NAME_BYTES && name.split('/').all(is_part) {
        return Ok(());
    }
    // The message goes to a log: a name of any length must not.
    Err(NameError { name: name.chars().take(MAX_NAME_BYTES).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_paths_within_the_folder_pass_and_no_others() {
        let longest_part = "a".repeat(MAX_PART_BYTES);
        let longest = [longest_part.as_str(); 4].join("/") + "/";
        assert_eq!(longest.len(), MAX_NAME_BYTES);
        let longest = format!("{}/b", &longest[..MAX_NAME_BYTES - 2]);
        for good in
            ["a", "trust.json", "demo/prod/environment.jws", "a=b/..c/.d/e-_", &longest_part]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        assert_eq!(check(&longest), Ok(()));
        assert!(check(&format!("{longest}c")).is_err());
        assert!(check(&format!("{longest_part}a")).is_err());
        for bad in [
            "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/.", "a\\b", "a b", "ä",
            "a\0", "a\n", "C:", "a+b", "~",
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
