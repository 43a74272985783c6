//! How somebody is told who is connected.

use std::fmt::Debug;

use async_trait::async_trait;
use flagforge_aws::{Socket, Untold};

/// The connections, as whoever holds them lets them be spoken to.
#[async_trait]
pub(crate) trait Line: Send + Sync + Debug {
    /// Says something to one connection. Bounded in time.
    async fn say(&self, id: &str, text: &str) -> Result<(), Untold>;

    /// Ends one connection; one that is gone is ended.
    async fn end(&self, id: &str) -> Result<(), Untold>;
}

#[async_trait]
impl Line for Socket {
    async fn say(&self, id: &str, text: &str) -> Result<(), Untold> {
        Self::say(self, id, text).await
    }

    async fn end(&self, id: &str) -> Result<(), Untold> {
        Self::end(self, id).await
    }
}
