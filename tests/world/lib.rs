//! What tests that cross crates stand on: a whole platform in one process ([`World`]), one way to talk
//! to any installation ([`Stack`]), and the journeys that run on either.

mod api;
pub mod elsewhere;
mod endpoint;
mod held;
pub mod iam;
mod issuer;
#[path = "../journeys/mod.rs"]
pub mod journeys;
mod origin;
pub mod server;
mod stack;
mod world;

pub use api::{Answer, Api};
pub use endpoint::{Endpoint, Heard};
pub use flagforge_platform::ports::Reach;
pub use held::{Calls, HeldTables, Rendered};
pub use issuer::Issuer;
pub use origin::ObjectsOrigin;
pub use stack::{CONSOLE, Delivery, Notified, Org, Stack, eventually};
pub use world::World;
