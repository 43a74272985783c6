//! Leave to read one scope's objects: a session of a role that reads manifests, which STS narrows to that scope; or passes
//! for a distribution in front of the bucket.

mod distribution;
mod pass;
mod policy;

use std::time::Duration;

use aws_sdk_sts::config::timeout::TimeoutConfig;
use aws_sdk_sts::error::DisplayErrorContext;
use flagforge_flags::manifest::{Scope, ScopeId};
use flagforge_flags::time::Timestamp;
use thiserror::Error;

pub use distribution::{DistributionGrants, GrantedPasses, SignedPass};

use crate::Connection;
use crate::settings::{RoleArn, Settings, Variable};

/// An hour: the longest that STS gives to whoever is in a role already, as a function is; and so long is a pass good. A key
/// that is revoked reads the bucket no longer than that.
const GRANT_SECONDS: i32 = 3_600;
/// One try at STS or KMS, and all of them. SDKs wait five seconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(4);

/// Why there is no grant.
#[derive(Debug, Error)]
#[error("no grant for {scope}: {why}")]
pub struct NotGranted {
    scope: ScopeId,
    why: String,
}

/// Credentials that read one scope.
#[derive(Debug)]
pub struct Granted {
    /// The bucket.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// Another address than AWS's, where there is one.
    pub endpoint: Option<String>,
    /// The access key's id.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// The session's token.
    pub session_token: String,
    /// Until when.
    pub expires: Timestamp,
}

/// Gives leave to read.
#[derive(Debug)]
pub struct BucketGrants {
    sts: aws_sdk_sts::Client,
    role: RoleArn,
    bucket: String,
    region: String,
    endpoint: Option<String>,
}

impl BucketGrants {
    /// With the settings' role and bucket; an error names the variable that is not set.
    pub fn new(connection: &Connection, settings: &Settings) -> Result<Self, Variable> {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let config = aws_sdk_sts::config::Builder::from(connection.sdk()).timeout_config(timeouts);
        Ok(Self {
            sts: aws_sdk_sts::Client::from_conf(config.build()),
            role: settings.org_role.clone().ok_or(Variable::OrgRole)?,
            bucket: settings.bucket.clone().ok_or(Variable::Bucket)?,
            region: connection.region(),
            endpoint: settings.access.endpoint.clone(),
        })
    }

    /// New credentials of a scope.
    pub async fn grant(&self, scope: &ScopeId) -> Result<Granted, NotGranted> {
        let failed = |why: String| NotGranted { scope: scope.clone(), why };
        let asked = self.sts.assume_role().role_arn(self.role.as_str());
        let asked = asked.role_session_name(session_name(scope)).duration_seconds(GRANT_SECONDS);
        let asked =
            asked.policy(policy::reading_policy(&self.role.bucket_arn(&self.bucket), scope));
        let answer = asked.send().await;
        let answer = answer.map_err(|error| failed(DisplayErrorContext(error).to_string()))?;
        let given = answer.credentials.ok_or_else(|| failed("STS gave none".into()))?;
        Ok(Granted {
            bucket: self.bucket.clone(),
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            access_key_id: given.access_key_id,
            secret_access_key: given.secret_access_key,
            session_token: given.session_token,
            expires: Timestamp::from_seconds(given.expiration.secs()),
        })
    }
}

/// What the trail of calls shows: up to 64 letters, digits and a few signs. Which tenant is not said.
fn session_name(ScopeId { org, env, scope }: &ScopeId) -> String {
    let kind = match scope {
        Scope::Environment => "environment",
        Scope::Relay => "relay",
        Scope::Canary => "canary",
        Scope::Tenant(_) => "tenant",
    };
    let mut name = format!("{kind}-{org}-{env}");
    name.truncate(64);
    name
}
