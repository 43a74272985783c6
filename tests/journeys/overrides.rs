//! Overrides that end, and say why they are.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use flagforge_flags::time::Timestamp;
use serde_json::{Value as Json, json};

use crate::Stack;

/// How long what ends in these journeys holds.
const HOLDS: Duration = Duration::from_secs(4);

/// An instant this many seconds from now.
fn in_seconds(seconds: i64) -> anyhow::Result<Json> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let at = Timestamp::from_seconds(i64::try_from(now)? + seconds);
    Ok(serde_json::to_value(at)?)
}

/// An instant that is soon over, and the wait until it is. Several functions evaluate side by side, and one that has not
/// looked again yet answers as before an override was set: only the clock says that it has ended.
fn soon() -> anyhow::Result<(Json, impl Future<Output = ()>)> {
    Ok((in_seconds(HOLDS.as_secs() as i64)?, tokio::time::sleep(HOLDS)))
}

pub async fn an_override_ends_when_it_says(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("ends").await?;
    org.boolean_flag("perk").await?;
    let key = org.server_key().await?;
    let over = org.path("environments/prod/flags/perk/overrides/acme");
    org.flip("perk", true).await?;
    // Before that the flag is off, and answers what the override will.
    org.sees(&key, "perk", "acme", &json!(true)).await?;
    let past = json!({"variant": "off", "expires": in_seconds(-60)?});
    let past = org.api.put(&over, &past).await?.expect(400)?;
    ensure!(past.body["field"] == "expires", "{}", past.body);
    let (ends, over_then) = soon()?;
    let body = json!({"variant": "off", "expires": ends, "reason": "trial"});
    let set = org.api.put(&over, &body).await?.expect(201)?;
    ensure!(set.body["expires"] == ends && set.body["reason"] == "trial", "{}", set.body);
    ensure!(set.body["expired"].is_null(), "{}", set.body);
    org.sees(&key, "perk", "acme", &json!(false)).await?;
    over_then.await;
    org.sees(&key, "perk", "acme", &json!(true)).await?;
    let special =
        [org.path("environments/prod/flags/perk/overrides"), org.path("tenants/acme/overrides")];
    for path in special {
        let listed = org.api.get(&path).await?.expect(200)?;
        let listed = &listed.body["items"][0];
        ensure!(listed["expired"] == true && listed["reason"] == "trial", "{path}: {listed}");
    }
    Ok(())
}

pub async fn a_groups_override_ends_too(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("group-ends").await?;
    org.boolean_flag("perk").await?;
    let key = org.server_key().await?;
    org.api.put(&org.path("groups/beta"), &json!({})).await?.expect(201)?;
    org.api.put(&org.path("groups/beta/members/acme"), &json!({})).await?.expect(201)?;
    let (ends, over_then) = soon()?;
    let over = json!([{"group": "beta", "variant": "off", "expires": ends, "reason": "trial"}]);
    let state = org.path("environments/prod/flags/perk");
    let patch = json!({"enabled": true, "groupOverrides": over});
    let set = org.api.patch(&state, &patch).await?.expect(201)?;
    ensure!(set.body["groupOverrides"] == over, "{}", set.body);
    org.sees(&key, "perk", "acme", &json!(false)).await?;
    over_then.await;
    org.sees(&key, "perk", "acme", &json!(true)).await?;
    let read = org.api.get(&state).await?.expect(200)?;
    ensure!(read.body["expiredGroupOverrides"] == json!(["beta"]), "{}", read.body);
    // What has expired can be sent back; it does no harm.
    let back = read.body.to_string();
    let tag = read.header("etag").to_owned();
    let headers = [("if-match", tag.as_str())];
    let sent = org.api.call(reqwest::Method::PUT, &state, &headers, Some(back)).await?;
    sent.expect(200)?;
    let long = "r".repeat(flagforge_platform::input::MAX_TEXT_BYTES + 1);
    let over = json!([{"group": "beta", "variant": "off", "reason": long}]);
    let refused = org.api.patch(&state, &json!({"groupOverrides": over})).await?.expect(400)?;
    ensure!(refused.body["field"] == "groupOverrides[0].reason", "{}", refused.body);
    Ok(())
}
