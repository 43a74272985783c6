//! Requests: bounded in time and size, and none before the server wants one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use flagforge_flags::keys::EnvKey;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, RETRY_AFTER,
};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use tokio::time::Instant;

use crate::asking::Tenant;
use crate::failure::Failure;
use crate::remote::SetupError;
use crate::retry_after::retry_after;

/// Bytes of an answer: ten thousand flags of some hundred bytes each, twice.
pub const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of what is said of a refusal.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// Bytes of a tag that is worth holding.
const MAX_ETAG_BYTES: usize = 256;
/// The time to find the other side at all.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// The time for one whole answer. A relay may wait for two seconds until it has what an event told.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

const FLAGS: &str = "ofrep/v1/evaluate/flags";

#[derive(Debug)]
pub(crate) struct Http {
    client: Client,
    pub(crate) base: Url,
    bearer: HeaderValue,
    pub(crate) environment: Option<EnvKey>,
    pub(crate) answer_within: Duration,
    /// Before this it is not asked.
    again_at: Mutex<Option<Instant>>,
}

/// What a request for all flags was answered.
pub(crate) enum Bulk {
    Same,
    Other { body: Vec<u8>, etag: Option<String> },
}

/// What an event said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Refusal {
    error_code: String,
    error_details: String,
}

impl Http {
    pub(crate) fn new(base: Url, bearer: HeaderValue) -> Result<Self, SetupError> {
        // No redirects: one would carry the key elsewhere.
        let client = Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("flagforge-ofrep/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(SetupError::Client)?;
        let (answer_within, again_at) = (ANSWER_WITHIN, Mutex::new(None));
        Ok(Self { client, base, bearer, environment: None, answer_within, again_at })
    }

    pub(crate) fn edited(&self, edit: impl FnOnce(&mut Self)) -> Self {
        let mut edited = Self {
            client: self.client.clone(),
            base: self.base.clone(),
            bearer: self.bearer.clone(),
            environment: self.environment.clone(),
            answer_within: self.answer_within,
            again_at: Mutex::new(self.again_at()),
        };
        edit(&mut edited);
        edited
    }

    /// Asks for one flag. The key may be any text.
    pub(crate) async fn one(
        &self,
        tenant: &Tenant,
        key: &str,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, Failure> {
        // An address cannot say it: such a segment means the folder, or the one above, however it is encoded.
        if key == "." || key == ".." {
            return Err(not_found());
        }
        let url = self.at(&format!("{FLAGS}/{}", encoded(key)));
        let response = self.send(self.evaluation(url, tenant, body)).await?;
        whole(response, MAX_ANSWER_BYTES).await
    }

    /// Asks for all flags that the key may see.
    pub(crate) async fn all(
        &self,
        tenant: &Tenant,
        body: Vec<u8>,
        held: Option<&str>,
        told: Option<&Told>,
    ) -> Result<Bulk, Failure> {
        let mut url = self.at(FLAGS);
        if let Some(told) = told {
            let said =
                [("flagConfigEtag", &told.etag), ("flagConfigLastModified", &told.last_modified)];
            let said = said.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
            let mut query = url.query_pairs_mut();
            said.for_each(|(name, value)| {
                query.append_pair(name, value);
            });
        }
        let mut request = self.evaluation(url, tenant, body);
        if let Some(held) = held {
            request = request.header(IF_NONE_MATCH, held);
        }
        let response = self.send(request).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Bulk::Same);
        }
        let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
        let etag = etag.filter(|etag| etag.len() <= MAX_ETAG_BYTES).map(str::to_owned);
        Ok(Bulk::Other { body: whole(response, MAX_ANSWER_BYTES).await?, etag })
    }

    /// Opens a stream. Its address is all that lets the client in: no key goes along, wherever the stream is.
    pub(crate) async fn listen(&self, url: Url, last: Option<&str>) -> Result<Response, Failure> {
        let mut request = self.client.get(url).header(ACCEPT, "text/event-stream");
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        // The answer's head has to come in time; the rest goes on for as long as it is spoken.
        match tokio::time::timeout(self.answer_within, self.send(request)).await {
            Ok(response) => response,
            Err(_) => Err(Failure::Silent),
        }
    }

