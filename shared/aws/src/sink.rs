//! Change events on SNS, for subscribers outside.

use async_trait::async_trait;
use aws_sdk_sns::Client;
use flagforge_platform::events::Event;
use flagforge_platform::ports::{EventSink, Outgoing};

use crate::bus::{Attributes, publish};
use crate::{Connection, chain};

/// A topic of events. A message is the event in CloudEvents' JSON format; what subscribers may filter by stands in its
/// attributes too: `type`, `organization`, and where the event has them `environment`, `flag`, `tenant`, `group`, `segment`.
#[derive(Debug, Clone)]
pub struct SnsEvents {
    client: Client,
    topic: String,
}

impl SnsEvents {
    /// Events on the topic of this ARN. Nothing is sent yet.
    pub fn new(connection: &Connection, topic: &str) -> Self {
        Self { client: Client::new(connection.sdk()), topic: topic.to_owned() }
    }
}

#[async_trait]
impl EventSink for SnsEvents {
    async fn take(&self, outgoing: &Outgoing) -> Result<(), String> {
        let message = std::str::from_utf8(&outgoing.body).map_err(|error| chain(&error))?;
        let published = publish(&self.client, &self.topic, message, attributes(&outgoing.event));
        published.await.map_err(|error| chain(&error))
    }
}

/// Ten at most: what SQS takes with raw delivery.
fn attributes(event: &Event) -> Attributes {
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
        assert_eq!(attributes(&event), expected.map(|(name, value)| (name, value.to_owned())));
    }
}
