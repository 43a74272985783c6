//! A tenant that runs a service of its own, with a key of its own: its manifest, and nothing of anybody else's.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use flagforge::{Client, Flag, Status};
use serde_json::{Value, json};

use crate::{Org, Stack, eventually};

const PLAIN: Flag<bool> = Flag::new("plain", false);
const RULED: Flag<bool> = Flag::new("ruled", false);
const POLL: Duration = Duration::from_millis(500);
/// In every rule, list, attribute and override of the other tenant.
const CANARY: &str = "globex";

/// Flags that say something of both tenants, and overrides of both.
async fn furnish(org: &Org) -> anyhow::Result<()> {
    for (tenant, plan) in [("ours", "gold"), ("globex-two", "plan-of-globex")] {
        let body = json!({"name": tenant, "attributes": {"plan": plan}});
        org.api.put(&org.path(&format!("tenants/{tenant}")), &body).await?.expect(201)?;
    }
    for flag in ["plain", "ruled"] {
        org.boolean_flag(flag).await?;
        org.flip(flag, true).await?;
    }
    let group = json!({"description": "Friends of globex"});
    org.api.put(&org.path("groups/globex-friends"), &group).await?.expect(201)?;
    let list = json!({"entity": "user"});
    let segment = org.path("environments/prod/segments/testers");
    org.api.put(&segment, &list).await?.expect(201)?;
    // A line, an id.
    let ids = Some("\"u-1\"\n\"u-of-globex\"\n".to_owned());
    let path = format!("{segment}/lists/included/add");
    org.api.call(reqwest::Method::POST, &path, &[], ids).await?.expect(200)?;
    let test = |attribute: &str, value: &str| json!({"test": {"attribute": attribute, "operator": "one-of", "values": [value]}});
    let on = json!({"variant": "on"});
    let rules = json!([
        {"id": "theirs", "description": "what globex bought", "when": {"any": [test("tenant.key", "globex-two"), {"inGroup": "globex-friends"}]}, "serve": on},
        {"id": "one", "when": test("user.key", "u-of-globex"), "serve": on},
        {"id": "ours", "when": {"all": [test("tenant.plan", "gold"), {"inSegment": "testers"}]}, "serve": on},
    ]);
    let state = json!({"enabled": true, "rules": rules, "fallthrough": {"variant": "off"}});
    let path = org.path("environments/prod/flags/ruled");
    org.api.patch(&path, &state).await?.expect(200)?;
    let over = org.path("environments/prod/flags/plain/overrides/globex-two");
    org.api.put(&over, &json!({"variant": "off"})).await?.expect(201)?;
    Ok(())
}

/// Everything that a tenant's manifest has, as text.
async fn manifest_of(stack: &Stack, org: &Org, key: &str) -> anyhow::Result<String> {
    let api = stack.api(Some(key));
    let data = |rest: &str| format!("/data/v1/{}/prod/{rest}", org.key);
    let root = eventually(org.patience(), || async {
        let root = api.get(&data("tenant")).await?;
        ensure!(root.status == 200, "{} {}", root.status, root.body);
        Ok(Some(root.body))
    })
    .await?;
    let payload = root.as_str().and_then(|jws| jws.split('.').nth(1)).context("no root")?;
    let claims: Value = serde_json::from_slice(&Base64UrlUnpadded::decode_vec(payload)?)?;
    let mut all = claims.to_string();
    for chunk in claims["chunks"].as_array().into_iter().flatten() {
        let digest = chunk["sha256"].as_str().context("a chunk without a digest")?;
        let chunk = api.get(&data(&format!("chunks/{digest}"))).await?.expect(200)?;
        all.push_str(&chunk.body.to_string());
    }
    Ok(all)
}

