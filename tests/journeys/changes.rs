//! Changing things, and seeing them changed.

use anyhow::ensure;
use serde_json::{Value as Json, json};

use crate::{Answer, Org, Stack, eventually};

/// A percentage of a flag in `prod`: `on` this much of `weights` 100.
async fn set_weights(org: &Org, flag: &str, on: u32) -> anyhow::Result<Answer> {
    let weights = json!([{"variant": "on", "weight": on}, {"variant": "off", "weight": 100 - on}]);
    let path = org.path(&format!("environments/prod/flags/{flag}/weights"));
    org.api.put(&path, &json!({"weights": weights})).await
}

pub async fn a_flag_is_defined_flipped_and_seen(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("flip").await?;
    let key = org.server_key().await?;
    org.boolean_flag("new-dashboard").await?;
    let off = org.sees(&key, "new-dashboard", "acme", &json!(false)).await?;
    ensure!(off.body["reason"] == "DISABLED" && off.body["variant"] == "off", "{}", off.body);
    org.flip("new-dashboard", true).await?;
    let on = org.sees(&key, "new-dashboard", "acme", &json!(true)).await?;
    ensure!(on.body["reason"] == "STATIC" && on.body["variant"] == "on", "{}", on.body);
    org.flip("new-dashboard", false).await?;
    org.sees(&key, "new-dashboard", "acme", &json!(false)).await?;
    // A patch flips as well, and touches nothing else.
    let path = org.path("environments/prod/flags/new-dashboard");
    let patched = org.api.patch(&path, &json!({"enabled": true})).await?.expect(200)?;
    ensure!(patched.body["fallthrough"] == json!({"variant": "on"}), "{}", patched.body);
    org.sees(&key, "new-dashboard", "acme", &json!(true)).await?;
    Ok(())
}

pub async fn two_tenants_get_different_answers(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("two").await?;
    let key = org.server_key().await?;
    org.boolean_flag("express").await?;
    org.flip("express", true).await?;
    let path = org.path("environments/prod/flags/express/overrides/globex");
    org.api.put(&path, &json!({"variant": "off"})).await?.expect(201)?;
    // `false` alone would also be the flag's answer from before it was on.
    let globex = eventually(org.patience(), || async {
        let answer = org.evaluate(&key, "express", "globex", "u-1").await?;
        ensure!(answer.body["metadata"]["fineReason"] == "TENANT_OVERRIDE", "{}", answer.body);
        Ok(Some(answer))
    })
    .await?;
    ensure!(globex.body["value"] == false, "{}", globex.body);
    ensure!(globex.body["reason"] == "TARGETING_MATCH", "{}", globex.body);
    let acme = org.sees(&key, "express", "acme", &json!(true)).await?;
    ensure!(acme.body["reason"] == "STATIC", "{}", acme.body);
    let listed = org.api.get(&org.path("environments/prod/flags/express/overrides")).await?;
    ensure!(listed.body["items"][0]["tenant"] == "globex", "{}", listed.body);
    org.api.delete(&path).await?.expect(204)?;
    org.sees(&key, "express", "globex", &json!(true)).await?;
    Ok(())
}

pub async fn rules_splits_and_groups_decide(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("rules").await?;
    let key = org.server_key().await?;
    org.boolean_flag("beta").await?;
    org.api
        .put(&org.path("groups/friends"), &json!({"description": "of the house"}))
        .await?
        .expect(201)?;
    org.api.put(&org.path("groups/friends/members/globex"), &json!({})).await?.expect(201)?;
    let gold =
        json!({"test": {"attribute": "tenant.plan", "operator": "one-of", "values": ["gold"]}});
    let state = json!({
        "enabled": true,
        "off": {"variant": "off"},
        "groupOverrides": [{"group": "friends", "variant": "on"}],
        "rules": [{"id": "gold", "when": gold, "serve": {"split": {"weights": [{"variant": "on", "weight": 1}]}}}],
        "fallthrough": {"variant": "off"},
    });
    let path = org.path("environments/prod/flags/beta");
    org.api.put(&path, &state).await?.expect(201)?;
    let acme = org.sees(&key, "beta", "acme", &json!(true)).await?;
    ensure!(
        acme.body["reason"] == "SPLIT" && acme.body["metadata"]["rule"] == "gold",
        "{}",
        acme.body
    );
    let globex = org.sees(&key, "beta", "globex", &json!(true)).await?;
    ensure!(globex.body["metadata"]["fineReason"] == "GROUP_OVERRIDE", "{}", globex.body);
    org.api.delete(&org.path("groups/friends/members/globex")).await?.expect(204)?;
    org.sees(&key, "beta", "globex", &json!(false)).await?;
    // What was read can be sent back, with one thing changed.
    let read = org.api.get(&path).await?.expect(200)?;
    let mut again = read.body.clone();
    again["rules"] = json!([]);
    let headers = [("if-match", read.header("etag"))];
    let put = org.api.call(reqwest::Method::PUT, &path, &headers, Some(again.to_string())).await?;
    put.expect(200)?;
    org.sees(&key, "beta", "acme", &json!(false)).await?;
    widening_moves_nobody_out(&org, &key).await
}

