//! Texts that are recognized by their hash: the flag tells nobody who is meant.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Hexadecimal digits of SHA-256.
const DIGITS: usize = 64;

/// SHA-256 of `salt` and `text`, in lower-case hexadecimal, on the stack.
pub(crate) fn hexadecimal(salt: &str, text: &str) -> [u8; DIGITS] {
    let digest = Sha256::new().chain_update(salt).chain_update(text).finalize();
    let mut digits = [0; DIGITS];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(digest) {
        if let [high, low] = pair {
            (*high, *low) = (digit(byte >> 4), digit(byte & 15));
        }
    }
    digits
}

const fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

/// What a hash has to be, or to begin with.
#[derive(Debug)]
pub(crate) struct Digests {
    pub(crate) salt: Box<str>,
    /// Sorted, in lower case.
    pub(crate) wanted: Box<[Box<str>]>,
    pub(crate) prefix: bool,
}

impl Digests {
    /// An operand in its one form: hexadecimal digits in lower case, as many as the operator takes.
    pub(crate) fn operand(text: &str, prefix: bool) -> Option<Box<str>> {
        let long = if prefix { (1..=DIGITS).contains(&text.len()) } else { text.len() == DIGITS };
        (long && text.bytes().all(|b| b.is_ascii_hexdigit()))
            .then(|| text.to_ascii_lowercase().into())
    }

    pub(crate) fn have(&self, text: &str) -> bool {
        let digits = hexadecimal(&self.salt, text);
        if self.prefix {
            self.wanted.iter().any(|wanted| digits.starts_with(wanted.as_bytes()))
        } else {
            self.wanted.binary_search_by(|wanted| wanted.as_bytes().cmp(&digits)).is_ok()
        }
    }
}

impl fmt::Display for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::list(f, self.wanted.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256_of_salt_and_text() {
        // printf 'sabc' | sha256sum; printf '' | sha256sum
        let hashed = |salt, text| String::from_utf8(hexadecimal(salt, text).to_vec()).unwrap();
        assert_eq!(
            hashed("", ""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            hashed("", "abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(hashed("a", "bc"), hashed("ab", "c"));
    }
}
