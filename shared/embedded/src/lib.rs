#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::panic, reason = "a test fails by panicking"))]

mod bus;
mod chance;
mod data_folder;
mod embedded;
mod fault;
mod feed;
mod files;
mod key_file;
#[cfg(feature = "nats")]
mod nats;
mod objects;
mod pacing;
mod signer;
mod table;
mod timer;
mod trust;
mod works;

pub use bus::{LocalBus, MAX_NOTICES_BEHIND};
pub use data_folder::FolderLockError;
pub use embedded::{Embedded, EmbeddedError};
pub use fault::{FaultCounts, FaultPlan, FaultTable, InjectedFault};
pub use feed::{Feed, FeedChaos, FeedEvent, MAX_FEED_BATCHES, MAX_FEED_BYTES, MAX_HELD_RECORDS};
pub use key_file::KeyFileError;
#[cfg(feature = "nats")]
pub use nats::{NATS_PREFIX, NatsError, NatsSink};
pub use objects::{
    FolderError, FolderObjects, MAX_NAME_BYTES, MAX_PART_BYTES, MemoryObjects, NameError,
    ObjectTooLarge,
};
pub use signer::LocalSigner;
pub use table::{
    EmbeddedTable, MAX_PAGE_BYTES, MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES,
    MAX_TOKEN_CHARACTERS, Misuse, StoreError, TOKEN_LIFETIME,
};
pub use timer::ManualTimer;
pub use trust::{LocalRoot, LocalTrust, TRUST_LIFETIME, TRUST_RENEWAL, TrustError, ensure_trust};
pub use works::Works;
