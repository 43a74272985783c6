//! What no table would take: checked before anything is tried, so that code which works here works in the cloud.

use std::collections::HashSet;

use flagforge_platform::ports::{MAX_PAGE_ITEMS, Query, TableError, Write};
use thiserror::Error;

use super::unavailable;

/// Bytes of a partition key, as DynamoDB has it.
pub const MAX_PARTITION_KEY_BYTES: usize = 2_048;
/// Bytes of a sort key, as DynamoDB has it.
pub const MAX_SORT_KEY_BYTES: usize = 1_024;
/// Characters of a transaction's token, as DynamoDB's `ClientRequestToken` has it.
pub const MAX_TOKEN_CHARACTERS: usize = 36;

/// A call that is a fault in the program that made it. It arrives as the source of `Unavailable`, because the port has no word for
/// it; nothing was written, and repeating it does not help.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Misuse {
    #[error("a partition key or sort key is empty; every item needs both")]
    EmptyKey,
    #[error("the token is empty; give 1 to {MAX_TOKEN_CHARACTERS} characters, or none at all")]
    EmptyToken,
    #[error("the token was used in the last ten minutes for another transaction; draw a new one")]
    TokenReused,
    #[error("the query asks for {0} items; ask for 1 to {MAX_PAGE_ITEMS}")]
    PageItems(u32),
    #[error("the query's range is empty: `until` must be greater than `from`")]
    EmptyRange,
}

pub(super) fn writes(writes: &[Write]) -> Result<(), TableError> {
    let mut keys = HashSet::with_capacity(writes.len());
    for key in writes.iter().map(Write::key) {
        if key.pk.is_empty() || key.sk.is_empty() {
            return Err(unavailable(Misuse::EmptyKey));
        }
        bound("bytes in a partition key", MAX_PARTITION_KEY_BYTES, key.pk.len())?;
        bound("bytes in a sort key", MAX_SORT_KEY_BYTES, key.sk.len())?;
        if !keys.insert(key) {
            let actual = writes.iter().filter(|write| write.key() == key).count();
            bound("actions on one key", 1, actual)?;
        }
    }
    Ok(())
}

pub(super) fn token(token: Option<&str>) -> Result<(), TableError> {
    match token {
        None => Ok(()),
        Some("") => Err(unavailable(Misuse::EmptyToken)),
        Some(token) => {
            bound("characters in its token", MAX_TOKEN_CHARACTERS, token.chars().count())
        }
    }
}

pub(super) fn query(query: &Query) -> Result<(), TableError> {
    if query.pk.is_empty() {
        return Err(unavailable(Misuse::EmptyKey));
    }
    if query.limit == 0 || query.limit > MAX_PAGE_ITEMS {
        return Err(unavailable(Misuse::PageItems(query.limit)));
    }
    if query.until <= query.from {
        return Err(unavailable(Misuse::EmptyRange));
    }
    Ok(())
}

fn bound(what: &'static str, limit: usize, actual: usize) -> Result<(), TableError> {
    if actual > limit { Err(TableError::TooLarge { what, limit, actual }) } else { Ok(()) }
}
