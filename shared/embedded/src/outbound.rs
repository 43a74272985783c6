//! Calls to addresses that customers name, from this machine.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_platform::ports::{Outbound, OutboundError};
use flagforge_platform::webhooks::is_public;
use reqwest::{Client, Url, redirect};

/// How long an endpoint may take altogether: enough for a cold start, and a slow one holds back only itself and those
/// told after it.
const WITHIN: Duration = Duration::from_secs(10);

/// An HTTP client that calls public addresses, and this machine's own where that is allowed: on one machine with
/// one owner, who runs the endpoint too.
#[derive(Debug, Clone, Copy)]
pub struct HttpOutbound {
    loopback_allowed: bool,
}

impl HttpOutbound {
    /// For an installation on one machine: this machine's own addresses are called too.
    pub fn with_loopback() -> Self {
        Self { loopback_allowed: true }
    }

    /// Public addresses only.
    pub fn public_only() -> Self {
        Self { loopback_allowed: false }
    }

    /// Resolves a name, once: what is checked is what is called.
    async fn resolve(&self, url: &Url) -> Result<(String, Vec<SocketAddr>), OutboundError> {
        let refused = |why: &str| OutboundError::Refused(why.to_owned());
        let host = url.host_str().ok_or_else(|| refused("it has no host"))?;
        let port = url.port_or_known_default().ok_or_else(|| refused("it has no port"))?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((bare, port))
            .await
            .map_err(|error| OutboundError::Failed(format!("its name was not found: {error}")))?;
        let found: Vec<SocketAddr> = found.collect();
        for address in &found {
            let own = self.loopback_allowed && address.ip().is_loopback();
            if !own && !is_public(address.ip()) {
                return Err(refused("it leads into a private network"));
            }
            if url.scheme() != "https" && !own {
                return Err(refused("plain http is for this machine only"));
            }
        }
        if found.is_empty() {
            Err(refused("its name leads nowhere"))
        } else {
            Ok((bare.to_owned(), found))
        }
    }
}

#[async_trait]
impl Outbound for HttpOutbound {
    async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<u16, OutboundError> {
        let url = Url::parse(url).map_err(|error| OutboundError::Refused(error.to_string()))?;
        let failed = |error: reqwest::Error| OutboundError::Failed(error.without_url().to_string());
        let (host, addresses) = self.resolve(&url).await?;
        // A client for each call: it must know only the addresses that were checked for it.
        let client = Client::builder()
            .resolve_to_addrs(&host, &addresses)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(WITHIN)
            .build()
            .map_err(failed)?;
        let mut request = client.post(url).body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        Ok(request.send().await.map_err(failed)?.status().as_u16())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(outbound: HttpOutbound, url: &str) -> String {
        outbound.post(url, &[], Bytes::new()).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn private_addresses_are_not_called_by_name_or_number() {
        for url in
            ["http://127.0.0.1:9/", "https://localhost:9/", "https://[::1]:9/", "https://10.0.0.1/"]
        {
            let why = refusal(HttpOutbound::public_only(), url).await;
            assert!(why.contains("private network"), "{url}: {why}");
        }
        let own = HttpOutbound::with_loopback();
        for url in
            ["https://169.254.169.254/latest", "https://[::ffff:10.0.0.1]/", "https://0.0.0.0/"]
        {
            let why = refusal(own, url).await;
            assert!(why.contains("private network"), "{url}: {why}");
        }
        assert!(refusal(own, "http://1.1.1.1/").await.contains("plain http"));
        assert!(refusal(own, "http://127.0.0.1:9/").await.starts_with("no answer"));
    }
}
