//! The log as people ask it: by flag, tenant, actor and time, with what was before, as a chain, and for one tenant only.

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::{Org, Stack};

/// All that an audit question finds: `number change`, newest first.
async fn found(org: &Org, query: &str) -> anyhow::Result<Vec<String>> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = org.path(&format!("audit?limit=2&{query}{cursor}"));
        let page = org.api.get(&path).await?.expect(200)?.body;
        for item in page["items"].as_array().context("no items")? {
            found.push(item["change"].as_str().unwrap_or_default().to_owned());
        }
        match page["next"].as_str() {
            None => return Ok(found),
            Some(next) => cursor = format!("&cursor={next}"),
        }
    }
}

pub async fn the_log_is_asked_by_flag_tenant_actor_and_request(
    stack: &Stack,
) -> anyhow::Result<()> {
    let org = stack.found("audit").await?;
    org.boolean_flag("a").await?;
    org.boolean_flag("b").await?;
    org.flip("a", true).await?;
    let over = org.path("environments/prod/flags/b/overrides/acme");
    let why = [
        ("flagforge-reason", "the customer asked"),
        ("flagforge-links", "ticket=https://tickets.example/7"),
        ("x-request-id", "request-7"),
    ];
    let body = json!({"variant": "on"}).to_string();
    org.api.call(Method::PUT, &over, &why, Some(body)).await?.expect(201)?;
    org.flip("a", false).await?;
    ensure!(found(&org, "flag=a").await? == ["put-flag"], "org, by flag");
    ensure!(found(&org, "env=prod&flag=a").await? == ["set-enabled"; 2], "env, by flag");
    ensure!(found(&org, "env=prod&tenant=acme").await? == ["set-override"], "by tenant");
    ensure!(found(&org, "env=prod&requestId=request-7").await? == ["set-override"], "by request");
    ensure!(found(&org, "change=put-tenant").await? == ["put-tenant"; 2], "by change");
    ensure!(found(&org, "actor=nobody").await?.is_empty(), "by another actor");
    ensure!(found(&org, "since=2999-01-01T00:00:00Z").await?.is_empty(), "from the future");
    ensure!(found(&org, "env=prod&until=2999-01-01T00:00:00Z").await?.len() == 3, "until then");
    let entry = org.api.get(&org.path("audit?env=prod&tenant=acme")).await?.expect(200)?;
    let entry = &entry.body["items"][0];
    ensure!(
        entry["reason"] == "the customer asked" && entry["tenants"] == json!(["acme"]),
        "{entry}"
    );
    let link = json!([{"to": "ticket", "href": "https://tickets.example/7"}]);
    ensure!(entry["links"] == link && entry["items"] == json!(["OVERRIDE#b#acme"]), "{entry}");
    let last = org.api.get(&org.path("audit/3?env=prod")).await?.expect(200)?.body;
    ensure!(last["differences"][0]["became"] == "changed", "{last}");
    let changed = json!([{"path": "state.enabled", "before": true, "after": false}]);
    ensure!(last["differences"][0]["changes"] == changed, "{last}");
    ensure!(last["text"] == "STATE#a changed\n  state.enabled: true → false\n", "{last}");
    org.api.get(&org.path("audit/4?env=prod")).await?.expect(404)?;
    let bad = [("flagforge-links", "ticket=javascript:alert(1)")];
    let body = json!({"variant": "on"}).to_string();
    let refused = org.api.call(Method::PUT, &over, &bad, Some(body)).await?.expect(400)?;
    ensure!(refused.body["field"] == "FlagForge-Links", "{}", refused.body);
    Ok(())
}

pub async fn a_log_is_exported_and_holds_to_its_chain(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("chain").await?;
    org.boolean_flag("a").await?;
    for on in [true, false, true, false, true] {
        org.flip("a", on).await?;
    }
    let (mut exported, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = org.path(&format!("audit/export?env=prod&limit=2{cursor}"));
        let answer = org.api.get(&path).await?.expect(200)?;
        // One line is JSON to the caller of tests, several are text.
        match &answer.body {
            Json::String(lines) => exported.extend(
                lines.lines().map(serde_json::from_str::<Json>).collect::<Result<Vec<_>, _>>()?,
            ),
            line => exported.push(line.clone()),
        }
        match answer.header("flagforge-next") {
            "" => break,
            next => cursor = format!("&cursor={next}"),
        }
    }
    let numbers: Vec<u64> = exported.iter().filter_map(|entry| entry["number"].as_u64()).collect();
    ensure!(numbers == [5, 4, 3, 2, 1], "{numbers:?}");
    ensure!(exported.iter().all(|entry| entry["images"][0]["sk"] == "STATE#a"), "{exported:?}");
    let chain = org.api.get(&org.path("audit/chain?env=prod")).await?.expect(200)?.body;
    ensure!(chain["intact"] == true && chain["complete"] == true && chain["until"] == 5, "{chain}");
    let rest = org.api.get(&org.path("audit/chain?env=prod&from=4")).await?.expect(200)?.body;
    ensure!(rest["digest"] == chain["digest"] && rest["from"] == 4, "{rest}");
    let whole = org.api.get(&org.path("audit/chain")).await?.expect(200)?.body;
    ensure!(whole["complete"] == true, "{whole}");
    Ok(())
}

pub async fn a_tenants_view_of_the_log_has_nothing_of_others(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("view").await?;
    let many = json!({"tenants": [
        {"key": "acme", "name": "acme-secret"},
        {"key": "globex", "name": "globex-secret"},
        {"key": "third", "name": "third-secret"}]});
    org.api.post(&org.path("tenants"), &many).await?.expect(200)?;
    org.api.put(&org.path("groups/beta"), &json!({})).await?.expect(201)?;
    org.api.put(&org.path("groups/beta/members/globex"), &json!({})).await?.expect(201)?;
    let view = org.api.get(&org.path("tenants/acme/audit")).await?.expect(200)?.body;
    let told = view.to_string();
    let items = view["items"].as_array().context("no items")?;
    ensure!(items.len() == 2 && items[0]["items"] == json!(["TENANT#acme"]), "{view}");
    ensure!(!told.contains("globex") && !told.contains("third"), "{told}");
    let other = org.api.get(&org.path("tenants/globex/audit")).await?.expect(200)?.body;
    ensure!(other["items"].as_array().map(Vec::len) == Some(3), "{other}");
    Ok(())
}
