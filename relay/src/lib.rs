#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod asked_for;
mod asker;
mod browser;
mod bulk;
mod chunks;
mod clock;
mod config;
mod data;
mod environment;
#[cfg(feature = "flagd")]
mod flagd;
mod grants;
mod heard;
mod leave;
#[cfg(feature = "metrics")]
mod measures;
mod ofrep;
mod operation;
mod position;
mod prefer;
mod problem;
mod rates;
mod refetch;
mod relay;
mod router;
mod scoped;
mod seats;
#[cfg(feature = "server")]
mod server;
mod sheet;
mod shelf;
#[cfg(feature = "https")]
mod tls;

pub use config::{Config, Freshness, Ring};
pub use grants::Grants;
pub use ofrep::MAX_BODY_BYTES;
pub use operation::operation;
pub use relay::Relay;
pub use router::{app, app_without_streams};
#[cfg(feature = "server")]
pub use server::{Limits, Lock, serve};
#[cfg(feature = "https")]
pub use tls::{Tls, TlsError};
