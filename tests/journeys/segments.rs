//! Segments: who is in them, who asks for them, and what may not be asked.

use anyhow::ensure;
use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::{Answer, Org, Stack, eventually};

/// A boolean flag that is true for who is in `condition`.
async fn flag_for(org: &Org, flag: &str, condition: &Json) -> anyhow::Result<Answer> {
    org.boolean_flag(flag).await?;
    rule(org, flag, condition).await
}

async fn rule(org: &Org, flag: &str, condition: &Json) -> anyhow::Result<Answer> {
    let (off, on) = (json!({"variant": "off"}), json!({"variant": "on"}));
    let rules = json!([{"id": "r", "when": condition, "serve": on}]);
    let state = json!({"enabled": true, "off": off, "fallthrough": off, "rules": rules});
    let path = org.path(&format!("environments/prod/flags/{flag}"));
    org.api.call(Method::PUT, &path, &[("if-none-match", "*")], Some(state.to_string())).await
}

async fn send_list(
    org: &Org,
    (method, list): (Method, &str),
    kind: &str,
    body: String,
) -> anyhow::Result<Answer> {
    let path = org.path(&format!("environments/prod/segments/beta/lists/{list}"));
    org.api.call(method, &path, &[("content-type", kind)], Some(body)).await
}

/// Waits until OFREP answers this to a user.
async fn answers(
    org: &Org,
    key: &str,
    flag: &str,
    user: &str,
    value: &Json,
) -> anyhow::Result<Answer> {
    eventually(org.patience(), || async {
        let answer = org.evaluate(key, flag, "acme", user).await?;
        ensure!(answer.body["value"] == *value, "{user} gets {} {}", answer.status, answer.body);
        Ok(Some(answer))
    })
    .await
}

pub async fn a_segment_decides_and_stays_while_it_is_asked_for(
    stack: &Stack,
) -> anyhow::Result<()> {
    let org = stack.found("segments").await?;
    let key = org.server_key().await?;
    let path = org.path("environments/prod/segments/beta");
    let absent = flag_for(&org, "f", &json!({"inSegment": "beta"})).await?.expect(400)?;
    ensure!(absent.body["field"] == "rules[0].when", "{}", absent.body);
    let segment = json!({
        "description": "Friends",
        "when": "tenant.plan in [\"gold\"] && user.key == \"u-9\"",
        "included": ["u-1", "u-2"],
        "excluded": ["u-2"],
    });
    let made = org.api.put(&path, &segment).await?.expect(201)?;
    ensure!(made.body["includedIds"] == 2 && made.body["excludedIds"] == 1, "{}", made.body);
    ensure!(made.body["when"]["all"].is_array(), "{}", made.body);
    let text = org.api.get(&format!("{path}?conditions=text")).await?.expect(200)?;
    ensure!(text.body["when"] == segment["when"], "{}", text.body);
    rule(&org, "f", &json!("in_segment(\"beta\")")).await?.expect(201)?;
    for (user, value) in [("u-1", true), ("u-2", false), ("u-3", false), ("u-9", true)] {
        answers(&org, &key, "f", user, &json!(value)).await?;
    }
    let in_use = org.api.delete(&path).await?.expect(409)?;
    ensure!(in_use.problem() == "in-use", "{}", in_use.body);
    ensure!(in_use.body["detail"].to_string().contains("the flag `f`"), "{}", in_use.body);
    rule_gone(&org, "f").await?;
    org.api.delete(&path).await?.expect(204)?;
    org.api.get(&path).await?.expect(404)?;
    org.sees(&key, "f", "acme", &json!(false)).await?;
    Ok(())
}

async fn rule_gone(org: &Org, flag: &str) -> anyhow::Result<()> {
    let path = org.path(&format!("environments/prod/flags/{flag}"));
    org.api.patch(&path, &json!({"rules": []})).await?.expect(200)?;
    Ok(())
}

pub async fn long_lists_come_and_go_in_parts(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("lists").await?;
    let key = org.server_key().await?;
    org.api.put(&org.path("environments/prod/segments/beta"), &json!({})).await?.expect(201)?;
    flag_for(&org, "f", &json!("in_segment(\"beta\")")).await?.expect(201)?;
    // More than travel as they are.
    let lines = |from: usize, until: usize| {
        (from..until).map(|n| format!("member-{n}\n")).collect::<String>()
    };
    let put = (Method::PUT, "included");
    let put = send_list(&org, put, "text/plain", lines(0, 12_000)).await?.expect(200)?;
    ensure!(put.body["includedIds"] == 12_000, "{}", put.body);
    answers(&org, &key, "f", "member-11999", &json!(true)).await?;
    answers(&org, &key, "f", "member-12000", &json!(false)).await?;
    let more = json!(["member-12000", "member-0"]).to_string();
    let add = (Method::POST, "included/add");
    let added = send_list(&org, add, "application/json", more).await?.expect(200)?;
    ensure!(added.body["includedIds"] == 12_001, "{}", added.body);
    answers(&org, &key, "f", "member-12000", &json!(true)).await?;
    let gone = "\"member-7\"\n\"nobody\"\n".to_owned();
    let remove = (Method::POST, "included/remove");
    let removed = send_list(&org, remove, "application/x-ndjson", gone).await?.expect(200)?;
    ensure!(removed.body["includedIds"] == 12_000, "{}", removed.body);
    answers(&org, &key, "f", "member-7", &json!(false)).await?;
    pages_of_ids(&org).await?;
    let many = "x\n".repeat(3) + &lines(0, flagforge_platform::MAX_EDITED_IDS);
    let add = (Method::POST, "included/add");
    let over = send_list(&org, add, "text/plain", many).await?.expect(400)?;
    ensure!(over.problem() == "over-limit" && over.body["field"] == "ids", "{}", over.body);
    let bad = (Method::PUT, "excluded");
    let bad = send_list(&org, bad, "application/x-ndjson", "\"a\"\nb\n".into()).await?;
    ensure!(bad.expect(400)?.body["field"] == "line 2", "the bad line is not named");
    Ok(())
}

