//! Bad input: its own problem type, the field named, nothing changed.

use anyhow::ensure;
use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::{Org, Stack};

/// Sends a body and expects this problem about this field.
async fn refused(
    org: &Org,
    (method, path): (Method, &str),
    body: &str,
    (status, problem, field): (u16, &str, &str),
) -> anyhow::Result<()> {
    let answer = org.api.call(method, &org.path(path), &[], Some(body.to_owned())).await?;
    let answer = answer.expect(status)?;
    ensure!(answer.header("content-type") == "application/problem+json", "{:?}", answer.headers);
    ensure!(answer.problem() == problem, "not {problem}: {}", answer.body);
    let named = answer.body["field"].as_str().unwrap_or_default();
    ensure!(named.starts_with(field), "not about {field}: {}", answer.body);
    Ok(())
}

fn state(rules: &Json) -> String {
    let (off, on) = (json!({"variant": "off"}), json!({"variant": "on"}));
    json!({"enabled": true, "off": off, "fallthrough": on, "rules": rules}).to_string()
}

fn rule(when: &Json, serve: &Json) -> Json {
    json!([{"id": "r", "when": when, "serve": serve}])
}

pub async fn bad_bodies_name_the_field_and_change_nothing(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("bad").await?;
    org.boolean_flag("f").await?;
    let path = "environments/prod/flags/f";
    let on = json!({"variant": "on"});
    let test = |operator: &str, values: Json| json!({"test": {"attribute": "user.x", "operator": operator, "values": values}});
    let states = [
        ("{\"enabled\": tru", "enabled"),
        ("[]", "the body"),
        ("\"text\"", "the body"),
        ("{\"enabled\": true}", "the body"),
        (&state(&json!([{"id": "r", "when": "sometimes", "serve": on}])), "rules[0].when"),
        (&state(&json!([{"id": "", "when": "always", "serve": on}])), "rules[0].id"),
        (&state(&rule(&test("sounds-like", json!([1])), &on)), "rules[0].when"),
        (&state(&rule(&test("equals", json!([{"a": 1}])), &on)), "rules[0].when"),
        (&state(&rule(&json!("always"), &json!({"variant": "purple"}))), "rules[0].serve"),
        (&state(&rule(&json!("always"), &json!({"split": {}}))), "rules[0].serve.split"),
        (
            &state(&rule(&json!("always"), &json!({"split": {"weights": []}}))),
            "rules[0].serve.split.weights",
        ),
        (
            "{\"enabled\": \"yes\", \"off\": \"callerDefault\", \"fallthrough\": \"callerDefault\"}",
            "enabled",
        ),
        (
            "{\"enabled\": true, \"off\": \"callerDefault\", \"fallthrough\": \"callerDefault\", \"ruels\": []}",
            "ruels",
        ),
        ("{\"enabled\": true, \"off\": null, \"fallthrough\": \"callerDefault\"}", "off"),
    ];
    for (body, field) in states {
        refused(&org, (Method::PUT, path), body, (400, "invalid", field)).await?;
    }
    let unknown_group = json!({"enabled": true, "off": on, "fallthrough": on, "groupOverrides": [{"group": "nobody", "variant": "on"}]});
    let about = (400, "invalid", "groupOverrides[0].group");
    refused(&org, (Method::PUT, path), &unknown_group.to_string(), about).await?;
    let definitions = [
        (json!({"class": "release"}), "the body"),
        (json!({"class": "rumour", "type": "boolean"}), "class"),
        (json!({"class": "release", "type": "string"}), "variants"),
        (
            json!({"class": "release", "type": "boolean", "variants": [{"key": "on", "value": 1}]}),
            "variants[0]",
        ),
        (
            json!({"class": "release", "type": "boolean", "variants": [{"key": "a/b", "value": true}]}),
            "variants[0].key",
        ),
    ];
    for (body, field) in definitions {
        let about = (400, "invalid", field);
        refused(&org, (Method::PUT, "flags/g"), &body.to_string(), about).await?;
    }
    let tenants = [
        (json!({"attributes": []}), "attributes"),
        (json!({"attributes": {"a.b": 1}}), "attributes"),
        (json!({"plan": "gold"}), "plan"),
    ];
    for (body, field) in tenants {
        let about = (400, "invalid", field);
        refused(&org, (Method::PUT, "tenants/new"), &body.to_string(), about).await?;
    }
    nothing_came_of_it(&org).await
}

