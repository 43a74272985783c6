#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod asked_for;
mod asker;
mod breaker;
mod browser;
mod budget;
mod bulk;
mod chunks;
mod clock;
mod config;
mod data;
mod env_id;
mod environment;
#[cfg(feature = "flagd")]
mod flagd;
mod grants;
mod heard;
mod leave;
mod listeners;
#[cfg(feature = "metrics")]
mod measures;
mod news;
mod ofrep;
mod operation;
mod position;
mod prefer;
mod problem;
#[cfg(feature = "profile")]
mod profile;
mod rates;
mod refetch;
mod relay;
mod router;
#[cfg(feature = "server")]
mod run;
mod scoped;
mod seats;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "server")]
mod settings;
mod sheet;
mod shelf;
#[cfg(feature = "sns")]
mod sns;
mod sse;
#[cfg(feature = "https")]
mod tls;
#[cfg(feature = "otel")]
mod traces;
#[cfg(feature = "server")]
mod tuning;

pub use config::{Config, Freshness, Ring};
pub use grants::Grants;
pub use listeners::{Admitted, News};
pub use ofrep::MAX_BODY_BYTES;
pub use operation::operation;
pub use relay::Relay;
#[cfg(feature = "sns")]
pub use reqwest::Url;
pub use router::{app, app_without_streams};
#[cfg(feature = "server")]
pub use run::run;
#[cfg(feature = "server")]
pub use server::{Limits, Lock, serve};
#[cfg(feature = "server")]
pub use settings::{Places, Settings};
#[cfg(feature = "sns")]
pub use sns::{OverHttps, Sns, Topic, TopicError, Web, WebError};
#[cfg(feature = "https")]
pub use tls::{Tls, TlsError};
#[cfg(feature = "otel")]
pub use traces::{Traces, TracesError};
#[cfg(feature = "server")]
pub use tuning::{SetLog, TuningError, TuningFile};
