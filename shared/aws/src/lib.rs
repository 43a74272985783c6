#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod bus;
mod connect;
pub mod events;
#[cfg(test)]
mod faults;
mod hands;
mod objects;
mod sessions;
mod settings;
mod signer;
mod table;
mod unset;

pub use bus::{SnsBus, Topics};
pub use connect::Connection;
pub use hands::hands;
pub use objects::S3Objects;
pub use settings::{Access, BatchFailures, Settings, SettingsError, Variable};
pub use signer::KmsSigner;
pub use table::DynamoTable;
