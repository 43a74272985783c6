//! What people schedule: made with what the organization says of them at that instant, or not at all.

use std::time::Duration;

use flagforge_flags::time::Timestamp;
use flagforge_platform::people::CLAIMS_COUNT;
use flagforge_platform::ports::Timer as _;
use flagforge_platform::{Caller, handle};
use flagforge_tests::{Answer, Api};
use serde_json::{Value as Json, json};

use crate::people::{Office, at};

const HOUR: Duration = Duration::from_secs(3_600);
const MILLISECOND: Duration = Duration::from_millis(1);

impl Office {
    /// With the flags of these keys.
    async fn with_flags(keys: &[&str]) -> Option<Self> {
        let office = Self::open().await?;
        office.platform.fire_schedules();
        for key in keys {
            let flag = json!({"class": "release", "type": "boolean"});
            let path = at(&format!("flags/{key}"));
            office.admin.put(&path, &flag).await.unwrap().expect(201).unwrap();
        }
        Some(office)
    }

    async fn person(&self, login: &str) -> Api {
        self.with(&self.issuer.token(login, "flagforge").await)
    }

    async fn take_in(&self, login: &str, role: &str) -> String {
        let body = json!({"issuer": self.issuer.url, "subject": login, "role": role});
        let made = self.admin.post(&at("people"), &body).await.unwrap().expect(201).unwrap();
        made.body["id"].as_str().unwrap().to_owned()
    }

    /// Makes what is due at an instant.
    async fn fire(&self, now: Timestamp) {
        self.timer.set(now);
        handle::fire(&self.platform, &Caller::system("scheduler"), now).await.unwrap();
    }

    async fn state(&self, env: &str, id: &str) -> Json {
        let path = at(&format!("environments/{env}/schedules/{id}"));
        self.admin.get(&path).await.unwrap().expect(200).unwrap().body["state"].clone()
    }
}

async fn ask(by: &Api, env: &str, flag: &str, then: Timestamp) -> Answer {
    let body = json!({"at": then, "do": {"enable": {"flag": flag}}});
    by.post(&at(&format!("environments/{env}/schedules")), &body).await.unwrap()
}

async fn plan(by: &Api, env: &str, flag: &str, then: Timestamp) -> String {
    let made = ask(by, env, flag, then).await.expect(201).unwrap();
    made.body["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_persons_change_is_made_with_what_they_may_then_or_says_why_not() {
    let Some(office) = Office::with_flags(&["a", "b", "c", "d", "e", "f"]).await else { return };
    let then = office.timer.now().plus(HOUR);
    let (ann, bob) = (office.person("ann").await, office.person("bob").await);
    let [carl, dora, emil] =
        ["carl", "dora", "emil"].map(|login| office.take_in(login, "maintainer"));
    let (carl, dora, _) = (carl.await, dora.await, emil.await);
    let by_rule = plan(&ann, "prod", "a", then).await;
    let by_lost_rule = plan(&bob, "dev", "b", then).await;
    let of_removed = plan(&office.person("carl").await, "prod", "c", then).await;
    let of_narrowed = plan(&office.person("dora").await, "prod", "d", then).await;
    let by_name = plan(&office.person("emil").await, "prod", "e", then).await;
    ask(&bob, "prod", "f", then).await.expect(404).unwrap();

    // Meanwhile: a rule goes, somebody is let go, somebody may less.
    let admins = json!([{"claim": "groups", "value": "flag-admins", "role": "maintainer"}]);
    office.believe(&json!({"roles": admins})).await.expect(200).unwrap();
    let person = |id: &str| at(&format!("people/{id}"));
    office.admin.delete(&person(&carl)).await.unwrap().expect(204).unwrap();
    let reader = json!({"role": "reader"});
    office.admin.put(&person(&dora), &reader).await.unwrap().expect(200).unwrap();

    office.fire(then).await;
    assert!(office.state("prod", &by_rule).await["fired"].is_object());
    assert!(office.state("prod", &by_name).await["fired"].is_object());
    for (env, id, why) in [
        ("dev", by_lost_rule, "has no role here any more"),
        ("prod", of_removed, "has no role here any more"),
        ("prod", of_narrowed, "permission `write-states`"),
    ] {
        let state = office.state(env, &id).await;
        assert!(state["failed"]["why"].as_str().is_some_and(|told| told.contains(why)), "{state}");
    }
    let entry = office.admin.get(&at("audit?env=prod&flag=a&limit=1")).await.unwrap();
    let by = &entry.body["items"][0]["by"];
    assert_eq!((&by["actor"], &by["subject"]), (&json!("person"), &json!("ann")), "{}", entry.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_token_said_counts_for_a_time_and_for_nobody_who_was_erased() {
    let Some(office) = Office::with_flags(&["a", "b"]).await else { return };
    let now = office.timer.now();
    let (ann, last) = (office.person("ann").await, now.plus(CLAIMS_COUNT - MILLISECOND));
    let too_far = ask(&ann, "prod", "a", last.plus(MILLISECOND)).await.expect(400).unwrap();
    assert_eq!(too_far.body["field"], "at");
    let in_time = plan(&ann, "prod", "a", last).await;
    office.take_in("carl", "maintainer").await;
    let carl = office.person("carl").await;
    let far = plan(&carl, "prod", "b", last.plus(10 * 24 * HOUR)).await;
    office.fire(last).await;
    assert!(office.state("prod", &in_time).await["fired"].is_object());
    office.fire(last.plus(10 * 24 * HOUR)).await;
    assert!(office.state("prod", &far).await["fired"].is_object());

    let Some(office) = Office::with_flags(&["a", "b"]).await else { return };
    let then = office.timer.now().plus(CLAIMS_COUNT - MILLISECOND);
    let (ann, bob) = (office.person("ann").await, office.person("bob").await);
    let of_erased = plan(&ann, "prod", "a", then).await;
    let of_late = plan(&bob, "dev", "b", then).await;
    let log = office.admin.get(&at("audit?env=prod&limit=1")).await.unwrap().body;
    let erased = json!({"actor": log["items"][0]["by"]["id"]});
    office.admin.post(&at("erasures"), &erased).await.unwrap().expect(204).unwrap();
    // A moment late, what his token said counts no more.
    office.fire(then.plus(MILLISECOND)).await;
    for (env, id) in [("prod", of_erased), ("dev", of_late)] {
        let state = office.state(env, &id).await;
        let why = state["failed"]["why"].as_str().unwrap_or_default();
        assert!(why.contains("has no role here any more"), "{state}");
    }
}
