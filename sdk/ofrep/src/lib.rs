#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod answer;
mod asking;
mod failure;
mod flags;
mod follow;
mod http;
mod remote;
mod retry_after;
mod sse;
mod stream;

pub use asking::{Asking, Tenant};
pub use failure::Failure;
pub use flags::{Details, FlagError, Flags};
pub use follow::{Followed, POLL_EVERY};
pub use http::MAX_ANSWER_BYTES;
pub use remote::{Remote, SetupError};
pub use retry_after::MAX_RETRY_AFTER;
