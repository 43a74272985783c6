//! A WebSocket as doorbell: whoever holds it says when the scope has a new root (RFC 6455). The connection is the HTTP client's,
//! upgraded, so that TLS, its certificates and a proxy are as for the origins; a library does the frames.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flagforge_flags::access_key::AccessKey;
use flagforge_flags::manifest::{Scope, ScopeId};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::header::{AUTHORIZATION, CONNECTION, HeaderName, HeaderValue, UPGRADE};
use reqwest::{Client, StatusCode, Upgraded, Url};
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tracing::debug;

use super::{Announcement, OriginError, SetupError, web};
use crate::follow::{Pace, spread};
use crate::loader::chain;

/// The times of a connection.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// To connect and be let in.
    open_within: Duration,
    /// Its age at which another one is made; up to a fifth sooner, by chance.
    renew_after: Duration,
    /// How often something is said on it; up to a fifth oftener, by chance.
    say_every: Duration,
    /// How long what is said may go unanswered.
    answer_within: Duration,
    /// Lasted so long, it was a good one: the wait for the next begins from the shortest.
    settled_after: Duration,
    /// The longest wait before another one while none can be had.
    max_retry: Duration,
}

/// As API Gateway wants it: it gives whoever lets in 29 seconds, ends a connection after two hours (renewed after 88 to 110
/// minutes) and one on which nobody has said anything for ten minutes (half of that, so that one which died unnoticed is found
/// soon, too). An answer may wait for a function to start.
const TIMES: Times = Times {
    open_within: Duration::from_secs(30),
    renew_after: Duration::from_secs(110 * 60),
    say_every: Duration::from_secs(5 * 60),
    answer_within: Duration::from_secs(15),
    settled_after: Duration::from_secs(60),
    max_retry: Duration::from_secs(60),
};
/// Bytes of one message. An announcement has about eighty, with a tenant's longest key four hundred.
const MAX_MESSAGE_BYTES: usize = 8 * 1024;

const ENVIRONMENT: &str = "FlagForge-Environment";
const PING: &str = r#"{"action":"ping"}"#;
const WHAT: &str = "WebSocket";

/// Somebody who says over WebSocket that there is a new root, as `functions/connect` does; hand it to
/// [`Connect::pushed_by`](crate::Connect::pushed_by). Each client has a connection of its own, for its own scope; a clone counts
/// with the first.
#[derive(Clone)]
pub struct PushSocket {
    client: Client,
    url: Url,
    authorization: HeaderValue,
    times: Times,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    opened: AtomicU64,
    rung: AtomicU64,
    malformed: AtomicU64,
    failures: AtomicU64,
}

impl fmt::Debug for PushSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PushSocket({})", self.url)
    }
}

/// What was heard so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PushesSeen {
    /// Connections that came to be. Each rings once at its beginning, for what was missed.
    pub opened: u64,
    /// Announcements of a new root.
    pub rung: u64,
    /// Messages that are neither that nor an answer.
    pub malformed: u64,
    /// Connections that were refused, or ended before their time.
    pub failures: u64,
}