async fn nothing_came_of_it(org: &Org) -> anyhow::Result<()> {
    let log = org.api.get(&org.path("environments/prod/log")).await?.expect(200)?;
    ensure!(log.body["items"] == json!([]), "something was written: {}", log.body);
    org.api.get(&org.path("flags/g")).await?.expect(404)?;
    org.api.get(&org.path("tenants/new")).await?.expect(404)?;
    Ok(())
}

pub async fn bodies_and_keys_have_limits(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("limits").await?;
    let limit = flagforge_platform::MAX_BODY_BYTES;
    let padded = |bytes: usize| {
        let body = json!({"class": "release", "type": "boolean", "description": "x"}).to_string();
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    let about = (413, "body-too-large", "the body");
    refused(&org, (Method::PUT, "flags/f"), &padded(limit + 1), about).await?;
    org.api.get(&org.path("flags/f")).await?.expect(404)?;
    let at_limit =
        org.api.call(Method::PUT, &org.path("flags/f"), &[], Some(padded(limit))).await?;
    at_limit.expect(201)?;

    let define = |key: String| {
        let org = org.clone();
        async move {
            let body = json!({"class": "release", "type": "boolean"});
            org.api.put(&org.path(&format!("flags/{key}")), &body).await
        }
    };
    let longest = flagforge_flags::keys::MAX_NAME_BYTES;
    define("k".repeat(longest)).await?.expect(201)?;
    let long = define("k".repeat(longest + 1)).await?.expect(400)?;
    ensure!(long.body["detail"].to_string().contains("limit is 128"), "{}", long.body);

    let described = |bytes: usize| json!({"class": "release", "type": "boolean", "description": "d".repeat(bytes)});
    let most = flagforge_platform::input::MAX_TEXT_BYTES;
    org.api.put(&org.path("flags/d"), &described(most)).await?.expect(201)?;
    let over = org.api.put(&org.path("flags/e"), &described(most + 1)).await?.expect(400)?;
    ensure!(over.problem() == "over-limit" && over.body["limit"] == most, "{}", over.body);

    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let body = format!(
        "{{\"class\":\"release\",\"type\":\"object\",\"variants\":[{{\"key\":\"a\",\"value\":{deep}}}]}}"
    );
    refused(&org, (Method::PUT, "flags/deep"), &body, (400, "invalid", "variants[0].value"))
        .await?;
    Ok(())
}

pub async fn bad_headers_and_paths_are_told(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("heads").await?;
    org.boolean_flag("f").await?;
    let path = org.path("environments/prod/flags/f");
    let call = |headers: &'static [(&'static str, &'static str)]| {
        let (api, path) = (org.api.clone(), path.clone());
        async move {
            api.call(Method::PATCH, &path, headers, Some("{\"enabled\": true}".to_owned())).await
        }
    };
    let tag = call(&[("if-match", "not a tag")]).await?.expect(400)?;
    ensure!(tag.body["field"] == "If-Match", "{}", tag.body);
    let key = call(&[("idempotency-key", "")]).await?.expect(400)?;
    ensure!(key.body["field"] == "Idempotency-Key", "{}", key.body);
    let xml = org
        .api
        .call(Method::PUT, &path, &[("content-type", "application/xml")], None)
        .await?
        .expect(415)?;
    ensure!(xml.problem() == "unsupported-media-type", "{}", xml.body);
    let nowhere = org.api.get(&org.path("nonsense")).await?.expect(404)?;
    ensure!(nowhere.problem() == "not-found", "{}", nowhere.body);
    let method = org.api.delete(&path).await?.expect(405)?;
    ensure!(method.problem() == "method-not-allowed", "{}", method.body);
    let query = org.api.get(&org.path("flags?limt=3")).await?.expect(400)?;
    ensure!(query.problem() == "invalid", "{}", query.body);
    let log = org.api.get(&org.path("environments/prod/log")).await?;
    ensure!(log.body["items"] == json!([]), "something was written: {}", log.body);
    Ok(())
}
