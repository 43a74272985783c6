//! From one environment to another, and back to what was.

use anyhow::ensure;
use serde_json::{Value as Json, json};

use crate::{Answer, Org, Stack};

async fn set(org: &Org, env: &str, flag: &str, state: &Json) -> anyhow::Result<Answer> {
    let path = org.path(&format!("environments/{env}/flags/{flag}"));
    org.api.patch(&path, state).await
}

async fn promote(org: &Org, query: &str, flags: &[&str]) -> anyhow::Result<Answer> {
    let path = org.path(&format!("environments/prod/promote{query}"));
    org.api.post(&path, &json!({"from": "dev", "flags": flags})).await
}

pub async fn flags_are_promoted_with_what_they_need(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("promote").await?;
    let key = org.server_key().await?;
    for flag in ["base", "cart"] {
        org.boolean_flag(flag).await?;
    }
    let segment = org.path("environments/dev/segments/beta");
    org.api.put(&segment, &json!({"included": ["u-1"]})).await?.expect(201)?;
    set(&org, "dev", "base", &json!({"enabled": true})).await?.expect(201)?;
    let rules = json!([{"id": "r", "when": "in_segment(\"beta\")", "serve": {"variant": "on"}}]);
    let state = json!({
        "enabled": true, "rules": rules, "fallthrough": {"variant": "off"},
        "prerequisites": [{"flag": "base", "is": {"variants": ["on"]}}],
    });
    set(&org, "dev", "cart", &state).await?.expect(201)?;

    let compare = org.path("environments/prod/compare?with=dev");
    let compared = org.api.get(&compare).await?.expect(200)?;
    let keys: Vec<&Json> =
        compared.body["items"].as_array().into_iter().flatten().map(|item| &item["key"]).collect();
    ensure!(keys == ["base", "cart", "beta"], "{}", compared.body);
    let text = &compared.body["items"][0]["differences"][0]["text"];
    ensure!(text == "enabled: false → true", "{}", compared.body);

    // Alone it would be off for want of its prerequisite.
    let alone = promote(&org, "", &["cart"]).await?.expect(400)?;
    ensure!(alone.body["detail"].to_string().contains("`cart` needs `base`"), "{}", alone.body);
    let preview = promote(&org, "?preview=true", &["cart", "base"]).await?.expect(200)?;
    let things: Vec<&Json> =
        preview.body["changes"].as_array().into_iter().flatten().map(|one| &one["key"]).collect();
    ensure!(things == ["beta", "base", "cart"], "{}", preview.body);
    org.api.get(&org.path("environments/prod/segments/beta")).await?.expect(404)?;
    let done = promote(&org, "", &["cart", "base"]).await?.expect(200)?;
    ensure!(done.body["segments"] == json!(["beta"]), "{}", done.body);
    org.sees(&key, "cart", "acme", &json!(true)).await?;
    let same = org.api.get(&compare).await?.expect(200)?;
    ensure!(same.body["items"] == json!([]), "{}", same.body);

    // What others need there stays on.
    set(&org, "dev", "base", &json!({"enabled": false})).await?.expect(200)?;
    let broken = promote(&org, "", &["base"]).await?.expect(400)?;
    ensure!(broken.body["detail"].to_string().contains("`cart` needs it"), "{}", broken.body);
    bad_promotions(&org).await
}

async fn bad_promotions(org: &Org) -> anyhow::Result<()> {
    let absent = promote(org, "", &["cart", "zzz"]).await?.expect(400)?;
    ensure!(absent.body["field"] == "flags[1]", "{}", absent.body);
    let path = org.path("environments/prod/promote");
    for from in ["prod", "nowhere"] {
        let body = json!({"from": from, "flags": ["cart"]});
        let refused = org.api.post(&path, &body).await?.expect(400)?;
        ensure!(refused.body["field"] == "from", "{}", refused.body);
    }
    let most = flagforge_platform::MAX_PROMOTED;
    let many = vec!["cart"; most + 1];
    let over = promote(org, "", &many).await?.expect(400)?;
    ensure!(over.body["limit"] == most && over.body["field"] == "flags", "{}", over.body);
    promote(org, "", &vec!["cart"; most]).await?.expect(200)?;
    let elsewhere = org.api.get(&org.path("environments/prod/compare?with=zzz")).await?;
    elsewhere.expect(404)?;
    Ok(())
}

pub async fn a_state_comes_back_from_its_history(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("history").await?;
    let key = org.server_key().await?;
    for flag in ["f", "g"] {
        org.boolean_flag(flag).await?;
    }
    org.flip("f", true).await?;
    org.flip("g", true).await?;
    set(&org, "prod", "f", &json!({"fallthrough": {"variant": "off"}})).await?.expect(200)?;
    org.flip("f", false).await?;
    let path = |rest: &str| org.path(&format!("environments/prod/flags/f/{rest}"));
    let past = org.api.get(&path("history")).await?.expect(200)?;
    let items = past.body["items"].as_array().cloned().unwrap_or_default();
    let told: Vec<&Json> = items.iter().map(|item| &item["change"]).collect();
    ensure!(told == ["set-enabled", "patch-state", "set-enabled"], "{}", past.body);
    let first = org.api.get(&path("history?limit=1")).await?.expect(200)?;
    let next = first.body["next"].as_str().unwrap_or_default();
    let second =
        org.api.get(&path(&format!("history?limit=1&cursor={next}"))).await?.expect(200)?;
    ensure!(second.body["items"][0] == items[1], "{}", second.body);
    let back = org.api.post(&path("restore"), &json!({"number": items[2]["number"]})).await?;
    let back = back.expect(200)?;
    ensure!(back.body["enabled"] == true, "{}", back.body);
    org.sees(&key, "f", "acme", &json!(true)).await?;
    let newest = org.api.get(&path("history?limit=1")).await?.expect(200)?;
    ensure!(newest.body["items"][0]["change"] == "restore-state", "{}", newest.body);
    // The entry of another flag is none of this one's.
    for number in [2, 999] {
        let refused = org.api.post(&path("restore"), &json!({"number": number})).await?;
        ensure!(refused.expect(400)?.body["field"] == "number", "{number}");
    }
    Ok(())
}
