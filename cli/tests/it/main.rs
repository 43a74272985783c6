//! The real program, against the real program: every command as people type it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic is the failure")]

mod installation;
mod manifests;
mod newcomer;
mod people;
mod refusals;
mod relay;
mod routes;
