//! What was deleted: out of everything at once, listed, brought back, and ended for good.

use anyhow::ensure;
use serde_json::json;

use super::operator::set_limits;
use crate::{Org, Stack, eventually};

pub async fn what_was_deleted_comes_back_as_it_was(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("undone").await?;
    let key = org.server_key().await?;
    org.boolean_flag("perk").await?;
    org.flip("perk", true).await?;
    let over = org.path("environments/prod/flags/perk/overrides/acme");
    org.api.put(&over, &json!({"variant": "off", "reason": "asked for it"})).await?.expect(201)?;
    org.sees(&key, "perk", "acme", &json!(false)).await?;
    org.sees(&key, "perk", "globex", &json!(true)).await?;
    let was = org.api.get(&org.path("flags/perk")).await?.expect(200)?.body;

    let flag = org.path("flags/perk");
    let because = [("flagforge-reason", "nobody used it")];
    org.api.call(reqwest::Method::DELETE, &flag, &because, None).await?.expect(204)?;
    org.api.get(&flag).await?.expect(404)?;
    org.api.get(&org.path("environments/prod/flags/perk")).await?.expect(404)?;
    let listed = org.api.get(&org.path("flags")).await?.expect(200)?;
    ensure!(listed.body["items"] == json!([]), "{}", listed.body);
    let catalog = org.api.get(&org.path("catalog")).await?.expect(200)?;
    ensure!(!catalog.body.to_string().contains("perk"), "{}", catalog.body);
    eventually(org.patience(), || async {
        let gone = org.evaluate(&key, "perk", "globex", "u-1").await?;
        Ok((gone.body["errorCode"] == "FLAG_NOT_FOUND").then_some(()))
    })
    .await?;
    let deleted = org.api.get(&org.path("deleted-flags")).await?.expect(200)?;
    let item = &deleted.body["items"][0];
    ensure!(item["what"]["key"] == "perk" && item["what"]["uid"] == was["uid"], "{item}");
    let told = &item["deleted"];
    ensure!(told["reason"] == "nobody used it" && told["by"]["actor"] == "key", "{item}");
    ensure!(told["until"].as_str() > told["at"].as_str(), "{item}");

    let again = json!({"class": "release", "type": "boolean"});
    let taken = org.api.put(&flag, &again).await?.expect(409)?;
    ensure!(taken.problem() == "kept", "{}", taken.body);
    let clone = org.path("flags/other/clone");
    org.boolean_flag("other").await?;
    let taken = org.api.post(&clone, &json!({"key": "perk"})).await?.expect(409)?;
    ensure!(taken.problem() == "kept", "{}", taken.body);
    let early = org.api.delete(&org.path("deleted-flags/perk")).await?.expect(409)?;
    ensure!(early.problem() == "kept", "{}", early.body);

    let restore = org.path("deleted-flags/perk/restore");
    let back = org.api.post(&restore, &json!(null)).await?.expect(200)?;
    ensure!(back.body == was, "{} is not {was}", back.body);
    org.sees(&key, "perk", "acme", &json!(false)).await?;
    org.sees(&key, "perk", "globex", &json!(true)).await?;
    let overs = org.api.get(&org.path("tenants/acme/overrides")).await?.expect(200)?;
    ensure!(overs.body.to_string().contains("asked for it"), "{}", overs.body);
    org.api.post(&restore, &json!(null)).await?.expect(404)?;
    let deleted = org.api.get(&org.path("deleted-flags")).await?.expect(200)?;
    ensure!(deleted.body["items"] == json!([]), "{}", deleted.body);
    Ok(())
}

async fn rules(org: &Org, flag: &str, when: Option<&str>) -> anyhow::Result<()> {
    let rules = match when {
        None => json!([]),
        Some(when) => json!([{"id": "r", "when": when, "serve": {"variant": "on"}}]),
    };
    let path = org.path(&format!("environments/prod/flags/{flag}"));
    let answer = org.api.patch(&path, &json!({"rules": rules})).await?;
    ensure!(answer.status.is_success(), "{} {}", answer.status, answer.body);
    Ok(())
}

