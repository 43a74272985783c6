//! What the relay of this process knows of SDKs goes to the platform of this process, without a socket and a key.

use std::sync::Arc;

use async_trait::async_trait;
use flagforge::origin::OriginError;
use flagforge::propagation::{Reporter, Reports};
use flagforge_flags::manifest::ScopeId;
use flagforge_platform::{Caller, Platform};

#[derive(Debug)]
struct Told(Platform);

/// Notes reports in this process.
pub(super) fn told(platform: &Platform) -> Arc<dyn Reporter> {
    Arc::new(Told(platform.clone()))
}

#[async_trait]
impl Reporter for Told {
    async fn report(&self, scope: &ScopeId, reports: &Reports) -> Result<bool, OriginError> {
        let (relay, reports) = (Caller::system("relay"), reports.reports.clone());
        let heard = self.0.hear(&relay, &scope.org, &scope.env, reports).await;
        let unreachable = |error| OriginError::Unreachable {
            what: "a report".to_owned(),
            source: Box::new(error),
        };
        heard.map(|()| true).map_err(unreachable)
    }
}
