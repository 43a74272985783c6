//! The client over folders, faulty origins and servers.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic, its helpers with it")]

mod attacks;
mod bootstrap;
#[cfg(feature = "s3")]
mod bucket;
mod cache;
#[cfg(feature = "testing")]
mod dark;
#[cfg(all(feature = "http", feature = "s3"))]
mod edge;
#[cfg(all(feature = "http", feature = "s3"))]
mod granted;
mod held;
mod hooks;
mod kit;
#[cfg(feature = "http")]
mod limits;
mod live;
#[cfg(feature = "metrics")]
mod metrics;
mod on_demand;
#[cfg(feature = "http")]
mod oversize;
mod page;
mod propagation;
#[cfg(feature = "websocket")]
mod push;
#[cfg(feature = "sqs")]
mod queue;
mod reports;
mod serving;
mod start;
mod subscription;
mod swaps;
#[cfg(feature = "testing")]
mod testing;
mod torture;
#[cfg(feature = "tower")]
mod tower;
mod trust;
#[cfg(feature = "http")]
mod waiting;
