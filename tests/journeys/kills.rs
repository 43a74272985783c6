//! Kill switches for many flags in one call.

use anyhow::ensure;
use serde_json::{Value as Json, json};

use crate::{Org, Stack};

async fn define(org: &Org, key: &str, with: &Json) -> anyhow::Result<()> {
    let mut body = json!({"class": "release", "type": "boolean"});
    for (name, value) in with.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    org.api.put(&org.path(&format!("flags/{key}")), &body).await?.expect(201)?;
    org.flip(key, true).await
}

pub async fn one_call_turns_flags_off_for_a_group_and_back(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("group-kills").await?;
    let key = org.server_key().await?;
    define(&org, "cart", &json!({"domain": "checkout"})).await?;
    define(&org, "banner", &json!({"tags": ["q4"]})).await?;
    org.api.put(&org.path("groups/beta"), &json!({})).await?.expect(201)?;
    org.api.put(&org.path("groups/beta/members/acme"), &json!({})).await?.expect(201)?;
    let path = |scope: &str| org.path(&format!("environments/prod/kills/{scope}"));
    let why = json!({"reason": "beta breaks"});
    for (scope, status) in [
        ("environment?group=nobody", 404),
        ("environment?group=", 400),
        ("environment?grup=beta", 400),
        ("group:beta", 400),
    ] {
        org.api.put(&path(scope), &why).await?.expect(status)?;
    }
    // Their own override does not help them: a kill comes first.
    let over = org.path("environments/prod/flags/cart/overrides/acme");
    org.api.put(&over, &json!({"variant": "on"})).await?.expect(201)?;
    org.sees(&key, "cart", "acme", &json!(true)).await?;
    let pulled = org.api.put(&path("domain:checkout?group=beta"), &why).await?.expect(201)?;
    ensure!(pulled.body["scope"] == "domain:checkout", "{}", pulled.body);
    ensure!(pulled.body["group"] == "beta", "{}", pulled.body);
    let killed = org.sees(&key, "cart", "acme", &json!(false)).await?;
    ensure!(killed.body["reason"] == "DISABLED", "{}", killed.body);
    org.sees(&key, "cart", "globex", &json!(true)).await?;
    org.sees(&key, "banner", "acme", &json!(true)).await?;
    // Who comes into the group is turned off as well.
    org.api.put(&org.path("groups/beta/members/globex"), &json!({})).await?.expect(201)?;
    org.sees(&key, "cart", "globex", &json!(false)).await?;
    org.api.delete(&org.path("groups/beta/members/globex")).await?.expect(204)?;
    org.sees(&key, "cart", "globex", &json!(true)).await?;

    org.api.put(&path("environment?group=beta"), &why).await?.expect(201)?;
    org.sees(&key, "banner", "acme", &json!(false)).await?;
    org.sees(&key, "banner", "globex", &json!(true)).await?;
    // The state says what is pulled, and what the tenant gets says what it hides.
    let state = org.api.get(&org.path("environments/prod/flags/cart")).await?.expect(200)?.body;
    let part = |scope: &str| json!({"group": "beta", "scope": scope});
    let by = json!([part("domain:checkout"), part("environment")]);
    ensure!(state["enabled"] == true && state["killedInPartBy"] == by, "{state}");
    ensure!(state["killedBy"].is_null(), "{state}");
    let effective = org.path("environments/prod/tenants/acme/flags?search=cart");
    let gets = org.api.get(&effective).await?.expect(200)?.body["items"][0].clone();
    ensure!(gets["why"] == "GROUP_KILL" && gets["group"] == "beta", "{gets}");
    ensure!(gets["hides"][0]["why"] == "TENANT_OVERRIDE", "{gets}");
    let log = org.api.get(&org.path("audit?env=prod&change=kill")).await?.expect(200)?.body;
    ensure!(log["items"].as_array().is_some_and(|all| all.len() == 2), "{log}");

    org.api.delete(&path("environment?group=beta")).await?.expect(204)?;
    org.sees(&key, "banner", "acme", &json!(true)).await?;
    // A group made again under the key is another, and nobody of it is turned off.
    org.api.delete(&org.path("groups/beta")).await?.expect(204)?;
    org.sees(&key, "cart", "acme", &json!(true)).await?;
    org.api.put(&org.path("groups/beta"), &json!({})).await?.expect(201)?;
    org.api.put(&org.path("groups/beta/members/acme"), &json!({})).await?.expect(201)?;
    org.sees(&key, "cart", "acme", &json!(true)).await?;
    let state = org.api.get(&org.path("environments/prod/flags/cart")).await?.expect(200)?.body;
    ensure!(state["killedInPartBy"].is_null(), "{state}");
    // Pulled again it is for them.
    org.api.put(&path("domain:checkout?group=beta"), &why).await?.expect(201)?;
    org.sees(&key, "cart", "acme", &json!(false)).await?;
    org.api.delete(&path("domain:checkout?group=beta")).await?.expect(204)?;
    org.sees(&key, "cart", "acme", &json!(true)).await?;
    Ok(())
}

