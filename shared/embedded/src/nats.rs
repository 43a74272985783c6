//! Change events for those who have NATS: CloudEvents under `<prefix>.<org>.<env>.<type>`, `_` standing for the
//! organization as a whole.
//!
//! Where a JetStream stream takes the subject its acknowledgement is waited for, and the event's id is the message's, so
//! that a stream drops what it has within its window. Elsewhere an event is told once the server has it, and whoever
//! listens then hears it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::context::{
    GetStreamByNameError, GetStreamByNameErrorKind, RequestError, RequestErrorKind,
};
use async_nats::jetstream::{self, Context, ErrorCode};
use async_nats::{Client, ConnectOptions, HeaderMap};
use async_trait::async_trait;
use flagforge_platform::ports::{EventSink, Outgoing};
use thiserror::Error;
use tokio::time::timeout;

/// How long the server, or a stream, has to take an event.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// How long it is believed that a stream takes a subject, or that none does.
const STREAM_KNOWN_FOR: Duration = Duration::from_secs(30);
/// Subjects of which it is remembered: a thousand organizations with a few environments and some forty types meet no more
/// at a time. When there are more they are asked about again.
const MAX_SUBJECTS: usize = 20_000;
/// What subjects begin with.
pub const NATS_PREFIX: &str = "flagforge";

/// What keeps events from NATS for good: a setting that is wrong.
#[derive(Debug, Error)]
pub enum NatsError {
    /// The file with credentials.
    #[error("the file of NATS credentials could not be read")]
    Credentials(#[source] std::io::Error),
    /// The address.
    #[error("this is no address of a NATS server")]
    Connect(#[source] async_nats::ConnectError),
}

/// A connection to NATS. It is made in the background and again when it breaks; until it stands events wait.
#[derive(Debug)]
pub struct NatsSink {
    client: Client,
    jetstream: Context,
    /// Whether a stream takes a subject, and when that was asked.
    streams: Mutex<HashMap<String, (bool, Instant)>>,
}

impl NatsSink {
    /// `url` may hold a user and password, or a token, and name several servers with commas between. Credentials are
    /// a file as `nsc` makes it.
    pub async fn connect(url: &str, credentials: Option<&Path>) -> Result<Self, NatsError> {
        let mut options = ConnectOptions::new().name("flagforge").retry_on_initial_connect();
        if let Some(file) = credentials {
            options = options.credentials_file(file).await.map_err(NatsError::Credentials)?;
        }
        let servers: Vec<&str> = url.split(',').map(str::trim).collect();
        let client = options.connect(servers.as_slice()).await.map_err(NatsError::Connect)?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(TAKEN_WITHIN);
        Ok(Self { client, jetstream, streams: Mutex::new(HashMap::new()) })
    }

    /// Whether a stream takes a subject. A server without JetStream has none.
    async fn has_stream(&self, subject: &str) -> Result<bool, String> {
        let known = self.known().get(subject).copied();
        if let Some((has, asked)) = known
            && asked.elapsed() < STREAM_KNOWN_FOR
        {
            return Ok(has);
        }
        let found = self.jetstream.stream_by_subject(subject).await;
        let has = match found {
            Ok(_) => true,
            Err(error) if is_none(&error) => false,
            Err(error) => {
                return Err(format!("it was not told whether a stream is there: {error}"));
            }
        };
        let mut known = self.known();
        if known.len() >= MAX_SUBJECTS {
            known.clear();
        }
        known.insert(subject.to_owned(), (has, Instant::now()));
        Ok(has)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, (bool, Instant)>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn publish(&self, outgoing: &Outgoing) -> Result<(), String> {
        let subject = subject(outgoing);
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", outgoing.event.id.as_str());
        headers.insert("Content-Type", "application/cloudevents+json");
        let body = outgoing.body.clone();
        let why = |error: &dyn std::fmt::Display| error.to_string();
        if self.has_stream(&subject).await? {
            let sent = self.jetstream.publish_with_headers(subject.clone(), headers, body).await;
            let acknowledged = match sent {
                Ok(sent) => sent.await.map(drop),
                Err(error) => Err(error),
            };
            // Maybe the stream is gone; the next try asks.
            return acknowledged.map_err(|error| {
                self.known().remove(&subject);
                why(&error)
            });
        }
        let sent = self.client.publish_with_headers(subject, headers, body).await;
        sent.map_err(|error| why(&error))?;
        self.client.flush().await.map_err(|error| why(&error))
    }
}

#[async_trait]
impl EventSink for NatsSink {
    async fn take(&self, outgoing: &Outgoing) -> Result<(), String> {
        // A client that is not connected keeps what it is given, and would send it long after it was given up.
        if self.client.connection_state() != async_nats::connection::State::Connected {
            return Err("NATS is not connected".to_owned());
        }
        match timeout(2 * TAKEN_WITHIN, self.publish(outgoing)).await {
            Ok(published) => published,
            Err(_) => Err("NATS did not take it in time".to_owned()),
        }
    }
}

/// Whether no stream takes the subject, or nobody here keeps streams at all.
fn is_none(error: &GetStreamByNameError) -> bool {
    if error.kind() == GetStreamByNameErrorKind::NotFound {
        return true;
    }
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(error);
    std::iter::from_fn(|| {
        let error = at?;
        at = error.source();
        Some(error)
    })
    .any(|error| {
        let unasked = error.downcast_ref::<RequestError>();
        let refused = error.downcast_ref::<jetstream::Error>().map(jetstream::Error::error_code);
        unasked.is_some_and(|error| error.kind() == RequestErrorKind::NoResponders)
            || refused == Some(ErrorCode::JETSTREAM_NOT_ENABLED)
            || refused == Some(ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT)
    })
}

/// Organizations and environments are slugs, so they are tokens of a subject; no slug is `_`.
fn subject(outgoing: &Outgoing) -> String {
    let env = outgoing.env.as_ref().map_or("_", |env| env.as_str());
    format!("{NATS_PREFIX}.{}.{env}.{}", outgoing.org, outgoing.event.kind)
}
