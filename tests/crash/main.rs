//! `kill -9` at 200 random points in a stream of writes: every acknowledged write is there after the
//! restart, none is half there, revisions have no gap, log and items agree.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flagforge_tests::{Answer, Api, server};
use reqwest::Method;
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

const KILLS: u64 = 200;
const ORG: &str = "/v1/orgs/default";
const FLAGS: u64 = 4;
/// The longest that writers write before the kill: from the start in every other life, and in the others from the first
/// write that was answered, so that a slow machine too has answered some.
const LONGEST_LIFE: Duration = Duration::from_millis(200);
/// Writers at a time: a write is answered when it is in force, so more of them are under way at a kill.
const WRITERS: usize = 8;

/// A write that was answered with success: what the log must say for ever.
#[derive(Debug)]
struct Acknowledged {
    /// The log, as the header names it: `default` or `default/prod`.
    log: String,
    number: u64,
    request_id: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_survives_200_kills() {
    let program = server::program().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut ledger = Ledger::default();
    let mut dice = Dice(0x5eed_0001);
    for kill in 0..KILLS {
        let server = server::Server::start(&program, &data, server::free_port().unwrap());
        let server = server.await.unwrap_or_else(|error| panic!("start {kill}: {error:#}"));
        if kill == 0 {
            prepare(&server.api()).await;
        }
        ledger.verify(&server.api(), kill).await;
        let life = Duration::from_micros(dice.below(LONGEST_LIFE.as_micros() as u64));
        let written = write_until_killed(server, kill, life).await;
        ledger.owed.extend(written);
    }
    let server =
        server::Server::start(&program, &data, server::free_port().unwrap()).await.unwrap();
    ledger.verify(&server.api(), KILLS).await;
    ledger.items_agree(&server.api()).await;
    manifests_agree(&server.api(), &data, &ledger).await;
    println!(
        "{KILLS} kills: {} acknowledged writes, all there; {} log entries, {} of them never acknowledged",
        ledger.acknowledged,
        ledger.entries,
        ledger.entries - ledger.acknowledged - ledger.prepared,
    );
    assert!(ledger.acknowledged >= KILLS / 2, "too few writes to prove anything");
}

async fn prepare(api: &Api) {
    for flag in 0..FLAGS {
        let definition = json!({"class": "release", "type": "boolean"});
        let answer = api.put(&format!("{ORG}/flags/f{flag}"), &definition).await.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
}

/// Writers write as fast as they can until the server is gone.
async fn write_until_killed(
    server: server::Server,
    kill: u64,
    life: Duration,
) -> Vec<Acknowledged> {
    let next = Arc::new(AtomicU64::new(0));
    let answered = Arc::new(Notify::new());
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (api, next, answered) = (server.api(), next.clone(), answered.clone());
        writers.spawn(async move {
            let mut written = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                match write(&api, kill, number).await {
                    Ok(Some(acknowledged)) => {
                        written.push(acknowledged);
                        answered.notify_one();
                    }
                    // Too much contention for this one; it was not acknowledged.
                    Ok(None) => {}
                    Err(_gone) => return written,
                }
            }
        });
    }
    if kill % 2 == 1 {
        answered.notified().await;
    }
    tokio::time::sleep(life).await;
    server.kill().await.unwrap();
    let mut all = Vec::new();
    while let Some(written) = writers.join_next().await {
        all.extend(written.unwrap());
    }
    all
}

async fn write(api: &Api, kill: u64, number: u64) -> anyhow::Result<Option<Acknowledged>> {
    let request_id = format!("kill-{kill}-write-{number}");
    let flag = number % FLAGS;
    let (method, path, body) = match number % 3 {
        0 => {
            let body = json!({"enabled": number.is_multiple_of(2)}).to_string();
            (Method::PATCH, format!("{ORG}/environments/prod/flags/f{flag}"), Some(body))
        }
        1 => {
            let body = json!({"attributes": {"kill": kill, "write": number}}).to_string();
            (Method::PUT, format!("{ORG}/tenants/t-{kill}-{number}"), Some(body))
        }
        _ => {
            let weights = json!([{"variant": "on", "weight": number % 100}, {"variant": "off", "weight": 100}]);
            let body = json!({"weights": weights}).to_string();
            (Method::PUT, format!("{ORG}/environments/dev/flags/f{flag}/weights"), Some(body))
        }
    };
    let answer = api.call(method, &path, &[("x-request-id", &request_id)], body).await?;
    if answer.status == 503 {
        return Ok(None);
    }
    assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.body);
    let revision = answer.header("flagforge-revision").to_owned();
    let (log, number) = revision.rsplit_once(':').unwrap();
    Ok(Some(Acknowledged { log: log.to_owned(), number: number.parse()?, request_id }))
}

