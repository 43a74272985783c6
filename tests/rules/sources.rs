//! A customer database that tenants come from, and everything that it can get wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use flagforge_embedded::{Embedded, ManualTimer};
use flagforge_flags::time::Timestamp;
use flagforge_platform::ports::{Objects, PutIf, Timer as _};
use flagforge_platform::{HttpOutbound, Platform, bootstrap, handle};
use flagforge_tests::{Answer, Api};
use serde_json::{Value as Json, json};

use crate::kit::{caller, env, log, org, platform};
use crate::people::{HOME, at, served};

const SOURCE: &str = concat!("/v1/orgs/home", "/tenant-source");

/// What the database answers.
#[derive(Debug, Default)]
struct Said {
    lines: Vec<Json>,
    /// Lines on a page; 0: all on one.
    page: usize,
    status: u16,
    /// What it was asked with, and how often.
    bearer: String,
    times: u32,
}

type Database = Arc<Mutex<Said>>;

async fn tenants(
    State(database): State<Database>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let mut said = database.lock().unwrap();
    said.bearer = headers.get("authorization").map_or("", |b| b.to_str().unwrap()).to_owned();
    said.times += 1;
    if said.status != 200 {
        return StatusCode::from_u16(said.status).unwrap().into_response();
    }
    let from: usize = query.get("cursor").map_or(0, |cursor| cursor[1..].parse().unwrap());
    let size = if said.page == 0 { said.lines.len() } else { said.page };
    let mut lines: Vec<Json> = said.lines.iter().skip(from).take(size).cloned().collect();
    if from + size < said.lines.len() {
        lines.push(json!({"next": format!("&{}", from + size)}));
    }
    lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_response()
}

struct Shop {
    database: Database,
    platform: Platform,
    objects: Arc<dyn Objects>,
    timer: ManualTimer,
    admin: Api,
    url: String,
}

