//! Lets in, forgets, answers: what API Gateway asks of each connection.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use flagforge_aws::events::socket::{EventType, Record, RequestContext, SocketAnswer, SocketEvent};
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{SystemTimer, TableError, Timer as _};
use flagforge_relay::Relay;
use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::{error, info};

use crate::connections::Connections;
use crate::line::Line;

/// What a client that says something is told: that its connection is there, and known.
const PONG: &str = r#"{"action":"pong"}"#;

const OK: u16 = 200;
const GONE: u16 = 410;
const TOO_MANY: u16 = 429;
const UNAVAILABLE: u16 = 503;

/// What the function has.
#[derive(Debug)]
pub(crate) struct Connect {
    pub(crate) relay: Arc<Relay>,
    pub(crate) connections: Connections,
    pub(crate) line: Arc<dyn Line>,
}

impl Connect {
    /// One event. An error is worth another try; only what SNS brings is tried again.
    pub(crate) async fn handle(
        &self,
        event: SocketEvent,
    ) -> Result<SocketAnswer, lambda_runtime::Error> {
        let now = SystemTimer.now();
        match event {
            SocketEvent::Route { request_context, headers } => {
                let RequestContext { event_type, connection_id: id } = request_context;
                let answered = match event_type {
                    EventType::Connect => self.let_in(&id, &headers.unwrap_or_default(), now).await,
                    EventType::Message => self.answer(&id, now).await,
                    EventType::Disconnect => self.forget(&id, now).await,
                };
                Ok(answered.unwrap_or_else(|error| {
                    error!(error = flagforge::chain(&error), "the table of connections failed");
                    status(UNAVAILABLE)
                }))
            }
            SocketEvent::Topic { records } => self.tell_all(&records).await,
        }
    }

    /// `$connect`: whoever may read a scope's manifest may hear of its roots.
    async fn let_in(
        &self,
        id: &str,
        headers: &HashMap<String, String>,
        now: Timestamp,
    ) -> Result<SocketAnswer, TableError> {
        let admitted = match self.relay.admit(&head(headers)).await {
            Ok(admitted) => admitted,
            Err(refused) => return Ok(status(refused.status().as_u16())),
        };
        if self.connections.is_full(&admitted.scope, &admitted.key, now).await? {
            return Ok(status(TOO_MANY));
        }
        info!(scope = %admitted.scope, key = admitted.key, "connected");
        self.connections.keep(id, admitted, now).await?;
        Ok(status(OK))
    }

    /// `$default`: somebody says that they are there. One who is not known is not told anything, so the connection ends, and
    /// the client makes another.
    async fn answer(&self, id: &str, now: Timestamp) -> Result<SocketAnswer, TableError> {
        let found = self.connections.find(id, now).await?;
        let good = found.filter(|whose| whose.ends.is_none_or(|ends| now < ends));
        if good.is_some() {
            return Ok(SocketAnswer { status_code: OK, body: Some(PONG.to_owned()) });
        }
        if let Err(error) = self.line.end(id).await {
            error!(id, error = flagforge::chain(&error), "a connection could not be ended");
        }
        Ok(status(GONE))
    }

    /// `$disconnect`. It does not come for every connection that ends; for those there are age, and being gone when they are
    /// told something.
    async fn forget(&self, id: &str, now: Timestamp) -> Result<SocketAnswer, TableError> {
        if let Some(whose) = self.connections.find(id, now).await? {
            self.connections.forget(id, &whose.scope).await?;
        }
        Ok(status(OK))
    }

    async fn tell_all(&self, records: &[Record]) -> Result<SocketAnswer, lambda_runtime::Error> {
        let published: BTreeSet<_> = records.iter().filter_map(Record::published).collect();
        let mut failed = None;
        for (org, env) in published {
            match self.tell(&org, &env).await {
                Ok(told) => info!(%org, %env, ?told, "told"),
                Err(error) => {
                    error!(%org, %env, error = flagforge::chain(&*error), "nobody was told");
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(status(OK)), Err)
    }
}

const fn status(status_code: u16) -> SocketAnswer {
    SocketAnswer { status_code, body: None }
}

/// The head of the request. What cannot be in one is not there.
fn head(headers: &HashMap<String, String>) -> HeaderMap {
    let read = |(name, value): (&String, &String)| {
        Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?))
    };
    headers.iter().filter_map(read).collect()
}