/// What the logs said so far, and what they still have to say.
#[derive(Debug, Default)]
struct Ledger {
    owed: Vec<Acknowledged>,
    /// How far each log was read, and the digest of its newest entry is not needed: numbers suffice.
    read: BTreeMap<String, u64>,
    /// The newest after-image of every item, by partition and sort key.
    images: BTreeMap<(String, String), Json>,
    acknowledged: u64,
    entries: u64,
    prepared: u64,
}

impl Ledger {
    /// Reads what is new in every log: contiguous, and with every acknowledged write in its place.
    async fn verify(&mut self, api: &Api, kill: u64) {
        let mut said: BTreeMap<(String, u64), String> = BTreeMap::new();
        for (log, path) in [
            ("default", format!("{ORG}/log")),
            ("default/prod", format!("{ORG}/environments/prod/log")),
            ("default/dev", format!("{ORG}/environments/dev/log")),
        ] {
            let from = self.read.get(log).copied().unwrap_or(0);
            for entry in pages(api, &path, from).await {
                let expected = self.read.get(log).copied().unwrap_or(0) + 1;
                let number = entry["number"].as_u64().unwrap();
                assert_eq!(number, expected, "{log} has a gap after start {kill}");
                self.read.insert(log.to_owned(), number);
                self.entries += 1;
                let request_id = entry["requestId"].as_str().unwrap().to_owned();
                if !request_id.starts_with("kill-") {
                    self.prepared += 1;
                }
                said.insert((log.to_owned(), number), request_id);
                for image in entry["images"].as_array().unwrap() {
                    let text = |name: &str| image[name].as_str().unwrap().to_owned();
                    self.images.insert((text("pk"), text("sk")), image["body"].clone());
                }
            }
        }
        for owed in self.owed.drain(..) {
            let found = said.get(&(owed.log.clone(), owed.number));
            assert_eq!(found, Some(&owed.request_id), "lost by kill {kill}: {owed:?}");
            self.acknowledged += 1;
        }
    }

    /// Every item that the API shows is the newest after-image in the logs.
    async fn items_agree(&self, api: &Api) {
        for flag in 0..FLAGS {
            for env in ["prod", "dev"] {
                let key = (format!("default#env#{env}"), format!("STATE#f{flag}"));
                let Some(image) = self.images.get(&key) else { continue };
                let path = format!("{ORG}/environments/{env}/flags/f{flag}");
                let shown = api.get(&path).await.unwrap().body;
                for field in ["enabled", "off", "fallthrough"] {
                    assert_eq!(shown[field], image["state"][field], "{path}: {field}");
                }
            }
        }
        let logged = self.images.iter().filter(|((_, sk), _)| sk.starts_with("TENANT#"));
        let logged: Vec<&Json> = logged.map(|(_, image)| image).collect();
        let shown = pages(api, &format!("{ORG}/tenants"), 0).await;
        assert_eq!(shown.len(), logged.len(), "tenants in the items and in the log");
        for (shown, logged) in shown.iter().zip(&logged) {
            for field in ["key", "uid", "attributes"] {
                assert_eq!(shown[field], logged[field]);
            }
        }
    }
}

/// What is published is what the logs say, at their newest numbers.
async fn manifests_agree(api: &Api, data: &Path, ledger: &Ledger) {
    let headers = [("flagforge-tenant", "t-0-1"), ("flagforge-environment", "prod")];
    let wanted = format!("{}.{}", ledger.read["default"], ledger.read["default/prod"]);
    for flag in 0..FLAGS {
        let path = format!("/ofrep/v1/evaluate/flags/f{flag}");
        let body = Some(json!({"context": {"targetingKey": "u"}}).to_string());
        let answer: Answer = api.call(Method::POST, &path, &headers, body).await.unwrap();
        assert_eq!(
            answer.body["metadata"]["revision"],
            wanted,
            "{} {}",
            data.display(),
            answer.body
        );
        let key = ("default#env#prod".to_owned(), format!("STATE#f{flag}"));
        let on = ledger.images.get(&key).is_some_and(|image| image["state"]["enabled"] == true);
        assert_eq!(answer.body["value"], on, "{}", answer.body);
    }
}

/// All items of a listing; of a log, those after entry `from`.
async fn pages(api: &Api, path: &str, from: u64) -> Vec<Json> {
    let mut all = Vec::new();
    let mut cursor = (from > 0).then(|| format!("{from:020}"));
    loop {
        let cursor_option = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let page = api.get(&format!("{path}?limit=500{cursor_option}")).await.unwrap();
        assert_eq!(page.status, 200, "{}", page.body);
        all.extend(page.body["items"].as_array().unwrap().iter().cloned());
        match page.body["next"].as_str() {
            None => return all,
            next => cursor = next.map(str::to_owned),
        }
    }
}

/// Seeded chance (SplitMix64), so that a failing run can be had again as far as the scheduler lets it.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
