//! The data plane over HTTP: what `serve` and the relay offer.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_flags::access_key::AccessKey;
use flagforge_flags::manifest::{MAX_ROOT_BYTES, MAX_TRUST_BYTES, Named, Scope, ScopeId};
use futures_util::stream;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, IF_NONE_MATCH};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};

use super::sse::Events;
use super::{Announcement, Announcements, Fetched, Origin, OriginError, SetupError, usize_of, web};

/// A stream silent for so long is dead: the relay sends a heartbeat every 15 seconds, three may get lost.
const SILENCE: Duration = Duration::from_secs(50);

/// An origin over HTTP. It speaks `https` where the host's build enables one of reqwest's TLS features.
#[derive(Debug, Clone)]
pub struct HttpOrigin {
    client: Client,
    base: String,
    authorization: HeaderValue,
}

impl HttpOrigin {
    /// An origin at `http(s)://host[:port]`, with a client of its own.
    pub fn new(base: &str, key: &AccessKey) -> Result<Self, SetupError> {
        Self::with_client(web::client()?, base, key)
    }

    /// The same with the host's own client, say one with a proxy or a private certificate
    /// authority. Let it follow no redirects, which would carry the key elsewhere, and inflate nothing: a body is
    /// read as it was signed.
    pub fn with_client(client: Client, base: &str, key: &AccessKey) -> Result<Self, SetupError> {
        let address = || SetupError::Address(base.to_owned());
        let url = Url::parse(base).map_err(|_| address())?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.path() == "/"
            && url.query().is_none()
            && url.username().is_empty();
        if !plain {
            return Err(address());
        }
        let bearer = format!("Bearer {}", key.expose());
        let mut authorization = HeaderValue::from_str(&bearer).map_err(|_| address())?;
        authorization.set_sensitive(true);
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { client, base, authorization })
    }

    fn get(&self, scope: &ScopeId, rest: &str) -> RequestBuilder {
        let ScopeId { org, env, .. } = scope;
        self.client
            .get(format!("{}/data/v1/{org}/{env}/{rest}", self.base))
            .header(AUTHORIZATION, self.authorization.clone())
    }
}

#[async_trait]
impl Origin for HttpOrigin {
    async fn trust(
        &self,
        scope: &ScopeId,
        number: Option<u64>,
    ) -> Result<Option<Bytes>, OriginError> {
        let path = number.map_or_else(|| "trust".to_owned(), |number| format!("trust/{number}"));
        web::whole(self.get(scope, &path), &path, MAX_TRUST_BYTES).await
    }

    async fn root(&self, scope: &ScopeId, held: Option<&str>) -> Result<Fetched, OriginError> {
        let path = match scope.scope {
            Scope::Environment => "environment",
            Scope::Relay => "relay",
            // No address yet serves the manifests of single tenants.
            Scope::Tenant(_) => return Ok(Fetched::Absent),
        };
        let mut request = self.get(scope, path);
        if let Some(etag) = held {
            request = request.header(IF_NONE_MATCH, etag);
        }
        web::root(request, path, MAX_ROOT_BYTES).await
    }

    async fn chunk(&self, scope: &ScopeId, named: Named) -> Result<Option<Bytes>, OriginError> {
        let path = format!("chunks/{}", named.sha256);
        web::whole(self.get(scope, &path), &path, usize_of(named.bytes)).await
    }

    async fn watch(&self, scope: &ScopeId) -> Result<Option<Announcements>, OriginError> {
        let request = self.get(scope, "stream").header(ACCEPT, "text/event-stream");
        let sent = tokio::time::timeout(web::ANSWER_TIMEOUT, request.send()).await;
        let response = sent
            .map_err(|late| web::unreachable("stream", late))?
            .map_err(|error| web::unreachable("stream", error))?;
        match response.status() {
            StatusCode::OK => Ok(Some(announcements(response))),
            // A data plane without streams, such as a function: polling finds new roots.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(None),
            status => Err(web::refused(status, "stream")),
        }
    }
}

/// The announcements in a stream of server-sent events, until it ends, fails or falls silent.
fn announcements(response: Response) -> Announcements {
    let start = Some((response, Events::default()));
    Box::pin(stream::unfold(start, |state| async move {
        let (mut response, mut events) = state?;
        match next(&mut response, &mut events).await {
            Ok(Some(announcement)) => Some((Ok(announcement), Some((response, events)))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    }))
}

async fn next(
    response: &mut Response,
    events: &mut Events,
) -> Result<Option<Announcement>, OriginError> {
    loop {
        while let Some(event) = events.next() {
            // Other kinds of events, and data of a newer form, are none of ours.
            if event.name == "root"
                && let Ok(announcement) = serde_json::from_str(&event.data)
            {
                return Ok(Some(announcement));
            }
        }
        let piece = tokio::time::timeout(SILENCE, response.chunk())
            .await
            .map_err(|silent| web::unreachable("stream", silent))?
            .map_err(|error| web::unreachable("stream", error))?;
        let Some(piece) = piece else { return Ok(None) };
        events.push(&piece).map_err(|error| web::unreachable("stream", error))?;
    }
}
