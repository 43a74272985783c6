//! Scheduled changes: once, at their instant, with the rights of then, or a reason why not.

use std::sync::Arc;
use std::time::Duration;

use flagforge_embedded::{Embedded, FaultPlan, FaultTable, ManualTimer};
use flagforge_flags::time::Timestamp;
use flagforge_platform::read::PageOf;
use flagforge_platform::{
    Caller, FIRE_WITHIN, MAX_DAYS_AHEAD, MAX_SCHEDULES, Request, ScheduleInput, ScheduleState,
    ScheduledInput, handle,
};
use flagforge_tests::{Answer, Api, Org, World};
use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::kit::{caller, env, flag, furnished, log, org, platform};

const SEEDS: u64 = 30;
const MINUTE: Duration = Duration::from_secs(60);
const MILLISECOND: Duration = Duration::from_millis(1);
const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A world whose clock stands, with the flag `f` in the organization.
struct Scene {
    world: World,
    timer: ManualTimer,
    org: Org,
}

impl Scene {
    async fn set() -> Self {
        let timer = ManualTimer::at(START);
        let hands = Embedded::memory_at(Arc::new(timer.clone())).unwrap();
        let table = hands.table.clone();
        let world = World::on(hands, table).await.unwrap();
        let org = world.stack.found("planned").await.unwrap();
        org.boolean_flag("f").await.unwrap();
        Self { world, timer, org }
    }

    fn path(&self, rest: &str) -> String {
        self.org.path(&format!("environments/prod/{rest}"))
    }

    async fn try_schedule(&self, api: &Api, at: Timestamp, what: &Json) -> Answer {
        let body = json!({"at": at, "do": what});
        api.post(&self.path("schedules"), &body).await.unwrap()
    }

    async fn schedule(&self, api: &Api, at: Timestamp, what: &Json) -> String {
        let made = self.try_schedule(api, at, what).await.expect(201).unwrap();
        made.body["id"].as_str().unwrap().to_owned()
    }

    /// Goes to an instant and fires what is due.
    async fn go_to(&self, now: Timestamp) {
        self.timer.set(now);
        let clock = Caller::system("scheduler");
        handle::fire(&self.world.platform, &clock, now).await.unwrap();
    }

    async fn get(&self, rest: &str) -> Json {
        self.org.api.get(&self.path(rest)).await.unwrap().expect(200).unwrap().body
    }

    async fn is_on(&self) -> bool {
        self.get("flags/f").await["enabled"] == true
    }

    async fn outcome(&self, id: &str) -> Json {
        self.get(&format!("schedules/{id}")).await["state"].clone()
    }
}

