//! A change that is tried out by some services before all have it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use flagforge::{Client, Flag, Status};
use flagforge_flags::time::Timestamp;
use serde_json::json;

use crate::{Stack, eventually};

const TRIED: Flag<bool> = Flag::new("tried", false);
const OTHER: Flag<bool> = Flag::new("other", false);
const POLL: Duration = Duration::from_millis(500);
/// A bad change is taken back from those who have it within this.
const UNDONE_WITHIN: Duration = Duration::from_secs(30);

pub async fn a_bad_change_reaches_its_ring_only_and_is_taken_back(
    stack: &Stack,
) -> anyhow::Result<()> {
    let org = stack.found("rings").await?;
    let key = org.server_key().await?;
    for flag in ["tried", "other"] {
        org.boolean_flag(flag).await?;
    }
    org.flip("other", true).await?;
    org.sees(&key, "other", "acme", &json!(true)).await?;
    let connect = async |ring: &str| {
        let connection = format!("{}{ring}", org.connection(&key, "prod"));
        eventually(org.patience(), || async {
            let client = Client::connect(&connection).poll_every(POLL).await?;
            ensure!(client.status() == Status::Ready, "{ring}: {:?}", client.trouble());
            Ok(Some(client))
        })
        .await
    };
    let (all, canary) = (connect("").await?, connect("&ring=canary").await?);
    let is_on = |client: &Client, flag: &Flag<bool>| -> anyhow::Result<bool> {
        Ok(client.tenant("acme")?.user("u-1").flags().get(flag))
    };
    let becomes = async |client: &Client, flag: &Flag<bool>, on: bool| {
        eventually(org.patience(), || async {
            ensure!(is_on(client, flag)? == on, "not {on}: {:?}", client.trouble());
            Ok(Some(()))
        })
        .await
    };
    let schedules = org.path("environments/prod/schedules");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let at = Timestamp::from_seconds(i64::try_from(now)? + 3_600);
    let body = json!({"at": at, "canary": true, "do": {"enable": {"flag": "tried"}}});
    let made = org.api.post(&schedules, &body).await?.expect(201)?.body;
    becomes(&canary, &TRIED, true).await?;
    ensure!(!is_on(&all, &TRIED)?, "it is out of its ring");
    // A kill of another flag waits for nothing.
    org.flip("other", false).await?;
    becomes(&all, &OTHER, false).await?;
    becomes(&canary, &OTHER, false).await?;
    ensure!(!is_on(&all, &TRIED)? && is_on(&canary, &TRIED)?);
    // Whoever watches may end a trial, and neither make one nor touch what is no trial.
    let role = json!({"permissions": ["read", "kill"]});
    org.api.put(&org.path("roles/watcher"), &role).await?.expect(201)?;
    let (secret, _) = org.issue(&json!({"kind": "mgmt", "role": "watcher"})).await?;
    let watcher = stack.api(Some(&secret));
    watcher.post(&schedules, &body).await?.expect(403)?;
    let later = json!({"at": at, "do": {"enable": {"flag": "other"}}});
    let later = org.api.post(&schedules, &later).await?.expect(201)?.body;
    let later = format!("{schedules}/{}", later["id"].as_str().context("no id")?);
    watcher.delete(&later).await?.expect(403)?;
    // The canaries fare badly: whoever watches them takes it back.
    let began = Instant::now();
    let id = made["id"].as_str().context("no id")?;
    watcher.delete(&format!("{schedules}/{id}")).await?.expect(204)?;
    becomes(&canary, &TRIED, false).await?;
    ensure!(began.elapsed() < UNDONE_WITHIN, "undone after {:?}", began.elapsed());
    ensure!(!is_on(&all, &TRIED)?, "it was out of its ring");
    Ok(())
}
