//! A queue that rings at a relay which hardly polls, against a server that speaks as much of SQS as asking needs. How the queue is
//! asked is the SDK's, and tested there.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use flagforge::origin::{Credentials, SqsQueue};
use serde_json::{Value as Json, json};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use crate::world::{World, publish};

type Waiting = Arc<Mutex<UnboundedReceiver<String>>>;

async fn call(State(waiting): State<Waiting>, headers: HeaderMap, _: Bytes) -> String {
    if headers["x-amz-target"] != "AmazonSQS.ReceiveMessage" {
        return json!({"Successful": [], "Failed": []}).to_string();
    }
    let message = timeout(Duration::from_secs(20), async { waiting.lock().await.recv().await });
    let Ok(Some(body)) = message.await else { return "{}".to_owned() };
    json!({"Messages": [{"MessageId": "m", "ReceiptHandle": "h", "Body": body}]}).to_string()
}

async fn queue() -> (UnboundedSender<String>, SqsQueue) {
    // As the programs do where TLS is built in.
    #[cfg(feature = "https")]
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (send, waiting) = unbounded_channel();
    let app = Router::new().fallback(call).with_state(Arc::new(Mutex::new(waiting)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/000000000000/bells", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".into(),
        secret_access_key: "secret".into(),
        session_token: None,
    };
    (send, SqsQueue::new(&url, "eu-central-1", credentials).unwrap())
}

async fn theme(world: &World) -> Json {
    world.evaluate("theme", "acme", json!({})).await.json()["value"].take()
}

#[tokio::test]
async fn a_queue_rings_for_the_environment_that_it_names_until_the_relay_is_closed() {
    let mut world = World::new();
    let (send, queue) = queue().await;
    let (relay, asked) = (Arc::clone(&world.relay), queue.clone());
    let listening = tokio::spawn(async move { relay.listen_to(&asked).await });
    assert_eq!(theme(&world).await, "dark");
    publish(&mut world.publisher, "blue");
    let notice = |org: &str| json!({"notice": "published", "org": org, "env": "prod"}).to_string();
    // Somebody else's, what cannot be anybody's, and no notice at all ring nowhere.
    for body in [notice("other"), notice("NO NAME"), "{}".to_owned(), "ring".to_owned()] {
        send.send(body).unwrap();
    }
    while queue.seen().published + queue.seen().malformed < 4 {
        sleep(Duration::from_millis(5)).await;
    }
    sleep(Duration::from_millis(100)).await;
    assert_eq!(theme(&world).await, "dark", "nobody rang for it");
    send.send(notice("demo")).unwrap();
    let seen = async {
        while theme(&world).await != "blue" {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), seen).await.unwrap();
    world.relay.close();
    timeout(Duration::from_secs(10), listening).await.unwrap().unwrap();
}
