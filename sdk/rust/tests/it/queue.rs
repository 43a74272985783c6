//! Doorbells from a queue, against a server that speaks as much of SQS as asking needs.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use flagforge::origin::{Credentials, NoticesSeen, SetupError, SqsQueue};
use flagforge::{Client, Flag, Status};
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

use crate::kit::{Publisher, boolean, directory};

const DASHBOARD: Flag<bool> = Flag::new("new-dashboard", false);
const LONG: Duration = Duration::from_secs(3_600);
const SOON: Duration = Duration::from_secs(10);

/// A queue that hides what it handed out, and forgets what was deleted.
#[derive(Default)]
struct Queue {
    waiting: Mutex<VecDeque<String>>,
    hidden: Mutex<Vec<String>>,
    arrived: Notify,
    asked: Mutex<Vec<(HeaderMap, Json)>>,
    away: Mutex<bool>,
}

impl Queue {
    fn send(&self, body: &dyn Display) {
        self.waiting.lock().unwrap().push_back(body.to_string());
        self.arrived.notify_one();
    }

    fn is_empty(&self) -> bool {
        self.waiting.lock().unwrap().is_empty() && self.hidden.lock().unwrap().is_empty()
    }
}

async fn call(State(queue): State<Arc<Queue>>, headers: HeaderMap, body: Bytes) -> Response {
    let asked: Json = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        asked["QueueUrl"].as_str().map(|url| url.ends_with("/000000000000/bells")),
        Some(true)
    );
    queue.asked.lock().unwrap().push((headers.clone(), asked.clone()));
    if *queue.away.lock().unwrap() {
        return (StatusCode::SERVICE_UNAVAILABLE, "{\"__type\":\"Throttled\"}").into_response();
    }
    let answer = match headers["x-amz-target"].to_str().unwrap() {
        "AmazonSQS.ReceiveMessage" => {
            if queue.waiting.lock().unwrap().is_empty() {
                let wait = Duration::from_secs(asked["WaitTimeSeconds"].as_u64().unwrap());
                let _ = tokio::time::timeout(wait, queue.arrived.notified()).await;
            }
            let (mut waiting, mut hidden) =
                (queue.waiting.lock().unwrap(), queue.hidden.lock().unwrap());
            let count = waiting
                .len()
                .min(usize::try_from(asked["MaxNumberOfMessages"].as_u64().unwrap()).unwrap());
            let messages: Vec<Json> = waiting
                .drain(..count)
                .map(|body| {
                    let handle = format!("handle of {body}");
                    hidden.push(handle.clone());
                    json!({"MessageId": "m", "ReceiptHandle": handle, "Body": body})
                })
                .collect();
            // SQS leaves the member out where there is none.
            if messages.is_empty() { json!({}) } else { json!({"Messages": messages}) }
        }
        "AmazonSQS.DeleteMessageBatch" => {
            let entries = asked["Entries"].as_array().unwrap();
            assert!(!entries.is_empty() && entries.len() <= 10);
            let ids: std::collections::BTreeSet<_> =
                entries.iter().map(|e| e["Id"].as_str()).collect();
            assert_eq!(ids.len(), entries.len());
            for entry in entries {
                let handle = entry["ReceiptHandle"].as_str().unwrap();
                queue.hidden.lock().unwrap().retain(|hidden| hidden != handle);
            }
            json!({"Successful": [], "Failed": []})
        }
        other => panic!("{other}"),
    };
    ([("content-type", "application/x-amz-json-1.0")], answer.to_string()).into_response()
}

async fn serve() -> (Arc<Queue>, SqsQueue, String) {
    let queue = Arc::new(Queue::default());
    let app = Router::new().fallback(call).with_state(Arc::clone(&queue));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/000000000000/bells", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let asking = SqsQueue::new(&url, "eu-central-1", credentials()).unwrap();
    (queue, asking, url)
}

fn credentials() -> Credentials {
    Credentials {
        access_key_id: "AKIDEXAMPLE".into(),
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
        session_token: Some("a/session+token==".into()),
    }
}

struct Place {
    publisher: Publisher,
    client: Client,
    _folder: tempfile::TempDir,
}

impl Place {
    async fn new(env: &str, queue: &SqsQueue) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut publisher = Publisher::of(folder.path(), "demo", env);
        publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &[])]);
        let client = Client::connect(&publisher.connection())
            .poll_every(LONG)
            .notified_by(queue)
            .await
            .unwrap();
        assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());
        Self { publisher, client, _folder: folder }
    }

    fn flip(&mut self) {
        self.publisher
            .publish(&[boolean("new-dashboard")], &[directory("acme", &["new-dashboard"])]);
    }

    fn sees(&self) -> bool {
        self.client.tenant("acme").unwrap().flags().get(&DASHBOARD)
    }
}

