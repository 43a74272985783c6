//! SDKs that listen by WebSocket hear of a change long before they would poll; of what is theirs only, and only with a key
//! that is good. API Gateway's part and the announcements are the emulator's, all else is the installation's.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers with it")]

use std::time::{Duration, Instant};

use flagforge::origin::PushSocket;
use flagforge::{Client, Flag, Status};
use flagforge_flags::AccessKey;
use flagforge_tests::{Org, Stack, eventually};
use serde_json::{Value as Json, json};

const TOLD: Flag<bool> = Flag::new("told", false);
/// Nothing that is seen within a test's time came of a poll.
const POLL: Duration = Duration::from_secs(3_600);
/// What nobody hears in so long, after others have heard it, is not told them.
const A_WHILE: Duration = Duration::from_secs(3);

struct Listening {
    client: Client,
    socket: PushSocket,
}

impl Listening {
    /// A client of a scope of `prod`, once it listens.
    async fn new(org: &Org, url: &str, key: &str, tenant: Option<&str>) -> Self {
        let socket = PushSocket::new(url, &AccessKey::parse(key).unwrap()).unwrap();
        let scope = tenant.map(|tenant| format!("&tenant={tenant}")).unwrap_or_default();
        let client = Client::connect(&format!("{}{scope}", org.connection(key, "prod")))
            .start_within(org.patience())
            .poll_every(POLL)
            .pushed_by(&socket)
            .await
            .unwrap();
        assert_eq!(client.status(), Status::Ready, "{:?}", client.trouble());
        eventually(org.patience(), || async {
            let seen = socket.seen();
            anyhow::ensure!(seen.opened > 0, "{seen:?}");
            Ok(Some(()))
        })
        .await
        .unwrap();
        Self { client, socket }
    }

    fn sees(&self, tenant: &str) -> bool {
        self.client.tenant(tenant).unwrap().user("u-1").flags().get(&TOLD)
    }

    async fn until(&self, org: &Org, what: &str, so: impl Fn(&Self) -> bool) {
        eventually(org.patience(), || async {
            let seen = self.socket.seen();
            anyhow::ensure!(so(self), "{what}: {seen:?} {:?}", self.client.trouble());
            Ok(Some(()))
        })
        .await
        .unwrap();
    }
}

/// Starts with the roots that there are.
async fn prepared(stack: &Stack, purpose: &str, on: bool) -> (Org, String) {
    let org = stack.found(purpose).await.unwrap();
    org.boolean_flag("told").await.unwrap();
    org.flip("told", on).await.unwrap();
    let key = org.server_key().await.unwrap();
    org.sees(&key, "told", "acme", &json!(on)).await.unwrap();
    (org, key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_comes_long_before_a_poll_and_ends_with_the_key() {
    let Some(stack) = Stack::running().unwrap() else {
        eprintln!("SKIPPED: no emulated cloud runs; start one with localstack/up");
        return;
    };
    let url = stack.push_url.clone().unwrap();
    let (org, other) = prepared(&stack, "pushed", false).await;
    let issued = org.issue(&json!({"kind": "server", "envs": ["prod"]})).await.unwrap();
    let (key, id) = issued;
    let listening = Listening::new(&org, &url, &key, None).await;
    for on in [true, false, true] {
        let (began, before) = (Instant::now(), listening.socket.seen().rung);
        org.flip("told", on).await.unwrap();
        listening.until(&org, "the change", |it| it.sees("acme") == on).await;
        println!("pushed, fetched and applied {:?} after the request began", began.elapsed());
        listening.until(&org, "the announcement", |it| it.socket.seen().rung > before).await;
    }
    let seen = listening.socket.seen();
    // It may have been refused before: a key is known when it is published.
    assert_eq!((seen.opened, seen.malformed), (1, 0), "{seen:?}");

    // Whoever has no good key is not let in, and answers on from the bucket all the same.
    let wrong = key.replace(&key[key.len() - 3..], "AAA");
    let socket = PushSocket::new(&url, &AccessKey::parse(&wrong).unwrap()).unwrap();
    let refused = Client::connect(&org.connection(&key, "prod")).pushed_by(&socket).await.unwrap();
    eventually(org.patience(), || async {
        anyhow::ensure!(socket.seen().failures >= 2, "{:?}", socket.seen());
        Ok(Some(()))
    })
    .await
    .unwrap();
    assert_eq!((socket.seen().opened, refused.status()), (0, Status::Ready));

    // A key that is revoked loses its connection when that is published, and hears nothing any more.
    let other = Listening::new(&org, &url, &other, None).await;
    org.api.delete(&org.path(&format!("keys/{id}"))).await.unwrap().expect(204).unwrap();
    let failures = seen.failures;
    listening.until(&org, "the end", |it| it.socket.seen().failures > failures).await;
    let (before, others) = (listening.socket.seen().rung, other.socket.seen().rung);
    org.flip("told", false).await.unwrap();
    other.until(&org, "the change", |it| !it.sees("acme") && it.socket.seen().rung > others).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(listening.socket.seen().rung, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_listener_hears_nothing_of_another_tenant() {
    let Some(stack) = Stack::running().unwrap() else {
        eprintln!("SKIPPED: no emulated cloud runs; start one with localstack/up");
        return;
    };
    let url = stack.push_url.clone().unwrap();
    let (org, all) = prepared(&stack, "tenants-pushed", true).await;
    let mut keys = Vec::new();
    for tenant in ["acme", "globex"] {
        let bound = json!({"kind": "server", "envs": ["prod"], "tenant": tenant});
        keys.push(org.issue(&bound).await.unwrap().0);
    }
    let all = Listening::new(&org, &url, &all, None).await;
    let acme = Listening::new(&org, &url, &keys[0], Some("acme")).await;
    let globex = Listening::new(&org, &url, &keys[1], Some("globex")).await;
    // What was still on its way when they began.
    tokio::time::sleep(A_WHILE).await;
    let rung = |it: &Listening| it.socket.seen().rung;
    let before = (rung(&acme), rung(&globex), rung(&all));
    set(&org, "globex").await;
    globex.until(&org, "its own override", |it| !it.sees("globex") && rung(it) > before.1).await;
    all.until(&org, "everybody's", |it| !it.sees("globex") && rung(it) > before.2).await;
    tokio::time::sleep(A_WHILE).await;
    let seen = acme.socket.seen();
    assert_eq!((seen.opened, seen.rung), (1, before.0), "another tenant's change is not told");
    set(&org, "acme").await;
    acme.until(&org, "its own", |it| !it.sees("acme") && rung(it) > before.0).await;
}

async fn set(org: &Org, tenant: &str) {
    let path = org.path(&format!("environments/prod/flags/told/overrides/{tenant}"));
    let set: Json = json!({"variant": "off"});
    let answer = org.api.put(&path, &set).await.unwrap();
    assert!(answer.status.is_success(), "{} {}", answer.status, answer.body);
}
