//! What STS gives, as the relay hands it on.

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use flagforge::origin::{Credentials, Grant};
use flagforge_aws::{BucketGrants, Connection, Granted, Settings, SettingsError, Variable};
use flagforge_flags::manifest::ScopeId;
use flagforge_relay::Grants;

/// What the function grants. Not told which role gives leave to read: nothing, and SDKs read from here.
pub(crate) fn from_env() -> Result<Option<Arc<dyn Grants>>, SettingsError> {
    let settings = Settings::from_env(&[Variable::Bucket])?;
    let grants = BucketGrants::new(&Connection::new(&settings), &settings).ok();
    Ok(grants.map(|grants| Arc::new(StsGrants(grants)) as Arc<dyn Grants>))
}

#[derive(Debug)]
struct StsGrants(BucketGrants);

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
