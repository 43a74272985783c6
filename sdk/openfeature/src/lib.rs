#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod answered;
mod asked;
mod names;
mod provider;
mod structure;

pub use answered::reason_of_default;
pub use names::MAX_NAMES;
pub use provider::Provider;
