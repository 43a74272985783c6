//! What the hands make of a cloud that answers badly, or not at all: a listener here plays it, one answer a connection.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_platform::ports::{
    Bus as _, Condition, ETag, EventSink as _, Fetched, Item, ItemKey, Notice, ObjectError,
    Objects as _, Outgoing, PutIf, Query, Signer as _, Table as _, TableError, Write,
};

use crate::settings::Settings;
use crate::{Connection, DynamoTable, KmsSigner, S3Objects, SnsBus, SnsEvents, Topics};

/// A cloud that answers as it is told, and counts what it is asked.
pub(crate) struct Cloud {
    pub(crate) connection: Connection,
    asked: Arc<AtomicUsize>,
}

/// A status line, with headers if there are any, and a body.
pub(crate) type Answer = (String, String);

impl Cloud {
    /// Every request gets the same answer.
    fn answering(status: &'static str, body: &'static str) -> Self {
        Self::playing(move |_, _| (status.to_owned(), body.to_owned()))
    }

    /// Each request's head, in lower case, and body are asked for an answer.
    pub(crate) fn playing(answer: impl Fn(&str, &str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let asked = read_request(&mut stream.as_ref().unwrap());
                if let Some((head, body)) = asked {
                    let (status, body) = answer(&head, &body);
                    counter.fetch_add(1, Ordering::SeqCst);
                    // An answer may claim another length than it has.
                    let length = match status.contains("content-length") {
                        true => String::new(),
                        false => format!("content-length: {}\r\n", body.len()),
                    };
                    let head = format!("HTTP/1.1 {status}\r\n{length}connection: close\r\n\r\n");
                    let _ = stream.unwrap().write_all(format!("{head}{body}").as_bytes());
                }
            }
        });
        Self { connection: connection(&endpoint), asked }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn table(&self) -> DynamoTable {
        DynamoTable::new(&self.connection, "t")
    }

    fn objects(&self) -> S3Objects {
        S3Objects::new(&self.connection, "b")
    }
}

fn connection(endpoint: &str) -> Connection {
    let endpoint = endpoint.to_owned();
    let lookup = move |name: &str| match name {
        "AWS_ENDPOINT_URL" => Some(endpoint.clone()),
        _ => name.starts_with("AWS_").then(|| "us-east-1".to_owned()),
    };
    Connection::new(&Settings::read(&lookup, &[]).unwrap())
}

/// Reads the head, and as much body as it announces.
fn read_request(stream: &mut &TcpStream) -> Option<(String, String)> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        text.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&text).to_lowercase();
    let length = head.split("content-length:").nth(1).and_then(|rest| rest.lines().next());
    let length = length.and_then(|digits| digits.trim().parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8_lossy(&body).into_owned()))
}

fn put() -> Vec<Write> {
    let key = ItemKey::new("a#", "b");
    let item = Item { key, version: 1, body: "{}".into(), expires_at_seconds: None };
    vec![Write::Put { item, condition: Condition::Absent }]
}

#[tokio::test]
async fn a_table_that_throttles_is_contended_and_one_that_breaks_is_unavailable() {
    let throttled = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow down"}"#;
    let cloud = Cloud::answering("400 Bad Request", throttled);
    let outcome = cloud.table().transact(put(), None).await;
    assert!(matches!(outcome, Err(TableError::Contended)), "{outcome:?}");
    assert_eq!(cloud.asked(), 3);
    let in_progress = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionInProgressException","Message":"x"}"#;
    let nonsense = "<html>";
    for (status, body) in [
        ("400 Bad Request", in_progress),
        ("500 Internal Server Error", r#"{"__type":"InternalServerError"}"#),
        ("503 Service Unavailable", nonsense),
        ("200 OK", nonsense),
        ("403 Forbidden", r#"{"__type":"AccessDeniedException"}"#),
    ] {
        let cloud = Cloud::answering(status, body);
        let outcome = cloud.table().transact(put(), Some("token")).await;
        assert!(matches!(outcome, Err(TableError::Unavailable(_))), "{status} {body}: {outcome:?}");
    }
    let cloud = Cloud::answering("500 Internal Server Error", "{}");
    let key = ItemKey::new("a#", "b");
    assert!(matches!(cloud.table().get(&key).await, Err(TableError::Unavailable(_))));
    let query = Query::prefix("a#", "");
    assert!(matches!(cloud.table().query(&query).await, Err(TableError::Unavailable(_))));
}

#[tokio::test]
async fn a_cancelled_transaction_says_which_conditions_failed() {
    let body = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","Message":"…",
        "CancellationReasons":[{"Code":"ConditionalCheckFailed","Message":"…"}]}"#;
    let outcome = Cloud::answering("400 Bad Request", body).table().transact(put(), None).await;
    assert!(
        matches!(&outcome, Err(TableError::Conflict { failed }) if *failed == [0]),
        "{outcome:?}"
    );
    let body = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","Message":"…",
        "CancellationReasons":[{"Code":"TransactionConflict","Message":"…"}]}"#;
    let outcome = Cloud::answering("400 Bad Request", body).table().transact(put(), None).await;
    assert!(matches!(outcome, Err(TableError::Contended)), "{outcome:?}");
}

