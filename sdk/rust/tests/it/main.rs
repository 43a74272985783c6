//! The client over folders, faulty origins and servers.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic, its helpers with it")]

#[cfg(feature = "s3")]
mod bucket;
mod cache;
mod kit;
mod limits;
mod live;
mod serving;
mod start;
mod subscription;
mod trust;
mod waiting;
