//! One connection to a relay's stream.

use std::time::Duration;

use reqwest::{Response, Url};
use serde::Deserialize;
use serde_json::Value as Json;
use tokio::time::{Instant, timeout_at};

use crate::failure::Failure;
use crate::http::{Http, Told};
use crate::sse::Events;

/// The silence after which a stream is taken to be dead. A relay sends a comment every 15 seconds.
const SILENCE: Duration = Duration::from_secs(50);
/// When a stream that ended is opened again, unless the server said otherwise.
const BACK_AFTER: Duration = Duration::from_secs(3);
/// The longest that a server's word on it is heeded.
const BACK_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Stream {
    response: Response,
    events: Events,
    silent_until: Instant,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    #[serde(rename = "type")]
    kind: String,
    etag: Option<String>,
    last_modified: Option<Json>,
}

/// What goes on from one connection to the next.
#[derive(Debug, Default, Clone)]
pub(crate) struct Place {
    pub(crate) last_id: Option<String>,
    retry: Option<Duration>,
}

impl Place {
    /// When the stream may be opened again.
    pub(crate) fn back_after(&self) -> Duration {
        self.retry.unwrap_or(BACK_AFTER).min(BACK_WITHIN)
    }
}

impl Stream {
    pub(crate) async fn open(http: &Http, url: Url, place: &Place) -> Result<Self, Failure> {
        let response = http.listen(url, place.last_id.as_deref()).await?;
        let mut events = Events::default();
        (events.last_id, events.retry) = (place.last_id.clone(), place.retry);
        Ok(Self { response, events, silent_until: Instant::now() + SILENCE })
    }

    /// The next word to ask again; `None`: the stream has ended, or is as good as ended. May be dropped and called again.
    pub(crate) async fn told(&mut self) -> Option<Told> {
        loop {
            while let Some(data) = self.events.next() {
                if let Some(told) = read(&data) {
                    return Some(told);
                }
            }
            let piece = timeout_at(self.silent_until, self.response.chunk()).await.ok()?.ok()??;
            self.silent_until = Instant::now() + SILENCE;
            self.events.push(&piece).ok()?;
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place { last_id: self.events.last_id.clone(), retry: self.events.retry }
    }
}

/// Events of other types are of later versions.
fn read(data: &str) -> Option<Told> {
    let data: Data = serde_json::from_str(data).ok()?;
    let last_modified = data.last_modified.and_then(|at| match at {
        Json::String(text) => Some(text),
        Json::Number(seconds) => Some(seconds.to_string()),
        _ => None,
    });
    (data.kind == "refetchEvaluation").then_some(Told { etag: data.etag, last_modified })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_type_and_no_others() {
        let told =
            read(r#"{"type":"refetchEvaluation","etag":"1.1.2.0","lastModified":17}"#).unwrap();
        let said = (told.etag.as_deref(), told.last_modified.as_deref());
        assert_eq!(said, (Some("1.1.2.0"), Some("17")));
        assert_eq!(read(r#"{"type":"refetchEvaluation"}"#), Some(Told::default()));
        for other in [r#"{"type":"later"}"#, "{}", "hello", "[]"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
