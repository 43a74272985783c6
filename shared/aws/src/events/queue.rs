//! Queues: the publisher's, for `functions/snapshot`, and the webhooks', for `functions/webhooks`. Each holds notices
//! that SNS delivers raw, and the clock's messages.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::propagation::Propagation;
use flagforge_platform::ports::{EventSink, Notice, Outbound, SystemTimer, Timer as _};
use flagforge_platform::{Error, Platform, handle};
use futures_util::future::{OptionFuture, join};
use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;

use super::BatchResponse;
use crate::chain;

/// A batch of a queue.
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
enum Publish {
    /// One environment, or all of an organization.
    Log(OrgKey, Option<EnvKey>),
    /// Everything, for what is getting old.
    Resign,
}

/// What a message to the webhooks' queue asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Tell {
    Organization(OrgKey),
    /// Everybody, for what is to be tried again.
    All,
}

/// The clock's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "notice", rename_all = "camelCase")]
enum Clock {
    Resign,
    Tell,
}

/// How long the clock's message spends on what has time: with what was under way then it ends within the function's two
/// minutes.
const LOOKED_AFTER_WITHIN: Duration = Duration::from_secs(45);

/// Publishes what the messages ask for, and answers those whose work failed. A message that nobody understands fails as
/// well, until the queue puts it among the dead letters.
///
/// The batch is what coalesces: however many messages are for one place, it is published once. What is immediate comes first,
/// and what has time last.
pub async fn snapshot(platform: &Platform, mut event: QueueEvent) -> BatchResponse {
    event.records.sort_by_key(|message| urgency_of(&message.body));
    serve(event, publish_of, 1, |task| async move {
        match task {
            Publish::Log(org, env) => handle::snapshot(platform, &notice(org, env)).await,
            Publish::Resign => {
                handle::resign(platform).await?;
                let until = SystemTimer.now().plus(LOOKED_AFTER_WITHIN);
                handle::reconcile(platform, until).await?;
                handle::sweep(platform, until).await
            }
        }
    })
    .await
}

/// Tells the endpoints of the organizations that the messages name, or all, and beside them `sink`, if there is one. Answers
/// as [`snapshot`] does.
pub async fn webhooks(
    platform: &Platform,
    outbound: &dyn Outbound,
    sink: Option<&dyn EventSink>,
    event: QueueEvent,
) -> BatchResponse {
    let until = SystemTimer.now().plus(handle::TELL_WITHIN);
    // Side by side: an endpoint that does not answer takes nothing of the time of the sink.
    serve(event, tell_of, handle::AT_A_TIME, |task| async move {
        match task {
            Tell::Organization(org) => {
                let events = sink.map(|sink| handle::events_until(platform, sink, &org, until));
                let webhooks = handle::webhooks_until(platform, outbound, &org, until);
                join(webhooks, OptionFuture::from(events)).await.0
            }
            Tell::All => {
                let events = sink.map(|sink| handle::all_events(platform, sink, until));
                let webhooks = handle::all_webhooks(platform, outbound, until);
                let (webhooks, events) = join(webhooks, OptionFuture::from(events)).await;
                webhooks.and(events.unwrap_or(Ok(())))
            }
        }
    })
    .await
}

/// Does what the messages ask for, each thing once, and answers those whose work failed.
async fn serve<T, W>(
    event: QueueEvent,
    read: fn(&str) -> Option<T>,
    at_a_time: usize,
    work: impl Fn(T) -> W,
) -> BatchResponse
where
    T: Debug + Clone + Eq + Hash,
    W: Future<Output = Result<(), Error>>,
{
    let messages: Vec<(String, Option<T>)> = event
        .records
        .into_iter()
        .map(|message| (message.message_id, read(&message.body)))
        .collect();
    let mut seen = HashSet::new();
    let tasks = messages.iter().filter_map(|(_, task)| task.clone());
    let tasks: Vec<T> = tasks.filter(|task| seen.insert(task.clone())).collect();
    let working: Vec<_> = tasks.into_iter().map(|task| done(task.clone(), work(task))).collect();
    let done: HashMap<T, bool> = stream::iter(working).buffer_unordered(at_a_time).collect().await;
    let failed = messages.into_iter().filter_map(|(id, task)| match task {
        Some(task) if done.get(&task) == Some(&true) => None,
        Some(_) => Some(id),
        None => {
            tracing::error!(message_id = id, "a message of the queue is no notice");
            Some(id)
        }
    });
    BatchResponse::of_failed(failed.collect::<Vec<_>>())
}

async fn done<T: Debug>(task: T, work: impl Future<Output = Result<(), Error>>) -> (T, bool) {
    let outcome = work.await;
    if let Err(error) = &outcome {
        tracing::error!(?task, error = chain(error), "a message's work failed");
    }
    (task, outcome.is_ok())
}

