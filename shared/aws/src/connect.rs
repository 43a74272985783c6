//! One connection to AWS for all four clients: one TLS stack, one pool, bounded waits.

use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, SharedCredentialsProvider, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_types::SdkConfig;

use crate::settings::{Access, Settings};

/// Connecting within a region takes milliseconds; a handshake that takes this long will not finish.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// One try of one call. The largest takes 16 MiB to S3.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(8);
/// One call with its retries. The API's function gives up after 25 seconds.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);
const ATTEMPTS: u32 = 3;

/// What clients are made of. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Connection {
    sdk: SdkConfig,
    /// An emulator answers for all buckets under one name.
    path_style: bool,
}

impl Connection {
    /// A connection with the settings' region, credentials and endpoint. Nothing is sent yet.
    pub fn new(settings: &Settings) -> Self {
        let Access { region, access_key_id, secret_access_key, session_token, endpoint } =
            settings.access.clone();
        // They expire later than the process that was started with them.
        let credentials =
            Credentials::new(access_key_id, secret_access_key, session_token, None, "environment");
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let path_style = endpoint.is_some();
        let mut sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(timeouts)
            // The attempt's timeout bounds a stalled body too.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(endpoint) = endpoint {
            sdk = sdk.endpoint_url(endpoint);
        }
        Self { sdk: sdk.build(), path_style }
    }

    /// The configuration, for clients of other services.
    pub fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    pub(crate) fn region(&self) -> String {
        self.sdk.region().map(ToString::to_string).unwrap_or_default()
    }

    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.sdk).force_path_style(self.path_style);
        aws_sdk_s3::Client::from_conf(config.build())
    }
}
