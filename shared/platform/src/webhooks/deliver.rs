//! Telling endpoints what the logs say. At least once, in the order of each log but for what is tried again.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flagforge_flags::keys::OrgKey;
use flagforge_flags::time::Timestamp;
use futures_util::future::join_all;

use super::state::{Begins, MAX_PENDING, Pending, State};
use super::{WebhookRecord, sign};
use crate::Platform;
use crate::error::Error;
use crate::events::{Event, of_entry};
use crate::log::LogEntry;
use crate::place::{self, LogId, log_sk};
use crate::ports::{EventSink, Outbound, Outgoing, PutIf, Query};
use crate::store::{self, Stored, decode};

/// The name under which it is kept how far a sink was told; no endpoint's id has letters beyond `f`.
const SINK: &str = "event-sink";
/// Deliveries to one endpoint in one run, after which its state is kept: a crash repeats no more than these.
const MAX_DELIVERIES: usize = 50;
/// How long one endpoint is called in one run: a function has to end, and one slow endpoint is one of many.
const TRIED_FOR_AT_MOST: Duration = Duration::from_secs(60);
/// Entries of one log that are read in one run.
const MAX_ENTRIES: u32 = 50;

/// Whoever is told: an endpoint, or a sink.
#[async_trait]
trait Hearer: Sync {
    /// Under which it is kept how far it has been told.
    fn id(&self) -> &str;

    /// Where it begins while nothing is kept.
    fn begins(&self) -> Begins;

    fn wants(&self, event: &Event) -> bool;

    /// Tells it one event. The inner error says why it did not take it.
    async fn take(&self, log: &LogId, event: &Event) -> Result<Result<(), String>, Error>;
}

impl Platform {
    /// Tells every endpoint of an organization what is due. Answers whether there is more at once. An endpoint that
    /// fails does not stop the others.
    pub(crate) async fn tell_webhooks(
        &self,
        outbound: &dyn Outbound,
        org: &OrgKey,
    ) -> Result<bool, Error> {
        let endpoints: Vec<Stored<WebhookRecord>> =
            store::all(self.table(), &place::org_pk(org), "WEBHOOK#").await?;
        let active = endpoints.into_iter().filter(|e| !e.value.webhook.asked.paused);
        let endpoints: Vec<_> =
            active.map(|e| Endpoint { platform: self, outbound, record: e.value }).collect();
        // All at once: one that does not answer holds up itself and not the others.
        let telling = endpoints.iter().map(|endpoint| self.tell_or_warn(org, endpoint));
        Ok(join_all(telling).await.into_iter().any(|more| more))
    }

    async fn tell_or_warn(&self, org: &OrgKey, hearer: &dyn Hearer) -> bool {
        self.tell(org, hearer).await.unwrap_or_else(|error| {
            let id = hearer.id();
            tracing::warn!(%org, webhook = id, %error, "one who hears was not told; the next look tries again");
            false
        })
    }

    /// Tells a sink what is due of an organization. Answers whether there is more at once.
    pub(crate) async fn tell_sink(&self, sink: &dyn EventSink, org: &OrgKey) -> bool {
        self.tell_or_warn(org, &Sink { sink, org }).await
    }

    /// From now on a sink is told of the organizations that are there; of later ones from their beginning. One that was
    /// told before goes on where it was.
    pub(crate) async fn begin_sink(&self, org: &OrgKey) -> Result<(), Error> {
        match self.deliveries(org, SINK, Begins::Now).await? {
            (state, PutIf::Absent) => self.keep_deliveries(org, SINK, &state, PutIf::Absent).await,
            _ => Ok(()),
        }
    }

    async fn tell(&self, org: &OrgKey, hearer: &dyn Hearer) -> Result<bool, Error> {
        let id = hearer.id();
        let (mut state, condition) = self.deliveries(org, id, hearer.begins()).await?;
        let before = state.clone();
        let now = self.timer().now();
        let mut due = self.retries(org, &mut state, now).await?;
        let mut more = false;
        for log in self.logs(org).await? {
            if due.len() >= MAX_DELIVERIES || state.pending.len() >= MAX_PENDING {
                more = state.pending.len() < MAX_PENDING;
                break;
            }
            more |= self.news(&log, hearer, &mut state, &mut due).await?;
        }
        let mut down = false;
        for (event, mut delivery) in due {
            let tried_for = self.timer().now().since(now);
            if tried_for > TRIED_FOR_AT_MOST {
                // Next time, and as if it had not been looked at.
                delivery.next = now;
                state.pending.push(delivery);
                continue;
            }
            let log = LogId { org: org.clone(), env: delivery.env.clone() };
            let sent = match down {
                // It failed a moment ago; what is new waits its turn without being tried.
                true if delivery.tries == 0 => Err("waits for an endpoint that failed".to_owned()),
                _ => hearer.take(&log, &event).await?,
            };
            if let Err(why) = sent {
                tracing::info!(%org, webhook = id, event = event.id, why, "a delivery failed");
                down = true;
                state.failed(delivery, event.id, why, now);
            }
        }
        if state != before {
            self.keep_deliveries(org, id, &state, condition).await?;
        }
        Ok(more)
    }