fn publish_of(body: &str) -> Option<Publish> {
    match serde_json::from_str(body) {
        Ok(Clock::Resign) => return Some(Publish::Resign),
        Ok(Clock::Tell) => return None,
        Err(_) => {}
    }
    Some(match serde_json::from_str(body).ok()? {
        Notice::Changed { org, env, .. } => Publish::Log(org, env),
        Notice::Published { org, env, .. } => Publish::Log(org, Some(env)),
    })
}

/// How soon a message's work has to be done. What is signed again, or is no notice, has time.
fn urgency_of(body: &str) -> Propagation {
    match serde_json::from_str(body) {
        Ok(Notice::Changed { propagation, .. }) => propagation,
        Ok(Notice::Published { .. }) => Propagation::default(),
        Err(_) => Propagation::Eventual,
    }
}

fn tell_of(body: &str) -> Option<Tell> {
    match serde_json::from_str(body) {
        Ok(Clock::Tell) => return Some(Tell::All),
        Ok(Clock::Resign) => return None,
        Err(_) => {}
    }
    match serde_json::from_str(body).ok()? {
        Notice::Changed { org, .. } => Some(Tell::Organization(org)),
        Notice::Published { .. } => None,
    }
}

/// That some entries were written; the publisher asks for no more.
fn notice(org: OrgKey, env: Option<EnvKey>) -> Notice {
    let (change, propagation) = ("queued".to_owned(), Propagation::default());
    Notice::Changed { org, env, number: 0, change, propagation }
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
        let answer = serve(event(&bodies), publish_of, 1, |task| {
            worked.lock().unwrap().push(task);
            async { Ok(()) }
        })
        .await;
        assert_eq!(answer, BatchResponse::default());
        let publish = |env: Option<&str>| {
            Publish::Log(OrgKey::new("acme").unwrap(), env.map(|env| EnvKey::new(env).unwrap()))
        };
        let expected =
            [publish(Some("prod")), publish(Some("dev")), publish(None), Publish::Resign];
        assert_eq!(*worked.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn only_what_failed_comes_again() {
        let bodies = [PROD, "not json", DEV, r#"{"notice":"unheard-of"}"#, PROD_LATER, RESIGN];
        let answer = serve(event(&bodies), publish_of, 1, |task| async move {
            match task {
                Publish::Log(_, Some(env)) if env.as_str() == "prod" => Err(Error::Unauthenticated),
                _ => Ok(()),
            }
        })
        .await;
        assert_eq!(answer.failed().collect::<Vec<_>>(), ["m0", "m1", "m3", "m4"]);
        let text = serde_json::to_string(&answer).unwrap();
        assert!(text.starts_with(r#"{"batchItemFailures":[{"itemIdentifier":"m0"},"#), "{text}");
    }

    #[test]
    fn a_kill_does_not_stand_behind_an_import_of_the_same_batch() {
        const IMPORT: &str = r#"{"notice":"changed","org":"acme","number":9,"change":"upsert-tenants","propagation":"eventual"}"#;
        const KILL: &str = r#"{"notice":"changed","org":"acme","env":"prod","number":8,"change":"kill","propagation":"immediate"}"#;
        let mut bodies = [RESIGN, IMPORT, PROD, KILL, "not json", ALL];
        bodies.sort_by_key(|body| urgency_of(body));
        assert_eq!(bodies, [KILL, PROD, ALL, RESIGN, IMPORT, "not json"]);
    }

    #[tokio::test]
    async fn without_hands_every_message_fails_and_none_is_lost() {
        let platform = Recorder::default().platform();
        let answer = snapshot(&platform, event(&[PROD, RESIGN])).await;
        assert_eq!(answer.failed().collect::<Vec<_>>(), ["m0", "m1"]);
    }

    #[tokio::test]
    async fn an_organization_is_told_once_for_all_its_logs_and_another_queues_clock_is_nobodys() {
        let asked = [PROD, DEV, ALL, r#"{"notice":"tell"}"#].map(tell_of);
        let acme = Some(Tell::Organization(OrgKey::new("acme").unwrap()));
        assert_eq!(asked, [acme.clone(), acme.clone(), acme, Some(Tell::All)]);
        assert_eq!((tell_of(RESIGN), publish_of(r#"{"notice":"tell"}"#)), (None, None));
        let platform = Recorder::default().platform();
        let outbound = flagforge_platform::HttpOutbound::public_only();
        let answer = webhooks(&platform, &outbound, None, event(&[PROD, RESIGN])).await;
        assert_eq!(answer.failed().collect::<Vec<_>>(), ["m0", "m1"]);
    }
}
