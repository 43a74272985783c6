//! The publisher's queue, for `functions/snapshot`: notices that SNS delivers raw, and the clock's.

use std::collections::HashMap;
use std::future::Future;

use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_platform::ports::Notice;
use flagforge_platform::{Error, Platform, handle};
use serde::Deserialize;

use super::BatchResponse;

/// A batch of the queue.
#[derive(Debug, Deserialize)]
pub struct QueueEvent {
    #[serde(rename = "Records", default)]
    records: Vec<QueueMessage>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueueMessage {
    message_id: String,
    #[serde(default)]
    body: String,
}

/// What a message asks for. Messages that ask for the same are served by one round of work.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Task {
    /// One environment, or all of an organization.
    Publish(OrgKey, Option<EnvKey>),
    /// Everything, for what is getting old.
    Resign,
}

/// The clock's message.
#[derive(Debug, Deserialize)]
#[serde(tag = "notice", rename_all = "camelCase")]
enum Clock {
    Resign,
}

/// Publishes what the messages ask for, and answers those whose work failed. A message that nobody understands fails as
/// well, until the queue puts it among the dead letters.
pub async fn snapshot(platform: &Platform, event: QueueEvent) -> BatchResponse {
    serve(event, |task, notice| async move {
        match (task, notice) {
            (Task::Publish(..), Some(notice)) => handle::snapshot(platform, &notice).await,
            (Task::Publish(..), None) => Ok(()),
            (Task::Resign, _) => handle::resign(platform).await,
        }
    })
    .await
}

async fn serve<W>(event: QueueEvent, work: impl Fn(Task, Option<Notice>) -> W) -> BatchResponse
where
    W: Future<Output = Result<(), Error>>,
{
    let mut done: HashMap<Task, bool> = HashMap::new();
    let mut failed = Vec::new();
    for QueueMessage { message_id, body } in event.records {
        let Some((task, notice)) = read(&body) else {
            tracing::error!(message_id, "a message of the queue is no notice");
            failed.push(message_id);
            continue;
        };
        let is_done = match done.get(&task) {
            Some(is_done) => *is_done,
            None => {
                let outcome = work(task.clone(), notice).await;
                if let Err(error) = &outcome {
                    tracing::error!(message_id, ?task, error = chain(error), "not published");
                }
                done.insert(task, outcome.is_ok());
                outcome.is_ok()
            }
        };
        if !is_done {
            failed.push(message_id);
        }
    }
    BatchResponse::of_failed(failed)
}

fn read(body: &str) -> Option<(Task, Option<Notice>)> {
    if let Ok(Clock::Resign) = serde_json::from_str(body) {
        return Some((Task::Resign, None));
    }
    let notice: Notice = serde_json::from_str(body).ok()?;
    let task = match &notice {
        Notice::Changed { org, env, .. } => Task::Publish(org.clone(), env.clone()),
        Notice::Published { org, env, .. } => Task::Publish(org.clone(), Some(env.clone())),
    };
    Some((task, Some(notice)))
}

fn chain(error: &Error) -> String {
    let first: &dyn std::error::Error = error;
    let errors = std::iter::successors(Some(first), |error| error.source());
    errors.map(|error| error.to_string()).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;
    use crate::events::recorder::Recorder;

    fn event(bodies: &[&str]) -> QueueEvent {
        let message = |(index, body): (usize, &&str)| json!({"messageId": format!("m{index}"), "body": body, "receiptHandle": "x", "attributes": {}});
        let records: Vec<_> = bodies.iter().enumerate().map(message).collect();
        serde_json::from_value(json!({ "Records": records })).unwrap()
    }

    const PROD: &str =
        r#"{"notice":"changed","org":"acme","env":"prod","number":7,"change":"kill"}"#;
    const PROD_LATER: &str =
        r#"{"notice":"changed","org":"acme","env":"prod","number":8,"change":"enable"}"#;
    const DEV: &str = r#"{"notice":"changed","org":"acme","env":"dev","number":1,"change":"kill"}"#;
    const ALL: &str = r#"{"notice":"changed","org":"acme","number":3,"change":"put-tenant"}"#;
    const RESIGN: &str = r#"{"notice":"resign"}"#;

    #[tokio::test]
    async fn messages_for_one_environment_are_one_round_of_work() {
        let worked = Mutex::new(Vec::new());
        let bodies = [PROD, DEV, PROD_LATER, ALL, RESIGN, PROD, RESIGN];
        let answer = serve(event(&bodies), |task, _| {
            worked.lock().unwrap().push(task);
            async { Ok(()) }
        })
        .await;
        assert_eq!(answer, BatchResponse::default());
        let publish = |env: Option<&str>| {
            Task::Publish(OrgKey::new("acme").unwrap(), env.map(|env| EnvKey::new(env).unwrap()))
        };
        let expected = [publish(Some("prod")), publish(Some("dev")), publish(None), Task::Resign];
        assert_eq!(*worked.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn only_what_failed_comes_again() {
        let bodies = [PROD, "not json", DEV, r#"{"notice":"unheard-of"}"#, PROD_LATER, RESIGN];
        let answer = serve(event(&bodies), |task, _| async move {
            match task {
                Task::Publish(_, Some(env)) if env.as_str() == "prod" => {
                    Err(Error::Unauthenticated)
                }
                _ => Ok(()),
            }
        })
        .await;
        assert_eq!(answer.failed().collect::<Vec<_>>(), ["m0", "m1", "m3", "m4"]);
        let text = serde_json::to_string(&answer).unwrap();
        assert!(text.starts_with(r#"{"batchItemFailures":[{"itemIdentifier":"m0"},"#), "{text}");
    }

    #[tokio::test]
    async fn without_hands_every_message_fails_and_none_is_lost() {
        let platform = Recorder::default().platform();
        let answer = snapshot(&platform, event(&[PROD, RESIGN])).await;
        assert_eq!(answer.failed().collect::<Vec<_>>(), ["m0", "m1"]);
    }
}