async fn pages_of_ids(org: &Org) -> anyhow::Result<()> {
    let list = org.path("environments/prod/segments/beta/lists/included?limit=5000");
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = org.api.get(&format!("{list}{cursor}")).await?.expect(200)?;
        seen.extend(page.body["ids"].as_array().cloned().unwrap_or_default());
        match page.body["next"].as_str() {
            None => break,
            Some(next) => cursor = format!("&cursor={next}"),
        }
    }
    let sorted = seen.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str());
    ensure!(seen.len() == 12_000 && sorted, "{} ids, sorted: {sorted}", seen.len());
    Ok(())
}

pub async fn conditions_in_text_name_line_and_column(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("texts").await?;
    let bad = flag_for(&org, "f", &json!("user.age >= 18 &&\n  user.x ~ 3")).await?.expect(400)?;
    ensure!(bad.body["field"] == "rules[0].when", "{}", bad.body);
    ensure!(bad.body["line"] == 2 && bad.body["column"] == 10, "{}", bad.body);
    ensure!(bad.body["detail"].as_str().unwrap_or_default().contains("\n  "), "{}", bad.body);
    rule(&org, "f", &json!("user.age>=18&&!( user.x == 'a' )")).await?.expect(201)?;
    let path = org.path("environments/prod/flags/f");
    let tree = org.api.get(&path).await?.expect(200)?;
    ensure!(tree.body["rules"][0]["when"]["all"].is_array(), "{}", tree.body);
    let text = org.api.get(&format!("{path}?conditions=text")).await?.expect(200)?;
    let canonical = "user.age >= 18 && !(user.x == \"a\")";
    ensure!(text.body["rules"][0]["when"] == canonical, "{}", text.body);
    // What was read as text can be sent back.
    let tag = text.header("etag").to_owned();
    let back = text.body.to_string();
    let sent = org.api.call(Method::PUT, &path, &[("if-match", &tag)], Some(back)).await?;
    ensure!(sent.expect(200)?.body["rules"] == tree.body["rules"], "it came back as another");
    Ok(())
}

pub async fn nobody_asks_in_a_circle_or_for_nothing(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("circles").await?;
    for flag in ["a", "b", "c"] {
        org.boolean_flag(flag).await?;
    }
    rule(&org, "a", &json!("flag(\"b\").is_on()")).await?.expect(400)?;
    let asks = |flag: &str| json!({"flag": {"flag": flag, "is": {"variants": ["on"]}}});
    rule(&org, "a", &asks("b")).await?.expect(201)?;
    let segment = org.path("environments/prod/segments/s");
    org.api.put(&segment, &json!({"when": asks("c")})).await?.expect(201)?;
    rule(&org, "b", &json!({"inSegment": "s"})).await?.expect(201)?;
    let circle = rule(&org, "c", &asks("a")).await?.expect(400)?;
    let told = circle.body["detail"].as_str().unwrap_or_default();
    let path = "a circle: the flag `c` asks for the flag `a` asks for the flag `b` asks for the segment `s` asks for the flag `c`";
    ensure!(told.contains(path), "{told}");
    let itself = rule(&org, "c", &asks("c")).await?.expect(400)?;
    ensure!(itself.body["detail"].to_string().contains("a circle"), "{}", itself.body);
    let nothing = rule(&org, "c", &asks("zzz")).await?.expect(400)?;
    ensure!(nothing.body["detail"].to_string().contains("no flag `zzz`"), "{}", nothing.body);
    let variant = json!({"flag": {"flag": "a", "is": {"variants": ["purple"]}}});
    let variant = rule(&org, "c", &variant).await?.expect(400)?;
    ensure!(variant.body["detail"].to_string().contains("no variant"), "{}", variant.body);
    let used = org.api.delete(&org.path("flags/c")).await?.expect(409)?;
    ensure!(used.body["detail"].to_string().contains("the segment `s`"), "{}", used.body);
    org.api.delete(&segment).await?.expect(409)?;
    Ok(())
}
