//! What AWS gives, as the relay hands it on.

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use flagforge::origin::{Credentials, Grant, GrantKind, Leave, Pass};
use flagforge_aws::{
    BucketGrants, Connection, DistributionGrants, Granted, GrantedPasses, Settings, SettingsError,
    SignedPass, Variable,
};
use flagforge_flags::manifest::ScopeId;
use flagforge_relay::Grants;

/// What the function grants. Told neither which role gives leave to read nor of a distribution: nothing, and SDKs read from here.
pub(crate) fn from_env() -> Result<Option<Arc<dyn Grants>>, SettingsError> {
    let settings = Settings::from_env(&[Variable::Bucket])?;
    let connection = Connection::new(&settings);
    let bucket = BucketGrants::new(&connection, &settings).ok();
    let distribution = DistributionGrants::new(&connection, &settings);
    let any = bucket.is_some() || distribution.is_some();
    Ok(any.then(|| Arc::new(AwsGrants { bucket, distribution }) as Arc<dyn Grants>))
}

#[derive(Debug)]
struct AwsGrants {
    bucket: Option<BucketGrants>,
    distribution: Option<DistributionGrants>,
}

#[async_trait]
impl Grants for AwsGrants {
    async fn grant(
        &self,
        scope: &ScopeId,
        kind: GrantKind,
    ) -> Result<Option<Grant>, Box<dyn Error + Send + Sync>> {
        Ok(match (kind, &self.bucket, &self.distribution) {
            (GrantKind::S3, Some(bucket), _) => Some(credentials(bucket.grant(scope).await?)),
            (GrantKind::Cloudfront, _, Some(distribution)) => {
                Some(passes(distribution.grant(scope).await?))
            }
            _ => None,
        })
    }
}

fn credentials(granted: Granted) -> Grant {
    let Granted {
        bucket,
        region,
        endpoint,
        access_key_id,
        secret_access_key,
        session_token,
        expires,
    } = granted;
    let session_token = Some(session_token);
    let credentials = Credentials { access_key_id, secret_access_key, session_token };
    Grant { leave: Leave::Bucket { bucket, region, endpoint, credentials }, expires }
}

fn passes(GrantedPasses { address, passes, expires }: GrantedPasses) -> Grant {
    let pass = |SignedPass { names, query }| Pass { names, query };
    let passes = passes.into_iter().map(pass).collect();
    Grant { leave: Leave::Distribution { address, passes }, expires }
}
