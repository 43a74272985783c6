//! Copies of flags and environments, and the catalog that finds the copies nobody wanted.

use anyhow::ensure;
use serde_json::{Value as Json, json};

use crate::{Org, Stack};

pub async fn a_clone_does_what_its_original_does(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("clones").await?;
    let key = org.server_key().await?;
    let body = json!({"class": "release", "type": "boolean", "owner": "team-shop", "tags": ["q4"]});
    org.api.put(&org.path("flags/cart"), &body).await?.expect(201)?;
    let split = json!({"split": {"weights": [{"variant": "on", "weight": 1}, {"variant": "off", "weight": 1}]}});
    let state = json!({"enabled": true, "fallthrough": split});
    org.api.patch(&org.path("environments/prod/flags/cart"), &state).await?.expect(201)?;
    let clone = org.path("flags/cart/clone");
    let made = org.api.post(&clone, &json!({"key": "basket"})).await?.expect(201)?;
    ensure!(made.body["owner"] == "team-shop" && made.body["key"] == "basket", "{}", made.body);
    org.api.post(&clone, &json!({"key": "basket"})).await?.expect(409)?;
    org.api.post(&org.path("flags/zzz/clone"), &json!({"key": "x"})).await?.expect(404)?;
    let untouched = org.api.get(&org.path("environments/dev/flags/basket")).await?.expect(200)?;
    ensure!(untouched.header("etag") == "\"0\"", "{:?}", untouched.headers);
    for user in ["u-1", "u-2", "u-3", "u-4", "u-5"] {
        let original = crate::eventually(org.patience(), || async {
            let answer = org.evaluate(&key, "cart", "acme", user).await?;
            Ok((answer.body["reason"] == "SPLIT").then_some(answer))
        });
        let original = original.await?;
        let clone = crate::eventually(org.patience(), || async {
            let answer = org.evaluate(&key, "basket", "acme", user).await?;
            Ok((answer.body["reason"] == "SPLIT").then_some(answer))
        });
        ensure!(clone.await?.body["value"] == original.body["value"], "{user} is elsewhere");
    }
    Ok(())
}

pub async fn an_environment_is_copied_whole(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("copies").await?;
    let path = |rest: &str| org.path(rest);
    for number in 0..45 {
        org.boolean_flag(&format!("f-{number:02}")).await?;
        let state = path(&format!("environments/dev/flags/f-{number:02}"));
        org.api.patch(&state, &json!({"enabled": true})).await?.expect(201)?;
    }
    let asks = json!({"prerequisites": [{"flag": "f-44", "is": {"variants": ["on"]}}]});
    org.api.patch(&path("environments/dev/flags/f-00"), &asks).await?.expect(200)?;
    for segment in ["beta", "unasked"] {
        let segment = path(&format!("environments/dev/segments/{segment}"));
        org.api.put(&segment, &json!({"included": ["u-1"]})).await?.expect(201)?;
    }
    org.api.post(&path("environments"), &json!({"key": "copy"})).await?.expect(201)?;
    let (mut cursor, mut flags, mut segments) = (Json::Null, 0, 0);
    for _ in 0..10 {
        let body = json!({"from": "dev", "cursor": cursor});
        let part = org.api.post(&path("environments/copy/copy"), &body).await?.expect(200)?;
        flags += part.body["flags"].as_u64().unwrap_or_default();
        segments += part.body["segments"].as_u64().unwrap_or_default();
        cursor = part.body["next"].clone();
        if cursor.is_null() {
            break;
        }
    }
    ensure!((flags, segments) == (45, 2), "{flags} flags and {segments} segments");
    let compared = org.api.get(&path("environments/copy/compare?with=dev")).await?.expect(200)?;
    ensure!(compared.body["items"] == json!([]), "{}", compared.body);
    let log = org.api.get(&path("environments/copy/log")).await?.expect(200)?;
    let entries = log.body["items"].as_array().map_or(0, Vec::len);
    // Again changes nothing, and writes nothing.
    let again = org.api.post(&path("environments/copy/copy"), &json!({"from": "dev"})).await?;
    ensure!(again.expect(200)?.body["segments"] == 0, "a segment was copied twice");
    let log = org.api.get(&path("environments/copy/log")).await?.expect(200)?;
    ensure!(log.body["items"].as_array().map_or(0, Vec::len) == entries, "{}", log.body);
    let nowhere = org.api.post(&path("environments/copy/copy"), &json!({"from": "zzz"})).await?;
    ensure!(nowhere.expect(400)?.body["field"] == "from", "an absent source");
    Ok(())
}

pub async fn the_catalog_sorts_flags_and_names_likely_duplicates(
    stack: &Stack,
) -> anyhow::Result<()> {
    let org = stack.found("catalog").await?;
    define(&org, "new-checkout", &json!({"owner": "team-shop", "dependents": ["cart", "billing"]}))
        .await?;
    define(&org, "checkout_v2", &json!({"owner": "team-web", "dependents": ["cart"]})).await?;
    define(&org, "search", &json!({"expiresAt": "2020-01-01T00:00:00.000Z"})).await?;
    let read = |by: &'static str| {
        let org = org.clone();
        async move { org.api.get(&org.path(&format!("catalog{by}"))).await?.expect(200) }
    };
    let owners = read("").await?;
    let groups = json!([
        {"name": "team-shop", "flags": ["new-checkout"]},
        {"name": "team-web", "flags": ["checkout_v2"]},
        {"flags": ["search"]},
    ]);
    ensure!(owners.body["groups"] == groups, "{}", owners.body);
    let alike = &owners.body["duplicates"][0];
    ensure!(alike["flags"] == json!(["checkout_v2", "new-checkout"]), "{}", owners.body);
    ensure!(owners.body["overdue"] == json!(["search"]), "{}", owners.body);
    let dependents = read("?by=dependent").await?;
    let cart = json!({"name": "cart", "flags": ["checkout_v2", "new-checkout"]});
    ensure!(dependents.body["groups"][1] == cart, "{}", dependents.body);
    org.api.get(&org.path("catalog?by=colour")).await?.expect(400)?;
    Ok(())
}

async fn define(org: &Org, key: &str, with: &Json) -> anyhow::Result<()> {
    let mut body = json!({"class": "release", "type": "boolean"});
    for (name, value) in with.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    org.api.put(&org.path(&format!("flags/{key}")), &body).await?.expect(201)?;
    Ok(())
}
