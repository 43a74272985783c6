//! The rules under faults: what the platform promises when the world does not keep its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod accepted;
mod alone;
mod canaries;
mod collect;
mod commits;
mod deleted;
mod erased;
mod faults;
mod held;
mod imports;
mod incremental;
mod issuer;
mod killed;
mod kit;
mod later;
mod members;
mod people;
mod propagation;
mod publishing;
mod reasons;
mod restored;
mod rings;
mod schedules;
mod shrinkage;
mod sinks;
mod sources;
mod sweep;
mod swept_again;
mod webhooks;
