//! Roles that an organization makes, and that nobody makes anything stronger than itself.

use anyhow::{Context as _, ensure};
use serde_json::{Value as Json, json};

use crate::{Api, Org, Stack};

async fn key_with_role(org: &Org, stack: &Stack, role: &str) -> anyhow::Result<Api> {
    let (key, _) = org.issue(&json!({"kind": "mgmt", "role": role})).await?;
    Ok(stack.api(Some(&key)))
}

pub async fn a_role_of_ones_own_allows_what_it_says(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("roles").await?;
    org.boolean_flag("f").await?;
    let role = json!({"description": "On call", "permissions": ["kill"]});
    let made = org.api.put(&org.path("roles/on-call"), &role).await?.expect(201)?;
    ensure!(made.body["permissions"] == json!(["read", "kill"]), "{}", made.body);
    let pager = key_with_role(&org, stack, "on-call").await?;
    let verb = |verb: &str| org.path(&format!("environments/prod/flags/f/{verb}"));
    pager.get(&org.path("flags/f")).await?.expect(200)?;
    pager.post(&verb("kill"), &Json::Null).await?.expect(201)?;
    let refused = pager.post(&verb("enable"), &Json::Null).await?.expect(403)?;
    ensure!(refused.body["detail"].to_string().contains("`write-states`"), "{}", refused.body);
    pager.put(&org.path("tenants/new"), &json!({})).await?.expect(403)?;

    // A role that changes, changes who has it; one that somebody has stays.
    let used = org.api.delete(&org.path("roles/on-call")).await?.expect(409)?;
    ensure!(used.problem() == "in-use", "{}", used.body);
    let wider = json!({"permissions": ["kill", "write-states"]});
    org.api.put(&org.path("roles/on-call"), &wider).await?.expect(428)?;
    let held = [("if-match", "*")];
    let path = org.path("roles/on-call");
    let put = org.api.call(reqwest::Method::PUT, &path, &held, Some(wider.to_string())).await?;
    put.expect(200)?;
    pager.post(&verb("enable"), &Json::Null).await?.expect(200)?;

    let unknown = json!({"kind": "mgmt", "role": "nobody"});
    let unknown = org.api.post(&org.path("keys"), &unknown).await?.expect(400)?;
    ensure!(unknown.body["field"] == "role", "{}", unknown.body);
    let taken = json!({"permissions": []});
    org.api.put(&org.path("roles/admin"), &taken).await?.expect(400)?;
    let word = json!({"permissions": ["fly"]});
    let word = org.api.put(&org.path("roles/pilot"), &word).await?.expect(400)?;
    ensure!(word.body["field"] == "permissions[0]", "{}", word.body);
    Ok(())
}

pub async fn a_role_allows_no_more_than_its_maker_may(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("weaker").await?;
    let keeper = json!({"permissions": ["manage-keys", "manage-members"]});
    org.api.put(&org.path("roles/keeper"), &keeper).await?.expect(201)?;
    let keeper = key_with_role(&org, stack, "keeper").await?;
    // It makes keys and roles, but none that may do what it may not.
    for role in ["admin", "maintainer", "approver"] {
        let spec = json!({"kind": "mgmt", "role": role});
        keeper.post(&org.path("keys"), &spec).await?.expect(403)?;
    }
    keeper
        .post(&org.path("keys"), &json!({"kind": "mgmt", "role": "keeper"}))
        .await?
        .expect(201)?;
    keeper.post(&org.path("keys"), &json!({"kind": "server"})).await?.expect(201)?;
    let wider = json!({"permissions": ["write-flags"]});
    keeper.put(&org.path("roles/writer"), &wider).await?.expect(403)?;
    keeper.put(&org.path("roles/looker"), &json!({"permissions": []})).await?.expect(201)?;
    // Nor does it take away what is stronger.
    let (_, admin) = org.issue(&json!({"kind": "mgmt", "role": "admin"})).await?;
    keeper.delete(&org.path(&format!("keys/{admin}"))).await?.expect(403)?;

    // An admin of one environment makes keys for it, and sees and revokes those alone.
    let (dev, _) = org.issue(&json!({"kind": "mgmt", "role": "admin", "envs": ["dev"]})).await?;
    let dev = stack.api(Some(&dev));
    for wider in [json!({"kind": "server"}), json!({"kind": "server", "envs": ["dev", "prod"]})] {
        dev.post(&org.path("keys"), &wider).await?.expect(403)?;
    }
    let own = json!({"kind": "mgmt", "role": "maintainer", "envs": ["dev"]});
    let own = dev.post(&org.path("keys"), &own).await?.expect(201)?;
    let own = own.body["record"]["id"].as_str().context("no id")?.to_owned();
    let seen = dev.get(&org.path("keys")).await?.expect(200)?;
    let seen: Vec<&Json> = seen.body["items"].as_array().into_iter().flatten().collect();
    ensure!(seen.len() == 1 && seen[0]["id"] == own, "{seen:?}");
    dev.delete(&org.path(&format!("keys/{admin}"))).await?.expect(404)?;
    dev.delete(&org.path(&format!("keys/{own}"))).await?.expect(204)?;
    dev.delete(&org.path(&format!("keys/{own}"))).await?.expect(404)?;
    Ok(())
}

pub async fn a_large_family_of_keys_ends_at_once(stack: &Stack) -> anyhow::Result<()> {
    /// More than one change can delete, so that some die by their ancestor's end alone.
    const CHILDREN: usize = 60;
    let org = stack.found("clan").await?;
    let (parent, id) = org.issue(&json!({"kind": "mgmt", "role": "admin"})).await?;
    let mut elder = stack.api(Some(&parent));
    let mut keys = Vec::new();
    // The first admin and the parent are above: a line to the greatest depth, and a crowd below the last but one.
    for depth in 2..=flagforge_platform::MAX_KEY_DEPTH {
        let spec = json!({"kind": "mgmt", "role": "admin", "name": depth.to_string()});
        let made = elder.post(&org.path("keys"), &spec).await?.expect(201)?;
        let key = made.body["key"].as_str().context("no key")?.to_owned();
        elder = stack.api(Some(&key));
        keys.push(key);
    }
    let deeper = json!({"kind": "mgmt"});
    let deeper = elder.post(&org.path("keys"), &deeper).await?.expect(400)?;
    ensure!(deeper.problem() == "over-limit", "{}", deeper.body);
    let above = stack.api(Some(&keys[keys.len() - 2]));
    for _ in 0..CHILDREN {
        let made = above.post(&org.path("keys"), &json!({"kind": "mgmt"})).await?.expect(201)?;
        keys.push(made.body["key"].as_str().context("no key")?.to_owned());
    }
    org.api.delete(&org.path(&format!("keys/{id}"))).await?.expect(204)?;
    for key in &keys {
        stack.api(Some(key)).get(&org.path("flags")).await?.expect(401)?;
    }
    let left = org.api.get(&org.path("keys?limit=500")).await?.expect(200)?;
    ensure!(left.body["items"].as_array().map(Vec::len) == Some(1), "{}", left.body);
    // The next change of keys sweeps what was left of them.
    org.server_key().await?;
    let left = org.api.get(&org.path("keys?limit=500")).await?.expect(200)?;
    ensure!(left.body["items"].as_array().map(Vec::len) == Some(2), "{}", left.body);
    Ok(())
}