#[tokio::test]
async fn a_conditional_put_is_tried_once_and_a_lost_one_says_so() {
    let bytes = || Bytes::from_static(b"{}");
    let condition = || PutIf::Matches(ETag("\"x\"".into()));
    for (status, body) in [
        ("412 Precondition Failed", "<Error><Code>PreconditionFailed</Code></Error>"),
        ("409 Conflict", "<Error><Code>ConditionalRequestConflict</Code></Error>"),
        ("404 Not Found", "<Error><Code>NoSuchKey</Code></Error>"),
    ] {
        let cloud = Cloud::answering(status, body);
        let outcome = cloud.objects().put("a", bytes(), "text/plain", condition()).await;
        assert!(matches!(outcome, Err(ObjectError::Lost)), "{status}: {outcome:?}");
    }
    let cloud = Cloud::answering("503 Slow Down", "<Error><Code>SlowDown</Code></Error>");
    for condition in [condition(), PutIf::Absent] {
        let outcome = cloud.objects().put("a", bytes(), "text/plain", condition).await;
        assert!(matches!(outcome, Err(ObjectError::Unavailable(_))), "{outcome:?}");
    }
    assert_eq!(cloud.asked(), 2);
    let outcome = cloud.objects().put("a", bytes(), "text/plain", PutIf::Any).await;
    assert!(matches!(outcome, Err(ObjectError::Unavailable(_))), "{outcome:?}");
    assert_eq!(cloud.asked(), 2 + 3);
}

#[tokio::test]
async fn a_missing_bucket_is_not_a_missing_object() {
    let missing = |body| Cloud::answering("404 Not Found", body);
    let absent = missing("<Error><Code>NoSuchKey</Code></Error>").objects().get("a", None).await;
    assert_eq!(absent.unwrap(), Fetched::Absent);
    let bucket = missing("<Error><Code>NoSuchBucket</Code></Error>").objects().get("a", None).await;
    assert!(matches!(bucket, Err(ObjectError::Unavailable(_))), "{bucket:?}");
    let refused = Cloud::answering("403 Forbidden", "").objects().get("a", None).await;
    assert!(matches!(refused, Err(ObjectError::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn an_object_over_the_limit_is_refused_before_it_is_read() {
    let head = "200 OK\r\netag: \"x\"\r\ncontent-length: 16777217";
    let outcome = Cloud::answering(head, "").objects().get("a", None).await;
    let Err(ObjectError::Unavailable(fault)) = outcome else { unreachable!("{outcome:?}") };
    assert_eq!(fault.to_string(), "the object has 16777217 bytes, over the limit of 16777216");
}

#[tokio::test]
async fn nobody_there_is_unavailable_everywhere() {
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let connection = connection(&format!("http://{free}"));
    let table = DynamoTable::new(&connection, "t");
    let read = table.get(&ItemKey::new("a#", "b")).await;
    assert!(matches!(read, Err(TableError::Unavailable(_))), "{read:?}");
    let objects = S3Objects::new(&connection, "b");
    let put = objects.put("a", Bytes::new(), "text/plain", PutIf::Absent).await;
    assert!(matches!(put, Err(ObjectError::Unavailable(_))), "{put:?}");
    assert!(KmsSigner::new(&connection, "k").sign(b"m").await.is_err());
    let notice = r#"{"notice":"published","org":"acme","env":"prod","revision":"1.2"}"#;
    let notice: Notice = serde_json::from_str(notice).unwrap();
    let topics = Topics { roots: Some(TOPIC.to_owned()), changes: None };
    let bus = SnsBus::new(&connection, topics);
    assert!(bus.publish(&notice).await.is_err());
    assert!(SnsEvents::new(&connection, TOPIC).take(&outgoing()).await.is_err());
    let unset = SnsBus::new(&connection, Topics::default()).publish(&notice).await.unwrap_err();
    assert_eq!(unset.0.to_string(), "the environment variable FLAGFORGE_ROOTS_TOPIC is not set");
}

const TOPIC: &str = "arn:aws:sns:us-east-1:1:t";

fn outgoing() -> Outgoing {
    let body = r#"{"specversion":"1.0","id":"acme/prod:1:0","source":"/orgs/acme/environments/prod","type":"flag.killed",
        "subject":"f","time":"2026-11-21T00:00:00Z","datacontenttype":"application/json","data":{"organization":"acme",
        "environment":"prod","flag":"f","tenant":""}}"#;
    Outgoing {
        org: OrgKey::new("acme").unwrap(),
        env: Some(EnvKey::new("prod").unwrap()),
        event: serde_json::from_str(body).unwrap(),
        body: Bytes::from_static(body.as_bytes()),
    }
}

#[tokio::test]
async fn an_event_goes_out_with_what_subscribers_filter_by_and_a_refusal_says_why() {
    let asked = Arc::new(Mutex::new(String::new()));
    let said = asked.clone();
    let cloud = Cloud::playing(move |_, body| {
        body.clone_into(&mut said.lock().unwrap());
        let id = "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>";
        ("200 OK".to_owned(), id.to_owned())
    });
    SnsEvents::new(&cloud.connection, TOPIC).take(&outgoing()).await.unwrap();
    let asked = asked.lock().unwrap().clone();
    assert!(asked.starts_with("Action=Publish&"), "{asked}");
    for (name, value) in
        [("type", "flag.killed"), ("organization", "acme"), ("environment", "prod"), ("flag", "f")]
    {
        // They stand in any order.
        let found = (1..=4).any(|number| {
            let entry = format!("MessageAttributes.entry.{number}");
            asked.contains(&format!(
                "{entry}.Name={name}&{entry}.Value.DataType=String&{entry}.Value.StringValue={value}"
            ))
        });
        assert!(found, "{name}: {asked}");
    }
    assert!(
        !asked.contains("entry.5"),
        "what is empty is no attribute, which SNS refuses: {asked}"
    );
    let refusal = "<ErrorResponse><Error><Code>AuthorizationError</Code><Message>not yours</Message></Error></ErrorResponse>";
    let cloud = Cloud::answering("403 Forbidden", refusal);
    let why = SnsEvents::new(&cloud.connection, TOPIC).take(&outgoing()).await.unwrap_err();
    assert!(why.contains("not yours"), "{why}");
}
