//! Calls to addresses that customers name, over HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::{Client, Url, redirect};

use crate::ports::{Ask, Fetch, Got, Outbound, OutboundError};
use crate::webhooks::is_public;

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

fn failed(error: reqwest::Error) -> OutboundError {
    // Its causes say what happened, its own words only that something did.
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    OutboundError::Failed(cause.to_string())
}

impl HttpOutbound {
    /// A client for one call: it knows only the addresses that were checked for it.
    async fn client(&self, url: &str, within: Duration) -> Result<(Client, Url), OutboundError> {
        let url = Url::parse(url).map_err(|error| OutboundError::Refused(error.to_string()))?;
        let (host, addresses) = tokio::time::timeout(within, self.resolve(&url))
            .await
            .map_err(|_| OutboundError::Failed("its name was not found in time".to_owned()))??;
        let client = Client::builder()
            .resolve_to_addrs(&host, &addresses)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(within)
            .build()
            .map_err(failed)?;
        Ok((client, url))
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
        let (client, url) = self.client(url, WITHIN).await?;
        let mut request = client.post(url).body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        Ok(request.send().await.map_err(failed)?.status().as_u16())
    }
}

#[async_trait]
impl Fetch for HttpOutbound {
    async fn get(&self, ask: &Ask<'_>) -> Result<Got, OutboundError> {
        let (client, url) = self.client(ask.url, ask.within).await?;
        let mut request = client.get(url);
        if let Some(bearer) = ask.bearer {
            request = request.bearer_auth(bearer);
        }
        let mut response = request.send().await.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > ask.max_bytes {
                let long = format!("it is longer than {} bytes", ask.max_bytes);
                return Err(OutboundError::Failed(long));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Got { status: response.status().as_u16(), body: body.into() })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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

    /// Answers every call with this, and says where.
    async fn answering(answer: String) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut asked = [0; 1_024];
                    let _ = stream.read(&mut asked).await;
                    let _ = stream.write_all(answer.as_bytes()).await;
                    tokio::time::sleep(WITHIN).await;
                });
            }
        });
        format!("http://{address}/")
    }

    async fn got(url: &str, max_bytes: usize) -> Result<Got, OutboundError> {
        let ask = Ask { url, bearer: Some("b"), within: WITHIN / 5, max_bytes };
        HttpOutbound::with_loopback().get(&ask).await
    }

    #[tokio::test]
    async fn an_answer_is_read_to_its_limit_in_its_time_and_not_followed() {
        let url = answering("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_owned()).await;
        assert_eq!(got(&url, 5).await.unwrap().body, "hello");
        assert!(got(&url, 4).await.unwrap_err().to_string().contains("longer than 4 bytes"));
        let away = "HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(got(&answering(away.to_owned()).await, 5).await.unwrap().status, 302);
        let never = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell".to_owned();
        assert!(got(&answering(never).await, 5).await.is_err());
        let ask = Ask { url: &url, bearer: None, within: WITHIN, max_bytes: 5 };
        let refused = HttpOutbound::public_only().get(&ask).await.unwrap_err().to_string();
        assert!(refused.contains("private network"), "{refused}");
    }
}
