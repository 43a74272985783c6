//! What a definition says, and what each class of flag asks of its author.

use anyhow::ensure;
use serde_json::{Value as Json, json};

use crate::{Answer, Org, Stack};

async fn define(org: &Org, key: &str, body: &Json) -> anyhow::Result<Answer> {
    org.api.put(&org.path(&format!("flags/{key}")), body).await
}

/// Expects a definition to be refused for this field.
async fn refused(org: &Org, body: &Json, field: &str) -> anyhow::Result<()> {
    let answer = define(org, "refused", body).await?.expect(400)?;
    ensure!(answer.body["field"] == field, "not about {field}: {}", answer.body);
    Ok(())
}

pub async fn every_class_asks_what_it_has_to(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("classes").await?;
    let of = |class: &str| json!({"class": class, "type": "boolean"});
    let with = |class: &str, name: &str, value: Json| {
        let mut body = of(class);
        body[name] = value;
        body
    };
    let end = json!("2099-01-01T00:00:00.000Z");
    let stale = json!({"afterSeconds": 300, "then": {"serve": {"variant": "off"}}});
    refused(&org, &of("experiment"), "expiresAt").await?;
    refused(&org, &with("experiment", "reviewAt", end.clone()), "expiresAt").await?;
    refused(&org, &of("migration"), "retirement").await?;
    refused(&org, &of("ops"), "stale").await?;
    refused(&org, &of("policy"), "stale").await?;
    let release = define(&org, "release", &of("release")).await?.expect(201)?;
    ensure!(release.body["expiresAt"].is_string(), "{}", release.body);
    ensure!(release.body["stale"]["afterSeconds"] == 3_600, "{}", release.body);
    let ops = define(&org, "ops", &with("ops", "stale", stale.clone())).await?.expect(201)?;
    ensure!(ops.body["reviewAt"].is_string() && ops.body["expiresAt"].is_null(), "{}", ops.body);
    let criteria =
        json!([{"settledDays": 30}, {"serves": "on"}, {"note": "the ledger is archived"}]);
    define(&org, "migration", &with("migration", "retirement", criteria)).await?.expect(201)?;
    define(&org, "experiment", &with("experiment", "expiresAt", end)).await?.expect(201)?;
    // What the definition chose holds in every environment that says nothing else.
    org.flip("ops", true).await?;
    let state = org.api.get(&org.path("environments/prod/flags/ops")).await?.expect(200)?;
    ensure!(state.body["stale"] == stale, "{}", state.body);
    Ok(())
}

pub async fn definitions_say_whose_they_are_and_what_they_hold(
    stack: &Stack,
) -> anyhow::Result<()> {
    let org = stack.found("whose").await?;
    let body = json!({
        "class": "release", "type": "object", "owner": "team-shop", "domain": "checkout",
        "dependents": ["cart", "billing"], "tags": ["q4"],
        "documentation": "https://wiki.example/limits",
        "variants": [{"key": "a", "value": {"rate": 1}}, {"key": "b", "value": {"rate": 2}}],
        "schema": {"type": "object", "required": ["rate"], "additionalProperties": false,
                   "properties": {"rate": {"type": "integer", "minimum": 1}}},
    });
    let made = define(&org, "limits", &body).await?.expect(201)?;
    for field in ["domain", "dependents", "tags", "documentation", "schema"] {
        ensure!(made.body[field] == body[field], "{field}: {}", made.body);
    }
    let with = |name: &str, value: Json| {
        let mut changed = body.clone();
        changed[name] = value;
        changed
    };
    let bad = json!([{"key": "a", "value": {"rate": 0}}]);
    refused(&org, &with("variants", bad), "variants[0].value.rate").await?;
    refused(&org, &with("schema", json!({"pattern": "x"})), "schema.pattern").await?;
    refused(&org, &with("documentation", json!("javascript:alert(1)")), "documentation").await?;
    refused(&org, &with("domain", json!("")), "domain").await?;
    refused(&org, &with("dependents", json!(["a", "a"])), "dependents[1]").await?;
    let most = flagforge_platform::MAX_LABELS;
    let tags: Vec<String> = (0..=most).map(|n| format!("t-{n}")).collect();
    define(&org, "tags", &with("tags", json!(tags[..most]))).await?.expect(201)?;
    refused(&org, &with("tags", json!(tags)), "tags").await?;
    let longest = "l".repeat(flagforge_platform::MAX_LABEL_BYTES);
    define(&org, "owner", &with("owner", json!(longest))).await?.expect(201)?;
    refused(&org, &with("owner", json!(format!("{longest}x"))), "owner").await?;
    Ok(())
}
