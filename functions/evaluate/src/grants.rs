//! What STS gives, as the relay hands it on.

use std::error::Error;

use async_trait::async_trait;
use flagforge::origin::{Credentials, Grant};
use flagforge_aws::{BucketGrants, Granted};
use flagforge_flags::manifest::ScopeId;
use flagforge_relay::Grants;

#[derive(Debug)]
pub(crate) struct StsGrants(pub(crate) BucketGrants);

#[async_trait]
impl Grants for StsGrants {
    async fn grant(&self, scope: &ScopeId) -> Result<Grant, Box<dyn Error + Send + Sync>> {
        let Granted {
            bucket,
            region,
            endpoint,
            access_key_id,
            secret_access_key,
            session_token,
            expires,
        } = self.0.grant(scope).await?;
        let session_token = Some(session_token);
        let credentials = Credentials { access_key_id, secret_access_key, session_token };
        Ok(Grant { bucket, region, endpoint, credentials, expires })
    }
}
