//! The data plane over HTTP: what `serve` and the relay offer.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_flags::access_key::AccessKey;
use flagforge_flags::manifest::{MAX_ROOT_BYTES, MAX_TRUST_BYTES, Named, Scope, ScopeId};
use flagforge_flags::propagation::Reports;
use futures_util::stream;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, IF_NONE_MATCH};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tracing::debug;

use super::grant::{Grant, GrantKind};
use super::long_poll::{LongPoll, root_path};
use super::pushed::{Push, Pushed};
use super::sse::Events;
use super::{
    Announcements, Fetched, MAX_PUSHED_BYTES, Origin, OriginError, SetupError, usize_of, web,
};
use crate::loader::chain;

const EVENT_STREAM: &str = "text/event-stream";
/// A stream silent for so long is dead: the relay sends a heartbeat every 15 seconds, three may get lost.
const SILENCE: Duration = Duration::from_secs(50);
/// A stream begins with the current root at once. One that has not by now is held back on its way.
const FIRST_EVENT_WITHIN: Duration = Duration::from_secs(3);

/// Bytes of a grant: session tokens have some 2 KB, six passes some 4 KB.
const MAX_GRANT_BYTES: usize = 16 * 1024;

/// An origin over HTTP. It speaks `https` where the host's build enables one of reqwest's TLS features.
#[derive(Debug, Clone)]
pub struct HttpOrigin {
    client: Client,
    base: String,
    authorization: HeaderValue,
    pushed: Pushed,
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
        web::address(base)?;
        let bearer = format!("Bearer {}", key.expose());
        let mut authorization =
            HeaderValue::from_str(&bearer).map_err(|_| SetupError::Address(base.to_owned()))?;
        authorization.set_sensitive(true);
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { client, base, authorization, pushed: Pushed::default() })
    }

    /// Opens the stream of events, and waits for its first.
    async fn events(&self, scope: &ScopeId) -> Result<EventStream, OriginError> {
        let path = match scope.scope {
            // They hear of the environment's roots, and have others.
            Scope::Relay | Scope::Canary => "stream".to_owned(),
            Scope::Environment => format!("stream?push={MAX_PUSHED_BYTES}"),
            Scope::Tenant(_) => format!("tenant/stream?push={MAX_PUSHED_BYTES}"),
        };
        let request = self.get(scope, &path).header(ACCEPT, EVENT_STREAM);
        let response = request.send().await.map_err(|error| web::unreachable("stream", error))?;
        let media = response.headers().get(CONTENT_TYPE).and_then(|media| media.to_str().ok());
        let is_stream = media.is_some_and(|media| media.trim_start().starts_with(EVENT_STREAM));
        match response.status() {
            StatusCode::OK if is_stream => {}
            StatusCode::OK => return Err(no_stream("the answer is of another media type")),
            status => return Err(web::refused(status, "stream")),
        }
        let (scope, pushed) = (scope.clone(), self.pushed.clone());
        let mut stream = EventStream { response, events: Events::default(), scope, pushed };
        match stream.next().await? {
            Heard::Root => Ok(stream),
            Heard::End | Heard::Nothing => Err(no_stream("it ended before it began")),
        }
    }

    /// Exchanges the key; `None` where nothing is granted. The relay is asked each time.
    pub(super) async fn grant(
        &self,
        scope: &ScopeId,
        kind: GrantKind,
    ) -> Result<Option<Grant>, OriginError> {
        let path = "grant";
        let url = self.url(scope, &format!("{path}?kind={}", kind.as_str()));
        let request = self.asked(scope, self.client.post(url));
        let sent = request.timeout(web::ANSWER_TIMEOUT).send().await;
        let response = sent.map_err(|error| web::unreachable(path, error))?;
        match response.status() {
            StatusCode::OK => {
                let bytes = web::body(response, path, MAX_GRANT_BYTES).await?;
                let grant = serde_json::from_slice(&bytes);
                grant.map(Some).map_err(|error| web::unreachable(path, error))
            }
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                Ok(None)
            }
            status => Err(web::refused(status, path)),
        }
    }

    pub(super) fn get(&self, scope: &ScopeId, rest: &str) -> RequestBuilder {
        self.asked(scope, self.client.get(self.url(scope, rest)))
    }

    fn url(&self, ScopeId { org, env, .. }: &ScopeId, rest: &str) -> String {
        format!("{}/data/v1/{org}/{env}/{rest}", self.base)
    }

    fn asked(&self, scope: &ScopeId, request: RequestBuilder) -> RequestBuilder {
        let request = request.header(AUTHORIZATION, self.authorization.clone());
        match &scope.scope {
            Scope::Environment | Scope::Relay | Scope::Canary => request,
            Scope::Tenant(tenant) => request.header(web::TENANT, tenant.as_str().as_bytes()),
        }
    }

    /// What came along with an announcement, in place of what would be asked for.
    pub(super) fn pushed_root(&self, scope: &ScopeId, held: Option<&str>) -> Option<Fetched> {
        let (bytes, etag) = self.pushed.root(scope, held)?;
        Some(Fetched::Pushed { bytes, etag })
    }

    pub(super) fn pushed_chunk(&self, scope: &ScopeId, named: &Named) -> Option<Bytes> {
        self.pushed.chunk(scope, &named.sha256)
    }

    /// Posts reports; `false` where the address is none, or takes none.
    pub(crate) async fn tell(&self, path: &str, reports: &Reports) -> Result<bool, OriginError> {
        const WHAT: &str = "a report";
        let body = serde_json::to_vec(reports).map_err(|error| web::unreachable(WHAT, error))?;
        let request = self
            .client
            .post(format!("{}/{path}", self.base))
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .timeout(web::ANSWER_TIMEOUT)
            .body(body);
        let sent = request.send().await.map_err(|error| web::unreachable(WHAT, error))?;
        match sent.status() {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(false),
            status => Err(web::refused(status, WHAT)),
        }
    }
}

