//! A message of SNS over HTTPS, and the text of it that is signed.

use std::time::Duration;

use flagforge_flags::time::Timestamp;
use serde::Deserialize;

/// SNS goes on trying to deliver for an hour at most; clocks of this machine's kind are not off by more than that either.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Kind {
    Notification,
    SubscriptionConfirmation,
    UnsubscribeConfirmation,
}

/// With which digest a message is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Version {
    /// RSA with SHA-1, SNS's default. To forge a message one would need a second preimage, which SHA-1 still denies.
    #[serde(rename = "1")]
    Sha1,
    /// RSA with SHA-256.
    #[serde(rename = "2")]
    Sha256,
}

/// A message. Delivery that is raw has none of this: it cannot be verified, and is refused as malformed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Message {
    #[serde(rename = "Type")]
    pub(super) kind: Kind,
    pub(super) topic_arn: String,
    pub(super) message: String,
    message_id: String,
    #[serde(default)]
    subject: Option<String>,
    timestamp: String,
    #[serde(default)]
    token: Option<String>,
    #[serde(default, rename = "SubscribeURL")]
    pub(super) subscribe_url: Option<String>,
    pub(super) signature_version: Version,
    pub(super) signature: String,
    #[serde(rename = "SigningCertURL")]
    pub(super) signing_cert_url: String,
}

impl Message {
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let why = |error| format!("not a message of SNS, or one whose delivery is raw: {error}");
        serde_json::from_slice(body).map_err(why)
    }

    /// Refuses what was said long ago, or will be.
    pub(super) fn check_time(&self, now: Timestamp) -> Result<(), String> {
        let said = instant(&self.timestamp).ok_or("Timestamp is none")?;
        let off = now.since(said).max(said.since(now));
        if off > MAX_AGE {
            return Err("Timestamp is over an hour off".into());
        }
        Ok(())
    }

    /// What the signature is over: names and values by turns, each with a line's end, those that count for the kind, in the
    /// order of their names.
    pub(super) fn signed(&self) -> String {
        let own = |text: &'_ Option<String>| text.clone();
        let always = |text: &str| Some(text.to_owned());
        let kind = match self.kind {
            Kind::Notification => "Notification",
            Kind::SubscriptionConfirmation => "SubscriptionConfirmation",
            Kind::UnsubscribeConfirmation => "UnsubscribeConfirmation",
        };
        let notification = self.kind == Kind::Notification;
        let fields = [
            ("Message", always(&self.message)),
            ("MessageId", always(&self.message_id)),
            ("Subject", own(&self.subject).filter(|_| notification)),
            ("SubscribeURL", own(&self.subscribe_url).filter(|_| !notification)),
            ("Timestamp", always(&self.timestamp)),
            ("Token", own(&self.token).filter(|_| !notification)),
            ("TopicArn", always(&self.topic_arn)),
            ("Type", always(kind)),
        ];
        let lines = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
        lines.map(|(name, value)| format!("{name}\n{value}\n")).collect()
    }
}

/// Read apart from the message, because its text is what is signed.
fn instant(text: &str) -> Option<Timestamp> {
    serde_json::from_value(text.into()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(kind: &str, subject: Option<&str>) -> Message {
        let message = json!({
            "Type": kind, "MessageId": "id", "TopicArn": "arn", "Subject": subject, "Message": "a\nb",
            "Timestamp": "2026-11-22T09:00:00.000Z", "SignatureVersion": "1", "Signature": "s",
            "SigningCertURL": "c", "SubscribeURL": "u", "Token": "t", "UnsubscribeURL": "not signed",
        });
        Message::read(message.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_is_signed_is_as_sns_documents_it() {
        let time = "Timestamp\n2026-11-22T09:00:00.000Z\n";
        let head = "Message\na\nb\nMessageId\nid\n";
        let notification = format!("{head}{time}TopicArn\narn\nType\nNotification\n");
        assert_eq!(read("Notification", None).signed(), notification);
        let with_subject =
            format!("{head}Subject\nhello\n{time}TopicArn\narn\nType\nNotification\n");
        assert_eq!(read("Notification", Some("hello")).signed(), with_subject);
        for kind in ["SubscriptionConfirmation", "UnsubscribeConfirmation"] {
            let text =
                format!("{head}SubscribeURL\nu\n{time}Token\nt\nTopicArn\narn\nType\n{kind}\n");
            assert_eq!(read(kind, Some("no part of it")).signed(), text);
        }
    }

    #[test]
    fn an_hour_holds_both_ways() {
        let message = read("Notification", None);
        let said = instant("2026-11-22T09:00:00.000Z").unwrap();
        let at =
            |millis: i64| message.check_time(Timestamp::from_millis(said.as_millis() + millis));
        let hour = 3_600_000;
        assert_eq!((at(hour), at(-hour), at(0)), (Ok(()), Ok(()), Ok(())));
        assert!(at(hour + 1).is_err() && at(-hour - 1).is_err());
    }

    #[test]
    fn what_is_no_message_is_none() {
        for body in ["", "[]", "{}", r#"{"notice":"published","org":"demo","env":"prod"}"#] {
            assert!(Message::read(body.as_bytes()).unwrap_err().contains("raw"), "{body}");
        }
        let mut other = json!({"Type": "Notification", "SignatureVersion": "3"});
        assert!(Message::read(other.to_string().as_bytes()).is_err());
        other["Type"] = json!("Other");
        assert!(Message::read(other.to_string().as_bytes()).is_err());
    }
}