async fn widening_moves_nobody_out(org: &Org, key: &str) -> anyhow::Result<()> {
    let mut inside: Vec<bool> = vec![false; 40];
    for percent in [10, 50, 90] {
        let answer = set_weights(org, "beta", percent).await?.expect(200)?;
        let version = answer.body["flagVersion"].clone();
        for (user, was_in) in inside.iter_mut().enumerate() {
            let now_in = answered_at(org, key, &version, &format!("user-{user}")).await?;
            ensure!(now_in || !*was_in, "user-{user} was moved out at {percent} %");
            *was_in = now_in;
        }
    }
    ensure!(inside.iter().filter(|inside| **inside).count() > 25, "90 % are more than 25 of 40");
    ensure!(set_weights(org, "beta", 0).await?.status == 200, "nobody is a percentage too");
    Ok(())
}

/// The answer for a user once this version of the flag is served.
async fn answered_at(org: &Org, key: &str, version: &Json, user: &str) -> anyhow::Result<bool> {
    eventually(org.patience(), || async {
        let answer = org.evaluate(key, "beta", "acme", user).await?;
        let current = answer.body["metadata"]["flagVersion"] == *version;
        Ok(answer.body["value"].as_bool().filter(|_| current))
    })
    .await
}

pub async fn every_value_type_arrives_as_what_it_is(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("types").await?;
    let key = org.server_key().await?;
    let cases = [
        ("string", json!("Buy now"), "\"value\":\"Buy now\""),
        ("integer", json!(9_007_199_254_740_993_i64), "\"value\":9007199254740993"),
        ("number", json!(1.0), "\"value\":1.0"),
        ("object", json!({"a": [1, null, "x"]}), "\"value\":{\"a\":[1,null,\"x\"]}"),
        ("boolean", json!(true), "\"value\":true"),
    ];
    for (kind, value, _) in &cases {
        let variants = json!([{"key": "one", "value": value}]);
        let definition = json!({"class": "release", "type": kind, "variants": variants});
        org.api.put(&org.path(&format!("flags/a-{kind}")), &definition).await?.expect(201)?;
        org.flip(&format!("a-{kind}"), true).await?;
    }
    for (kind, value, text) in &cases {
        let answer = org.sees(&key, &format!("a-{kind}"), "acme", value).await?;
        ensure!(answer.body.to_string().contains(text), "{kind}: {}", answer.body);
    }
    Ok(())
}

pub async fn a_deleted_tenant_leaves_nothing_to_its_successor(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("reborn").await?;
    let key = org.server_key().await?;
    org.boolean_flag("perk").await?;
    org.flip("perk", true).await?;
    let over = org.path("environments/prod/flags/perk/overrides/acme");
    org.api.put(&over, &json!({"variant": "off"})).await?.expect(201)?;
    org.sees(&key, "perk", "globex", &json!(true)).await?;
    org.sees(&key, "perk", "acme", &json!(false)).await?;
    org.api.delete(&org.path("tenants/acme")).await?.expect(204)?;
    let answers = |known: bool| {
        let (org, key) = (&org, &key);
        eventually(org.patience(), move || async move {
            let answer = org.evaluate(key, "perk", "acme", "u-1").await?;
            let (is_known, value) =
                (&answer.body["metadata"]["tenantKnown"], &answer.body["value"]);
            ensure!(
                *is_known == known && *value == true,
                "not yet, or not at all: {}",
                answer.body
            );
            Ok(Some(()))
        })
    };
    answers(false).await?;
    org.api.put(&org.path("tenants/acme"), &json!({})).await?.expect(201)?;
    // The old override would answer `false`, for ever.
    answers(true).await
}

