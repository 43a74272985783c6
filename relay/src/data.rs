//! Manifests for SDKs and further relays: trust, roots, chunks, and the stream that announces roots.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::http::header::IF_NONE_MATCH;
use axum::response::Response;
use flagforge_flags::KeyKind;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::{Digest, Named, Scope, ScopeId};
use futures_util::{Stream, StreamExt};
use tokio::time::sleep;
use tokio_stream::wrappers::WatchStream;
use tracing::warn;

use crate::asker::Asker;
use crate::config::Freshness;
use crate::news::{Asked, News};
use crate::prefer::{applied, preferred_wait};
use crate::problem::{Refused, tagged};
use crate::relay::Relay;
use crate::scoped::{asked_for, place_of};
use crate::seats::Seat;
use crate::shelf::{Document, Shelf};
use crate::sse;

const JOSE: &str = "application/jose";
const JSON: &str = "application/json";
/// Roots change: whoever keeps one asks again each time.
const REVALIDATE: &str = "private, no-cache";
/// Chunks are named by their content and never change.
const FOR_EVER: &str = "private, max-age=31536000, immutable";

pub(crate) const SERVICES: &[KeyKind] = &[KeyKind::Server, KeyKind::Relay];
pub(crate) const NOT_A_SERVICE: &str = "manifests are for keys of the kinds server and relay";

pub(crate) type Relayed = State<Arc<Relay>>;
pub(crate) type Place<T> = Result<Path<T>, PathRejection>;

/// `GET /data/v1/{org}/{env}/trust`
pub(crate) async fn trust(
    State(relay): Relayed,
    place: Place<(String, String)>,
    headers: HeaderMap,
) -> Response {
    respond(async {
        let Path((org, env)) = place.map_err(|_| nothing())?;
        let asker = admitted(&relay, &headers, &org, &env).await?;
        let trust = asker.shelf.trust.as_ref().ok_or(Refused::NotFound("trust document"))?;
        let text = trust.text().to_owned();
        let etag = format!("\"{}\"", Digest::of(text.as_bytes()));
        let held = holds(&headers, &etag);
        Ok(tagged(text, JSON, &etag, REVALIDATE, held))
    })
    .await
}

/// `GET /data/v1/{org}/{env}/trust/{number}`: the steps for readers who slept through changes of root keys.
pub(crate) async fn numbered_trust(
    State(relay): Relayed,
    place: Place<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    respond(async {
        let Path((org, env, number)) = place.map_err(|_| nothing())?;
        let asker = admitted(&relay, &headers, &org, &env).await?;
        let newest = asker.shelf.trust.as_ref().map_or(0, |trust| trust.claims().number);
        // Only numbers that can be are asked of the origin.
        let number = number.parse::<u64>().ok().filter(|number| (1..=newest).contains(number));
        let number = number.ok_or(Refused::NotFound("trust document"))?;
        let scope = asker.environment.id.scope(Scope::Environment);
        let found = relay.origin.trust(&scope, Some(number)).await;
        let text = passed_on(found)?.ok_or(Refused::NotFound("trust document"))?;
        let etag = format!("\"{}\"", Digest::of(&text));
        let held = holds(&headers, &etag);
        Ok(tagged(text, JSON, &etag, REVALIDATE, held))
    })
    .await
}

/// `GET /data/v1/{org}/{env}/environment`
pub(crate) async fn environment_root(
    State(relay): Relayed,
    place: Place<(String, String)>,
    headers: HeaderMap,
) -> Response {
    respond(async {
        let Path((org, env)) = place.map_err(|_| nothing())?;
        let asker = admitted(&relay, &headers, &org, &env).await?;
        asker.speaks_for_all()?;
        root(&relay, &headers, asker, |shelf| shelf.environment.as_ref()).await
    })
    .await
}

/// `GET /data/v1/{org}/{env}/relay`: with the keys that may ask, so for relays' keys only.
pub(crate) async fn relay_root(
    State(relay): Relayed,
    place: Place<(String, String)>,
    headers: HeaderMap,
) -> Response {
    respond(async {
        let Path((org, env)) = place.map_err(|_| nothing())?;
        let asker = admitted(&relay, &headers, &org, &env).await?;
        asker.needs(&[KeyKind::Relay], "the relay scope is for keys of the kind relay")?;
        asker.speaks_for_all()?;
        root(&relay, &headers, asker, |shelf| Some(&shelf.relay)).await
    })
    .await
}

/// `GET /data/v1/{org}/{env}/chunks/{sha256}`: chunks that a root the asker may read names, or named lately.
pub(crate) async fn chunk(
    State(relay): Relayed,
    place: Place<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    respond(async {
        let Path((org, env, digest)) = place.map_err(|_| nothing())?;
        let asker = admitted(&relay, &headers, &org, &env).await?;
        let digest: Digest = digest.parse().map_err(|_| Refused::NotFound("chunk"))?;
        let (scope, named) = named(&relay, &asker, &headers, digest).await?;
        let named = named.ok_or(Refused::NotFound("chunk"))?;
        let etag = format!("\"{digest}\"");
        if holds(&headers, &etag) {
            return Ok(tagged("", JSON, &etag, FOR_EVER, true));
        }
        let bytes = passed_on(relay.origin.chunk(&scope, named).await)?;
        let bytes = bytes.filter(|bytes| Digest::of(bytes) == digest);
        let bytes = bytes.ok_or(Refused::Unavailable("the origin has lost this chunk"))?;
        Ok(tagged(bytes, JSON, &etag, FOR_EVER, false))
    })
    .await
}

