//! The table's stream, for `functions/fanout`.

use flagforge_platform::ports::{FeedRecord, Item, ItemKey};
use flagforge_platform::{Error, Platform, handle};
use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error as ThisError;

use super::BatchResponse;
use crate::settings::BatchFailures;

/// Notices under way at a time: a batch of 100 takes a handful of round trips to SNS.
const PUBLISHED_AT_A_TIME: usize = 16;

/// A batch of the stream. Records are read one by one, so that one which is not ours fails nobody else.
#[derive(Debug, Deserialize)]
pub struct StreamEvent {
    #[serde(rename = "Records", default)]
    records: Vec<Value>,
}

/// A record's place in the stream was not told, so nothing after it can be: the batch has to come again.
#[derive(Debug, ThisError)]
pub enum BatchError {
    /// A record failed, and the batch is answered as one.
    #[error("the batch was not published")]
    Whole(#[source] Error),
    /// A record failed that has no sequence number to name it by.
    #[error("a record without a sequence number was not published")]
    Unnamed(#[source] Error),
}

/// Rings for every log entry in the batch. Answers the first record that was not told, from which Lambda goes on, or an error
/// when `failures` wants the batch whole again. Telling twice is harmless.
pub async fn fanout(
    platform: &Platform,
    event: StreamEvent,
    failures: BatchFailures,
) -> Result<BatchResponse, BatchError> {
    let records: Vec<(Option<String>, FeedRecord)> =
        event.records.into_iter().filter_map(feed_record).collect();
    let told = stream::iter(&records)
        .map(|(_, record)| handle::fanout(platform, std::slice::from_ref(record)))
        .buffered(PUBLISHED_AT_A_TIME)
        .collect::<Vec<Result<(), Error>>>()
        .await;
    let first =
        records.iter().zip(told).find_map(|((number, _), told)| Some((number, told.err()?)));
    match (first, failures) {
        (None, _) => Ok(BatchResponse::default()),
        (Some((_, error)), BatchFailures::Whole) => Err(BatchError::Whole(error)),
        (Some((None, error)), BatchFailures::Partial) => Err(BatchError::Unnamed(error)),
        (Some((Some(number), error)), BatchFailures::Partial) => {
            tracing::error!(%error, number, "a record was not published; the stream comes again from it");
            Ok(BatchResponse::of_failed([number.clone()]))
        }
    }
}

/// The record in the port's words and its sequence number; `None` for one that is not of our table's form, which no repeat
/// would mend.
fn feed_record(record: Value) -> Option<(Option<String>, FeedRecord)> {
    match serde_json::from_value::<Record>(record) {
        Ok(Record { dynamodb: Change { keys, new_image, sequence_number } }) => {
            let key = ItemKey { pk: keys.pk.s, sk: keys.sk.s };
            let item = new_image.map(|image| Item {
                key: key.clone(),
                version: image.v.n,
                body: image.body.s,
                expires_at_seconds: image.expires.map(|expires| expires.n),
            });
            Some((sequence_number, FeedRecord { key, item }))
        }
        Err(error) => {
            tracing::error!(%error, "a record of the stream is not of the table's form and was passed over");
            None
        }
    }
}

#[derive(Deserialize)]
struct Record {
    dynamodb: Change,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    keys: Keys,
    #[serde(default)]
    new_image: Option<Image>,
    #[serde(default)]
    sequence_number: Option<String>,
}

#[derive(Deserialize)]
struct Keys {
    pk: Text,
    sk: Text,
}

#[derive(Deserialize)]
struct Image {
    v: Number<u64>,
    body: Text,
    #[serde(default)]
    expires: Option<Number<i64>>,
}

/// `{"S": "text"}`.
#[derive(Deserialize)]
struct Text {
    #[serde(rename = "S")]
    s: String,
}

/// `{"N": "12"}`.
#[derive(Deserialize)]
#[serde(bound = "T: std::str::FromStr, T::Err: std::fmt::Display")]
struct Number<T> {
    #[serde(rename = "N", deserialize_with = "from_digits")]
    n: T,
}

fn from_digits<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::events::recorder::Recorder;

    /// A record as DynamoDB Streams writes it, the fields that nobody reads included.
    fn entry(pk: &str, sk: &str, number: u64) -> Value {
        let body = json!({
            "number": number, "id": "e1", "at": "2026-01-01T00:00:00.000Z", "requestId": "r1",
            "by": {"actor": "system", "name": "test"}, "change": {"change": "set-enabled"},
            "images": [{"pk": pk, "sk": "STATE#a", "body": {"state": {"enabled": true}}}], "previous": "00".repeat(32),
        });
        json!({
            "eventID": "1", "eventName": "INSERT", "eventVersion": "1.1", "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1", "eventSourceARN": "arn:aws:dynamodb:…",
            "dynamodb": {
                "ApproximateCreationDateTime": 1.7e9, "SizeBytes": 99, "StreamViewType": "NEW_IMAGE",
                "SequenceNumber": format!("{number}00"),
                "Keys": {"pk": {"S": pk}, "sk": {"S": sk}},
                "NewImage": {
                    "pk": {"S": pk}, "sk": {"S": sk}, "v": {"N": number.to_string()},
                    "body": {"S": body.to_string()},
                },
            },
        })
    }

    fn event(records: &[Value]) -> StreamEvent {
        serde_json::from_value(json!({ "Records": records })).unwrap()
    }

    #[test]
    fn a_record_becomes_the_ports_own() {
        let mut record = entry("acme#", "FLAG#a", 7);
        record["dynamodb"]["NewImage"]["body"] = json!({"S": "{}"});
        record["dynamodb"]["NewImage"]["expires"] = json!({"N": "-5"});
        let key = ItemKey::new("acme#", "FLAG#a");
        let item =
            Item { key: key.clone(), version: 7, body: "{}".into(), expires_at_seconds: Some(-5) };
        let expected = FeedRecord { key, item: Some(item) };
        assert_eq!(feed_record(record.clone()).unwrap(), (Some("700".to_owned()), expected));
        record["dynamodb"].as_object_mut().unwrap().remove("NewImage");
        assert_eq!(feed_record(record).unwrap().1.item, None);
    }

    #[test]
    fn what_is_not_of_our_form_is_passed_over() {
        let mut no_version = entry("acme#", "FLAG#a", 7);
        no_version["dynamodb"]["NewImage"]["v"] = json!({"N": "1.5"});
        for poison in [json!(null), json!({}), json!({"dynamodb": {}}), no_version] {
            assert!(feed_record(poison).is_none());
        }
    }

    #[tokio::test]
    async fn log_entries_ring_and_items_do_not() {
        let recorder = Recorder::default();
        let records = vec![
            entry("acme#", "FLAG#a", 1),
            entry("acme#env#prod#log", "LOG#00000000000000000001", 1),
            json!({"poison": true}),
            entry("acme#log", "LOG#00000000000000000002", 2),
        ];
        let answer =
            fanout(&recorder.platform(), event(&records), BatchFailures::Partial).await.unwrap();
        assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"batchItemFailures":[]}"#);
        assert_eq!(recorder.rung(), ["acme/prod 1 set-enabled", "acme 2 set-enabled"]);
        let nothing = fanout(&recorder.platform(), event(&[]), BatchFailures::Partial).await;
        assert_eq!(nothing.unwrap(), BatchResponse::default());
    }

