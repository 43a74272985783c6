//! The ports: what the rules need of the world, and nothing more.
//!
//! One conformance suite (`tests/conformance`) runs over every implementation. Errors here are the
//! world's; the domain's are in [`crate::error`].

mod bus;
mod events;
mod fetch;
mod objects;
mod outbound;
mod signer;
mod table;
mod tables;
mod timer;

pub use bus::{Bus, BusError, Notice};
pub use events::{EventSink, Outgoing};
pub use fetch::{Ask, Fetch, Got};
pub use objects::{
    ETag, Fetched, ListedObject, MAX_LISTED_OBJECTS, MAX_OBJECT_BYTES, ObjectError, Objects, PutIf,
};
pub use outbound::{Outbound, OutboundError};
pub use signer::{Signer, SignerError};
pub use table::{
    Condition, FeedRecord, Item, ItemKey, MAX_ITEM_BYTES, MAX_PAGE_ITEMS, MAX_TRANSACTION_BYTES,
    MAX_TRANSACTION_WRITES, Page, PageToken, Query, Table, TableError, Write, check_transaction,
};
pub use tables::{OneTable, Reach, Tables};
pub use timer::{SystemTimer, Timer};