pub async fn a_deleted_flag_leaves_nothing_to_its_successor(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("again").await?;
    super::operator::set_limits(stack, &org, &json!({"keptDays": 0})).await?;
    let key = org.server_key().await?;
    org.boolean_flag("feature").await?;
    org.flip("feature", true).await?;
    org.sees(&key, "feature", "acme", &json!(true)).await?;
    org.api.delete(&org.path("flags/feature")).await?.expect(204)?;
    eventually(org.patience(), || async {
        let gone = org.evaluate(&key, "feature", "acme", "u-1").await?;
        Ok((gone.status == 404 && gone.body["errorCode"] == "FLAG_NOT_FOUND").then_some(()))
    })
    .await?;
    org.api.delete(&org.path("deleted-flags/feature")).await?.expect(204)?;
    org.boolean_flag("feature").await?;
    let answer = org.sees(&key, "feature", "acme", &json!(false)).await?;
    ensure!(answer.body["reason"] == "DISABLED", "it inherited a state: {}", answer.body);
    let state = org.api.get(&org.path("environments/prod/flags/feature")).await?.expect(200)?;
    ensure!(state.body["enabled"] == false && state.header("etag") == "\"0\"", "{}", state.body);
    Ok(())
}

pub async fn definitions_keep_what_states_need(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("needs").await?;
    let variants = |keys: &[&str]| -> Json {
        keys.iter().map(|key| json!({"key": key, "value": key})).collect()
    };
    let define =
        |keys: &[&str]| json!({"class": "release", "type": "string", "variants": variants(keys)});
    let path = org.path("flags/button");
    org.api.put(&path, &define(&["a", "b", "c"])).await?.expect(201)?;
    let over = org.path("environments/prod/flags/button/overrides/acme");
    org.api.put(&over, &json!({"variant": "c"})).await?.expect(201)?;
    let state = json!({"enabled": true, "off": "callerDefault", "fallthrough": {"variant": "b"}});
    org.api.put(&org.path("environments/dev/flags/button"), &state).await?.expect(201)?;
    let replace = |body: Json| {
        let (org, path) = (org.clone(), path.clone());
        async move {
            let read = org.api.get(&path).await?.expect(200)?;
            let headers = [("if-match", read.header("etag"))];
            org.api.call(reqwest::Method::PUT, &path, &headers, Some(body.to_string())).await
        }
    };
    let used = replace(define(&["a", "c"])).await?.expect(409)?;
    ensure!(
        used.problem() == "in-use" && used.body["detail"].to_string().contains("dev"),
        "{}",
        used.body
    );
    let used = replace(define(&["a", "b"])).await?.expect(409)?;
    ensure!(used.body["detail"].to_string().contains("acme"), "{}", used.body);
    let other = json!({"class": "release", "type": "integer", "variants": [{"key": "b", "value": 1}, {"key": "c", "value": 2}]});
    ensure!(replace(other).await?.expect(400)?.body["field"] == "type", "types never change");
    replace(define(&["b", "c", "d"])).await?.expect(200)?;
    Ok(())
}

pub async fn the_log_tells_it_all(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("log").await?;
    org.boolean_flag("audited").await?;
    let path = org.path("environments/prod/flags/audited/enable");
    let headers = [("flagforge-reason", "the release train left"), ("x-request-id", "req-42")];
    let done = org.api.call(reqwest::Method::POST, &path, &headers, None).await?;
    ensure!(
        done.header("flagforge-revision") == format!("{}/prod:1", org.key),
        "{:?}",
        done.headers
    );
    ensure!(done.header("x-request-id") == "req-42", "{:?}", done.headers);
    let log = org.api.get(&org.path("environments/prod/log")).await?.expect(200)?;
    let entry = &log.body["items"][0];
    ensure!(entry["number"] == 1 && entry["reason"] == "the release train left", "{entry}");
    ensure!(
        entry["requestId"] == "req-42" && entry["change"]["change"] == "set-enabled",
        "{entry}"
    );
    ensure!(
        entry["by"]["actor"] == "key" && entry["images"][0]["body"]["state"]["enabled"] == true,
        "{entry}"
    );
    let log = org.api.get(&org.path("log")).await?.expect(200)?;
    let entries = log.body["items"].as_array().cloned().unwrap_or_default();
    for (index, entry) in entries.iter().enumerate() {
        ensure!(entry["number"] == index + 1, "a gap before {entry}");
    }
    ensure!(!log.body.to_string().contains(&org.admin_key), "the log holds a secret");
    ensure!(!log.body.to_string().contains("secretSha256"), "the log tells a secret's hash");
    Ok(())
}

