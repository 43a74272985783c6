//! Changes that take effect at an instant, made by whoever looks at the clock in an installation.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use flagforge_flags::time::Timestamp;
use serde_json::{Value as Json, json};

use crate::{Stack, eventually};

/// Seconds from now: long enough to be scheduled, on a machine that is busy.
const SOON: i64 = 8;

pub async fn a_scheduled_change_comes_by_itself_and_a_cancelled_one_does_not(
    stack: &Stack,
) -> anyhow::Result<()> {
    let org = stack.found("planned").await?;
    for flag in ["comes", "does-not"] {
        org.boolean_flag(flag).await?;
    }
    let schedules = org.path("environments/prod/schedules");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let at = Timestamp::from_seconds(i64::try_from(now)? + SOON);
    let mut ids = Vec::new();
    for flag in ["comes", "does-not"] {
        let body = json!({"at": at, "do": {"enable": {"flag": flag}}});
        let made = org.api.post(&schedules, &body).await?.expect(201)?.body;
        ids.push(made["id"].as_str().context("no id")?.to_owned());
    }
    org.api.delete(&format!("{schedules}/{}", ids[1])).await?.expect(204)?;
    let state = |id: &str| {
        let path = format!("{schedules}/{id}");
        let api = org.api.clone();
        async move { anyhow::Ok(api.get(&path).await?.expect(200)?.body["state"].clone()) }
    };
    // A clock that looks once a minute, and a function that starts.
    let fired = eventually(5 * org.patience(), || async {
        let state = state(&ids[0]).await?;
        Ok((state != "pending").then_some(state))
    });
    let fired: Json = fired.await?;
    ensure!(fired["fired"]["number"].is_number(), "{fired}");
    ensure!(state(&ids[1]).await?["cancelled"].is_object());
    for (flag, enabled) in [("comes", true), ("does-not", false)] {
        let path = org.path(&format!("environments/prod/flags/{flag}"));
        let seen = org.api.get(&path).await?.expect(200)?.body;
        ensure!(seen["enabled"] == enabled, "{flag}: {seen}");
    }
    // It is the change of whoever scheduled it.
    let audit = format!("audit/{}?env=prod", fired["fired"]["number"]);
    let entry = org.api.get(&org.path(&audit)).await?.expect(200)?.body;
    ensure!(entry["by"]["actor"] == "key", "{entry}");
    ensure!(entry["requestId"] == format!("schedule-{}", ids[0]), "{entry}");
    Ok(())
}
