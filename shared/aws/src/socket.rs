//! Words to whoever is connected by WebSocket: API Gateway holds the connections, and this tells it what to say.

use std::time::Duration;

use aws_sdk_apigatewaymanagement::Client;
use aws_sdk_apigatewaymanagement::config::Builder;
use aws_sdk_apigatewaymanagement::config::retry::RetryConfig;
use aws_sdk_apigatewaymanagement::config::timeout::TimeoutConfig;
use aws_sdk_apigatewaymanagement::error::SdkError;
use aws_sdk_apigatewaymanagement::primitives::Blob;
use thiserror::Error;

use crate::Connection;
use crate::settings::{Settings, SettingsError, Variable};

/// One try at one connection. API Gateway takes a word in milliseconds, and holds one for who reads slowly.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// With its second try: one connection keeps its place among those that are told at once for no longer.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);
const ATTEMPTS: u32 = 2;

/// The connections of one WebSocket API.
#[derive(Debug, Clone)]
pub struct Socket {
    client: Client,
}

/// Why somebody was not told.
#[derive(Debug, Error)]
pub enum Untold {
    /// There is no such connection any more, or not yet.
    #[error("the connection is gone")]
    Gone,
    /// Anything else: throttled, broken, refused.
    #[error("the connection could not be told")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Socket {
    /// The API whose address the settings name. Nothing is sent yet.
    pub fn new(connection: &Connection, settings: &Settings) -> Result<Self, SettingsError> {
        let missing = SettingsError::Missing(Variable::SocketEndpoint);
        let endpoint = settings.socket_endpoint.as_deref().ok_or(missing)?;
        Ok(Self::at(connection, endpoint))
    }

    pub(crate) fn at(connection: &Connection, endpoint: &str) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let config = Builder::from(connection.sdk()).endpoint_url(endpoint);
        let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS);
        let config = config.timeout_config(timeouts).retry_config(retries);
        Self { client: Client::from_conf(config.build()) }
    }

    /// Says something to one connection.
    pub async fn say(&self, connection: &str, text: &str) -> Result<(), Untold> {
        let request = self.client.post_to_connection().connection_id(connection);
        let sent = request.data(Blob::new(text.as_bytes())).send().await;
        sent.map(drop).map_err(|error| untold(status(&error), error))
    }

    /// Ends one connection; one that is gone is ended.
    pub async fn end(&self, connection: &str) -> Result<(), Untold> {
        let sent = self.client.delete_connection().connection_id(connection).send().await;
        match sent.map_err(|error| untold(status(&error), error)) {
            Ok(_) | Err(Untold::Gone) => Ok(()),
            Err(failed) => Err(failed),
        }
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

fn untold(
    status: Option<u16>,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Untold {
    if status == Some(410) { Untold::Gone } else { Untold::Failed(error.into()) }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::faults::Cloud;

    const THROTTLED: &str = "429 Too Many Requests\r\nx-amzn-errortype: LimitExceededException";

    fn cloud(status: &'static str) -> (Cloud, Arc<Mutex<Vec<String>>>) {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&heads);
        let cloud = Cloud::playing(move |head, body| {
            heard.lock().unwrap().push(format!("{} {body}", head.lines().next().unwrap()));
            (status.to_owned(), String::new())
        });
        (cloud, heads)
    }

    fn socket(cloud: &Cloud) -> Socket {
        let endpoint = cloud.connection.sdk().endpoint_url().unwrap().to_owned();
        Socket::at(&cloud.connection, &format!("{endpoint}/v1"))
    }

    #[tokio::test]
    async fn words_go_to_one_connection_whatever_its_id_is_made_of() {
        let (cloud, heads) = cloud("200 OK");
        socket(&cloud).say("L0SM9cOFvHcCIhw=", "{\"serial\":7}").await.unwrap();
        socket(&cloud).end("L0SM9cOFvHcCIhw=").await.unwrap();
        let heads = heads.lock().unwrap();
        assert_eq!(heads[0], "post /v1/@connections/l0sm9cofvhccihw%3d http/1.1 {\"serial\":7}");
        assert_eq!(heads[1], "delete /v1/@connections/l0sm9cofvhccihw%3d http/1.1 ");
    }

    #[tokio::test]
    async fn one_that_is_gone_is_told_apart_from_one_that_could_not_be_told() {
        let (gone, _) = cloud("410 Gone");
        assert!(matches!(socket(&gone).say("a", "x").await, Err(Untold::Gone)));
        assert!(socket(&gone).end("a").await.is_ok());
        assert_eq!(gone.asked(), 2, "who is gone is not told twice");
        for (status, tries) in
            [("403 Forbidden", 1), ("500 Internal Server Error", 2), (THROTTLED, 2)]
        {
            let (cloud, _) = cloud(status);
            assert!(
                matches!(socket(&cloud).say("a", "x").await, Err(Untold::Failed(_))),
                "{status}"
            );
            assert_eq!(cloud.asked(), tries, "{status}");
        }
    }
}
