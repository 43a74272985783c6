//! Announcements by SNS over HTTPS: a topic tells the relay that an environment has a new root. What it says is believed no
//! further than a doorbell is: the root is fetched and verified as ever. It is verified all the same, so that no stranger makes
//! the relay ask its origin. (Amazon SNS Developer Guide, "Parsing message formats" and "Verifying message signatures".)

mod certificate;
mod message;
mod topic;
mod web;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::rate::{Buckets, Rate};
use serde::Deserialize;
use tracing::{debug, info, warn};

pub use topic::{Topic, TopicError};
pub use web::{OverHttps, Web, WebError};

use crate::clock;
use crate::env_id::EnvId;
use crate::ofrep;
use crate::problem::Refused;
use crate::relay::Relay;
use certificate::Certificates;
use message::{Kind, Message};

/// Bytes of a message with all that SNS writes around it: SNS takes messages of 256 KiB at most, and a notice has 150 bytes.
const MAX_BYTES: usize = 256 * 1024;
/// Messages that are looked at: verifying one takes 30 µs, and a publisher that is told to do its worst announces a few a second.
const RATE: Rate = Rate { per_second: 100, burst_seconds: 5 };

/// Which topics are believed, and what reaches AWS.
#[derive(Debug)]
pub struct Sns {
    topics: Vec<Topic>,
    web: Arc<dyn Web>,
    certificates: Certificates,
    looked_at: Buckets<()>,
}

/// Why a message does not count. Strangers are told nothing of it that they did not say.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Unbelieved {
    /// Not a message, or not one of these topics, or not of this hour: what anybody could see of it.
    Message(String),
    /// Its certificate cannot be had now.
    Certificate(String),
}

#[derive(Deserialize)]
#[serde(tag = "notice", rename_all = "camelCase")]
enum Notice {
    Published {
        org: OrgKey,
        env: EnvKey,
    },
    #[serde(other)]
    Another,
}

impl Sns {
    /// Believes these topics, and reaches AWS by this way: [`OverHttps`], but in tests.
    pub fn new(topics: Vec<Topic>, web: Arc<dyn Web>) -> Arc<Self> {
        let certificates = Certificates::new(Arc::clone(&web));
        Arc::new(Self { topics, web, certificates, looked_at: Buckets::default() })
    }

    /// A message that is one of a believed topic's, by its signature.
    async fn believed(&self, body: &[u8]) -> Result<Message, Unbelieved> {
        let now = clock::now();
        let message = Message::read(body).map_err(Unbelieved::Message)?;
        let topic = self.topics.iter().find(|topic| topic.arn() == message.topic_arn);
        let topic = topic.ok_or_else(|| Unbelieved::Message("no topic that is believed".into()))?;
        message.check_time(now).map_err(Unbelieved::Message)?;
        let address = topic.certificate(&message.signing_cert_url);
        let address = address.map_err(|error| Unbelieved::Message(error.to_string()))?;
        let certificate = self.certificates.get(&address, now).await;
        let certificate =
            certificate.map_err(|error| Unbelieved::Certificate(error.to_string()))?;
        let verified = certificate.verify(&message, now);
        verified.map_err(|why| Unbelieved::Message(why.to_owned()))?;
        Ok(message)
    }

    /// Tells SNS that this relay asked to be told. Only a topic that it believes gets here.
    async fn confirm(&self, message: &Message) -> Result<(), Refused> {
        let topic = self.topics.iter().find(|topic| topic.arn() == message.topic_arn);
        let asked = message.subscribe_url.as_deref().unwrap_or_default();
        let address = topic.and_then(|topic| topic.confirmation(asked).ok());
        let Some(address) = address else {
            return Err(Refused::Invalid("SubscribeURL is no address of the topic's SNS".into()));
        };
        match self.web.confirm(&address).await {
            Ok(()) => {
                info!(topic = message.topic_arn, "subscribed");
                Ok(())
            }
            Err(error) => {
                warn!(topic = message.topic_arn, %error, "the subscription was not confirmed");
                // SNS sends it again.
                Err(Refused::Unavailable("the subscription could not be confirmed"))
            }
        }
    }
}

/// `POST /notify/sns`: 204 where a message was believed, whatever came of it.
pub(crate) async fn notified(State(relay): State<Arc<Relay>>, body: Body) -> Response {
    match hear(&relay, body).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refused) => refused.problem(),
    }
}

async fn hear(relay: &Arc<Relay>, body: Body) -> Result<(), Refused> {
    let sns = relay.config.sns.as_ref().ok_or(Refused::NotFound("no topic is believed here"))?;
    let looked_at = sns.looked_at.take((), RATE, clock::now());
    looked_at.map_err(|empty| Refused::TooMany {
        whose: "address",
        per_second: RATE.per_second,
        retry_after_seconds: empty.retry_after_seconds,
    })?;
    let body = ofrep::whole_within(body, MAX_BYTES).await?;
    let message = match sns.believed(&body).await {
        Ok(message) => message,
        Err(Unbelieved::Message(why)) => {
            debug!(why, "a message is not believed");
            return Err(Refused::Invalid(why));
        }
        Err(Unbelieved::Certificate(why)) => {
            warn!(why, "no certificate of SNS");
            return Err(Refused::Unavailable("the message's certificate cannot be had"));
        }
    };
    match message.kind {
        Kind::Notification => ring(relay, &message),
        Kind::SubscriptionConfirmation => sns.confirm(&message).await?,
        // To confirm would be to subscribe again, which whoever ended it does not want.
        Kind::UnsubscribeConfirmation => {
            warn!(topic = message.topic_arn, "unsubscribed: polls find new roots from here on");
        }
    }
    Ok(())
}

fn ring(relay: &Arc<Relay>, message: &Message) {
    match serde_json::from_str(&message.message) {
        Ok(Notice::Published { org, env }) => relay.announced(EnvId { org, env }),
        Ok(Notice::Another) => {}
        Err(error) => debug!(%error, topic = message.topic_arn, "a message is no notice"),
    }
}