fn no_stream(why: &'static str) -> OriginError {
    OriginError::Unreachable { what: "stream".to_owned(), source: why.into() }
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
        if let Some(pushed) = self.pushed_root(scope, held) {
            return Ok(pushed);
        }
        let path = root_path(scope);
        let mut request = self.get(scope, path);
        if let Some(etag) = held {
            request = request.header(IF_NONE_MATCH, etag);
        }
        web::root(request, path, MAX_ROOT_BYTES).await
    }

    async fn chunk(&self, scope: &ScopeId, named: Named) -> Result<Option<Bytes>, OriginError> {
        if let Some(pushed) = self.pushed_chunk(scope, &named) {
            return Ok(Some(pushed));
        }
        let path = format!("chunks/{}", named.sha256);
        web::whole(self.get(scope, &path), &path, usize_of(named.bytes)).await
    }

    /// Server-sent events; where they cannot be had, or do not come, long polls.
    async fn watch(&self, scope: &ScopeId) -> Result<Option<Announcements>, OriginError> {
        let opened = tokio::time::timeout(FIRST_EVENT_WITHIN, self.events(scope)).await;
        match opened.unwrap_or_else(|late| Err(web::unreachable("stream", late))) {
            Ok(events) => Ok(Some(announcements(self.clone(), scope.clone(), events))),
            // What is wrong with the key, or with how often it asks, is wrong with the other address too.
            Err(error @ OriginError::Refused { status: 401 | 403 | 429, .. }) => Err(error),
            Err(error) => {
                debug!(%scope, error = chain(&error), "no stream of events, so long polls");
                Ok(LongPoll::begin(self, scope).await?.map(LongPoll::announcements))
            }
        }
    }

    async fn report(&self, scope: &ScopeId, reports: &Reports) -> Result<bool, OriginError> {
        let ScopeId { org, env, .. } = scope;
        self.tell(&format!("data/v1/{org}/{env}/propagation"), reports).await
    }
}

/// What announcements are made of.
enum Listening {
    /// Events, of which one has come.
    First(EventStream),
    Events(EventStream),
    Polls(LongPoll),
    Nothing,
}

/// A ring for each event, until the stream ends or fails. Where it falls silent, something on the way may hold it back:
/// then long polls go on for a while.
fn announcements(origin: HttpOrigin, scope: ScopeId, events: EventStream) -> Announcements {
    let start = (Listening::First(events), origin, scope);
    Box::pin(stream::unfold(start, |(listening, origin, scope)| async move {
        let (rung, listening) = match listening {
            Listening::First(events) => (Ok(()), Listening::Events(events)),
            Listening::Events(mut events) => match events.next().await {
                Ok(Heard::Root) => (Ok(()), Listening::Events(events)),
                Ok(Heard::End) => return None,
                Ok(Heard::Nothing) => match LongPoll::begin(&origin, &scope).await.transpose()? {
                    Ok(polls) => (Ok(()), Listening::Polls(polls)),
                    Err(error) => (Err(error), Listening::Nothing),
                },
                Err(error) => (Err(error), Listening::Nothing),
            },
            Listening::Polls(mut polls) => match polls.next().await? {
                Ok(()) => (Ok(()), Listening::Polls(polls)),
                Err(error) => (Err(error), Listening::Nothing),
            },
            Listening::Nothing => return None,
        };
        Some((rung, (listening, origin, scope)))
    }))
}

/// A stream of server-sent events.
struct EventStream {
    response: Response,
    events: Events,
    scope: ScopeId,
    pushed: Pushed,
}

/// What a stream says next.
enum Heard {
    /// There is a root.
    Root,
    /// The stream is over.
    End,
    /// Nothing for as long as a stream may be silent.
    Nothing,
}

impl EventStream {
    async fn next(&mut self) -> Result<Heard, OriginError> {
        loop {
            while let Some(event) = self.events.next() {
                // Other kinds of events, and data of a newer form, are none of ours.
                if event.name == "root"
                    && let Ok(push) = serde_json::from_str::<Push>(&event.data)
                {
                    self.pushed.keep(&self.scope, push);
                    return Ok(Heard::Root);
                }
            }
            let Ok(read) = tokio::time::timeout(SILENCE, self.response.chunk()).await else {
                return Ok(Heard::Nothing);
            };
            let piece = read.map_err(|error| web::unreachable("stream", error))?;
            let Some(piece) = piece else { return Ok(Heard::End) };
            self.events.push(&piece).map_err(|error| web::unreachable("stream", error))?;
        }
    }
}
