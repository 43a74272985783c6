//! Long polls, where a stream of events cannot be had: a read of the root that the relay answers when there is another
//! one, or after a while (RFC 7240 §4.3).

use std::time::Duration;

use flagforge_flags::manifest::{MAX_ROOT_BYTES, Scope, ScopeId};
use futures_util::stream;
use reqwest::StatusCode;
use reqwest::header::IF_NONE_MATCH;
use tokio::time::{Instant, sleep};

use super::http::HttpOrigin;
use super::{Announcements, OriginError, web};

/// How long the relay is asked to hold an answer: what it allows, and less than proxies wait.
const WAIT: Duration = Duration::from_secs(25);
/// After so long the stream is tried again.
const STREAM_AGAIN_AFTER: Duration = Duration::from_secs(5 * 60);
/// The least time between two asks for the same root, should something on the way answer instead of the relay.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// The last part of a root's address.
pub(super) const fn root_path(scope: &ScopeId) -> &'static str {
    match scope.scope {
        Scope::Environment => "environment",
        Scope::Relay => "relay",
        Scope::Canary => "canary",
        Scope::Tenant(_) => "tenant",
    }
}

/// Long polls of one root, until it is time to try the stream again.
#[derive(Debug)]
pub(super) struct LongPoll {
    origin: HttpOrigin,
    scope: ScopeId,
    path: &'static str,
    etag: String,
    until: Instant,
}

/// What a long poll was answered.
struct Answered {
    /// Whether the relay says that it waits.
    waits: bool,
    /// The tag of another root than the one held.
    another: Option<String>,
}

impl LongPoll {
    /// Asks for the root once, without waiting. `None` where the data plane does not hold answers: a function, or an
    /// older relay.
    pub(super) async fn begin(
        origin: &HttpOrigin,
        scope: &ScopeId,
    ) -> Result<Option<Self>, OriginError> {
        let path = root_path(scope);
        let answered = ask(origin, scope, path, None, Duration::ZERO).await?;
        let (origin, scope) = (origin.clone(), scope.clone());
        let until = Instant::now() + STREAM_AGAIN_AFTER;
        let etag = answered.another.filter(|_| answered.waits);
        Ok(etag.map(|etag| Self { origin, scope, path, etag, until }))
    }

    /// A ring at once, because the root may have changed before, and one for each other root.
    pub(super) fn announcements(self) -> Announcements {
        let rung = stream::once(async { Ok(()) });
        let rings = stream::unfold(Some(self), |polling| async {
            let mut polling = polling?;
            let rung = polling.next().await?;
            let go_on = rung.is_ok();
            Some((rung, go_on.then_some(polling)))
        });
        Box::pin(futures_util::StreamExt::chain(rung, rings))
    }

    /// Returns when there is another root; `None` when it is time to try the stream again, or the relay waits no more.
    pub(super) async fn next(&mut self) -> Option<Result<(), OriginError>> {
        loop {
            let asked = Instant::now();
            if asked >= self.until {
                return None;
            }
            let held = Some(self.etag.as_str());
            match ask(&self.origin, &self.scope, self.path, held, WAIT).await {
                Err(error) => return Some(Err(error)),
                Ok(Answered { waits: false, .. }) => return None,
                Ok(Answered { another: Some(etag), .. }) if etag != self.etag => {
                    self.etag = etag;
                    return Some(Ok(()));
                }
                Ok(_) if asked.elapsed() < LEAST_WAIT => sleep(LEAST_WAIT).await,
                Ok(_) => {}
            }
        }
    }
}

async fn ask(
    origin: &HttpOrigin,
    scope: &ScopeId,
    path: &str,
    held: Option<&str>,
    wait: Duration,
) -> Result<Answered, OriginError> {
    let mut request = origin.get(scope, path).header("prefer", format!("wait={}", wait.as_secs()));
    if let Some(etag) = held {
        request = request.header(IF_NONE_MATCH, etag);
    }
    let sent = request.timeout(wait + web::ANSWER_TIMEOUT).send().await;
    let response = sent.map_err(|error| web::unreachable(path, error))?;
    let applied = response.headers().get("preference-applied").and_then(|it| it.to_str().ok());
    let waits = applied.is_some_and(|applied| applied.trim_start().starts_with("wait"));
    match response.status() {
        StatusCode::OK => {
            let another = web::etag(response.headers());
            // Read to its end, so that the connection can be used again. The root is fetched by whoever hears the ring.
            web::body(response, path, MAX_ROOT_BYTES).await?;
            Ok(Answered { waits, another })
        }
        StatusCode::NOT_MODIFIED => Ok(Answered { waits, another: None }),
        status => Err(web::refused(status, path)),
    }
}
