//! For tests: clients that answer what a test says, and a check that one's own code keeps tenants apart. Without
//! an origin, a runtime or a file.
//!
//! ```
//! use flagforge::Flag;
//! use flagforge::testing::Fixed;
//!
//! const CHECKOUT: Flag<bool> = Flag::new("checkout.express", false);
//!
//! let client = Fixed::new()
//!     .flag("checkout.express", true)
//!     .tenant("globex", |globex| globex.flag("checkout.express", false))
//!     .client()?;
//! assert!(client.tenant("acme")?.flags().get(&CHECKOUT));
//! assert!(!client.tenant("globex")?.flags().get(&CHECKOUT));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod fixed;
mod isolation;
mod marker;

pub use fixed::{Fixed, FixedError, FixedTenant};
pub use isolation::{Isolation, IsolationReport, Leak, Marked, NotIsolated};

/// From here on the clients of this thread take it to be so much later: what is held is so much older, and what expires has come
/// so much closer. Their tasks run on this thread where the runtime is tokio's `current_thread`, as in `#[tokio::test]`. Timers are
/// tokio's; a test that pauses them has both clocks in its hands.
pub fn later(by: std::time::Duration) {
    crate::clock::advance(by);
}
