//! Typed reads of the table. Nothing here decides anything; callers have asked the `Caller` first.

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::ports::{Item, ItemKey, PageToken, Query, Table};

/// A record and its version: the number of the log entry that last wrote it, so it never repeats,
/// not even when a thing is deleted and created again.
#[derive(Debug, Clone)]
pub struct Stored<T> {
    pub value: T,
    pub version: u64,
}

/// The version of what is absent. Log numbers begin at 1.
pub(crate) const ABSENT: u64 = 0;

pub(crate) fn version_of<T>(stored: Option<&Stored<T>>) -> u64 {
    stored.map_or(ABSENT, |stored| stored.version)
}

pub(crate) fn decode<T: DeserializeOwned>(item: &Item) -> Result<Stored<T>, Error> {
    let value = serde_json::from_str(&item.body)
        .map_err(|error| Error::internal("a stored record could not be read", error))?;
    Ok(Stored { value, version: item.version })
}

pub(crate) async fn read<T: DeserializeOwned>(
    table: &dyn Table,
    key: &ItemKey,
) -> Result<Option<Stored<T>>, Error> {
    table.get(key).await?.as_ref().map(decode).transpose()
}

/// What stands at a place, or that there is no such thing.
pub(crate) async fn standing<T: DeserializeOwned>(
    table: &dyn Table,
    key: &ItemKey,
    what: &'static str,
) -> Result<Stored<T>, Error> {
    read(table, key).await?.ok_or(Error::NotFound { what })
}

/// Every record under a prefix, however many pages. For sets that a limit bounds, and for the publisher.
pub(crate) async fn all<T: DeserializeOwned>(
    table: &dyn Table,
    pk: &str,
    prefix: &str,
) -> Result<Vec<Stored<T>>, Error> {
    let mut query = Query::prefix(pk, prefix);
    let mut found = Vec::new();
    loop {
        let page = table.query(&query).await?;
        for item in &page.items {
            found.push(decode(item)?);
        }
        match page.next {
            None => return Ok(found),
            next => query.page = next,
        }
    }
}

/// One page of what people list.
#[derive(Debug, Clone)]
pub struct Listing<T> {
    pub items: Vec<Stored<T>>,
    /// Opaque; give it back to get the next page.
    pub next: Option<String>,
}

impl<T> Listing<T> {
    pub(crate) fn map<U>(self, f: impl Fn(T) -> U) -> Listing<U> {
        let item = |stored: Stored<T>| Stored { value: f(stored.value), version: stored.version };
        Listing { items: self.items.into_iter().map(item).collect(), next: self.next }
    }
}

pub(crate) async fn page<T: DeserializeOwned>(
    table: &dyn Table,
    pk: &str,
    prefix: &str,
    limit: u32,
    cursor: Option<&str>,
) -> Result<Listing<T>, Error> {
    let mut query = Query::prefix(pk, prefix);
    query.limit = limit;
    // The cursor is a sort key without its prefix, so it can't lead out of the listing.
    query.page = cursor.map(|cursor| PageToken(format!("{prefix}{cursor}")));
    let page = table.query(&query).await?;
    let items = page.items.iter().map(decode).collect::<Result<_, _>>()?;
    let next = page.next.and_then(|PageToken(sk)| sk.strip_prefix(prefix).map(str::to_owned));
    Ok(Listing { items, next })
}
