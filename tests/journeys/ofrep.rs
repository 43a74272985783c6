//! What clients of OFREP do that ask for all flags at once.

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::{Answer, Api, Stack, eventually};

async fn all(api: &Api, tenant: &str, held: &str) -> anyhow::Result<Answer> {
    let mut headers = vec![("flagforge-tenant", tenant), ("flagforge-environment", "prod")];
    headers.extend((!held.is_empty()).then_some(("if-none-match", held)));
    let body = json!({"context": {"targetingKey": "u-1"}}).to_string();
    api.call(Method::POST, "/ofrep/v1/evaluate/flags", &headers, Some(body)).await
}

pub async fn all_flags_are_answered_at_once_and_again_when_they_change(
    stack: &Stack,
) -> anyhow::Result<()> {
    let org = stack.found("all").await?;
    let key = org.server_key().await?;
    for flag in ["b-flag", "a-flag"] {
        org.boolean_flag(flag).await?;
    }
    org.flip("a-flag", true).await?;
    org.sees(&key, "a-flag", "acme", &json!(true)).await?;
    let api = stack.api(Some(&key));
    let expected = json!([["a-flag", true], ["b-flag", false]]);
    // Functions that stand side by side may be a moment apart.
    let first = eventually(org.patience(), || async {
        let first = all(&api, "acme", "").await?.expect(200)?;
        let flags = first.body["flags"].as_array().context("no flags")?;
        let seen: Json = flags.iter().map(|flag| json!([flag["key"], flag["value"]])).collect();
        ensure!(seen == expected, "{}", first.body);
        Ok(Some(first))
    })
    .await?;
    let tag = first.header("etag").to_owned();
    eventually(org.patience(), || async {
        let same = all(&api, "acme", &tag).await?;
        Ok((same.status == 304).then_some(()))
    })
    .await?;
    let others = all(&api, "globex", &tag).await?.expect(200)?;
    ensure!(others.header("etag") != tag, "two tenants have one tag");
    org.flip("a-flag", false).await?;
    eventually(org.patience(), || async {
        let answer = all(&api, "acme", &tag).await?;
        Ok((answer.status == 200 && answer.body["flags"][0]["value"] == false).then_some(()))
    })
    .await
}