    /// What is to be tried again by now.
    async fn retries(
        &self,
        org: &OrgKey,
        state: &mut State,
        now: Timestamp,
    ) -> Result<Vec<(Event, Pending)>, Error> {
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.pending).into_iter().partition(|p| p.next <= now);
        state.pending = later;
        let mut events = Vec::new();
        let mut due = due.into_iter();
        for delivery in due.by_ref().take(MAX_DELIVERIES) {
            let log = LogId { org: org.clone(), env: delivery.env.clone() };
            let entry: Option<Stored<LogEntry>> =
                store::read(self.table(), &log.entry(delivery.number)).await?;
            let told = match entry {
                Some(entry) => self.events_of(&log, entry.value).await?,
                None => Vec::new(),
            };
            events.extend(told.into_iter().nth(delivery.index).map(|event| (event, delivery)));
        }
        state.pending.extend(due);
        Ok(events)
    }

    /// What a log says since it was told last. Answers whether there is more.
    async fn news(
        &self,
        log: &LogId,
        hearer: &dyn Hearer,
        state: &mut State,
        due: &mut Vec<(Event, Pending)>,
    ) -> Result<bool, Error> {
        let name = State::name(log.env.as_ref());
        let told = state.told.get(&name).copied().unwrap_or_default();
        let mut query = Query::prefix(log.partition(), place::LOG_PREFIX);
        query.from = log_sk(told + 1);
        query.limit = MAX_ENTRIES;
        let page = self.table().query(&query).await?;
        let mut last = told;
        for item in &page.items {
            let entry: LogEntry = decode(item)?.value;
            let (number, next) = (entry.number, entry.at);
            let wants = |event: &Event| hearer.wants(event);
            if of_entry(log, &entry).iter().any(wants) {
                let events = self.events_of(log, entry).await?.into_iter().enumerate();
                for (index, event) in events.filter(|(_, event)| wants(event)) {
                    let env = log.env.clone();
                    due.push((event, Pending { env, number, index, tries: 0, next }));
                }
            }
            last = number;
            if due.len() >= MAX_DELIVERIES {
                break;
            }
        }
        state.told.insert(name, last);
        Ok(page.next.is_some() || page.items.last().is_some_and(|item| item.version > last))
    }

    /// The events of an entry, with its reason where that still stands.
    async fn events_of(&self, log: &LogId, mut entry: LogEntry) -> Result<Vec<Event>, Error> {
        self.unseal_reasons(log, &mut [&mut entry]).await?;
        Ok(of_entry(log, &entry))
    }
}

struct Endpoint<'p> {
    platform: &'p Platform,
    outbound: &'p dyn Outbound,
    record: WebhookRecord,
}

#[async_trait]
impl Hearer for Endpoint<'_> {
    fn id(&self) -> &str {
        &self.record.webhook.id
    }

    /// Whoever made it crashed before it was kept.
    fn begins(&self) -> Begins {
        Begins::Now
    }

    fn wants(&self, event: &Event) -> bool {
        self.record.webhook.asked.wants(event)
    }

    async fn take(&self, _: &LogId, event: &Event) -> Result<Result<(), String>, Error> {
        let body = json_of(event)?;
        let now = self.platform.timer().now();
        let seconds = now.as_seconds();
        let standing =
            self.record.secrets.iter().filter(|s| s.until.is_none_or(|until| until > now));
        let signatures: Vec<String> = standing
            .map(|secret| sign::signature(&secret.key, &event.id, seconds, &body))
            .collect::<Result<_, _>>()?;
        let headers = [
            ("content-type", "application/cloudevents+json".to_owned()),
            ("webhook-id", event.id.clone()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signatures.join(" ")),
        ];
        let url = &self.record.webhook.asked.url;
        Ok(match self.outbound.post(url, &headers, body).await {
            Ok(200..=299) => Ok(()),
            Ok(status) => Err(format!("it answered {status}")),
            Err(error) => Err(error.to_string()),
        })
    }
}

struct Sink<'p> {
    sink: &'p dyn EventSink,
    org: &'p OrgKey,
}

#[async_trait]
impl Hearer for Sink<'_> {
    fn id(&self) -> &str {
        SINK
    }

    /// The organization was made after [`Platform::begin_sink`], or nobody asked for that.
    fn begins(&self) -> Begins {
        Begins::WithTheFirstEntry
    }

    fn wants(&self, _: &Event) -> bool {
        true
    }

    async fn take(&self, log: &LogId, event: &Event) -> Result<Result<(), String>, Error> {
        let outgoing = Outgoing {
            org: self.org.clone(),
            env: log.env.clone(),
            event: event.clone(),
            body: json_of(event)?,
        };
        Ok(self.sink.take(&outgoing).await)
    }
}

fn json_of(event: &Event) -> Result<Bytes, Error> {
    let json = serde_json::to_vec(event);
    json.map(Bytes::from).map_err(|error| Error::internal("an event did not serialize", error))
}
