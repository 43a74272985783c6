//! The way to AWS: two addresses of SNS, and nothing else.

use std::fmt::{self, Debug};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, Response, StatusCode, Url, redirect};

/// What an answer may take. SNS waits 15 s for ours.
const WITHIN: Duration = Duration::from_secs(5);
/// Bytes of an answer: a certificate in PEM has 2,000, with two others that certify it 6,000.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// Why AWS did not answer as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebError(pub String);

impl fmt::Display for WebError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WebError {}

/// What reaches AWS. Addresses were found to be a believed topic's before they get here.
#[async_trait]
pub trait Web: Send + Sync + Debug {
    /// Reads a certificate, in PEM.
    async fn certificate(&self, address: &Url) -> Result<Vec<u8>, WebError>;

    /// Calls an address that confirms a subscription.
    async fn confirm(&self, address: &Url) -> Result<(), WebError>;
}

/// Over HTTPS, as in production: within 5 s, 16 KiB at most, and not where a redirection leads.
#[derive(Debug, Clone)]
pub struct OverHttps(Client);

impl OverHttps {
    /// A client of its own.
    pub fn new() -> Result<Self, WebError> {
        let client = Client::builder()
            .https_only(true)
            .redirect(redirect::Policy::none())
            .timeout(WITHIN)
            .pool_max_idle_per_host(0)
            .build();
        client.map(Self).map_err(|error| WebError(error.to_string()))
    }

    async fn get(&self, address: &Url) -> Result<Vec<u8>, WebError> {
        let fault = |error: reqwest::Error| WebError(error.without_url().to_string());
        let mut response: Response = self.0.get(address.clone()).send().await.map_err(fault)?;
        if response.status() != StatusCode::OK {
            return Err(WebError(format!("SNS answered {}", response.status().as_u16())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(fault)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER_BYTES {
                return Err(WebError(format!("SNS answered over {MAX_ANSWER_BYTES} bytes")));
            }
        }
        Ok(body)
    }
}

#[async_trait]
impl Web for OverHttps {
    async fn certificate(&self, address: &Url) -> Result<Vec<u8>, WebError> {
        self.get(address).await
    }

    async fn confirm(&self, address: &Url) -> Result<(), WebError> {
        self.get(address).await.map(drop)
    }
}
