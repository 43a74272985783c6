//! The bus on SNS: one topic for each kind of notice.

use async_trait::async_trait;
use aws_sdk_sns::Client;
use aws_sdk_sns::error::BuildError;
use aws_sdk_sns::types::MessageAttributeValue;
use flagforge_platform::ports::{Bus, BusError, Notice};

use crate::Connection;
use crate::settings::Variable;
use crate::unset::Unset;

/// Doorbells on SNS. A message is the notice as JSON; what subscribers may filter by stands in its attributes too: `org`,
/// `env` (absent when all are meant), and of a change `change` and `propagation`.
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
}

fn named(topic: &Option<String>, variable: Variable) -> Result<&str, BusError> {
    topic.as_deref().ok_or_else(|| BusError(Unset(variable).fault()))
}

/// What stands in a message's attributes: names and values.
pub(crate) type Attributes = Vec<(&'static str, String)>;

/// Publishes a message on a topic.
pub(crate) async fn publish(
    client: &Client,
    topic: &str,
    message: &str,
    attributes: Attributes,
) -> Result<(), BusError> {
    let mut request = client.publish().topic_arn(topic).message(message);
    for (name, value) in attributes {
        let value = attribute(value).map_err(|error| BusError(error.into()))?;
        request = request.message_attributes(name, value);
    }
    request.send().await.map(drop).map_err(|error| BusError(error.into()))
}

fn attribute(value: String) -> Result<MessageAttributeValue, BuildError> {
    MessageAttributeValue::builder().data_type("String").string_value(value).build()
}

#[async_trait]
impl Bus for SnsBus {
    async fn publish(&self, notice: &Notice) -> Result<(), BusError> {
        let message = serde_json::to_string(notice).map_err(|error| BusError(error.into()))?;
        publish(&self.client, self.topic(notice)?, &message, attributes(notice)).await
    }
}

fn attributes(notice: &Notice) -> Attributes {
    match notice {
        Notice::Changed { org, env, change, propagation, .. } => {
            let env = env.as_ref().map(|env| ("env", env.to_string()));
            let soon = propagation.as_str().to_owned();
            let always =
                [("org", org.to_string()), ("change", change.clone()), ("propagation", soon)];
            always.into_iter().chain(env).collect()
        }
        Notice::Published { org, env, .. } => {
            vec![("org", org.to_string()), ("env", env.to_string())]
        }
    }
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
        let expected = [
            ("org", "acme"),
            ("change", "kill"),
            ("propagation", "near-real-time"),
            ("env", "prod"),
        ];
        assert_eq!(attributes(&of_env), expected.map(|(name, value)| (name, value.to_owned())));
        // No `env` at all rather than an empty one, which SNS refuses.
        let of_org =
            notice(r#"{"notice":"changed","org":"acme","number":1,"change":"put-tenant"}"#);
        assert!(attributes(&of_org).iter().all(|(name, _)| *name != "env"));
        let roots = notice(r#"{"notice":"published","org":"acme","env":"prod","revision":"1.2"}"#);
        let expected = [("org", "acme"), ("env", "prod")];
        assert_eq!(attributes(&roots), expected.map(|(name, value)| (name, value.to_owned())));
    }
}
