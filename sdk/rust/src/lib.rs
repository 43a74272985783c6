#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod cache;
mod client;
mod clock;
mod connect;
pub mod connection;
mod details;
mod flag;
mod flags;
pub mod follow;
mod hook;
mod jitter;
mod load_tenant;
pub mod loader;
mod metrics;
mod observers;
pub mod origin;
mod page;
pub mod propagation;
pub mod report;
mod shared;
mod subscription;
mod tenant;
mod tenant_id;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tower")]
pub mod tower;
mod trust;
mod waiting;

pub use client::{Client, Status};
pub use connect::{Connect, ConnectError};
pub use connection::Connection;
pub use details::{Details, FlagError};
pub use flag::{DefaultValue, Flag, FlagType};
pub use flagforge_flags::keys::{KeyError, TenantKey};
pub use flagforge_flags::manifest::HeldFlag;
pub use flagforge_flags::{
    AccessKey, Attribute, EvalError, Explanation, FineReason, Reason, Revision, Snapshot, Value,
};
pub use flags::{Basis, Flags};
pub use hook::{Hook, Refused, Traced};
#[doc(hidden)]
pub use jitter::dice;
pub use load_tenant::{LoadTenant, LoadTenantError};
pub use loader::{Directory, Loader, Manifest, chain};
pub use observers::Question;
pub use origin::Origin;
pub use page::Page;
pub use serde_json::Value as Json;
pub use subscription::{Ended, Subscription};
pub use tenant::{Asking, Tenant, Untenanted};
pub use tenant_id::{Elsewhere, TenantId, TenantIdError};
pub use waiting::{Close, Refresh, WaitFor};
