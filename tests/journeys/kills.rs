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
