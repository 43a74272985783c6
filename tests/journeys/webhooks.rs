//! Who is told, over HTTP, and what happens when an endpoint does not take it.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::http::StatusCode;
use serde_json::{Value as Json, json};

use crate::endpoint::{Endpoint, Heard};
use crate::{Org, Stack, eventually};

/// Longer than the first wait before a delivery is tried again.
const FIRST_RETRY: Duration = Duration::from_secs(6);

async fn hooked(org: &Org, url: &str, types: &[&str]) -> anyhow::Result<(String, String)> {
    let body = json!({"url": url, "types": types});
    let made = org.api.post(&org.path("webhooks"), &body).await?.expect(201)?.body;
    let text = |json: &Json| json.as_str().map(str::to_owned).context("no text");
    Ok((text(&made["webhook"]["id"])?, text(&made["secret"])?))
}

/// Waits until so many deliveries were heard; there may be more, as each comes at least once.
async fn hears(org: &Org, endpoint: &Endpoint, count: usize) -> anyhow::Result<Vec<Heard>> {
    // A function that starts, and a clock that looks once a minute.
    let patience = 3 * org.patience();
    let got = eventually(patience, || async {
        let heard = endpoint.heard();
        anyhow::Ok((heard.len() >= count).then_some(heard))
    });
    got.await.with_context(|| format!("{count} deliveries; {:?}", endpoint.heard()))
}

pub async fn an_endpoint_hears_of_a_kill_and_can_tell_who_says_so(
    stack: &Stack,
) -> anyhow::Result<()> {
    let org = stack.found("hooked").await?;
    org.boolean_flag("f").await?;
    let endpoint = Endpoint::start().await?;
    let path = org.path("webhooks");
    for (body, field) in [
        (json!({"url": "http://a.example/x"}), "url"),
        (json!({"url": "https://192.168.0.1/x"}), "url"),
        (json!({"url": endpoint.url, "types": ["Flag Killed"]}), "types[0]"),
    ] {
        let refused = org.api.post(&path, &body).await?.expect(400)?;
        ensure!(refused.body["field"] == field, "{}", refused.body);
    }
    let (id, secret) = hooked(&org, &endpoint.url, &["flag.killed"]).await?;
    org.flip("f", true).await?;
    org.flip("f", false).await?;
    let heard = hears(&org, &endpoint, 1).await?;
    let heard = heard.first().context("nothing was heard")?;
    ensure!(heard.is_signed_with(&secret)?, "{heard:?}");
    ensure!(!heard.is_signed_with("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?);
    ensure!(heard.told()? == "flag.killed f", "{heard:?}");
    let event = heard.event()?;
    ensure!(event["specversion"] == "1.0" && event["id"] == heard.id.as_str(), "{event}");
    ensure!(event["source"] == format!("/orgs/{}/environments/prod", org.key), "{event}");
    let shown = org.api.get(&org.path(&format!("webhooks/{id}"))).await?.expect(200)?.body;
    let shown = shown.to_string();
    ensure!(!shown.contains("secret") && shown.contains("flag.killed"), "{shown}");
    Ok(())
}

pub async fn what_an_endpoint_does_not_take_comes_again_and_is_replayed_when_asked(
    stack: &Stack,
) -> anyhow::Result<()> {
    let org = stack.found("rehooked").await?;
    org.boolean_flag("f").await?;
    let endpoint = Endpoint::start().await?;
    endpoint.answer_next(StatusCode::SERVICE_UNAVAILABLE);
    let (id, secret) = hooked(&org, &endpoint.url, &["flag.enabled"]).await?;
    org.flip("f", true).await?;
    let refused = hears(&org, &endpoint, 1).await?;
    tokio::time::sleep(FIRST_RETRY).await;
    // Any news has the organization's endpoints looked after, sooner than the clock does.
    org.flip("f", false).await?;
    let taken = hears(&org, &endpoint, 2).await?;
    let ids: Vec<&str> = taken.iter().map(|heard| heard.id.as_str()).collect();
    ensure!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    ensure!(taken.iter().all(|heard| heard.body == refused[0].body));
    ensure!(taken[1].is_signed_with(&secret)?);
    let path = org.path(&format!("webhooks/{id}"));
    let dead = org.api.get(&format!("{path}/dead")).await?.expect(200)?.body;
    ensure!(dead["items"] == json!([]), "{dead}");
    let both = json!({"event": "x", "since": "2026-01-01T00:00:00Z"});
    org.api.post(&format!("{path}/replay"), &both).await?.expect(400)?;
    let again = json!({ "event": ids[0] });
    let replayed = org.api.post(&format!("{path}/replay"), &again).await?;
    ensure!(replayed.status.is_success(), "{}", replayed.body);
    org.flip("f", true).await?;
    // The replayed one, and the news.
    let heard = hears(&org, &endpoint, taken.len() + 2).await?;
    let repeats = heard.iter().skip(taken.len()).filter(|heard| heard.id == ids[0]).count();
    ensure!(repeats >= 1, "{heard:?}");
    Ok(())
}