fn enable() -> Json {
    json!({"enable": {"flag": "f"}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_made_at_its_instant_and_told_as_its_makers() {
    let scene = Scene::set().await;
    let at = START.plus(10 * MINUTE);
    let because = [("flagforge-reason", "the launch"), ("idempotency-key", "once")];
    let body = json!({"at": at, "do": enable()}).to_string();
    for _ in 0..2 {
        let path = scene.path("schedules");
        let made = scene.org.api.call(Method::POST, &path, &because, Some(body.clone())).await;
        made.unwrap().expect(201).unwrap();
    }
    let pending = scene.get("schedules").await;
    assert_eq!(pending["items"].as_array().unwrap().len(), 1, "a repeat made another: {pending}");
    let id = pending["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(scene.outcome(&id).await, "pending");
    scene.go_to(START.plus(10 * MINUTE - MILLISECOND)).await;
    assert!(!scene.is_on().await);
    scene.go_to(at).await;
    assert!(scene.is_on().await);
    let number = scene.outcome(&id).await["fired"]["number"].clone();
    assert_eq!(scene.get("schedules").await["items"], json!([]));
    assert_eq!(scene.get("schedules?ended=true").await["items"][0]["id"], id.as_str());

    let audit = scene.org.path(&format!("audit/{number}?env=prod"));
    let entry = scene.org.api.get(&audit).await.unwrap().expect(200).unwrap().body;
    assert_eq!((&entry["change"], &entry["reason"]), (&json!("set-enabled"), &json!("the launch")));
    assert_eq!(entry["by"]["actor"], "key", "{entry}");
    assert_eq!(entry["requestId"], format!("schedule-{id}"));
    let of_flag = scene.org.path("audit?env=prod&flag=f");
    let told = scene.org.api.get(&of_flag).await.unwrap().expect(200).unwrap().body;
    let told: Vec<&Json> = told["items"].as_array().unwrap().iter().map(|e| &e["change"]).collect();
    assert_eq!(told, ["set-enabled", "schedule"]);
    scene.go_to(at.plus(MINUTE)).await;
    assert_eq!(scene.outcome(&id).await["fired"]["number"], number, "fired again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_made_any_more_says_why() {
    let scene = Scene::set().await;
    let api = &scene.org.api;
    let at = START.plus(MINUTE);
    let issue = async |role: &str| {
        let (key, id) = scene.org.issue(&json!({"kind": "mgmt", "role": role})).await.unwrap();
        (api.with_key(Some(&key)), id)
    };
    let (revoked, revoked_id) = issue("maintainer").await;
    let by_revoked = scene.schedule(&revoked, at, &enable()).await;
    let role = scene.org.path("roles/pager");
    let permissions = |permissions: Json| json!({"permissions": permissions});
    api.put(&role, &permissions(json!(["write-states"]))).await.unwrap().expect(201).unwrap();
    let (narrowed, _) = issue("pager").await;
    let by_narrowed = scene.schedule(&narrowed, at, &enable()).await;
    let state = scene.path("flags/f");
    api.post(&scene.path("flags/f/kill"), &Json::Null).await.unwrap();
    let etag = api.get(&state).await.unwrap().header("etag").to_owned();
    let held = [("if-match", etag.as_str())];
    let body = json!({"at": at, "do": enable()}).to_string();
    let path = scene.path("schedules");
    let made = api.call(Method::POST, &path, &held, Some(body.clone())).await.unwrap();
    let for_version = made.expect(201).unwrap().body["id"].as_str().unwrap().to_owned();

    api.delete(&scene.org.path(&format!("keys/{revoked_id}"))).await.unwrap().expect(204).unwrap();
    let read = api.get(&role).await.unwrap();
    let current = [("if-match", read.header("etag"))];
    let none = permissions(json!([])).to_string();
    api.call(Method::PUT, &role, &current, Some(none)).await.unwrap().expect(200).unwrap();
    api.patch(&state, &json!({"prerequisites": []})).await.unwrap().expect(200).unwrap();
    let stale = api.call(Method::POST, &path, &held, Some(body)).await.unwrap();
    assert_eq!(stale.expect(412).unwrap().problem(), "precondition-failed");

    scene.go_to(at).await;
    assert!(!scene.is_on().await);
    for (id, why) in [
        (by_revoked, "in force no more"),
        (by_narrowed, "permission `write-states`"),
        (for_version, "version you hold is not current"),
    ] {
        let told = scene.outcome(&id).await;
        assert!(told["failed"]["why"].as_str().is_some_and(|said| said.contains(why)), "{told}");
    }
    let failed = scene.org.path("audit?env=prod&flag=f&change=fail-schedule");
    let failed = api.get(&failed).await.unwrap().expect(200).unwrap().body;
    assert_eq!(failed["items"].as_array().unwrap().len(), 3, "{failed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_change_is_not_made_and_a_late_one_neither() {
    let scene = Scene::set().await;
    let api = &scene.org.api;
    let at = START.plus(MINUTE);
    let cancelled = scene.schedule(api, at, &enable()).await;
    let path = scene.path(&format!("schedules/{cancelled}"));
    let (reader, _) = scene.org.issue(&json!({"kind": "mgmt", "role": "reader"})).await.unwrap();
    api.with_key(Some(&reader)).delete(&path).await.unwrap().expect(403).unwrap();
    let used = api.delete(&scene.org.path("flags/f")).await.unwrap().expect(409).unwrap();
    assert!(used.body["detail"].to_string().contains(&cancelled), "{}", used.body);
    api.delete(&path).await.unwrap().expect(204).unwrap();
    api.delete(&path).await.unwrap().expect(404).unwrap();
    assert_eq!(scene.outcome(&cancelled).await["cancelled"]["by"]["actor"], "key");
    scene.go_to(at).await;
    assert!(!scene.is_on().await);

    // The clock stood still for a while, as on a machine that sleeps.
    let late = scene.schedule(api, at.plus(MINUTE), &enable()).await;
    scene.go_to(at.plus(MINUTE + FIRE_WITHIN)).await;
    assert!(scene.outcome(&late).await["failed"]["why"].to_string().contains("60 minutes"));
    assert!(!scene.is_on().await);
    let at = at.plus(2 * MINUTE + FIRE_WITHIN);
    let in_time = scene.schedule(api, at, &enable()).await;
    scene.go_to(at.plus(FIRE_WITHIN - MILLISECOND)).await;
    assert!(scene.outcome(&in_time).await["fired"].is_object());
    assert!(scene.is_on().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_made_now_is_not_scheduled() {
    let scene = Scene::set().await;
    let api = &scene.org.api;
    let soon = START.plus(MILLISECOND);
    let farthest = START.plus(Duration::from_secs(24 * 3_600) * MAX_DAYS_AHEAD as u32);
    let refused = [
        (START, enable(), "at"),
        (farthest.plus(MILLISECOND), enable(), "at"),
        (soon, json!({"patch": {"flag": "f", "patch": {"rules": 7}}}), "rules"),
        (soon, json!({"setOverride": {"flag": "f", "tenant": "acme", "variant": "x"}}), "variant"),
        (soon, json!({"enable": {"flag": "f", "tenant": "acme"}}), "do.tenant"),
    ];
    for (at, what, field) in refused {
        let answer = scene.try_schedule(api, at, &what).await.expect(400).unwrap();
        assert_eq!(answer.body["field"], field, "{what}: {}", answer.body);
    }
    let absent = json!({"kill": {"flag": "nothing"}});
    scene.try_schedule(api, soon, &absent).await.expect(404).unwrap();
    let expiring = json!({"setOverride": {"flag": "f", "tenant": "acme", "variant": "on",
        "expires": soon}});
    let over = scene.try_schedule(api, soon, &expiring).await.expect(400).unwrap();
    assert_eq!(over.body["field"], "expires", "it would be over when it is made");

    for at in [soon, farthest] {
        scene.schedule(api, at, &enable()).await;
    }
    for _ in 2..MAX_SCHEDULES {
        scene.schedule(api, farthest, &enable()).await;
    }
    let full = scene.try_schedule(api, farthest, &enable()).await.expect(400).unwrap();
    assert_eq!((full.problem(), &full.body["limit"]), ("over-limit", &json!(MAX_SCHEDULES)));
    scene.go_to(soon).await;
    scene.schedule(api, farthest, &enable()).await;
}

/// Two clocks in two processes, on a table that loses answers, is down and is contended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_fires_and_whatever_is_lost_it_happens_once() {
    let unreliable = FaultPlan {
        delay_per_mille: 300,
        longest_delay: Duration::from_millis(2),
        fail_before_per_mille: 30,
        fail_after_per_mille: 400,
        contended_per_mille: 50,
    };
    let mut lost = 0;
    for seed in 0..SEEDS {
        let (hands, calm, _) = furnished().await;
        calm.fire_schedules();
        let at = hands.timer.now().plus(MINUTE);
        let input = || ScheduleInput {
            at,
            canary: false,
            what: ScheduledInput::Enable { flag: flag("f") },
        };
        for _ in 0..3 {
            let request = |change| Request::of(change, "test");
            calm.schedule(&caller(), (org(), env("prod")), input(), request).await.unwrap();
        }
        let mut clocks = tokio::task::JoinSet::new();
        for clock in 0..2 {
            let table = FaultTable::new(
                hands.table.clone(),
                hands.timer.clone(),
                2 * seed + clock,
                unreliable,
            );
            let table = Arc::new(table);
            let platform = platform(&hands, table.clone());
            clocks.spawn(async move {
                for _ in 0..4 {
                    // What could not be done waits for the next time.
                    let _ = handle::fire(&platform, &Caller::system("scheduler"), at).await;
                }
                table.counts().failed_after
            });
        }
        while let Some(counts) = clocks.join_next().await {
            lost += counts.unwrap();
        }
        handle::fire(&calm, &Caller::system("scheduler"), at).await.unwrap();
        let entries = log(&calm, Some(env("prod"))).await;
        let made = entries.iter().filter(|entry| entry.request_id.starts_with("schedule-"));
        assert_eq!(made.count(), 3, "seed {seed}");
        let (org, prod) = (org(), env("prod"));
        let page = PageOf::default();
        let ended = calm.schedules(&caller(), (&org, &prod), true, &page).await.unwrap();
        for ended in &ended.items {
            let state = &ended.value.state;
            assert!(matches!(state, ScheduleState::Fired { .. }), "seed {seed}: {state:?}");
        }
        assert_eq!(ended.items.len(), 3, "seed {seed}");
    }
    assert!(lost > 10, "only {lost} answers were lost: nothing was tested");
}
