//! The client against a relay over real sockets, and against servers that misbehave.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic, its helpers with it")]

mod answers;
mod following;
#[path = "../../../rust/tests/it/kit.rs"]
mod kit;
mod misbehaved;
mod world;