pub async fn a_tenants_own_manifest_has_nothing_of_others(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("alone").await?;
    furnish(&org).await?;
    let bound = |tenant: &str| json!({"kind": "server", "tenant": tenant, "envs": ["prod"]});
    let (acme_key, _) = org.issue(&bound("ours")).await?;
    let (globex_key, _) = org.issue(&bound("globex-two")).await?;
    org.sees(&acme_key, "plain", "ours", &json!(true)).await?;

    let all = manifest_of(stack, &org, &acme_key).await?;
    ensure!(!all.contains(CANARY), "the other tenant is in {all}");
    ensure!(all.contains("plain") && all.contains("gold"), "nothing is in {all}");
    // Nothing else is for this key: not the environment, not the other tenant.
    let acme = stack.api(Some(&acme_key));
    for rest in ["environment", "relay", "stream"] {
        let answer = acme.get(&format!("/data/v1/{}/prod/{rest}", org.key)).await?;
        // A function has no streams.
        let refused = answer.status == 403 || (rest == "stream" && answer.status == 404);
        ensure!(refused, "{rest}: {} {}", answer.status, answer.body);
    }
    let says = json!({"reports": []});
    let reports = [
        format!("/data/v1/{}/prod/propagation", org.key),
        org.path("environments/prod/propagation"),
    ];
    for path in reports {
        let answer = acme.post(&path, &says).await?;
        // A function takes no reports.
        let refused = answer.status == 403 || answer.status == 404;
        ensure!(refused, "{path}: {} {}", answer.status, answer.body);
    }
    let lies = [("flagforge-tenant", "globex-two")];
    let path = format!("/data/v1/{}/prod/tenant", org.key);
    let lied = acme.call(reqwest::Method::GET, &path, &lies, None).await?;
    ensure!(lied.status == 400, "{} {}", lied.status, lied.body);

    let follow = async |key: &str, tenant: &str| {
        let connection = format!("{}&tenant={tenant}", org.connection(key, "prod"));
        eventually(org.patience(), || async {
            let client = Client::connect(&connection).poll_every(POLL).await?;
            ensure!(client.status() == Status::Ready, "{tenant}: {:?}", client.trouble());
            Ok(Some(client))
        })
        .await
    };
    let acme = follow(&acme_key, "ours").await?;
    let globex = follow(&globex_key, "globex-two").await?;
    let asks =
        |client: &Client, tenant: &str, flag: &Flag<bool>, user: &str| -> anyhow::Result<bool> {
            Ok(client.tenant(tenant)?.user(user).flags().get(flag))
        };
    ensure!(asks(&acme, "ours", &PLAIN, "u-9")? && !asks(&globex, "globex-two", &PLAIN, "u-9")?);
    ensure!(asks(&acme, "ours", &RULED, "u-1")? && !asks(&acme, "ours", &RULED, "u-9")?);
    ensure!(
        asks(&globex, "globex-two", &RULED, "u-9")? && asks(&acme, "ours", &RULED, "u-of-globex")?
    );
    // Whoever else is asked for in this service gets the caller's default, and is told why.
    let stranger = acme.tenant("globex-two")?;
    let asking = stranger.user("u-1");
    let flags = asking.flags();
    let details = flags.details(&PLAIN);
    ensure!(!details.value && format!("{details:?}").contains("OtherTenant"), "{details:?}");

    // What concerns only the other leaves no trace here, not even in a number.
    let before = acme.revision().context("no revision")?;
    let over = org.path("environments/prod/flags/plain/overrides/globex-two");
    org.api.delete(&over).await?;
    eventually(org.patience(), || async {
        ensure!(asks(&globex, "globex-two", &PLAIN, "u-9")?, "globex still has its override");
        Ok(Some(()))
    })
    .await?;
    let again = manifest_of(stack, &org, &acme_key).await?;
    ensure!(again == all, "a change to another tenant shows: {again}");
    ensure!(acme.revision() == Some(before), "{:?} after {before}", acme.revision());
    // A kill comes to both.
    org.flip("plain", false).await?;
    eventually(org.patience(), || async {
        ensure!(
            !asks(&acme, "ours", &PLAIN, "u-9")? && !asks(&globex, "globex-two", &PLAIN, "u-9")?
        );
        Ok(Some(()))
    })
    .await?;
    let after = acme.revision().context("no revision")?;
    ensure!(after.includes(before) && after != before, "{after} after {before}");
    Ok(())
}
