//! What comes from addresses that an organization names: people whom an issuer vouches for, tenants from a customer database.

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::elsewhere::Elsewhere;
use crate::{Stack, eventually};

pub async fn whom_an_issuer_vouches_for_is_let_in(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("staffed").await?;
    let issuer = Elsewhere::start().await?;
    let body = json!({"url": issuer.url, "audiences": ["flagforge"],
        "roles": [{"claim": "groups", "value": "devs", "role": "reader"}]});
    org.api.put(&org.path("issuers/company"), &body).await?.expect(201)?;
    let ann = issuer.token("ann", &["devs"])?;
    let as_ann = org.api.with_key(Some(&ann));
    as_ann.get(&org.path("tenants/acme")).await?.expect(200)?;
    let refused = as_ann.put(&org.path("tenants/acme"), &json!({"attributes": {}})).await?;
    ensure!(refused.status == 403, "a reader wrote: {}", refused.body);
    let bob = issuer.token("bob", &["sales"])?;
    let stranger = org.api.with_key(Some(&bob)).get(&org.path("tenants/acme")).await?;
    ensure!(!stranger.status.is_success(), "nobody said that bob may: {}", stranger.body);
    // The same words, signed by nobody.
    let (said, _) = ann.rsplit_once('.').context("no token")?;
    let (_, signature) = bob.rsplit_once('.').context("no token")?;
    let forged = org.api.with_key(Some(&format!("{said}.{signature}")));
    forged.get(&org.path("tenants/acme")).await?.expect(401)?;
    Ok(())
}

pub async fn tenants_come_from_a_customer_database(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("sourced").await?;
    let database = Elsewhere::start().await?;
    database.has_tenants(&["initech", "umbrella"]);
    // Nobody but this journey has it asked.
    let body =
        json!({"url": format!("{}/tenants", database.url), "bearer": "hush", "paused": true});
    org.api.put(&org.path("tenant-source"), &body).await?.expect(201)?;
    let run = org.path("tenant-source/run");
    let told = org.api.post(&run, &json!({})).await?.expect(200)?.body;
    ensure!(told["outcome"] == "applied" && told["created"] == 2, "{told}");
    org.api.get(&org.path("tenants/umbrella")).await?.expect(200)?;
    let again = org.api.post(&run, &json!({})).await?.expect(200)?.body;
    ensure!(again["created"] == 0 && again["changed"] == 0, "{again}");
    ensure!(database.bearers().iter().all(|bearer| bearer == "Bearer hush"));
    Ok(())
}

pub async fn a_customer_database_is_asked_when_it_is_due(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("clocked").await?;
    let database = Elsewhere::start().await?;
    database.has_tenants(&["initech"]);
    let body = json!({"url": format!("{}/tenants", database.url)});
    let place = org.path("tenant-source");
    org.api.put(&place, &body).await?.expect(201)?;
    // Clocks that look twice or once a minute, and a function that starts.
    let ran = eventually(5 * org.patience(), || async {
        let seen = org.api.get(&place).await?.expect(200)?.body;
        Ok(seen.get("lastRun").cloned())
    });
    let ran = ran.await?;
    ensure!(ran["outcome"] == "applied" && ran["created"] == 1, "{ran}");
    ensure!(ran["by"]["actor"] == "system", "{ran}");
    org.api.get(&org.path("tenants/initech")).await?.expect(200)?;
    Ok(())
}
