//! The table: DynamoDB's own model, narrowed to what the rules use.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Writes in one transaction; `TransactWriteItems` takes 100 actions.
pub const MAX_TRANSACTION_WRITES: usize = 100;
/// Bytes of one item: DynamoDB's 400 KB less 16 KB for attribute names and keys.
pub const MAX_ITEM_BYTES: usize = 384 * 1024;
/// Bytes of all bodies of one transaction; DynamoDB's bound is 4 MB with names and keys.
pub const MAX_TRANSACTION_BYTES: usize = 3_500_000;
/// Items of one page; a page may hold fewer and still have a successor.
pub const MAX_PAGE_ITEMS: u32 = 1_000;

/// Where an item lives. The partition key always begins with the organization (DESIGN §5).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ItemKey {
    pub pk: String,
    pub sk: String,
}

impl ItemKey {
    pub fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }
}

/// A stored item: a JSON text and the version its last writer gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub key: ItemKey,
    pub version: u64,
    pub body: String,
    /// Unix seconds after which the store may drop the item, at its leisure. Readers check it themselves.
    pub expires_at_seconds: Option<i64>,
}

/// What must hold for a write, else the whole transaction has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing is asked.
    Any,
    /// No item stands at the key.
    Absent,
    /// An item stands at the key.
    Present,
    /// An item stands at the key with exactly this version.
    Version(u64),
}

/// One action of a transaction. A key may appear once in a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    Put { item: Item, condition: Condition },
    Delete { key: ItemKey, condition: Condition },
    Check { key: ItemKey, condition: Condition },
}

impl Write {
    pub fn key(&self) -> &ItemKey {
        match self {
            Self::Put { item, .. } => &item.key,
            Self::Delete { key, .. } | Self::Check { key, .. } => key,
        }
    }

    pub fn condition(&self) -> Condition {
        match self {
            Self::Put { condition, .. }
            | Self::Delete { condition, .. }
            | Self::Check { condition, .. } => *condition,
        }
    }
}

/// A range of one partition, `from` (inclusive) to `until` (exclusive), in byte order of sort keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub pk: String,
    pub from: String,
    /// Must be greater than `from`.
    pub until: String,
    pub descending: bool,
    /// 1..=[`MAX_PAGE_ITEMS`].
    pub limit: u32,
    pub page: Option<PageToken>,
}

impl Query {
    /// Everything whose sort key begins with `prefix`, ascending, in pages of the greatest size.
    pub fn prefix(pk: impl Into<String>, prefix: &str) -> Self {
        // U+10FFFF sorts after every character a key may hold.
        Self {
            pk: pk.into(),
            from: prefix.to_owned(),
            until: format!("{prefix}\u{10FFFF}"),
            descending: false,
            limit: MAX_PAGE_ITEMS,
            page: None,
        }
    }
}

/// Where the next page begins: the sort key of the last item seen. Survives concurrent writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageToken(pub String);

/// One page of a query; `next` is `None` at the end and only there.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub items: Vec<Item>,
    pub next: Option<PageToken>,
}

/// One record of the change feed. Delivered at least once, in any order (DESIGN §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedRecord {
    pub key: ItemKey,
    /// The item after the change; `None` when it was removed.
    pub item: Option<Item>,
}

/// Why the table did not do what was asked.
#[derive(Debug, Error)]
pub enum TableError {
    /// Conditions that did not hold, by index into the transaction. Nothing was written.
    #[error("a condition did not hold")]
    Conflict { failed: Vec<usize> },
    /// Another transaction held one of the items, or the table throttled. Nothing was written; try again.
    #[error("the table is contended")]
    Contended,
    /// A named limit of this module. Nothing was written.
    #[error("the transaction has {actual} {what}, over the limit of {limit}")]
    TooLarge { what: &'static str, limit: usize, actual: usize },
    /// The table did not answer: a write may have happened or not.
    #[error("the table did not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The table. Reads are strongly consistent.
#[async_trait]
pub trait Table: Send + Sync + std::fmt::Debug {
    /// The item at `key`, or `None`.
    async fn get(&self, key: &ItemKey) -> Result<Option<Item>, TableError>;

    /// One page of a range.
    async fn query(&self, query: &Query) -> Result<Page, TableError>;

    /// All of `writes` or none. `token` (at most 36 characters) makes a repeat of the same
    /// transaction within ten minutes a success without a second effect, where the store knows it.
    async fn transact(&self, writes: Vec<Write>, token: Option<&str>) -> Result<(), TableError>;
}

/// Refuses a transaction over a limit, the same way on every table, before anything is sent.
pub fn check_transaction(writes: &[Write]) -> Result<(), TableError> {
    let bound = |what, limit, actual| {
        if actual > limit { Err(TableError::TooLarge { what, limit, actual }) } else { Ok(()) }
    };
    bound("writes", MAX_TRANSACTION_WRITES, writes.len())?;
    let sizes = writes.iter().map(|write| match write {
        Write::Put { item, .. } => item.body.len(),
        Write::Delete { .. } | Write::Check { .. } => 0,
    });
    bound("bytes in one item", MAX_ITEM_BYTES, sizes.clone().max().unwrap_or(0))?;
    bound("bytes", MAX_TRANSACTION_BYTES, sizes.sum())
}
