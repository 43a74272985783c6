//! The operator of the installation: suspends, resumes, meters and bounds organizations, and reads none.

use anyhow::ensure;
use serde_json::{Value as Json, json};

use crate::{Org, Stack};

pub(super) async fn set_limits(stack: &Stack, org: &Org, limits: &Json) -> anyhow::Result<()> {
    let operator = stack.api(Some(&stack.operator_key));
    let path = format!("/v1/operator/orgs/{}/limits", org.key);
    operator.put(&path, limits).await?.expect(200)?;
    Ok(())
}

pub async fn a_suspended_organization_is_served_and_not_managed(
    stack: &Stack,
) -> anyhow::Result<()> {
    let org = stack.found("unpaid").await?;
    org.boolean_flag("f").await?;
    org.flip("f", true).await?;
    let server = org.server_key().await?;
    org.sees(&server, "f", "acme", &json!(true)).await?;
    let operator = stack.api(Some(&stack.operator_key));
    let verb = |verb: &str| format!("/v1/operator/orgs/{}/{verb}", org.key);
    let suspended = operator.post(&verb("suspend"), &Json::Null).await?.expect(200)?;
    ensure!(suspended.body["suspended"].is_string(), "{}", suspended.body);
    for (method, path) in [("GET", "flags"), ("POST", "environments/prod/flags/f/kill")] {
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let refused = org.api.call(method, &org.path(path), &[], None).await?.expect(403)?;
        ensure!(refused.problem() == "suspended", "{}", refused.body);
    }
    // A stranger learns nothing of it, and the data plane does not mind.
    let stranger = stack.found("paid").await?;
    stranger.api.get(&org.path("flags")).await?.expect(404)?;
    org.sees(&server, "f", "acme", &json!(true)).await?;
    let listed = operator.get("/v1/orgs?limit=500").await?.expect(200)?;
    let items = listed.body["items"].as_array().cloned().unwrap_or_default();
    let found = items.iter().find(|item| item["key"] == org.key);
    ensure!(found.is_some_and(|item| item["suspended"].is_string()), "{found:?}");

    operator.post(&verb("resume"), &Json::Null).await?.expect(200)?;
    org.api.get(&org.path("flags")).await?.expect(200)?;
    org.flip("f", false).await?;
    let log = org.api.get(&org.path("log?limit=500")).await?.expect(200)?.body.to_string();
    ensure!(log.contains("suspend-organization") && log.contains("resume-organization"), "{log}");
    org.api.post(&verb("suspend"), &Json::Null).await?.expect(404)?;
    Ok(())
}

pub async fn an_operator_meters_and_sees_nothing(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("metered").await?;
    org.boolean_flag("secret-flag-name").await?;
    org.flip("secret-flag-name", true).await?;
    let over = org.path("environments/prod/flags/secret-flag-name/overrides/acme");
    org.api.put(&over, &json!({"variant": "on"})).await?.expect(201)?;
    let operator = stack.api(Some(&stack.operator_key));
    let meter = format!("/v1/operator/orgs/{}", org.key);
    let metered = operator.get(&meter).await?.expect(200)?.body;
    let counts = &metered["counts"];
    let expected = json!({"environments": 2, "flags": 1, "tenants": 2, "keys": 1});
    ensure!(*counts == expected, "{metered}");
    ensure!(metered["inEnvironments"] == json!({"overrides": 1}), "{metered}");
    // Founding, two environments, two tenants and a flag; a flip and an override.
    ensure!(metered["commits"] == 8, "{metered}");
    ensure!(!metered.to_string().contains("secret-flag-name"), "{metered}");
    org.api.delete(&over).await?.expect(204)?;
    let metered = operator.get(&meter).await?.expect(200)?.body;
    ensure!(metered["inEnvironments"] == json!({"overrides": 0}), "{metered}");
    org.api.get(&meter).await?.expect(404)?;
    let nobody = operator.get("/v1/operator/orgs/nobody-of-that-name").await?.expect(404)?;
    ensure!(nobody.problem() == "not-found", "{}", nobody.body);
    Ok(())
}