pub async fn what_is_asked_for_stays_and_what_was_deleted_waits(
    stack: &Stack,
) -> anyhow::Result<()> {
    let org = stack.found("asked").await?;
    set_limits(stack, &org, &json!({"keptDays": 0})).await?;
    for flag in ["asker", "asked"] {
        org.boolean_flag(flag).await?;
    }
    let segment = org.path("environments/prod/segments/beta");
    org.api.put(&segment, &json!({"included": ["u-1"]})).await?.expect(201)?;
    rules(&org, "asker", Some("in_segment(\"beta\")")).await?;
    let needs = json!({"prerequisites": [{"flag": "asked", "is": "enabled"}]});
    let state = org.path("environments/prod/flags/asker");
    org.api.patch(&state, &needs).await?.expect(200)?;
    for path in [org.path("flags/asked"), segment.clone()] {
        let used = org.api.delete(&path).await?.expect(409)?;
        ensure!(used.problem() == "in-use", "{}", used.body);
        ensure!(used.body["detail"].to_string().contains("the flag `asker`"), "{}", used.body);
    }

    // Deleted flags ask for nobody, until they come back.
    org.api.delete(&org.path("flags/asker")).await?.expect(204)?;
    org.api.delete(&org.path("flags/asked")).await?.expect(204)?;
    org.api.delete(&segment).await?.expect(204)?;
    let restore = |what: &str| {
        let (org, path) = (org.clone(), org.path(&format!("{what}/restore")));
        async move { org.api.post(&path, &json!(null)).await }
    };
    let missing = restore("deleted-flags/asker").await?.expect(400)?;
    ensure!(missing.problem() == "invalid", "{}", missing.body);
    // What something deleted would ask for is not ended for good before it.
    for path in ["deleted-flags/asked", "environments/prod/deleted-segments/beta"] {
        let used = org.api.delete(&org.path(path)).await?.expect(409)?;
        ensure!(used.body["detail"].to_string().contains("deleted flag `asker`"), "{}", used.body);
    }
    restore("deleted-flags/asked").await?.expect(200)?;
    let back = restore("environments/prod/deleted-segments/beta").await?.expect(200)?;
    ensure!(back.body["includedIds"] == 1, "{}", back.body);
    restore("deleted-flags/asker").await?.expect(200)?;
    let read = org.api.get(&state).await?.expect(200)?;
    ensure!(read.body["prerequisites"] == needs["prerequisites"], "{}", read.body);
    org.api.delete(&org.path("flags/asked")).await?.expect(409)?;

    org.api.delete(&org.path("flags/asker")).await?.expect(204)?;
    org.api.delete(&org.path("deleted-flags/asker")).await?.expect(204)?;
    org.api.delete(&segment).await?.expect(204)?;
    let taken = org.api.put(&segment, &json!({})).await?.expect(409)?;
    ensure!(taken.problem() == "kept", "{}", taken.body);
    org.api.delete(&org.path("environments/prod/deleted-segments/beta")).await?.expect(204)?;
    let fresh = org.api.put(&segment, &json!({})).await?.expect(201)?;
    ensure!(fresh.body["includedIds"] == 0, "{}", fresh.body);
    Ok(())
}

pub async fn leftovers_are_counted_and_collected(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("tidy").await?;
    set_limits(stack, &org, &json!({"keptDays": 0})).await?;
    for flag in ["gone", "stays"] {
        org.boolean_flag(flag).await?;
        org.flip(flag, true).await?;
        for tenant in ["acme", "globex"] {
            let over = org.path(&format!("environments/prod/flags/{flag}/overrides/{tenant}"));
            org.api.put(&over, &json!({"variant": "on"})).await?.expect(201)?;
        }
    }
    org.api.put(&org.path("groups/friends"), &json!({})).await?.expect(201)?;
    org.api.put(&org.path("groups/friends/members/globex"), &json!({})).await?.expect(201)?;
    let collection = org.path("collection");
    let nothing = org.api.get(&collection).await?.expect(200)?.body;
    ensure!(nothing["complete"] == true && nothing["states"] == 0, "{nothing}");
    org.api.delete(&org.path("flags/gone")).await?.expect(204)?;
    org.api.delete(&org.path("tenants/globex")).await?.expect(204)?;
    org.api.put(&org.path("tenants/globex"), &json!({})).await?.expect(201)?;

    let would = org.api.get(&collection).await?.expect(200)?.body;
    ensure!(would["dryRun"] == true && would["flags"] == json!(["gone"]), "{would}");
    // Two of the flag's, and one of the tenant that was there before.
    let counts = |told: &serde_json::Value| {
        ["states", "overrides", "members"].map(|kind| told[kind].as_u64())
    };
    ensure!(counts(&would) == [Some(1), Some(3), Some(1)], "{would}");
    let done = org.api.post(&collection, &json!(null)).await?.expect(200)?.body;
    ensure!(done["dryRun"] == false && done["complete"] == true, "{done}");
    ensure!(done["flags"] == would["flags"] && counts(&done) == counts(&would), "{done}");
    let again = org.api.post(&collection, &json!(null)).await?.expect(200)?.body;
    ensure!(counts(&again) == [Some(0); 3] && again["flags"] == json!([]), "{again}");

    org.api.get(&org.path("environments/prod/flags/stays")).await?.expect(200)?;
    let overs = org.api.get(&org.path("tenants/acme/overrides")).await?.expect(200)?;
    ensure!(overs.body["items"].as_array().is_some_and(|items| items.len() == 1), "{}", overs.body);
    let operator = stack.api(Some(&stack.operator_key));
    let meter = operator.get(&format!("/v1/operator/orgs/{}", org.key)).await?.expect(200)?.body;
    ensure!(meter["counts"]["flags"] == 1 && meter["inEnvironments"]["overrides"] == 1, "{meter}");
    org.boolean_flag("gone").await?;
    Ok(())
}
