//! The data plane, called through its router and over real sockets, on manifests signed here.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic, its helpers with it")]

mod bulk;
mod data;
mod doors;
#[cfg(feature = "flagd")]
mod flagd;
#[cfg(feature = "flagd")]
mod flagd_sync;
mod grants;
mod heard;
#[path = "../../../sdk/rust/tests/it/kit.rs"]
mod kit;
mod listeners;
mod live;
mod loading;
mod long_poll;
mod ofrep;
mod operation;
mod push;
mod rates;
mod refetch;
mod rings;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "sns")]
mod sns;
#[cfg(feature = "sqs")]
mod sqs;
#[cfg(feature = "https")]
mod tls;
#[cfg(feature = "server")]
mod tuning;
mod world;
