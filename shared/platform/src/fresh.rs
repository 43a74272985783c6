//! Chance: ids, secrets and jitter, from the operating system.

use std::time::Duration;

use crate::error::Error;

/// Letters that survive URLs, shells and double-clicks. 32 of them: 5 bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Letters of an id: 12 × 5 = 60 bits, a one-in-a-million clash takes a million ids of one organization.
const ID_LETTERS: usize = 12;
/// Letters of a secret: 40 × 5 = 200 bits.
const SECRET_LETTERS: usize = 40;

fn letters(count: usize) -> Result<String, Error> {
    let mut bytes = vec![0_u8; count];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::internal("the system gave no random bytes", error.to_string()))?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect())
}

/// A new id, unique within an organization.
pub(crate) fn id() -> Result<String, Error> {
    letters(ID_LETTERS)
}

/// A new secret of 200 bits.
pub(crate) fn secret() -> Result<String, Error> {
    letters(SECRET_LETTERS)
}

/// 32 bytes for a new signing key.
pub(crate) fn key_bytes() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::internal("the system gave no random bytes", error.to_string()))?;
    Ok(bytes)
}

/// Full jitter: anything from nothing to `bound`. Without chance, half of it.
pub(crate) fn jitter(bound: Duration) -> Duration {
    let mut byte = [128_u8];
    // A failure leaves 128 in place: less spread, and still a wait.
    let _ = getrandom::fill(&mut byte);
    bound * u32::from(byte[0]) / 255
}