    #[tokio::test]
    async fn the_first_record_that_failed_is_answered() {
        let batch = || -> Vec<Value> {
            (1..=40).map(|n| entry("acme#env#prod#log", &format!("LOG#{n:020}"), n)).collect()
        };
        for refused in [vec![1], vec![40], vec![17, 23], vec![3, 4, 5]] {
            let recorder = Recorder::refusing(&refused);
            let platform = recorder.platform();
            let answer = fanout(&platform, event(&batch()), BatchFailures::Partial).await.unwrap();
            assert_eq!(answer.failed().collect::<Vec<_>>(), [format!("{}00", refused[0])]);
            let whole = fanout(&platform, event(&batch()), BatchFailures::Whole).await;
            assert!(matches!(whole, Err(BatchError::Whole(_))));
        }
    }

    #[tokio::test]
    async fn a_failure_that_cannot_be_named_fails_the_batch() {
        let recorder = Recorder::refusing(&[1]);
        let mut record = entry("acme#env#prod#log", "LOG#00000000000000000001", 1);
        record["dynamodb"].as_object_mut().unwrap().remove("SequenceNumber");
        let answer = fanout(&recorder.platform(), event(&[record]), BatchFailures::Partial).await;
        assert!(matches!(answer, Err(BatchError::Unnamed(_))));
    }
}