pub async fn pages_hold_everything_once(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("pages").await?;
    for number in 0..7 {
        org.boolean_flag(&format!("flag-{number}")).await?;
    }
    let mut seen: Vec<String> = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = org.path(&format!("flags?limit=3{cursor}"));
        let page = org.api.get(&path).await?.expect(200)?;
        let items = page.body["items"].as_array().cloned().unwrap_or_default();
        ensure!(items.len() <= 3, "a page over its limit");
        seen.extend(items.iter().filter_map(|item| item["key"].as_str().map(str::to_owned)));
        match page.body["next"].as_str() {
            None => break,
            Some(next) => cursor = format!("&cursor={next}"),
        }
    }
    let expected: Vec<String> = (0..7).map(|number| format!("flag-{number}")).collect();
    ensure!(seen == expected, "{seen:?}");
    let too_many = org.api.get(&org.path("flags?limit=501")).await?.expect(400)?;
    ensure!(too_many.body["field"] == "limit", "{}", too_many.body);
    Ok(())
}

pub async fn a_stale_version_changes_nothing(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("stale").await?;
    org.boolean_flag("f").await?;
    let path = org.path("environments/prod/flags/f");
    let state =
        json!({"enabled": true, "off": {"variant": "off"}, "fallthrough": {"variant": "on"}});
    let first = org.api.put(&path, &state).await?.expect(201)?;
    let unsaid = org.api.put(&path, &state).await?.expect(428)?;
    ensure!(unsaid.problem() == "precondition-required", "{}", unsaid.body);
    let put = |tag: String| {
        let (api, path, body) = (org.api.clone(), path.clone(), state.to_string());
        async move { api.call(reqwest::Method::PUT, &path, &[("if-match", &tag)], Some(body)).await }
    };
    let second = put(first.header("etag").to_owned()).await?.expect(200)?;
    let lost = put(first.header("etag").to_owned()).await?.expect(412)?;
    ensure!(lost.problem() == "precondition-failed", "{}", lost.body);
    let now = org.api.get(&path).await?;
    ensure!(now.header("etag") == second.header("etag"), "a lost write wrote");
    let headers = [("if-none-match", second.header("etag"))];
    org.api.call(reqwest::Method::GET, &path, &headers, None).await?.expect(304)?;
    Ok(())
}

pub async fn a_repeat_has_one_effect(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("repeat").await?;
    org.boolean_flag("f").await?;
    let path = org.path("environments/prod/flags/f/enable");
    let headers = [("idempotency-key", "once-and-only-once")];
    let first = org.api.call(reqwest::Method::POST, &path, &headers, None).await?.expect(201)?;
    let again = org.api.call(reqwest::Method::POST, &path, &headers, None).await?.expect(201)?;
    ensure!(
        again.header("idempotency-replayed") == "true" && again.body == first.body,
        "{}",
        again.body
    );
    let other = org.path("environments/prod/flags/f/kill");
    let misuse = org.api.call(reqwest::Method::POST, &other, &headers, None).await?.expect(422)?;
    ensure!(misuse.problem() == "idempotency-mismatch", "{}", misuse.body);
    let log = org.api.get(&org.path("environments/prod/log")).await?;
    ensure!(log.body["items"].as_array().map(Vec::len) == Some(1), "{}", log.body);
    let state = org.api.get(&org.path("environments/prod/flags/f")).await?;
    ensure!(state.body["enabled"] == true, "the misuse was applied");
    Ok(())
}

pub async fn concurrent_writers_lose_nothing(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("crowd").await?;
    org.boolean_flag("f").await?;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..6 {
        let org = org.clone();
        writers.spawn(async move {
            let mut done = 0;
            for round in 0..4 {
                let verb = if (writer + round) % 2 == 0 { "enable" } else { "kill" };
                let path = org.path(&format!("environments/prod/flags/f/{verb}"));
                let answer = org.api.post(&path, &Json::Null).await?;
                match answer.status.as_u16() {
                    200 | 201 => done += 1,
                    503 => ensure!(answer.header("retry-after") == "2", "{:?}", answer.headers),
                    _ => anyhow::bail!("{} {}", answer.status, answer.body),
                }
            }
            Ok(done)
        });
    }
    let mut done = 0;
    while let Some(writer) = writers.join_next().await {
        done += writer??;
    }
    let log = org.api.get(&org.path("environments/prod/log")).await?.expect(200)?;
    let entries = log.body["items"].as_array().cloned().unwrap_or_default();
    ensure!(entries.len() == done, "{} entries for {done} acknowledged changes", entries.len());
    ensure!(entries.iter().enumerate().all(|(i, e)| e["number"] == i + 1), "the log has a gap");
    Ok(())
}
