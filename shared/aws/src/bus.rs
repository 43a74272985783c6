//! The bus on SNS: one topic for each kind of notice, and one for events.

use async_trait::async_trait;
use aws_sdk_sns::Client;
use aws_sdk_sns::error::BuildError;
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use flagforge_platform::events::Event;
use flagforge_platform::ports::{Bus, BusError, Notice};

use crate::Connection;
use crate::settings::Variable;
use crate::unset::Unset;

/// Messages that SNS takes in one call. Ten events, each of keys and a reason of 1 KiB, stay far below its 256 KB.
const MAX_BATCH: usize = 10;

/// Doorbells and events on SNS. A message is the notice as JSON, or the event in CloudEvents' JSON format; what
/// subscribers may filter by stands in its attributes too. Of a notice: `org`, `env` (absent when all are meant), and of
/// a change `change`. Of an event: `type`, `organization`, and where it has them `environment`, `flag`, `tenant`,
/// `group`, `segment`.
#[derive(Debug, Clone)]
pub struct SnsBus {
    client: Client,
    topics: Topics,
}

/// The topics' ARNs. What would go to one that is not given is an error.
#[derive(Debug, Clone, Default)]
pub struct Topics {
    /// Rings when a log grew.
    pub changes: Option<String>,
    /// Rings when a manifest can be fetched.
    pub roots: Option<String>,
    /// Tells those outside what changed.
    pub events: Option<String>,
}

impl SnsBus {
    /// A bus on these topics. Nothing is sent yet.
    pub fn new(connection: &Connection, topics: Topics) -> Self {
        Self { client: Client::new(connection.sdk()), topics }
    }

    fn topic(&self, notice: &Notice) -> Result<&str, BusError> {
        match notice {
            Notice::Changed { .. } => named(&self.topics.changes, Variable::ChangesTopic),
            Notice::Published { .. } => named(&self.topics.roots, Variable::RootsTopic),
        }
    }

    async fn tell_batch(&self, topic: &str, events: &[Event]) -> Result<(), BusError> {
        let mut request = self.client.publish_batch().topic_arn(topic);
        for (number, event) in events.iter().enumerate() {
            let message = serde_json::to_string(event).map_err(|error| BusError(error.into()))?;
            let mut entry =
                PublishBatchRequestEntry::builder().id(number.to_string()).message(message);
            for (name, value) in event_attributes(event) {
                entry = entry.message_attributes(name, attribute(value).map_err(fault)?);
            }
            request = request.publish_batch_request_entries(entry.build().map_err(fault)?);
        }
        let answer = request.send().await.map_err(|error| BusError(error.into()))?;
        match answer.failed().first() {
            None => Ok(()),
            Some(failed) => {
                let why = failed.message().unwrap_or_else(|| failed.code());
                Err(BusError(format!("SNS did not take an event: {why}").into()))
            }
        }
    }
}

fn named(topic: &Option<String>, variable: Variable) -> Result<&str, BusError> {
    topic.as_deref().ok_or_else(|| BusError(Unset(variable).fault()))
}

fn fault(error: BuildError) -> BusError {
    BusError(error.into())
}

fn attribute(value: String) -> Result<MessageAttributeValue, BuildError> {
    MessageAttributeValue::builder().data_type("String").string_value(value).build()
}

#[async_trait]
impl Bus for SnsBus {
    async fn publish(&self, notice: &Notice) -> Result<(), BusError> {
        let message = serde_json::to_string(notice).map_err(|error| BusError(error.into()))?;
        let mut request = self.client.publish().topic_arn(self.topic(notice)?).message(message);
        for (name, value) in attributes(notice) {
            request = request.message_attributes(name, attribute(value).map_err(fault)?);
        }
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(BusError(error.into())),
        }
    }

    async fn tell(&self, events: &[Event]) -> Result<(), BusError> {
        let topic = named(&self.topics.events, Variable::EventsTopic)?;
        for batch in events.chunks(MAX_BATCH) {
            self.tell_batch(topic, batch).await?;
        }
        Ok(())
    }
}

fn attributes(notice: &Notice) -> Vec<(&'static str, String)> {
    match notice {
        Notice::Changed { org, env, change, .. } => {
            let env = env.as_ref().map(|env| ("env", env.to_string()));
            let always = [("org", org.to_string()), ("change", change.clone())];
            always.into_iter().chain(env).collect()
        }
        Notice::Published { org, env, .. } => {
            vec![("org", org.to_string()), ("env", env.to_string())]
        }
    }
}

/// Ten at most: what SQS takes with raw delivery.
fn event_attributes(event: &Event) -> Vec<(&'static str, String)> {
    let names = ["organization", "environment", "flag", "tenant", "group", "segment"];
    let keys = names.into_iter().filter_map(|name| {
        let key = event.data.get(name)?.as_str()?;
        (!key.is_empty()).then(|| (name, key.to_owned()))
    });
    std::iter::once(("type", event.kind.clone())).chain(keys).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(json: &str) -> Notice {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_notice_carries_what_subscribers_filter_by() {
        let of_env =
            notice(r#"{"notice":"changed","org":"acme","env":"prod","number":1,"change":"kill"}"#);
        let expected = [("org", "acme"), ("change", "kill"), ("env", "prod")];
        assert_eq!(attributes(&of_env), expected.map(|(name, value)| (name, value.to_owned())));
        // No `env` at all rather than an empty one, which SNS refuses.
        let of_org =
            notice(r#"{"notice":"changed","org":"acme","number":1,"change":"put-tenant"}"#);
        assert!(attributes(&of_org).iter().all(|(name, _)| *name != "env"));
        let roots = notice(r#"{"notice":"published","org":"acme","env":"prod","revision":"1.2"}"#);
        let expected = [("org", "acme"), ("env", "prod")];
        assert_eq!(attributes(&roots), expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn an_event_carries_the_keys_that_subscribers_filter_by() {
        let event: Event = serde_json::from_str(
            r#"{"specversion":"1.0","id":"acme/prod:4:0","source":"/orgs/acme/environments/prod","type":"tenant.override-set",
                "subject":"f/globex","time":"2026-11-21T00:00:00Z","datacontenttype":"application/json","data":{"organization":
                "acme","environment":"prod","flag":"f","tenant":"globex","number":4,"actor":"k","reason":"r"}}"#,
        )
        .unwrap();
        let expected = [
            ("type", "tenant.override-set"),
            ("organization", "acme"),
            ("environment", "prod"),
            ("flag", "f"),
            ("tenant", "globex"),
        ];
        assert_eq!(
            event_attributes(&event),
            expected.map(|(name, value)| (name, value.to_owned()))
        );
    }
}
