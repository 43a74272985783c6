//! OFREP's answers, read.

use std::collections::HashMap;
use std::sync::Arc;

use flagforge_flags::Value;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use tokio::time::Instant;

use crate::failure::Failure;

/// What is held of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) flags: Arc<HashMap<String, Entry>>,
    pub(crate) metadata: Map<String, Json>,
    pub(crate) etag: Option<String>,
    pub(crate) streams: Vec<EventStream>,
    /// What a flag is answered with that is not among them.
    pub(crate) failure: Failure,
    pub(crate) at: Option<Instant>,
}

/// One flag.
#[derive(Debug)]
pub(crate) struct Entry {
    /// `None` is the caller's default.
    pub(crate) value: Option<Value>,
    /// A whole number as a number: some servers leave the point of `5.0` out.
    pub(crate) as_number: Option<Value>,
    pub(crate) reason: Option<String>,
    pub(crate) variant: Option<String>,
    pub(crate) metadata: Map<String, Json>,
    /// The code and the details.
    pub(crate) error: Option<(String, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BulkWire {
    flags: Vec<FlagWire>,
    #[serde(default)]
    metadata: Map<String, Json>,
    #[serde(default)]
    event_streams: Vec<EventStream>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FlagWire {
    #[serde(default)]
    key: String,
    value: Option<Json>,
    reason: Option<String>,
    variant: Option<String>,
    #[serde(default)]
    metadata: Map<String, Json>,
    error_code: Option<String>,
    error_details: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct EventStream {
    #[serde(rename = "type")]
    kind: String,
    url: Option<String>,
    endpoint: Option<Endpoint>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    origin: Option<String>,
    request_uri: String,
}

impl Held {
    pub(crate) fn nothing() -> Self {
        Self {
            flags: Arc::default(),
            metadata: Map::new(),
            etag: None,
            streams: Vec::new(),
            failure: Failure::NotAsked,
            at: None,
        }
    }

    /// The same, confirmed just now.
    pub(crate) fn confirmed(&self) -> Self {
        Self { at: Some(Instant::now()), ..self.clone() }
    }

    pub(crate) fn read(body: &[u8], etag: Option<String>) -> Result<Self, Failure> {
        let wire: BulkWire = serde_json::from_slice(body)?;
        let flags = wire.flags.into_iter().map(|flag| (flag.key.clone(), Entry::from(flag)));
        Ok(Self {
            flags: Arc::new(flags.collect()),
            metadata: wire.metadata,
            etag,
            streams: wire.event_streams,
            failure: crate::http::not_found(),
            at: Some(Instant::now()),
        })
    }
}

pub(crate) fn one(body: &[u8]) -> Result<Entry, serde_json::Error> {
    serde_json::from_slice::<FlagWire>(body).map(Entry::from)
}

impl From<FlagWire> for Entry {
    fn from(wire: FlagWire) -> Self {
        let value = wire.value.and_then(value);
        let as_number = match &value {
            // Of what has 64 bits a number keeps 53: the rest it cannot be.
            Some(Value::Integer(whole)) => Json::from(*whole).as_f64().map(Value::Number),
            _ => None,
        };
        let details = wire.error_details.unwrap_or_default();
        Self {
            value,
            as_number,
            reason: wire.reason,
            variant: wire.variant.filter(|variant| !variant.is_empty()),
            metadata: wire.metadata,
            error: wire.error_code.map(|code| (code, details)),
        }
    }
}

fn value(json: Json) -> Option<Value> {
    match json {
        Json::Null => None,
        Json::Bool(yes) => Some(Value::Boolean(yes)),
        Json::String(text) => Some(Value::String(text.into())),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Some(Value::Integer(whole)),
            None => number.as_f64().map(Value::Number),
        },
        object => Some(Value::Object(object)),
    }
}

impl EventStream {
    /// The stream's address, for one of a kind that is known. It is never logged: it may let in whoever has it.
    pub(crate) fn address(&self, base: &Url) -> Option<Url> {
        let address = match (self.kind.as_str(), &self.url, &self.endpoint) {
            ("sse", Some(url), _) => Url::parse(url).ok()?,
            ("sse", None, Some(Endpoint { origin, request_uri }))
                if request_uri.starts_with('/') =>
            {
                let origin = origin.clone().unwrap_or_else(|| base.origin().ascii_serialization());
                Url::parse(&format!("{}{request_uri}", origin.trim_end_matches('/'))).ok()?
            }
            _ => return None,
        };
        // What came over TLS does not go on without.
        let fits =
            address.scheme() == "https" || (address.scheme() == "http" && base.scheme() == "http");
        fits.then_some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_of_streams() {
        let at = |base: &str, stream: Json| {
            let stream: EventStream = serde_json::from_value(stream).unwrap();
            stream.address(&Url::parse(base).unwrap()).map(String::from)
        };
        let relay = "http://relay:8081/behind";
        let uri = json!({"type": "sse", "endpoint": {"requestUri": "/stream?since=1"}});
        assert_eq!(at(relay, uri).unwrap(), "http://relay:8081/stream?since=1");
        let origin =
            json!({"type": "sse", "endpoint": {"requestUri": "/s", "origin": "https://sse.test"}});
        assert_eq!(at(relay, origin).unwrap(), "https://sse.test/s");
        let url = json!({"type": "sse", "url": "http://sse.test/s"});
        assert_eq!(at(relay, url.clone()).unwrap(), "http://sse.test/s");
        assert_eq!(at("https://relay", url), None, "TLS is not left");
        assert_eq!(at(relay, json!({"type": "pigeon", "url": "https://sse.test/s"})), None);
        assert_eq!(
            at(relay, json!({"type": "sse", "endpoint": {"requestUri": ".evil.test/"}})),
            None
        );
    }
}
