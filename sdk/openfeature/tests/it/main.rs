//! The provider, asked through OpenFeature's own client.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic, its helpers with it")]
#![expect(
    clippy::print_stderr,
    reason = "what was skipped, and how a suite went, is for whoever runs it"
)]

mod answers;
mod ask;
mod contexts;
mod features;
mod gherkin;
#[path = "../../../rust/tests/it/kit.rs"]
mod kit;
mod steps;
mod tenants;
