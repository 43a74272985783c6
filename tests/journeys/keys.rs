//! Access keys: what each kind may do, and where it ends.

use anyhow::ensure;
use serde_json::json;

use crate::{Stack, eventually};

pub async fn a_key_of_one_environment_stays_there(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("scoped").await?;
    org.boolean_flag("f").await?;
    let spec = json!({"kind": "mgmt", "role": "maintainer", "envs": ["dev"]});
    let (key, id) = org.issue(&spec).await?;
    ensure!(id.contains(".dev."), "the id names the environment: {id}");
    let api = stack.api(Some(&key));
    let enable = |env: &str| org.path(&format!("environments/{env}/flags/f/enable"));
    api.post(&enable("dev"), &json!(null)).await?.expect(201)?;
    api.post(&enable("prod"), &json!(null)).await?.expect(404)?;
    api.get(&org.path("environments/prod")).await?.expect(404)?;
    let envs = api.get(&org.path("environments")).await?.expect(200)?;
    ensure!(envs.body["items"].as_array().map(Vec::len) == Some(1), "{}", envs.body);
    // What every environment shares is not one environment's to change.
    api.put(&org.path("tenants/new"), &json!({})).await?.expect(403)?;
    Ok(())
}

pub async fn a_tenants_key_speaks_for_that_tenant_only(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("bound").await?;
    org.boolean_flag("hidden").await?;
    let visible = json!({"class": "release", "type": "boolean", "clientVisible": true});
    org.api.put(&org.path("flags/visible"), &visible).await?.expect(201)?;
    org.flip("visible", true).await?;
    let over = org.path("environments/prod/flags/visible/overrides/globex");
    org.api.put(&over, &json!({"variant": "off"})).await?.expect(201)?;
    let spec = json!({"kind": "client", "tenant": "globex", "envs": ["prod"]});
    let (key, _) = org.issue(&spec).await?;
    let path = "/ofrep/v1/evaluate/flags/visible";
    let api = stack.api(Some(&key));
    let body = json!({"context": {"targetingKey": "u-1"}});
    eventually(org.patience(), || async {
        let answer = api.post(path, &body).await?;
        ensure!(answer.body["value"] == false, "globex gets {} {}", answer.status, answer.body);
        Ok(Some(()))
    })
    .await?;
    let lies = [("flagforge-tenant", "acme")];
    let lied = api.call(reqwest::Method::POST, path, &lies, Some(body.to_string())).await?;
    ensure!(lied.status == 400 && lied.body["errorCode"] == "INVALID_CONTEXT", "{}", lied.body);
    let hidden = api.post("/ofrep/v1/evaluate/flags/hidden", &body).await?;
    ensure!(
        hidden.status == 404 && hidden.body["errorCode"] == "FLAG_NOT_FOUND",
        "{}",
        hidden.body
    );
    let unnamed = org.api.post("/ofrep/v1/evaluate/flags/visible", &body).await?;
    ensure!(unnamed.status == 400, "a key of all environments must name one: {}", unnamed.body);
    Ok(())
}

pub async fn keys_make_weaker_keys_and_die_with_their_parents(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("family").await?;
    org.boolean_flag("f").await?;
    org.flip("f", true).await?;
    let (parent, parent_id) = org.issue(&json!({"kind": "mgmt", "role": "admin"})).await?;
    let parent_api = stack.api(Some(&parent));
    let operator = json!({"kind": "mgmt", "role": "admin", "operator": true});
    parent_api.post(&org.path("keys"), &operator).await?.expect(400)?;
    let child = json!({"kind": "server", "envs": ["prod"]});
    let child = parent_api.post(&org.path("keys"), &child).await?.expect(201)?;
    let child = child.body["key"].as_str().unwrap_or_default().to_owned();
    org.sees(&child, "f", "acme", &json!(true)).await?;
    let (maintainer, _) = org.issue(&json!({"kind": "mgmt", "role": "maintainer"})).await?;
    let maintainer = stack.api(Some(&maintainer));
    maintainer.post(&org.path("keys"), &json!({"kind": "server"})).await?.expect(403)?;
    maintainer.get(&org.path("keys")).await?.expect(403)?;

    org.api.delete(&org.path(&format!("keys/{parent_id}"))).await?.expect(204)?;
    parent_api.get(&org.path("flags")).await?.expect(401)?;
    eventually(org.patience(), || async {
        let answer = org.evaluate(&child, "f", "acme", "u-1").await?;
        ensure!(answer.status == 401, "the child outlives its parent: {}", answer.status);
        Ok(Some(()))
    })
    .await?;
    let keys = org.api.get(&org.path("keys")).await?.expect(200)?;
    ensure!(!keys.body.to_string().contains(&parent_id), "{}", keys.body);
    ensure!(!keys.body.to_string().contains("secretSha256"), "{}", keys.body);
    Ok(())
}