pub async fn quotas_hold_at_the_limit_and_one_past_it(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("bounded").await?;
    let resources = json!({"flags": 2, "tenants": 3, "groups": 1, "keys": 2, "environments": 2, "roles": 1, "overrides": 1});
    set_limits(stack, &org, &json!({"resources": resources})).await?;
    for flag in ["a", "b"] {
        org.boolean_flag(flag).await?;
    }
    let flag = json!({"class": "release", "type": "boolean"});
    let full = org.api.put(&org.path("flags/c"), &flag).await?.expect(409)?;
    ensure!(full.problem() == "quota-exceeded", "{}", full.body);
    ensure!(full.body["field"] == "flags" && full.body["limit"] == 2, "{}", full.body);
    org.api.put(&org.path("tenants/third"), &json!({})).await?.expect(201)?;
    org.api.put(&org.path("tenants/fourth"), &json!({})).await?.expect(409)?;
    org.api.put(&org.path("groups/one"), &json!({})).await?.expect(201)?;
    org.api.put(&org.path("groups/two"), &json!({})).await?.expect(409)?;
    org.server_key().await?;
    org.api.post(&org.path("keys"), &json!({"kind": "server"})).await?.expect(409)?;
    org.api.post(&org.path("environments"), &json!({"key": "third"})).await?.expect(409)?;
    let role = json!({"permissions": []});
    org.api.put(&org.path("roles/one"), &role).await?.expect(201)?;
    org.api.put(&org.path("roles/two"), &role).await?.expect(409)?;
    let over = |tenant: &str| org.path(&format!("environments/prod/flags/a/overrides/{tenant}"));
    org.api.put(&over("acme"), &json!({"variant": "on"})).await?.expect(201)?;
    org.api.put(&over("acme"), &json!({"variant": "off"})).await?.expect(200)?;
    org.api.put(&over("globex"), &json!({"variant": "on"})).await?.expect(409)?;
    // What goes makes room; a limit below what there is lets it shrink.
    org.api.delete(&over("acme")).await?.expect(204)?;
    org.api.put(&over("globex"), &json!({"variant": "on"})).await?.expect(201)?;
    // One tenant's share of them is its own, in each environment.
    let resources = json!({"overrides": 9, "overrides-of-a-tenant": 1});
    set_limits(stack, &org, &json!({"resources": resources})).await?;
    let second = org.path("environments/prod/flags/b/overrides/globex");
    let full = org.api.put(&second, &json!({"variant": "on"})).await?.expect(409)?;
    ensure!(
        full.body["field"] == "overrides-of-a-tenant" && full.body["limit"] == 1,
        "{}",
        full.body
    );
    org.api.put(&over("globex"), &json!({"variant": "off"})).await?.expect(200)?;
    org.api.put(&over("acme"), &json!({"variant": "on"})).await?.expect(201)?;
    let elsewhere = org.path("environments/dev/flags/b/overrides/globex");
    org.api.put(&elsewhere, &json!({"variant": "on"})).await?.expect(201)?;
    org.api.delete(&over("globex")).await?.expect(204)?;
    org.api.put(&second, &json!({"variant": "on"})).await?.expect(201)?;
    set_limits(stack, &org, &json!({"resources": {"tenants": 1}})).await?;
    org.api.delete(&org.path("tenants/third")).await?.expect(204)?;
    org.api.put(&org.path("tenants/third"), &json!({})).await?.expect(409)?;

    let operator = stack.api(Some(&stack.operator_key));
    let limits = format!("/v1/operator/orgs/{}/limits", org.key);
    let most = flagforge_platform::limits::Resource::Flags.ceiling();
    operator.put(&limits, &json!({"resources": {"flags": most}})).await?.expect(200)?;
    let over = operator.put(&limits, &json!({"resources": {"flags": most + 1}})).await?;
    let over = over.expect(400)?;
    ensure!(over.body["field"] == "resources.flags", "{}", over.body);
    operator.put(&limits, &json!({"resources": {"unicorns": 1}})).await?.expect(400)?;
    operator.put(&limits, &json!({"writesPerSecond": 0})).await?.expect(400)?;
    Ok(())
}

pub async fn who_asks_too_often_is_told_when_to_come_back(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("hurried").await?;
    org.boolean_flag("f").await?;
    let first = org.api.get(&org.path("flags")).await?.expect(200)?;
    ensure!(first.header("ratelimit-policy").starts_with("\"requests\";q="), "{:?}", first.headers);
    ensure!(first.header("ratelimit").starts_with("\"requests\";r="), "{:?}", first.headers);
    // One change a second, ten at once: counted in the table, whichever process asks.
    set_limits(stack, &org, &json!({"writesPerSecond": 1})).await?;
    let mut refused = None;
    for number in 0..40 {
        let verb = if number % 2 == 0 { "enable" } else { "kill" };
        let path = org.path(&format!("environments/dev/flags/f/{verb}"));
        let answer = org.api.post(&path, &Json::Null).await?;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        ensure!(answer.status.is_success(), "{} {}", answer.status, answer.body);
    }
    let Some(refused) = refused else {
        anyhow::bail!("forty changes passed a rate of one a second")
    };
    ensure!(refused.problem() == "rate-limited", "{}", refused.body);
    let seconds: u32 = refused.header("retry-after").parse()?;
    ensure!(seconds == 1, "wait {seconds} s for one a second");
    // Another environment has its own, and another organization does not notice.
    org.flip("f", true).await?;
    let neighbour = stack.found("calm").await?;
    neighbour.boolean_flag("f").await?;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let path = org.path("environments/dev/flags/f/kill");
    let again = org.api.post(&path, &Json::Null).await?;
    ensure!(again.status.is_success(), "{} {}", again.status, again.body);
    Ok(())
}
