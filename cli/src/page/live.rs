//! What open pages are told as it happens.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio_stream::wrappers::{BroadcastStream, WatchStream};
use tokio_stream::{Stream, StreamExt as _};

use super::Page;
use crate::sample::Saying;

/// `GET /page/live`: `published` when an environment has a new revision, `says` when the sample service
/// says something new.
pub(super) async fn live(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    if page.door.management_of(&headers).await.is_none() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let org = page.org.clone();
    let published = BroadcastStream::new(page.news.subscribe()).filter_map(move |news| {
        let data = match news {
            Ok(news) if news.org.as_str() != org => return None,
            Ok(news) => json!({ "env": news.env, "revision": news.revision }),
            // Who missed some news looks at everything again.
            Err(_) => json!({}),
        };
        Some(Ok(Event::default().event("published").data(data.to_string())))
    });
    match page.says.clone() {
        Some(says) => streamed(published.merge(sayings(says))),
        None => streamed(published),
    }
}

/// `GET /demo/says`: what the sample service says now; as it changes, for whoever accepts an event stream.
pub(super) async fn says(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    let Some(says) = page.says.clone() else { return StatusCode::NOT_FOUND.into_response() };
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.contains("text/event-stream")) {
        return streamed(sayings(says));
    }
    Json(says.borrow().clone()).into_response()
}

fn sayings(
    says: tokio::sync::watch::Receiver<Vec<Saying>>,
) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
    WatchStream::new(says)
        .map(|sayings| Ok(Event::default().event("says").data(json!(sayings).to_string())))
}

fn streamed(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