/// A chunk that the asker may have, and of which scope. A key that is bound to a tenant has that tenant's; who names a tenant asks for its.
async fn named(
    relay: &Relay,
    asker: &Asker,
    headers: &HeaderMap,
    digest: Digest,
) -> Result<(ScopeId, Option<Named>), Refused> {
    if asker.names_tenant(headers) {
        let place = place_of(relay, asker, headers)?;
        let round = *asker.environment.rounds().borrow();
        let current = place.in_round(round).await;
        let named = current.and_then(|current| current.document.named(digest));
        return Ok((place.scope().clone(), named));
    }
    let shelf = &asker.shelf;
    let relays = || shelf.relay.named(digest).filter(|_| asker.kind == KeyKind::Relay);
    let named = shelf.environment.as_ref().and_then(|root| root.named(digest)).or_else(relays);
    if named.is_none() {
        let canary = asked_for(relay, asker, &Scope::Canary);
        let named = canary.held().and_then(|current| current.document.named(digest));
        return Ok((canary.scope().clone(), named));
    }
    Ok((asker.environment.id.scope(Scope::Environment), named))
}

/// `GET /data/v1/{org}/{env}/stream`: the current root, then every new one, as server-sent events.
pub(crate) async fn stream(
    State(relay): Relayed,
    place: Place<(String, String)>,
    pushed: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    respond(async {
        let Path((org, env)) = place.map_err(|_| nothing())?;
        let asker = admitted(&relay, &headers, &org, &env).await?;
        asker.speaks_for_all()?;
        let pushed = Asked::of(pushed)?;
        let taken = asker.stream(&relay)?;
        // A watch keeps the newest value only, so a reader that does not read costs nothing more.
        let news = WatchStream::new(asker.environment.news()).filter_map(async |news| news);
        Ok(streamed(&relay, taken, news, pushed))
    })
    .await
}

/// Announcements as server-sent events, until the stream is old.
pub(crate) fn streamed<N>(relay: &Relay, taken: Seat, news: N, pushed: Asked) -> Response
where
    N: Stream<Item = Arc<News>> + Send + 'static,
{
    let (oldest, closed) = (sleep(relay.config.max_stream_age), relay.closed());
    let end = async {
        tokio::select! {
            () = oldest => {}
            () = closed => {}
        }
    };
    let events = news.take_until(Box::pin(end)).enumerate().map(move |(place, news)| {
        let _held_while_the_stream_lives = &taken;
        news.event(pushed, place == 0)
    });
    sse::answer(events, relay.config.heartbeat)
}

/// A request with a service's key for the path's organization and environment. Another organization's
/// place is not there, whether it exists or not; the key itself is held against its own organization.
pub(crate) async fn admitted(
    relay: &Relay,
    headers: &HeaderMap,
    org: &str,
    env: &str,
) -> Result<Asker, Refused> {
    let org = OrgKey::new(org).map_err(|_| nothing())?;
    let env = EnvKey::new(env).map_err(|_| nothing())?;
    let asker = Asker::of(relay, headers, Some(&env)).await?;
    if asker.environment.id.org != org {
        return Err(nothing());
    }
    asker.needs(SERVICES, NOT_A_SERVICE)?;
    Ok(asker)
}

pub(crate) const fn nothing() -> Refused {
    Refused::NotFound("environment")
}

/// A root. Whoever prefers to wait for another one than it holds waits first, where roots come by themselves.
async fn root(
    relay: &Relay,
    headers: &HeaderMap,
    mut asker: Asker,
    of: fn(&Shelf) -> Option<&Document>,
) -> Result<Response, Refused> {
    let wait = preferred_wait(headers);
    let wait = wait.filter(|_| relay.config.freshness == Freshness::Background);
    if let Some(wait) = wait {
        let held = |shelf: &Shelf| of(shelf).is_some_and(|root| holds(headers, &root.etag));
        if !wait.is_zero() && held(&asker.shelf) {
            another_root(relay, &asker, wait, held).await?;
            // A key that was revoked meanwhile gets nothing any more.
            asker = asker.again()?;
        }
    }
    let document = of(&asker.shelf).ok_or(Refused::NotFound("root"))?;
    Ok(dressed_root(document, headers, wait))
}

pub(crate) fn dressed_root(
    document: &Document,
    headers: &HeaderMap,
    waits: Option<Duration>,
) -> Response {
    let Document { text, etag, .. } = document;
    let mut response = tagged(text.clone(), JOSE, etag, REVALIDATE, holds(headers, etag));
    if let Some(wait) = waits {
        applied(&mut response, wait);
    }
    response
}

/// Waits until the environment has another root than the one held, the time is over, or the relay is closed.
async fn another_root(
    relay: &Relay,
    asker: &Asker,
    wait: Duration,
    held: impl Fn(&Shelf) -> bool,
) -> Result<(), Refused> {
    let _place = asker.wait(relay)?;
    // Before the first look, so that nothing is missed.
    let mut turns = asker.environment.turns();
    let another =
        async { while held(&asker.environment.shelf()) && turns.changed().await.is_ok() {} };
    tokio::select! {
        () = another => {}
        () = sleep(wait) => {}
        () = relay.closed() => {}
    }
    Ok(())
}

/// Whether If-None-Match has the tag (RFC 9110 §13.1.2, weak comparison).
pub(crate) fn holds(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn passed_on<T>(found: Result<T, flagforge::origin::OriginError>) -> Result<T, Refused> {
    found.map_err(|error| {
        warn!(error = flagforge::chain(&error), "the origin did not answer");
        Refused::Unavailable("the origin does not answer just now")
    })
}

pub(crate) async fn respond(work: impl Future<Output = Result<Response, Refused>>) -> Response {
    work.await.unwrap_or_else(|refused| refused.problem())
}
