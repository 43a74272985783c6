//! People whom the log is made to forget: whatever it says stays, and the chain holds.

use flagforge_flags::manifest::Digest;
use flagforge_platform::ports::{Condition, Item, ItemKey, Query, Table, Write};
use flagforge_tests::Api;
use reqwest::Method;
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use crate::people::{HOME, Office, at};

pub(crate) async fn got(api: &Api, rest: &str) -> Json {
    api.get(&at(rest)).await.unwrap().expect(200).unwrap().body
}

/// Whom the newest entry of the organization's log is by.
async fn newest(api: &Api) -> Json {
    got(api, "audit?limit=1").await["items"][0]["by"].clone()
}

pub(crate) async fn chain_holds(api: &Api) {
    for log in ["", "?env=prod"] {
        let chain = got(api, &format!("audit/chain{log}")).await;
        let is_whole = chain["complete"] == true || chain["until"] == 0;
        assert!(chain["intact"] == true && is_whole, "{chain}");
    }
}

/// All that stands in the table: of both logs, of records, and beside them.
pub(crate) async fn stored(table: &dyn Table) -> String {
    let mut all = String::new();
    for part in ["", "log", "env#prod", "env#prod#log", "env#prod#by-tenant", "texts"] {
        let mut query = Query::prefix(format!("home#{part}"), "");
        loop {
            let page = table.query(&query).await.unwrap();
            all.extend(page.items.iter().map(|item| format!("{}\n", item.body)));
            match page.next {
                None => break,
                next => query.page = next,
            }
        }
    }
    all
}

async fn erase(api: &Api, id: &Json, status: u16) -> Json {
    let asked = json!({"actor": id});
    api.post(&at("erasures"), &asked).await.unwrap().expect(status).unwrap().body
}

