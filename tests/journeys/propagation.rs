//! Who has got which revision.

use anyhow::{Context as _, ensure};
use serde_json::{Value as Json, json};

use crate::{Org, Stack, eventually};

async fn progress(org: &Org, query: &str) -> anyhow::Result<Json> {
    let path = org.path(&format!("environments/prod/propagation{query}"));
    Ok(org.api.get(&path).await?.expect(200)?.body)
}

fn ids(progress: &Json) -> Vec<&str> {
    let items = progress["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item["reporter"].as_str()).collect()
}

pub async fn who_has_not_got_a_revision_is_asked(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("progress").await?;
    org.boolean_flag("f").await?;
    // A key is a change too, so it comes before the revision that is asked for.
    let api = stack.api(Some(&org.server_key().await?));
    org.flip("f", true).await?;
    let published = eventually(org.patience(), || async {
        let found = progress(&org, "").await?;
        let (committed, published) = (&found["committed"], &found["published"]);
        ensure!(published["revision"] == committed["revision"], "{found}");
        Ok(Some(published["revision"].as_str().unwrap_or_default().to_owned()))
    })
    .await?;
    let (of_org, of_env) = published.split_once('.').context("no revision")?;
    let before = format!("{of_org}.{}", of_env.parse::<u64>()? - 1);
    let report = |reporter: &str, revision: &str, lag: u64| {
        json!({
            "reporter": reporter, "kind": "sdk", "name": "checkout", "version": "rust 0.1.0", "status": "ready",
            "revision": revision, "applied": "2026-11-20T09:30:00Z", "lagMillis": lag, "tomorrows": "field",
        })
    };
    let path = org.path("environments/prod/propagation");
    let (a, b) = (report("a", &published, 20), report("b", &before, 40));
    let none =
        json!({"reporter": "c", "kind": "relay", "version": "rust 0.1.0", "status": "defaults"});
    api.post(&path, &json!({"reports": [a, b, none]})).await?.expect(204)?;

    let all = progress(&org, "").await?;
    ensure!(ids(&all) == ["a", "b", "c"], "{all}");
    ensure!(all["reporters"] == json!({"heard": 3, "behind": 2, "silent": 0}), "{all}");
    ensure!(all["lag"] == json!({"p50Millis": 20, "p99Millis": 40}), "{all}");
    ensure!(all["revision"] == published.as_str() && all["items"][0]["behind"] == false, "{all}");
    ensure!(all["items"][1]["behind"] == true && all["items"][1]["heard"].is_string(), "{all}");
    ensure!(ids(&progress(&org, "?behind=true").await?) == ["b", "c"]);
    let earlier = progress(&org, &format!("?behind=true&revision={before}")).await?;
    ensure!(ids(&earlier) == ["c"], "{earlier}");
    let first = progress(&org, "?limit=2").await?;
    ensure!(ids(&first) == ["a", "b"], "{first}");
    let next = first["next"].as_str().context("no next page")?;
    let second = progress(&org, &format!("?limit=2&cursor={next}")).await?;
    ensure!(ids(&second) == ["c"] && second["next"].is_null(), "{second}");

    // It says how far it is in its environment, reads nothing, and people do not say it for it.
    let mine = json!({"reports": []});
    let there = |env: &str| org.path(&format!("environments/{env}/propagation"));
    api.post(&there("dev"), &mine).await?.expect(404)?;
    api.get(&path).await?.expect(403)?;
    api.get(&org.path("flags")).await?.expect(403)?;
    let told = org.api.post(&path, &mine).await?.expect(403)?;
    ensure!(told.problem() == "wrong-key-kind", "{}", told.body);
    let everywhere = stack.api(Some(&org.issue(&json!({"kind": "relay"})).await?.0));
    everywhere.post(&there("nowhere"), &mine).await?.expect(404)?;
    let other = stack.found("progress-other").await?;
    api.post(&other.path("environments/prod/propagation"), &mine).await?.expect(404)?;
    let twice = json!({"reports": [report("d", &before, 1), report("d", &published, 1)]});
    api.post(&path, &twice).await?.expect(400)?;
    api.post(&path, &json!({"reports": [{"reporter": "NO"}]})).await?.expect(400)?;
    let reports = |count: usize| {
        let all: Vec<Json> = (0..count).map(|n| report(&format!("n{n}"), &published, 5)).collect();
        json!({ "reports": all })
    };
    api.post(&path, &reports(51)).await?.expect(400)?;
    api.post(&path, &reports(50)).await?.expect(204)?;
    ensure!(progress(&org, "").await?["reporters"]["heard"] == 53);
    Ok(())
}