pub async fn an_operator_founds_and_cannot_read(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("founded").await?;
    let operator = stack.api(Some(&stack.operator_key));
    for path in ["", "/flags", "/tenants", "/keys", "/log", "/environments/prod/flags"] {
        let path = format!("/v1/orgs/{}{path}", org.key);
        operator.get(&path).await?.expect(404)?;
    }
    let listed = operator.get("/v1/orgs?limit=500").await?.expect(200)?;
    ensure!(listed.body.to_string().contains(&org.key), "{}", listed.body);
    let again = operator.post("/v1/orgs", &json!({"key": org.key})).await?.expect(409)?;
    ensure!(again.problem() == "exists", "{}", again.body);
    for name in ["explain", "trust"] {
        let reserved = operator.post("/v1/orgs", &json!({"key": name})).await?.expect(400)?;
        ensure!(reserved.body["field"] == "key", "{}", reserved.body);
    }
    org.api.get("/v1/orgs").await?.expect(404)?;
    Ok(())
}

pub async fn two_secrets_count_while_a_key_is_rotated(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("rotated").await?;
    org.boolean_flag("f").await?;
    org.flip("f", true).await?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let (old, id) = org.issue(&json!({"kind": "mgmt", "role": "maintainer"})).await?;
    let rotate = org.path(&format!("keys/{id}/rotate"));
    let rotated = org.api.post(&rotate, &json!({"overlapSeconds": 3_600})).await?.expect(200)?;
    let new = text(&rotated.body["key"]);
    ensure!(rotated.body["record"]["previousUntil"].is_string(), "{}", rotated.body);
    for key in [&old, &new] {
        stack.api(Some(key)).get(&org.path("flags")).await?.expect(200)?;
    }
    // A second rotation without an overlap ends both secrets before it.
    let rotated = org.api.post(&rotate, &json!({"overlapSeconds": 0})).await?.expect(200)?;
    for key in [&old, &new] {
        stack.api(Some(key)).get(&org.path("flags")).await?.expect(401)?;
    }
    let newest = stack.api(Some(&text(&rotated.body["key"])));
    newest.get(&org.path("flags")).await?.expect(200)?;
    // Neither a weaker key nor a neighbour gets at the secret of a stronger one by rotating it.
    newest.post(&rotate, &json!({})).await?.expect(403)?;
    let longest = json!({"overlapSeconds": 30 * 86_400});
    org.api.post(&rotate, &longest).await?.expect(200)?;
    let longer = json!({"overlapSeconds": 30 * 86_400 + 1});
    let longer = org.api.post(&rotate, &longer).await?.expect(400)?;
    ensure!(longer.body["field"] == "overlapSeconds", "{}", longer.body);

    // On the data plane too, for as long as was said.
    let (old, id) = org.issue(&json!({"kind": "server", "envs": ["prod"]})).await?;
    org.sees(&old, "f", "acme", &json!(true)).await?;
    let rotate = org.path(&format!("keys/{id}/rotate"));
    let rotated = org.api.post(&rotate, &json!({"overlapSeconds": 3_600})).await?.expect(200)?;
    let new = text(&rotated.body["key"]);
    org.sees(&new, "f", "acme", &json!(true)).await?;
    org.sees(&old, "f", "acme", &json!(true)).await?;
    let log = org.api.get(&org.path("log")).await?.expect(200)?;
    ensure!(!log.body.to_string().contains("secretSha256"), "the log tells digests: {}", log.body);
    // It is known, to the hour, when a key was last seen here; of the data plane's nothing is known.
    let key = org.api.get(&org.path(&format!("keys/{id}"))).await?.expect(200)?;
    ensure!(key.body["lastUsed"].is_null() && key.body["rotated"].is_string(), "{}", key.body);
    let admin = org.admin_key.split('_').nth(2).unwrap_or_default();
    let admin = org.api.get(&org.path(&format!("keys/{admin}"))).await?.expect(200)?;
    ensure!(admin.body["lastUsed"].is_string(), "{}", admin.body);
    Ok(())
}
