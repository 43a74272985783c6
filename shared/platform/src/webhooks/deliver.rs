//! Telling endpoints what the logs say. At least once, in the order of each log but for what is tried again.

use std::time::Duration;

use bytes::Bytes;
use flagforge_flags::keys::OrgKey;
use flagforge_flags::time::Timestamp;
use futures_util::future::join_all;

use super::state::{MAX_PENDING, Pending, State};
use super::{WebhookRecord, sign};
use crate::Platform;
use crate::error::Error;
use crate::events::{Event, of_entry};
use crate::log::LogEntry;
use crate::place::{self, LogId, log_sk};
use crate::ports::{Outbound, Query};
use crate::store::{self, Stored, decode};

/// Deliveries to one endpoint in one run, after which its state is kept: a crash repeats no more than these.
const MAX_DELIVERIES: usize = 50;
/// How long one endpoint is called in one run: a function has to end, and one slow endpoint is one of many.
const TRIED_FOR_AT_MOST: Duration = Duration::from_secs(60);
/// Entries of one log that are read in one run.
const MAX_ENTRIES: u32 = 50;

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
        let active = endpoints.iter().map(|e| &e.value).filter(|e| !e.webhook.asked.paused);
        // All at once: one that does not answer holds up itself and not the others.
        let telling: Vec<_> =
            active.map(|endpoint| self.tell_or_warn(outbound, org, endpoint)).collect();
        Ok(join_all(telling).await.into_iter().any(|more| more))
    }

    async fn tell_or_warn(
        &self,
        outbound: &dyn Outbound,
        org: &OrgKey,
        endpoint: &WebhookRecord,
    ) -> bool {
        let told = self.tell(outbound, org, endpoint).await;
        told.unwrap_or_else(|error| {
            let id = &endpoint.webhook.id;
            tracing::warn!(%org, webhook = id, %error, "an endpoint was not told");
            false
        })
    }

    async fn tell(
        &self,
        outbound: &dyn Outbound,
        org: &OrgKey,
        endpoint: &WebhookRecord,
    ) -> Result<bool, Error> {
        let id = &endpoint.webhook.id;
        let (mut state, condition) = self.deliveries(org, id).await?;
        let before = state.clone();
        let now = self.timer().now();
        let mut due = self.retries(org, &mut state, now).await?;
        let mut more = false;
        for log in self.logs(org).await? {
            if due.len() >= MAX_DELIVERIES || state.pending.len() >= MAX_PENDING {
                more = state.pending.len() < MAX_PENDING;
                break;
            }
            more |= self.news(&log, endpoint, &mut state, &mut due).await?;
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
            let sent = match down {
                // It failed a moment ago; what is new waits its turn without being tried.
                true if delivery.tries == 0 => Err("waits for an endpoint that failed".to_owned()),
                _ => self.post(outbound, endpoint, &event).await?,
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
        endpoint: &WebhookRecord,
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
            let wants = |event: &Event| endpoint.webhook.asked.wants(event);
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

    /// Sends one event. The inner error says why the endpoint did not take it.
    async fn post(
        &self,
        outbound: &dyn Outbound,
        endpoint: &WebhookRecord,
        event: &Event,
    ) -> Result<Result<(), String>, Error> {
        let body = serde_json::to_vec(event)
            .map_err(|error| Error::internal("an event did not serialize", error))?;
        let now = self.timer().now();
        let seconds = now.as_seconds();
        let standing = endpoint.secrets.iter().filter(|s| s.until.is_none_or(|until| until > now));
        let signatures: Vec<String> = standing
            .map(|secret| sign::signature(&secret.key, &event.id, seconds, &body))
            .collect::<Result<_, _>>()?;
        let headers = [
            ("content-type", "application/cloudevents+json".to_owned()),
            ("webhook-id", event.id.clone()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signatures.join(" ")),
        ];
        let url = &endpoint.webhook.asked.url;
        Ok(match outbound.post(url, &headers, Bytes::from(body)).await {
            Ok(200..=299) => Ok(()),
            Ok(status) => Err(format!("it answered {status}")),
            Err(error) => Err(error.to_string()),
        })
    }
}