impl Shop {
    async fn open() -> Self {
        let timer = ManualTimer::at(Timestamp::from_seconds(1_800_000_000));
        let hands = Embedded::memory_at(Arc::new(timer.clone())).unwrap();
        let platform = platform(&hands, hands.table.clone());
        platform.fetch_with(Arc::new(HttpOutbound::with_loopback()));
        let envs = [(env("prod"), "Prod")];
        let admin = bootstrap::home(&platform, &org(), "Home", &envs).await.unwrap().unwrap();
        let admin = Api::new(&served(platform.clone()).await, Some(&admin.key.expose()));
        let database = Database::new(Mutex::new(Said { status: 200, ..Said::default() }));
        let app = Router::new().route("/customers", get(tenants)).with_state(database.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/customers", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { database, platform, objects: hands.objects.clone(), timer, admin, url }
    }

    fn say(&self, keys: std::ops::Range<usize>, plan: &str) {
        let line = |n| json!({"key": format!("t{n:03}"), "attributes": {"plan": plan}});
        self.database.lock().unwrap().lines = keys.map(line).collect();
    }

    async fn put(&self, but: Json) -> Answer {
        let mut source = json!({"url": self.url});
        for (name, value) in but.as_object().unwrap() {
            source[name] = value.clone();
        }
        self.admin.put(SOURCE, &source).await.unwrap()
    }

    async fn run(&self, body: Json) -> Json {
        let place = format!("{SOURCE}/run");
        self.admin.post(&place, &body).await.unwrap().expect(200).unwrap().body
    }

    async fn plan_of(&self, tenant: &str) -> Json {
        let place = format!("{HOME}/tenants/{tenant}");
        self.admin.get(&place).await.unwrap().body["attributes"]["plan"].clone()
    }

    async fn entries(&self) -> usize {
        log(&self.platform, None).await.len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_come_from_a_database_and_only_what_is_different_is_written() {
    let shop = Shop::open().await;
    shop.admin.get(SOURCE).await.unwrap().expect(404).unwrap();
    shop.put(json!({"bearer": "hush-hush"})).await.expect(201).unwrap();
    let by_hand = json!({"attributes": {"plan": "own"}});
    shop.admin.put(&at("tenants/by-hand"), &by_hand).await.unwrap().expect(201).unwrap();
    shop.say(0..120, "free");
    shop.database.lock().unwrap().page = 50;
    let run = shop.run(json!({})).await;
    assert_eq!(
        (&run["outcome"], &run["lines"], &run["created"]),
        (&json!("applied"), &json!(120), &json!(120)),
        "{run}"
    );
    {
        let said = shop.database.lock().unwrap();
        assert_eq!((said.times, said.bearer.as_str()), (3, "Bearer hush-hush"));
    }
    // Nothing new is nothing written.
    let before = shop.entries().await;
    let run = shop.run(json!({})).await;
    assert_eq!((&run["changed"], &run["import"]), (&json!(0), &Json::Null), "{run}");
    assert_eq!(shop.entries().await, before);
    shop.database.lock().unwrap().lines[7]["attributes"]["plan"] = json!("gold");
    let run = shop.run(json!({})).await;
    assert_eq!((&run["created"], &run["changed"]), (&json!(0), &json!(1)));
    assert_eq!(
        (shop.plan_of("t007").await, shop.plan_of("by-hand").await),
        (json!("gold"), json!("own"))
    );
    let import = format!("{HOME}/imports/{}", run["import"].as_str().unwrap());
    assert_eq!(shop.admin.get(&import).await.unwrap().body["state"], "done");
    // What it is shown is kept, sent, and told to nobody.
    let seen = shop.admin.get(SOURCE).await.unwrap().expect(200).unwrap();
    assert_eq!((&seen.body["hasBearer"], &seen.body["lastRun"]), (&json!(true), &run));
    let log = shop.admin.get(&at("log?limit=500")).await.unwrap();
    assert!(!seen.body.to_string().contains("hush") && !log.body.to_string().contains("hush"));
    shop.put(json!({})).await.expect(200).unwrap();
    shop.run(json!({})).await;
    assert_eq!(shop.database.lock().unwrap().bearer, "Bearer hush-hush");
    shop.put(json!({"bearer": ""})).await.expect(200).unwrap();
    shop.run(json!({})).await;
    assert_eq!(shop.database.lock().unwrap().bearer, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_disappears_is_told_and_removed_only_when_asked_and_only_when_it_is_little() {
    let shop = Shop::open().await;
    shop.put(json!({})).await.expect(201).unwrap();
    shop.say(0..100, "free");
    shop.run(json!({})).await;
    // A tenth is believed, one more is not.
    shop.say(10..100, "free");
    for _ in 0..2 {
        let run = shop.run(json!({})).await;
        assert_eq!(
            (&run["outcome"], &run["missing"], &run["removed"]),
            (&json!("applied"), &json!(10), &json!(0))
        );
        assert_eq!(run["missingTenants"][0], "t000");
    }
    assert_eq!(shop.plan_of("t000").await, "free");
    shop.put(json!({"missing": "remove"})).await.expect(200).unwrap();
    shop.say(11..100, "gold");
    let run = shop.run(json!({})).await;
    assert_eq!(run["outcome"], "refused");
    assert!(run["why"].as_str().unwrap().contains("11 of the 100"), "{run}");
    assert_eq!(
        (shop.plan_of("t000").await, shop.plan_of("t050").await),
        (json!("free"), json!("free"))
    );
    shop.say(10..100, "gold");
    let run = shop.run(json!({})).await;
    assert_eq!((&run["removed"], &run["changed"]), (&json!(10), &json!(90)), "{run}");
    shop.admin.get(&at("tenants/t000")).await.unwrap().expect(404).unwrap();
    shop.say(0..0, "gold");
    assert_eq!(shop.run(json!({})).await["outcome"], "refused");
    let run = shop.run(json!({"acceptShrinkage": true})).await;
    assert_eq!((&run["outcome"], &run["removed"]), (&json!("applied"), &json!(90)), "{run}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_is_asked_when_it_is_due_and_its_faults_change_nothing() {
    let shop = Shop::open().await;
    for (field, bad) in [
        ("url", json!({"url": "http://10.0.0.1/"})),
        ("everySeconds", json!({"everySeconds": 59})),
        ("everySeconds", json!({"everySeconds": 604_801})),
        ("maxMissingPercent", json!({"maxMissingPercent": 101})),
        ("bearer", json!({"bearer": "a b"})),
        ("bearer", json!({"bearer": "x".repeat(10_241)})),
    ] {
        assert_eq!(shop.put(bad).await.expect(400).unwrap().body["field"], field);
    }
    shop.put(json!({"everySeconds": 60, "bearer": "x".repeat(10_240)})).await.expect(201).unwrap();
    shop.say(0..3, "free");
    let tick = async || handle::tenant_sources(&shop.platform, &caller()).await.unwrap();
    let times = || shop.database.lock().unwrap().times;
    tick().await;
    tick().await;
    shop.timer.advance(Duration::from_secs(59));
    tick().await;
    assert_eq!(times(), 1);
    shop.timer.advance(Duration::from_secs(1));
    tick().await;
    assert_eq!((times(), shop.plan_of("t002").await), (2, json!("free")));
    let stands = shop.entries().await;
    // It is down, says nonsense on a line, or leads in a circle: all is told, and nothing written.
    shop.database.lock().unwrap().status = 500;
    let run = shop.run(json!({})).await;
    assert_eq!(
        (&run["outcome"], &run["why"]),
        (&json!("failed"), &json!("page 1: it answered 500"))
    );
    shop.database.lock().unwrap().status = 200;
    shop.database.lock().unwrap().lines.push(json!({"key": "t/9", "attributes": {}}));
    let run = shop.run(json!({})).await;
    assert_eq!((&run["outcome"], &run["bad"]), (&json!("refused"), &json!(1)));
    assert_eq!(
        (&run["badLines"][0]["line"], &run["badLines"][0]["field"]),
        (&json!(4), &json!("key"))
    );
    assert_eq!(shop.entries().await, stands);
    shop.put(json!({"onError": "apply-good", "paused": true})).await.expect(200).unwrap();
    shop.database.lock().unwrap().lines[0]["attributes"]["plan"] = json!("gold");
    let run = shop.run(json!({})).await;
    assert_eq!(
        (&run["outcome"], &run["changed"], &run["missing"]),
        (&json!("applied"), &json!(1), &json!(0))
    );
    let asked = times();
    shop.timer.advance(Duration::from_secs(3_600));
    tick().await;
    assert_eq!(times(), asked, "it is paused");
    shop.admin.delete(SOURCE).await.unwrap().expect(204).unwrap();
    shop.admin.post(&format!("{SOURCE}/run"), &json!({})).await.unwrap().expect(404).unwrap();
    assert_eq!(shop.plan_of("t000").await, "gold");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_clocks_one_asks_and_one_that_died_keeps_nobody_for_long() {
    let shop = Shop::open().await;
    shop.put(json!({"everySeconds": 60})).await.expect(201).unwrap();
    shop.say(0..3, "free");
    let times = || shop.database.lock().unwrap().times;
    for round in 1..=5 {
        let mut clocks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let platform = shop.platform.clone();
            clocks.spawn(async move { handle::tenant_sources(&platform, &caller()).await });
        }
        while let Some(ticked) = clocks.join_next().await {
            ticked.unwrap().unwrap();
        }
        assert_eq!(times(), round);
        shop.timer.advance(Duration::from_secs(60));
    }
    // One that took its turn, and was gone before it could end it.
    let turn = json!({"since": shop.timer.now()}).to_string();
    shop.objects
        .put("home/source/turn.json", turn.into(), "application/json", PutIf::Any)
        .await
        .unwrap();
    let tick = async || handle::tenant_sources(&shop.platform, &caller()).await.unwrap();
    shop.timer.advance(Duration::from_secs(899));
    tick().await;
    assert_eq!(times(), 5);
    shop.timer.advance(Duration::from_secs(1));
    tick().await;
    assert_eq!(times(), 6);
}
