#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod bus;
mod connect;
pub mod events;
#[cfg(test)]
mod faults;
mod grants;
mod hands;
mod objects;
mod sessions;
mod settings;
mod signer;
mod sink;
mod socket;
mod table;
mod unset;

pub use bus::{SnsBus, Topics};
pub use connect::Connection;
pub use grants::{
    BucketGrants, DistributionGrants, Granted, GrantedPasses, NotGranted, SignedPass,
};
pub use hands::{event_sink, hands, tables};
pub use objects::S3Objects;
pub use settings::{Access, BatchFailures, Settings, SettingsError, Variable};
pub use signer::KmsSigner;
pub use sink::SnsEvents;
pub use socket::{Socket, Untold};
pub use table::DynamoTable;

/// An error and what it came of, for logs.
fn chain(error: &dyn std::error::Error) -> String {
    let errors = std::iter::successors(Some(error), |error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