pub async fn one_call_turns_an_environment_off_and_back(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("kills").await?;
    let key = org.server_key().await?;
    define(&org, "cart", &json!({"domain": "checkout"})).await?;
    define(&org, "banner", &json!({"tags": ["q4"]})).await?;
    define(&org, "plain", &json!({})).await?;
    for flag in ["cart", "banner", "plain"] {
        org.sees(&key, flag, "acme", &json!(true)).await?;
    }
    let path = |scope: &str| org.path(&format!("environments/prod/kills/{scope}"));
    let unsaid = org.api.put(&path("environment"), &json!({})).await?.expect(400)?;
    ensure!(unsaid.body["field"] == "reason", "{}", unsaid.body);
    org.api.put(&path("everything"), &json!({"reason": "x"})).await?.expect(400)?;

    let why = json!({"reason": "payments are down"});
    let pulled = org.api.put(&path("domain:checkout"), &why).await?.expect(201)?;
    ensure!(pulled.body["reason"] == "payments are down", "{}", pulled.body);
    ensure!(pulled.body["by"]["actor"] == "key", "{}", pulled.body);
    org.sees(&key, "cart", "acme", &json!(false)).await?;
    org.sees(&key, "banner", "acme", &json!(true)).await?;
    org.api.put(&path("environment"), &why).await?.expect(201)?;
    for flag in ["cart", "banner", "plain"] {
        let answer = org.sees(&key, flag, "acme", &json!(false)).await?;
        ensure!(answer.body["reason"] == "DISABLED", "{}", answer.body);
    }
    // A flag that comes later is off too, and says by what.
    org.boolean_flag("late").await?;
    org.flip("late", true).await?;
    let late = org.api.get(&org.path("environments/prod/flags/late")).await?.expect(200)?;
    ensure!(late.body["enabled"] == true, "{}", late.body);
    ensure!(late.body["killedBy"] == json!(["environment"]), "{}", late.body);
    org.sees(&key, "late", "acme", &json!(false)).await?;
    let listed = org.api.get(&org.path("environments/prod/kills")).await?.expect(200)?;
    ensure!(listed.body["items"].as_array().is_some_and(|all| all.len() == 2), "{}", listed.body);

    org.api.delete(&path("environment")).await?.expect(204)?;
    org.sees(&key, "plain", "acme", &json!(true)).await?;
    org.sees(&key, "cart", "acme", &json!(false)).await?;
    org.api.delete(&path("domain:checkout")).await?.expect(204)?;
    org.sees(&key, "cart", "acme", &json!(true)).await?;
    org.api.delete(&path("domain:checkout")).await?.expect(404)?;
    org.api.put(&path("tag:q4"), &why).await?.expect(201)?;
    org.sees(&key, "banner", "acme", &json!(false)).await?;
    org.sees(&key, "plain", "acme", &json!(true)).await?;
    Ok(())
}
