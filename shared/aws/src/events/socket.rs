//! What `functions/connect` is told: that somebody connects by WebSocket, says something or is gone (API Gateway Developer
//! Guide, "Set up integration request for WebSocket APIs"), and what SNS announces.

use std::collections::HashMap;

use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_platform::ports::Notice;
use serde::{Deserialize, Serialize};

/// One event of either source.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum SocketEvent {
    /// A route of the WebSocket API.
    #[serde(rename_all = "camelCase")]
    Route {
        /// Whose connection, and what about it.
        request_context: RequestContext,
        /// Of the request that asks for the connection; afterwards there are none.
        headers: Option<HashMap<String, String>>,
    },
    /// Messages of SNS.
    #[serde(rename_all = "PascalCase")]
    Topic {
        /// One as a rule.
        records: Vec<Record>,
    },
}

/// Whose connection, and what about it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestContext {
    /// What is going on.
    pub event_type: EventType,
    /// By what name API Gateway knows the connection.
    pub connection_id: String,
}

/// What goes on with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EventType {
    /// Somebody asks for it.
    Connect,
    /// Somebody says something.
    Message,
    /// It is gone.
    Disconnect,
}

/// A message of SNS.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Record {
    sns: Sns,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sns {
    message: String,
}

impl Record {
    /// The environment of which it says that it has new roots; `None` for every other message, which is logged.
    pub fn published(&self) -> Option<(OrgKey, EnvKey)> {
        match serde_json::from_str(&self.sns.message) {
            Ok(Notice::Published { org, env, .. }) => Some((org, env)),
            Ok(Notice::Changed { .. }) => None,
            Err(error) => {
                tracing::error!(%error, "a message that is no notice was passed over");
                None
            }
        }
    }
}

/// What API Gateway is answered. What SNS is answered says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SocketAnswer {
    /// Whether the connection comes to be: 200, or why not.
    pub status_code: u16,
    /// What is said in return, where something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> SocketEvent {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn routes_are_told_from_messages_of_the_topic() {
        let connect = read(
            r#"{"headers":{"Authorization":"Bearer x","Host":"h"},"multiValueHeaders":{},"isBase64Encoded":false,
                "requestContext":{"routeKey":"$connect","eventType":"CONNECT","stage":"v1","connectedAt":1,
                "connectionId":"L0SM9cOFvHcCIhw=","apiId":"a","domainName":"a.execute-api.eu-central-1.amazonaws.com"}}"#,
        );
        let SocketEvent::Route { request_context, headers } = connect else { unreachable!() };
        assert_eq!(request_context.event_type, EventType::Connect);
        assert_eq!(request_context.connection_id, "L0SM9cOFvHcCIhw=");
        assert_eq!(headers.unwrap()["Authorization"], "Bearer x");
        for (word, kind) in [("MESSAGE", EventType::Message), ("DISCONNECT", EventType::Disconnect)]
        {
            let text = format!(
                r#"{{"requestContext":{{"eventType":"{word}","connectionId":"c"}},"body":"x"}}"#
            );
            let SocketEvent::Route { request_context, headers } = read(&text) else {
                unreachable!()
            };
            assert_eq!((request_context.event_type, headers), (kind, None));
        }
    }

    #[test]
    fn one_message_that_is_no_notice_spoils_itself_only() {
        let topic = read(
            r#"{"Records":[
                {"EventSource":"aws:sns","Sns":{"Message":"{\"notice\":\"published\",\"org\":\"acme\",\"env\":\"prod\",\"revision\":\"1.2\"}"}},
                {"EventSource":"aws:sns","Sns":{"Message":"nonsense"}},
                {"EventSource":"aws:sns","Sns":{"Message":"{\"notice\":\"changed\",\"org\":\"acme\",\"number\":1,\"change\":\"kill\"}"}}]}"#,
        );
        let SocketEvent::Topic { records } = topic else { unreachable!() };
        let told: Vec<_> = records.iter().map(Record::published).collect();
        let prod = (OrgKey::new("acme").unwrap(), EnvKey::new("prod").unwrap());
        assert_eq!(told, [Some(prod), None, None]);
    }
}
