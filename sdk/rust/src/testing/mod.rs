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
