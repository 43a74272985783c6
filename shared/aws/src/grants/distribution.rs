//! Passes for a distribution of CloudFront in front of the bucket: for each name that a scope reads, a policy that is signed by
//! a key in KMS. No private key is anywhere else.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_kms::config::timeout::TimeoutConfig;
use flagforge_flags::manifest::ScopeId;
use flagforge_flags::time::Timestamp;
use futures_util::future::try_join_all;

use super::pass::pass_query;
use super::policy::{pass_policy, readable};
use super::{ATTEMPT_TIMEOUT, GRANT_SECONDS, NotGranted, OPERATION_TIMEOUT};
use crate::Connection;
use crate::settings::{Distribution, Settings};
use crate::signer::der_signature;

/// A pass for some names: one, or all that begin with what is before a `*` at the end.
#[derive(Debug)]
pub struct SignedPass {
    /// The names.
    pub names: String,
    /// What a request for one of them has in its query.
    pub query: String,
}

/// Passes that read one scope.
#[derive(Debug)]
pub struct GrantedPasses {
    /// The distribution's address.
    pub address: String,
    /// One for each of the scope's names.
    pub passes: Vec<SignedPass>,
    /// Until when.
    pub expires: Timestamp,
}

/// Gives passes.
#[derive(Debug)]
pub struct DistributionGrants {
    kms: aws_sdk_kms::Client,
    distribution: Distribution,
}

impl DistributionGrants {
    /// With the settings' distribution, where there is one.
    pub fn new(connection: &Connection, settings: &Settings) -> Option<Self> {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let config = aws_sdk_kms::config::Builder::from(connection.sdk()).timeout_config(timeouts);
        let kms = aws_sdk_kms::Client::from_conf(config.build());
        settings.distribution.clone().map(|distribution| Self { kms, distribution })
    }

    /// New passes of a scope.
    pub async fn grant(&self, scope: &ScopeId) -> Result<GrantedPasses, NotGranted> {
        let failed = |why: String| NotGranted { scope: scope.clone(), why };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let lifetime = Duration::from_secs(GRANT_SECONDS.unsigned_abs().into());
        let expires = Timestamp::from_seconds(now).plus(lifetime);
        let Distribution { address, key, key_pair } = &self.distribution;
        let signed = readable(scope).into_iter().map(|names| async move {
            let policy = pass_policy(address, &names, expires);
            let signature = der_signature(&self.kms, key, policy.as_bytes()).await?;
            Ok(SignedPass { names, query: pass_query(&policy, signature.as_ref(), key_pair) })
        });
        let passes: Result<Vec<SignedPass>, flagforge_platform::ports::SignerError> =
            try_join_all(signed).await;
        let passes = passes.map_err(|error| failed(crate::chain(&error)))?;
        Ok(GrantedPasses { address: address.clone(), passes, expires })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_cloudfronts_letters_and_names_its_hash() {
        // In base64: `+//+AA==`.
        let query = pass_query("{}", &[0xfb, 0xff, 0xfe, 0], "K1");
        let expected = "Policy=e30_&Signature=-~~-AA__&Key-Pair-Id=K1&Hash-Algorithm=SHA256";
        assert_eq!(query, expected);
    }
}
