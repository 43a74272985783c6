//! From a change to a running service, by the SDK.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use flagforge::origin::{Grant, Leave, S3Origin};
use flagforge::{Client, Flag, Reason, Status};
use flagforge_flags::keys::{EnvKey, OrgKey};
use flagforge_flags::manifest::{Scope, ScopeId};
use serde_json::json;

use crate::{Delivery, Stack, eventually};

const FLAG: Flag<bool> = Flag::new("delivered", false);
/// Nobody polls faster in a test than a service would in need.
const POLL: Duration = Duration::from_millis(500);

pub async fn a_running_sdk_sees_a_flip(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("sdk").await?;
    let key = org.server_key().await?;
    org.boolean_flag("delivered").await?;
    let path = org.path("environments/prod/flags/delivered/overrides/globex");
    org.api.put(&path, &json!({"variant": "off"})).await?.expect(201)?;
    // The key and the environment have to be published before anybody can connect with them.
    org.sees(&key, "delivered", "globex", &json!(false)).await?;
    let client = Client::connect(&org.connection(&key, "prod"))
        .start_within(org.patience())
        .poll_every(POLL)
        .await?;
    ensure!(client.status() == Status::Ready, "{:?}: {:?}", client.status(), client.trouble());
    let (acme, globex) = (client.tenant("acme")?, client.tenant("globex")?);
    for on in [true, false, true] {
        org.flip("delivered", on).await?;
        eventually(org.patience(), || async {
            let flags = acme.user("u-1").flags();
            ensure!(flags.get(&FLAG) == on, "{:?}", flags.details(&FLAG));
            Ok(Some(()))
        })
        .await?;
        let asking = globex.user("u-1");
        let flags = asking.flags();
        ensure!(!flags.get(&FLAG), "globex got acme's answer: {:?}", flags.details(&FLAG));
    }
    Ok(())
}

/// On the emulated cloud a real exchange by STS and a real bucket; in one process nothing is granted, and nothing is amiss.
pub async fn a_key_is_exchanged_for_leave_to_read(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("granted").await?;
    let key = org.server_key().await?;
    org.boolean_flag("delivered").await?;
    org.flip("delivered", true).await?;
    org.sees(&key, "delivered", "acme", &json!(true)).await?;
    let path = format!("/data/v1/{}/prod/grant", org.key);
    // Another worker of the function may not know the key yet.
    let granted = eventually(org.patience(), || async {
        let granted = stack.api(Some(&key)).post(&path, &serde_json::Value::Null).await?;
        ensure!(granted.status != 401, "{}", granted.body);
        Ok(Some(granted))
    })
    .await?;
    match stack.delivery {
        Delivery::Http => ensure!(granted.status == 204, "{} {}", granted.status, granted.body),
        Delivery::S3 { .. } => {
            ensure!(granted.status == 200, "{} {}", granted.status, granted.body);
            ensure!(granted.header("cache-control") == "no-store", "a grant may be kept");
            let token = granted.body["credentials"]["sessionToken"].as_str().unwrap_or_default();
            ensure!(!token.is_empty(), "credentials that are not temporary");
        }
    }
    let nobody = stack.api(None).post(&path, &serde_json::Value::Null).await?;
    ensure!(nobody.status == 401, "{} {}", nobody.status, nobody.body);
    let described = match stack.delivery {
        Delivery::Http => Client::connect(&format!("{}&grant=s3", org.connection(&key, "prod"))),
        // The emulator's gateway answers below a path, where connection strings have none: what was granted is used by hand.
        Delivery::S3 { .. } => {
            let Leave::Bucket { bucket, region, endpoint, credentials } =
                serde_json::from_value::<Grant>(granted.body)?.leave
            else {
                anyhow::bail!("credentials were asked for");
            };
            let endpoint = endpoint.context("an emulator without an address")?;
            let bucket = S3Origin::new(&endpoint, &bucket, &region, credentials)?;
            let (org, env) = (OrgKey::new(&org.key)?, EnvKey::new("prod")?);
            let scope = ScopeId { org, env, scope: Scope::Environment };
            let roots = stack.roots.iter().map(|root| root.parse()).collect::<Result<_, _>>()?;
            Client::over(Arc::new(bucket), scope, roots)
        }
    };
    let client = described.start_within(org.patience()).poll_every(POLL).await?;
    ensure!(client.status() == Status::Ready, "{:?}: {:?}", client.status(), client.trouble());
    let acme = client.tenant("acme")?;
    for on in [false, true] {
        org.flip("delivered", on).await?;
        eventually(org.patience(), || async {
            ensure!(acme.user("u-1").flags().get(&FLAG) == on, "{:?}", client.trouble());
            Ok(Some(()))
        })
        .await?;
    }
    Ok(())
}

pub async fn an_sdk_without_its_origin_serves_what_it_has(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("dark").await?;
    let key = org.server_key().await?;
    org.boolean_flag("delivered").await?;
    org.flip("delivered", true).await?;
    org.sees(&key, "delivered", "acme", &json!(true)).await?;
    let folder = tempdir()?;
    let connected = Client::connect(&org.connection(&key, "prod"))
        .cache_dir(&folder)
        .start_within(org.patience())
        .await?;
    ensure!(connected.status() == Status::Ready, "{:?}", connected.trouble());
    // The same connection, to a port where nobody listens.
    let nowhere = format!(
        "flagforge+http://{key}@127.0.0.1:1/{}/prod?roots={}",
        org.key,
        stack.roots.join(",")
    );
    // A client writes its cache behind its answers, so a new one is told of them a little later.
    let dark = eventually(org.patience(), || async {
        let dark = Client::connect(&nowhere).cache_dir(&folder);
        let dark = dark.start_within(Duration::from_millis(500)).await?;
        ensure!(
            dark.status() == Status::LastKnownGood,
            "{:?}: {:?}",
            dark.status(),
            dark.trouble()
        );
        Ok(Some(dark))
    })
    .await?;
    let acme = dark.tenant("acme")?;
    ensure!(acme.user("u-1").flags().get(&FLAG), "the last known good is lost");
    ensure!(dark.age().is_some_and(|age| age < Duration::from_secs(120)), "{:?}", dark.age());
    let empty = Client::connect(&nowhere).start_within(Duration::from_millis(300)).await?;
    ensure!(empty.status() == Status::Defaults, "{:?}", empty.status());
    let acme = empty.tenant("acme")?;
    let asking = acme.user("u-1");
    let flags = asking.flags();
    let details = flags.details(&FLAG);
    ensure!(!details.value && details.reason == Reason::Error, "{details:?}");
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// A folder of this test's own.
fn tempdir() -> anyhow::Result<std::path::PathBuf> {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
    let folder = std::env::temp_dir().join(format!("flagforge-journey-{nanos:x}"));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
