//! The manifest's format from outside the crate: vectors for other SDKs, attacks counted, newer writers.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed, and says with which case"
)]

mod attacks;
mod author;
mod compat;
mod flips;
mod refused;
mod vectors;
mod written;
