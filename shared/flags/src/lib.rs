#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod access_key;
pub mod keys;
pub mod manifest;
mod revision;
mod text;
pub mod time;
pub mod wire;

pub use access_key::{AccessKey, KeyKind};
pub use revision::{Revision, RevisionError};