fn notice(env: &str) -> Json {
    json!({"notice": "published", "org": "demo", "env": env, "revision": "1.2", "more": 1})
}

async fn until(what: &str, mut so: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < SOON, "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    begun.elapsed()
}

#[tokio::test]
async fn a_message_wakes_its_environment_and_no_other() {
    let (queue, asking, _) = serve().await;
    let (mut prod, mut dev) = (Place::new("prod", &asking).await, Place::new("dev", &asking).await);
    prod.flip();
    dev.flip();
    // Raw, and as SNS wraps it.
    queue.send(&notice("prod"));
    assert!(until("prod", || prod.sees()).await < Duration::from_secs(2));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!dev.sees(), "it was another's message");
    queue.send(&json!({"Type": "Notification", "Message": notice("dev").to_string()}));
    until("dev", || dev.sees()).await;
    until("both are deleted", || queue.is_empty()).await;
    let expected = NoticesSeen { published: 2, rung: 2, ..NoticesSeen::default() };
    assert_eq!(asking.seen(), expected);

    // The client that asked for both goes, and the other one asks from there on.
    assert!(prod.client.close().await);
    dev.publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &[])]);
    queue.send(&notice("dev"));
    until("dev again", || !dev.sees()).await;
}

#[tokio::test]
async fn what_is_no_notice_is_counted_and_deleted() {
    let (queue, asking, _) = serve().await;
    let mut prod = Place::new("prod", &asking).await;
    let bad = ["", "{", "[]", "\u{0}", "{\"notice\":\"published\"}", "{\"Message\":\"{\"}", "7"];
    bad.iter().for_each(|body| queue.send(body));
    queue.send(&json!({"notice": "published", "org": 7, "env": []}));
    queue.send(
        &json!({"notice": "changed", "org": "demo", "env": "prod", "number": 1, "change": "kill"}),
    );
    queue.send(&json!({"notice": "of-another-time"}));
    queue.send(&json!({"notice": "published", "org": "rival", "env": "prod", "revision": "1.1"}));
    queue.send(&"x".repeat(200_000));
    prod.flip();
    queue.send(&notice("prod"));
    until("the flip", || prod.sees()).await;
    until("all are deleted", || queue.is_empty()).await;
    let (malformed, passed_over) = (bad.len() as u64 + 2, 2);
    let expected = NoticesSeen { published: 2, rung: 1, passed_over, malformed, failures: 0 };
    assert_eq!(asking.seen(), expected);
    assert_eq!(prod.client.status(), Status::Ready);
}

#[tokio::test]
async fn a_queue_that_is_away_costs_time_only() {
    let (queue, asking, _) = serve().await;
    *queue.away.lock().unwrap() = true;
    let mut prod = Place::new("prod", &asking).await;
    until("failures", || asking.seen().failures >= 3).await;
    assert_eq!((prod.client.status(), prod.client.trouble()), (Status::Ready, None));
    prod.flip();
    let age = Duration::ZERO;
    let status = prod.client.refresh_if_older(age).within(SOON).await;
    assert!(status == Status::Ready && prod.sees());
    assert!(queue.asked.lock().unwrap().len() < 20, "it backs off");

    *queue.away.lock().unwrap() = false;
    prod.publisher.publish(&[boolean("new-dashboard")], &[directory("acme", &[])]);
    queue.send(&notice("prod"));
    until("the message", || !prod.sees()).await;
}

#[tokio::test]
async fn asks_are_long_and_signed() {
    let (queue, asking, url) = serve().await;
    let prod = Place::new("prod", &asking).await;
    queue.send(&notice("prod"));
    until("deleted", || queue.asked.lock().unwrap().len() >= 3 && queue.is_empty()).await;
    let asked = queue.asked.lock().unwrap().clone();
    let receive = json!({"QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 20});
    assert_eq!(asked[0].1, receive);
    for (headers, body) in &asked {
        let text = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
        let (authorization, stamp) = (text("authorization"), text("x-amz-date"));
        let scope = format!("Credential=AKIDEXAMPLE/{}/eu-central-1/sqs/aws4_request", &stamp[..8]);
        assert!(authorization.contains(&scope), "{authorization}");
        let signed =
            "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target,";
        assert!(authorization.contains(signed), "{authorization}");
        assert_eq!(text("content-type"), "application/x-amz-json-1.0");
        assert_eq!(text("x-amz-security-token"), "a/session+token==");
        assert!(!body.to_string().contains("wJalr"));
    }
    assert!(!format!("{asking:?}").contains("wJalr"));
    assert!(prod.client.close().await);
    for bad in ["", "bells", "ftp://h/1/bells", "http://h", "http://h/", "http://h/1/bells?x=1"] {
        let refused = SqsQueue::new(bad, "r", credentials());
        assert!(matches!(refused, Err(SetupError::Address(_))), "{bad}");
    }
}
