//! Server-sent events as bytes that all streams share: an event of many kilobytes to ten thousand listeners is held once.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::time::timeout;

use crate::problem::private;

/// What is said in silence.
const HEARTBEAT: Bytes = Bytes::from_static(b": heartbeat\n\n");

/// An event, as the HTML standard writes it (§9.2). Data is JSON, which has no line ends.
pub(crate) fn event(name: &str, id: &str, data: &str) -> Bytes {
    format!("event: {name}\nid: {id}\ndata: {data}\n\n").into()
}

/// An answer that tells events until there are none any more, and says something now and then so that its listener knows it lives.
pub(crate) fn answer<E>(events: E, heartbeat: Duration) -> Response
where
    E: Stream<Item = Bytes> + Send + 'static,
{
    let told = stream::unfold(Box::pin(events), move |mut events| async move {
        // A timeout drops the wait for the next event, and none that has come.
        let next = timeout(heartbeat, events.next()).await;
        let piece = next.unwrap_or(Some(HEARTBEAT))?;
        Some((Ok::<_, Infallible>(piece), events))
    });
    let mut response = Response::new(Body::from_stream(told));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    // Some proxies hold a stream back until it is worth a packet.
    const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");
    headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    private(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_and_events_are_not() {
        let (tell, told) = tokio::sync::mpsc::unbounded_channel();
        let events = stream::unfold(told, |mut told| async { Some((told.recv().await?, told)) });
        let answer = answer(events, Duration::from_secs(15));
        assert_eq!(answer.headers()[CONTENT_TYPE], "text/event-stream");
        let mut body = answer.into_body().into_data_stream();
        let first = event("root", "1.2", r#"{"serial":3}"#);
        assert_eq!(&*first, b"event: root\nid: 1.2\ndata: {\"serial\":3}\n\n");
        tell.send(first.clone()).unwrap();
        assert_eq!(body.next().await.unwrap().unwrap(), first);
        let began = tokio::time::Instant::now();
        assert_eq!(body.next().await.unwrap().unwrap(), HEARTBEAT);
        assert_eq!(began.elapsed().as_secs(), 15);
        tell.send(first.clone()).unwrap();
        assert_eq!(body.next().await.unwrap().unwrap(), first);
        drop(tell);
        assert!(body.next().await.is_none());
    }
}