/// What an organization shows of whoever did something.
async fn shown(api: &Api) -> String {
    let mut shown = String::new();
    let both = ["log", "audit", "audit/export", "environments/prod/log", "audit?env=prod"];
    let records = ["environments/prod/kills", "deleted-flags", "environments/prod/flags/f/history"];
    let others = ["imports", "environments/prod/schedules?ended=true", "people"];
    for rest in both.iter().chain(&records).chain(&others) {
        shown.push_str(&got(api, rest).await.to_string());
    }
    let entries = got(api, "log?limit=500").await["items"].as_array().unwrap().len();
    for number in 1..=entries {
        shown.push_str(&got(api, &format!("audit/{number}")).await.to_string());
    }
    shown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_log_named_it_names_no_more_not_even_when_they_come_again() {
    let Some(office) = Office::open().await else { return };
    let ann = office.with(&office.issuer.token("ann", "flagforge").await);
    // She comes in by many doors at once, and is one.
    let mut doors = JoinSet::new();
    for number in 0..10 {
        let (ann, path) = (ann.clone(), at(&format!("tenants/t{number}")));
        doors.spawn(async move { ann.put(&path, &json!({})).await.unwrap().expect(201).unwrap() });
    }
    while let Some(done) = doors.join_next().await {
        done.unwrap();
    }
    let id = newest(&office.admin).await["id"].clone();
    let of_her = format!("audit?actor={}", id.as_str().unwrap());
    assert_eq!(got(&ann, &of_her).await["items"].as_array().unwrap().len(), 10);

    let flag = json!({"class": "release", "type": "boolean"});
    for key in ["f", "g"] {
        ann.put(&at(&format!("flags/{key}")), &flag).await.unwrap().expect(201).unwrap();
    }
    let prod = |rest: &str| at(&format!("environments/prod/{rest}"));
    ann.post(&prod("flags/f/enable"), &Json::Null).await.unwrap().expect(201).unwrap();
    let why = json!({"reason": "an incident"});
    ann.put(&prod("kills/environment"), &why).await.unwrap().expect(201).unwrap();
    ann.delete(&at("flags/g")).await.unwrap().expect(204).unwrap();
    let csv = [("content-type", "text/csv")];
    let import = Some("key\nacme\n".to_owned());
    ann.call(Method::POST, &at("imports"), &csv, import).await.unwrap();
    let carl = json!({"issuer": office.issuer.url, "subject": "carl-once", "role": "reader"});
    ann.post(&at("people"), &carl).await.unwrap().expect(201).unwrap();

    let before = shown(&office.admin).await;
    assert!(before.contains("\"subject\":\"ann\"") && before.contains("carl-once"), "{before}");
    assert!(!before.contains("\"erased\""), "{before}");
    // The log itself and what stands never say it; what does stands beside.
    let kept = stored(&*office.table).await;
    assert_eq!(kept.matches("\"ann\"").count(), 1, "{kept}");
    erase(&office.admin, &id, 204).await;
    erase(&office.admin, &id, 404).await;
    let after = shown(&office.admin).await;
    assert!(!after.contains("\"ann\"") && after.contains("\"subject\":\"erased\""), "{after}");
    assert!(after.contains("carl-once"), "another was forgotten with her: {after}");
    assert!(!stored(&*office.table).await.contains("\"ann\""));
    chain_holds(&office.admin).await;

    ann.put(&at("tenants/again"), &json!({})).await.unwrap().expect(201).unwrap();
    let again = newest(&office.admin).await;
    assert_eq!(again["subject"], "ann");
    assert_ne!(again["id"], id, "her name is back on what she did before");
    let before = got(&office.admin, &of_her).await["items"].as_array().unwrap().clone();
    assert!(before.len() > 10 && before.iter().all(|e| e["by"]["subject"] == "erased"));
    chain_holds(&office.admin).await;
}

pub(crate) async fn erase_reason(api: &Api, env: Option<&str>, number: &Json, status: u16) -> Json {
    let asked = json!({"reason": {"env": env, "number": number}});
    api.post(&at("erasures"), &asked).await.unwrap().expect(status).unwrap().body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erasing_a_member_takes_what_removing_them_takes() {
    let Some(office) = Office::open().await else { return };
    let add = async |subject: &str, role: &str| {
        let body = json!({"issuer": office.issuer.url, "subject": subject, "role": role});
        let made = office.admin.post(&at("people"), &body).await.unwrap().expect(201).unwrap();
        made.body["id"].clone()
    };
    let (carl, dora) = (add("carl", "admin").await, add("dora", "admin").await);
    let role = json!({"permissions": ["purge"]});
    office.admin.put(&at("roles/eraser"), &role).await.unwrap().expect(201).unwrap();
    let key = json!({"kind": "mgmt", "role": "eraser"});
    let key = office.admin.post(&at("keys"), &key).await.unwrap().expect(201).unwrap();
    let eraser = office.with(key.body["key"].as_str().unwrap());
    erase(&eraser, &dora, 403).await;
    erase(&office.admin, &dora, 204).await;
    assert_eq!(erase(&office.admin, &carl, 409).await["type"], "urn:flagforge:problem:last-admin");
    let of_dora = office.with(&office.issuer.token("dora", "flagforge").await);
    of_dora.get(HOME).await.unwrap().expect(401).unwrap();
    let people = got(&office.admin, "people").await["items"].clone();
    assert_eq!(people.as_array().unwrap().len(), 1, "{people}");
    // Whoever is taken in again is somebody new; who stands already is not taken in twice.
    assert_ne!(add("dora", "reader").await, dora);
    of_dora.get(HOME).await.unwrap().expect(200).unwrap();
    let twice = json!({"issuer": office.issuer.url, "subject": "carl", "role": "reader"});
    office.admin.post(&at("people"), &twice).await.unwrap().expect(409).unwrap();
    chain_holds(&office.admin).await;
}

/// Writes as an installation did when ids followed from issuer and subject, and entries had both.
async fn as_before(table: &dyn Table, issuer: &str) {
    let former: String =
        Digest::of(format!("{issuer}\ncarl").as_bytes()).to_string().chars().take(32).collect();
    let read = async |pk: &str, sk: &str| table.get(&ItemKey::new(pk, sk)).await.unwrap().unwrap();
    let head = read("home#", "HEAD").await;
    let mut is: Json = serde_json::from_str(&head.body).unwrap();
    let number = head.version + 1;
    let last = read("home#log", &format!("LOG#{:020}", head.version)).await;
    let person = json!({"id": former, "issuer": issuer, "subject": "carl", "role": "admin",
        "since": "2026-01-01T00:00:00Z"});
    let image = json!({"pk": "home#", "sk": format!("PERSON#{former}"), "body": person});
    let entry = json!({"number": number, "id": "of-old", "at": is["at"], "requestId": "old",
        "by": {"actor": "person", "id": former, "issuer": issuer, "subject": "carl"},
        "change": {"change": "addPerson", "org": "home"}, "reason": "as it was",
        "images": [image], "previous": Digest::of(last.body.as_bytes())});
    let entry = entry.to_string();
    is["number"] = number.into();
    is["digest"] = json!(Digest::of(entry.as_bytes()));
    let put = |pk: &str, sk: &str, body: String, condition| Write::Put {
        item: Item { key: ItemKey::new(pk, sk), version: number, body, expires_at_seconds: None },
        condition,
    };
    let writes = vec![
        put("home#log", &format!("LOG#{number:020}"), entry, Condition::Absent),
        put("home#", "HEAD", is.to_string(), Condition::Version(head.version)),
        put("home#", &format!("PERSON#{former}"), person.to_string(), Condition::Absent),
    ];
    table.transact(writes, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_with_a_name_still_reads_and_verifies_and_keeps_it() {
    let Some(office) = Office::open().await else { return };
    as_before(&*office.table, &office.issuer.url).await;
    let (old, carl) = (newest(&office.admin).await, office.issuer.token("carl", "flagforge").await);
    assert_eq!(old["subject"], "carl");
    chain_holds(&office.admin).await;
    // He is who he was.
    let carl = office.with(&carl);
    let twice = json!({"issuer": office.issuer.url, "subject": "carl", "role": "reader"});
    office.admin.post(&at("people"), &twice).await.unwrap().expect(409).unwrap();
    carl.put(&at("tenants/acme"), &json!({})).await.unwrap().expect(201).unwrap();
    assert_eq!(newest(&office.admin).await, old);
    let heir = json!({"issuer": office.issuer.url, "subject": "dora", "role": "admin"});
    carl.post(&at("people"), &heir).await.unwrap().expect(201).unwrap();
    erase(&office.admin, &old["id"], 204).await;
    let items = got(&office.admin, "audit?limit=500").await["items"].clone();
    let by = |request: &dyn Fn(&Json) -> bool| {
        items.as_array().unwrap().iter().find(|e| request(e)).unwrap()["by"]["subject"].clone()
    };
    assert_eq!(by(&|entry| entry["requestId"] == "old"), "carl", "the chain was broken for it");
    assert_eq!(by(&|entry| entry["change"] == "put-tenant"), "erased");
    // Nor does its reason go: it is in the entry.
    let number = items.as_array().unwrap().iter().find(|e| e["requestId"] == "old").unwrap();
    let refused = erase_reason(&office.admin, None, &number["number"], 400).await;
    assert_eq!(refused["field"], "reason");
    carl.get(HOME).await.unwrap().expect(401).unwrap();
    chain_holds(&office.admin).await;
}