/// What may be heard. No more of it is believed than that it is worth a look.
#[derive(Deserialize)]
#[serde(untagged)]
enum Heard {
    Root(#[expect(dead_code, reason = "that it is one is all that counts")] Announcement),
    Answer { action: Answer },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    Pong,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("it was not opened")]
    NotOpened(#[from] OriginError),
    #[error("the other side ended it")]
    Closed,
    #[error("what was said was not answered")]
    Silent,
    #[error("it broke")]
    Broken(#[from] tungstenite::Error),
}

type Stream = WebSocketStream<Upgraded>;

impl PushSocket {
    /// Somebody at `wss://host[:port]/<stage>`, and the key that says who listens. `wss` needs one of reqwest's TLS features,
    /// which the host enables.
    pub fn new(url: &str, key: &AccessKey) -> Result<Self, SetupError> {
        let address = || SetupError::Address(url.to_owned());
        let http = match url.split_once("://") {
            Some(("wss", rest)) => format!("https://{rest}"),
            Some(("ws", rest)) => format!("http://{rest}"),
            _ => return Err(address()),
        };
        let plain =
            |url: &Url| url.has_host() && url.username().is_empty() && url.query().is_none();
        let url = Url::parse(&http).ok().filter(plain).ok_or_else(address)?;
        let bearer = format!("Bearer {}", key.expose());
        let mut authorization = HeaderValue::from_str(&bearer).map_err(|_| address())?;
        authorization.set_sensitive(true);
        // A connection is upgraded in HTTP/1.1 only, whatever else the other side speaks.
        let client = web::building().http1_only().build();
        let client = client.map_err(|error| SetupError::Client(Box::new(error)))?;
        Ok(Self { client, url, authorization, times: TIMES, counts: Arc::default() })
    }

    /// What was heard so far.
    pub fn seen(&self) -> PushesSeen {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { opened, rung, malformed, failures } = &*self.counts;
        let (opened, rung) = (of(opened), of(rung));
        PushesSeen { opened, rung, malformed: of(malformed), failures: of(failures) }
    }

    /// Calls `ring` for every announcement of the scope, and whenever a connection begins, for ever.
    pub(crate) async fn listen(&self, scope: &ScopeId, ring: impl Fn() + Send + Sync) {
        let mut pace = Pace::new(self.times.max_retry);
        loop {
            let began = Instant::now();
            let Err(ended) = self.connection(scope, &ring).await else { continue };
            self.counts.failures.fetch_add(1, Ordering::Relaxed);
            debug!(url = %self.url, error = chain(&ended), "no announcements");
            if began.elapsed() >= self.times.settled_after {
                pace = Pace::new(self.times.max_retry);
            }
            sleep(pace.after_failure()).await;
        }
    }

    /// One connection, until it is time for another.
    async fn connection(&self, scope: &ScopeId, ring: &(impl Fn() + Sync)) -> Result<(), Ended> {
        let opened = timeout(self.times.open_within, self.open(scope)).await;
        let mut stream = opened.map_err(|late| web::unreachable(WHAT, late))??;
        self.counts.opened.fetch_add(1, Ordering::Relaxed);
        ring();
        let renew = Instant::now() + spread(self.times.renew_after);
        let mut say = Instant::now() + spread(self.times.say_every);
        let mut answer_by = None;
        loop {
            tokio::select! {
                message = stream.next() => match message.ok_or(Ended::Closed)?? {
                    Message::Text(text) => match serde_json::from_str(text.as_str()) {
                        Ok(Heard::Root(_)) => {
                            self.counts.rung.fetch_add(1, Ordering::Relaxed);
                            ring();
                        }
                        Ok(Heard::Answer { action: Answer::Pong }) => answer_by = None,
                        Err(_) => self.malformed(),
                    },
                    Message::Close(_) => return Err(Ended::Closed),
                    Message::Ping(_) | Message::Pong(_) => {}
                    Message::Binary(_) | Message::Frame(_) => self.malformed(),
                },
                () = sleep_until(answer_by.unwrap_or(renew)), if answer_by.is_some() => {
                    return Err(Ended::Silent);
                }
                () = sleep_until(say) => {
                    let by = Instant::now() + self.times.answer_within;
                    let sent = timeout(self.times.answer_within, stream.send(Message::text(PING))).await;
                    sent.map_err(|_| Ended::Silent)??;
                    answer_by = answer_by.or(Some(by));
                    say = Instant::now() + spread(self.times.say_every);
                }
                () = sleep_until(renew) => {
                    // Whoever does not take the farewell notices the end all the same.
                    let _ = timeout(self.times.answer_within, stream.close(None)).await;
                    return Ok(());
                }
            }
        }
    }

    fn malformed(&self) {
        self.counts.malformed.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks for a connection, and checks that it is one (RFC 6455 §4.1).
    async fn open(&self, scope: &ScopeId) -> Result<Stream, OriginError> {
        let key = generate_key();
        let mut request = self
            .client
            .get(self.url.clone())
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", &key)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ENVIRONMENT, scope.env.as_str());
        if let Scope::Tenant(tenant) = &scope.scope {
            request = request.header(web::TENANT, tenant.as_str().as_bytes());
        }
        let unreachable = |error: reqwest::Error| web::unreachable(WHAT, error.without_url());
        let response = request.send().await.map_err(unreachable)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(web::refused(response.status(), WHAT));
        }
        let accepted = response.headers().get(HeaderName::from_static("sec-websocket-accept"));
        if accepted.is_none_or(|accepted| *accepted != derive_accept_key(key.as_bytes())) {
            let source: Box<dyn Error + Send + Sync> = "the answer is to another request".into();
            return Err(OriginError::Unreachable { what: WHAT.to_owned(), source });
        }
        let upgraded = response.upgrade().await.map_err(unreachable)?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES))
            .read_buffer_size(MAX_MESSAGE_BYTES)
            .write_buffer_size(0);
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await)
    }
}

#[cfg(test)]
mod tests;
