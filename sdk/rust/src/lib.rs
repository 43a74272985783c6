#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod cache;
mod client;
mod clock;
pub mod connection;
mod flag;
pub mod follow;
mod jitter;
pub mod loader;
pub mod origin;
mod tenant;
mod trust;

pub use client::{Client, Connect, ConnectError, Refresh, Status};
pub use connection::Connection;
pub use flag::{Flag, FlagType};
pub use flagforge_flags::keys::TenantKey as TenantId;
pub use flagforge_flags::{
    Attribute, EvalError, Explanation, FineReason, Reason, Revision, Snapshot, Value,
};
pub use loader::{Loader, Manifest, chain};
pub use origin::Origin;
pub use serde_json::Value as Json;
pub use tenant::{Asking, Basis, Details, FlagError, Flags, Tenant, Untenanted};
