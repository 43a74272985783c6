//! Reasons that are erased: from the log, and from what still says them.

use flagforge_embedded::Embedded;
use flagforge_flags::time::Timestamp;
use flagforge_platform::bootstrap;
use flagforge_platform::ports::{Query, Table as _};
use flagforge_tests::Api;
use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::erased::{chain_holds, erase_reason, got, stored};
use crate::kit::{env, org, platform};
use crate::people::{at, served};

const PROD: Option<&str> = Some("prod");

/// Does something for a reason; answers the number of the entry that says so.
async fn done(api: &Api, method: Method, path: &str, reason: &str, body: Json) -> Json {
    let headers = [("flagforge-reason", reason)];
    let answer = api.call(method, &at(path), &headers, Some(body.to_string())).await.unwrap();
    assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.body);
    let log = if path.starts_with("environments") { "env=prod&" } else { "" };
    got(api, &format!("audit?{log}limit=1")).await["items"][0]["number"].clone()
}

/// Everything where a reason is read.
async fn shown(api: &Api) -> String {
    let of_prod = ["log", "flags/f/history", "kills", "schedules", "flags/f/overrides"];
    let of_prod = of_prod.map(|rest| format!("environments/prod/{rest}"));
    let others =
        ["log", "audit/export", "audit?env=prod", "deleted-flags", "tenants/acme/overrides"];
    let mut shown = String::new();
    for rest in of_prod.iter().map(String::as_str).chain(others) {
        shown.push_str(&got(api, rest).await.to_string());
    }
    for number in 1..=4 {
        shown.push_str(&got(api, &format!("audit/{number}?env=prod")).await.to_string());
    }
    shown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reason_goes_by_itself_and_the_chain_holds() {
    let hands = Embedded::memory().unwrap();
    let platform = platform(&hands, hands.table.clone());
    platform.fire_schedules();
    let envs = [(env("prod"), "Prod")];
    let admin = bootstrap::home(&platform, &org(), "Home", &envs).await.unwrap().unwrap();
    let api = Api::new(&served(platform).await, Some(&admin.key.expose()));
    let flag = json!({"class": "release", "type": "boolean"});
    for path in ["flags/f", "flags/g", "tenants/acme"] {
        let body = if path.starts_with("flags") { &flag } else { &json!({}) };
        api.put(&at(path), body).await.unwrap().expect(201).unwrap();
    }

    let later = Timestamp::from_millis(hands.timer.now().as_millis() + 3_600_000);
    let special = json!({"variant": "on", "reason": "Ann is special"});
    let planned = json!({"at": later, "do": {"setOverride": {"flag": "f", "tenant": "acme",
        "variant": "off", "reason": "Ann is special then"}}});
    let (post, put) = (Method::POST, Method::PUT);
    let prod = "environments/prod";
    let (enable, kill) = (format!("{prod}/flags/f/enable"), format!("{prod}/kills/environment"));
    let enabled = done(&api, post.clone(), &enable, "Ann asked", json!({})).await;
    let killed = done(&api, put.clone(), &kill, "Ann kills", json!({})).await;
    let over = format!("{prod}/flags/f/overrides/acme");
    let over = done(&api, put, &over, "Ann overrides", special).await;
    let planned = done(&api, post, &format!("{prod}/schedules"), "Ann plans", planned).await;
    let deleted = done(&api, Method::DELETE, "flags/g", "Ann deletes", json!({})).await;

    // In the log there are only seals; what stands says it, as it must.
    let log = ["home#log", "home#env#prod#log"];
    let logged = async || {
        let mut logged = String::new();
        for pk in log {
            let query = Query::prefix(pk, "");
            let page = hands.table.query(&query).await.unwrap();
            logged.extend(page.items.iter().map(|item| item.body.clone()));
        }
        logged
    };
    assert!(!logged().await.contains("Ann "), "{}", logged().await);
    let before = shown(&api).await;
    assert!(!before.contains("seal:") && !before.contains("\"erased\""), "{before}");
    let all = [
        (PROD, enabled, vec!["Ann asked"]),
        (PROD, killed, vec!["Ann kills"]),
        (PROD, over, vec!["Ann overrides", "Ann is special"]),
        (PROD, planned, vec!["Ann plans", "Ann is special then"]),
        (None, deleted, vec!["Ann deletes"]),
    ];
    let said = |reason: &str| format!("\"{reason}\"");
    for (at, (env, number, reasons)) in all.iter().enumerate() {
        for reason in reasons {
            assert!(shown(&api).await.contains(&said(reason)), "{reason} is not told");
        }
        erase_reason(&api, *env, number, 204).await;
        erase_reason(&api, *env, number, 404).await;
        let after = shown(&api).await + &stored(&*hands.table).await;
        for reason in reasons {
            assert!(!after.contains(&said(reason)), "{reason} is still said: {after}");
        }
        for reason in all[at + 1..].iter().flat_map(|(_, _, reasons)| reasons) {
            assert!(after.contains(&said(reason)), "{reason} went with another");
        }
        chain_holds(&api).await;
    }
    assert!(!shown(&api).await.contains("seal:"));
    erase_reason(&api, PROD, &json!(999), 404).await;
    // Whatever it was for, it is as it was.
    let over = got(&api, &format!("{prod}/flags/f/overrides")).await;
    assert_eq!(
        (&over["items"][0]["variant"], &over["items"][0]["reason"]),
        (&json!("on"), &json!("erased"))
    );
    api.post(&at("deleted-flags/g/restore"), &Json::Null).await.unwrap().expect(200).unwrap();
}
