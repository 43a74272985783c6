#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod cache;
mod client;
mod clock;
mod connect;
pub mod connection;
mod flag;
pub mod follow;
mod jitter;
pub mod loader;
pub mod origin;
mod shared;
mod subscription;
mod tenant;
mod tenant_id;
mod trust;
mod waiting;

pub use client::{Client, Status};
pub use connect::{Connect, ConnectError};
pub use connection::Connection;
pub use flag::{Flag, FlagType};
pub use flagforge_flags::keys::{KeyError, TenantKey};
pub use flagforge_flags::{
    Attribute, EvalError, Explanation, FineReason, Reason, Revision, Snapshot, Value,
};
pub use loader::{Loader, Manifest, chain};
pub use origin::Origin;
pub use serde_json::Value as Json;
pub use subscription::{Ended, Subscription};
pub use tenant::{Asking, Basis, Details, FlagError, Flags, Tenant, Untenanted};
pub use tenant_id::{Elsewhere, TenantId, TenantIdError};
pub use waiting::{Close, Refresh, WaitFor};