    /// How much longer the server wants to be left alone.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let left = self.again_at()?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    fn again_at(&self) -> Option<Instant> {
        *self.again_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let before = self.base.path().trim_end_matches('/');
        url.set_path(&format!("{before}/{path}"));
        url
    }

    fn evaluation(&self, url: Url, tenant: &Tenant, body: Vec<u8>) -> RequestBuilder {
        let request = self.client.post(url).timeout(self.answer_within);
        let request = request.header(AUTHORIZATION, self.bearer.clone());
        let request =
            request.header(CONTENT_TYPE, "application/json").header(ACCEPT, "application/json");
        let request = request.header("FlagForge-Tenant", tenant.key().as_str().as_bytes());
        let environment = self.environment.as_ref();
        match environment {
            Some(key) => request.header("FlagForge-Environment", key.as_str()),
            None => request,
        }
        .body(body)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        if let Some(left) = self.wait() {
            return Err(Failure::Wait(left));
        }
        let response = request.send().await?;
        match response.status() {
            StatusCode::OK | StatusCode::NOT_MODIFIED => Ok(response),
            StatusCode::UNAUTHORIZED => Err(Failure::Unauthenticated),
            StatusCode::FORBIDDEN => Err(Failure::Forbidden(refusal(response).await.error_details)),
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => {
                let status = response.status();
                let Refusal { error_code: code, error_details: details } = refusal(response).await;
                // What is no answer of OFREP's says nothing of a flag.
                if code.is_empty() {
                    Err(Failure::Status(status.as_u16()))
                } else {
                    Err(Failure::Refused { code, details })
                }
            }
            StatusCode::TOO_MANY_REQUESTS => Err(self.left_alone(&response)),
            StatusCode::SERVICE_UNAVAILABLE if response.headers().contains_key(RETRY_AFTER) => {
                Err(self.left_alone(&response))
            }
            status => Err(Failure::Status(status.as_u16())),
        }
    }

    fn left_alone(&self, response: &Response) -> Failure {
        let said = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wait = retry_after(said, jiff::Timestamp::now());
        let mut again_at = self.again_at.lock().unwrap_or_else(PoisonError::into_inner);
        // Of two answers that crossed, the one that wants more counts.
        *again_at = (*again_at).max(Some(Instant::now() + wait));
        Failure::Wait(wait)
    }
}

pub(crate) fn not_found() -> Failure {
    let details = "there is no such flag".to_owned();
    Failure::Refused { code: "FLAG_NOT_FOUND".to_owned(), details }
}

/// A segment of a path, of which nothing is left for anybody to read otherwise.
fn encoded(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// What a refusal says; nothing, where it cannot be read.
async fn refusal(response: Response) -> Refusal {
    let body = whole(response, MAX_REFUSAL_BYTES).await.unwrap_or_default();
    serde_json::from_slice(&body).unwrap_or_default()
}

/// The body, read piece by piece so that an endless one is left at the limit.
async fn whole(mut response: Response, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = response.chunk().await? {
        if bytes.len().saturating_add(piece.len()) > limit {
            return Err(Failure::TooLarge);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_key_is_left_to_be_read_otherwise() {
        assert_eq!(encoded("checkout.express-2_x~"), "checkout.express-2_x~");
        assert_eq!(encoded("a/b?c#d%2F\\ü\t&;=+"), "a%2Fb%3Fc%23d%252F%5C%C3%BC%09%26%3B%3D%2B");
    }

    #[test]
    fn an_address_may_have_a_path() {
        let at = |base: &str| {
            let bearer = HeaderValue::from_static("Bearer x");
            Http::new(Url::parse(base).unwrap(), bearer).unwrap().at(FLAGS).to_string()
        };
        for base in ["http://relay/behind", "http://relay/behind/"] {
            assert_eq!(at(base), "http://relay/behind/ofrep/v1/evaluate/flags");
        }
        assert_eq!(at("http://relay"), "http://relay/ofrep/v1/evaluate/flags");
    }
}
