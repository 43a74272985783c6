//! Forgetting a person, and still holding the log to its chain.

use anyhow::ensure;
use serde_json::{Value as Json, json};

use crate::{Org, Stack};

/// All that the organization's log and keys say.
async fn said(org: &Org) -> anyhow::Result<String> {
    let mut said = String::new();
    for path in ["log?limit=500", "audit?limit=500", "audit/export", "keys"] {
        said.push_str(&org.api.get(&org.path(path)).await?.expect(200)?.body.to_string());
    }
    let entries = org.api.get(&org.path("log?limit=500")).await?.body["items"].clone();
    for number in 1..=entries.as_array().map_or(0, Vec::len) {
        let entry = org.api.get(&org.path(&format!("audit/{number}"))).await?.expect(200)?;
        said.push_str(&entry.body.to_string());
    }
    Ok(said)
}

async fn chain(org: &Org) -> anyhow::Result<Json> {
    let chain = org.api.get(&org.path("audit/chain")).await?.expect(200)?.body;
    ensure!(chain["intact"] == true && chain["complete"] == true, "{chain}");
    Ok(chain)
}

pub async fn a_person_is_forgotten_and_the_chain_holds(stack: &Stack) -> anyhow::Result<()> {
    let org = stack.found("forgetful").await?;
    let named = |name: &str| json!({"kind": "mgmt", "role": "maintainer", "name": name});
    let (key, id) = org.issue(&named("Ann Onymous")).await?;
    let (_, other) = org.issue(&named("Bob Ontheroll")).await?;
    let ann = stack.api(Some(&key));
    ann.put(&org.path("tenants/hers"), &json!({})).await?.expect(201)?;
    org.api.post(&org.path(&format!("keys/{id}/rotate")), &json!({})).await?.expect(200)?;
    let before = said(&org).await?;
    ensure!(before.contains("Ann Onymous") && before.contains("Bob Ontheroll"), "{before}");
    ensure!(!before.contains("seal:"), "a seal is shown: {before}");
    let noted = chain(&org).await?;

    let erase = org.path("erasures");
    ann.post(&erase, &json!({"actor": id})).await?.expect(403)?;
    org.api.post(&erase, &json!({"actor": "nobody.ofthatname"})).await?.expect(404)?;
    org.api.post(&erase, &json!({"actor": id})).await?.expect(204)?;
    let after = said(&org).await?;
    ensure!(!after.contains("Ann Onymous"), "she is still named: {after}");
    ensure!(after.contains("Bob Ontheroll") && after.contains("\"erased\""), "{after}");
    ensure!(!after.contains("seal:"), "a seal is shown: {after}");
    // What she did is still hers, by an id that says nothing.
    let hers = org.api.get(&org.path(&format!("audit?actor={id}"))).await?.expect(200)?.body;
    ensure!(hers["items"][0]["change"] == "put-tenant", "{hers}");
    let upto = org.path(&format!("audit/chain?from={}", noted["until"]));
    chain(&org).await?;
    ensure!(org.api.get(&upto).await?.expect(200)?.body["intact"] == true, "it was rewritten");

    // A key that is gone is forgotten too.
    org.api.delete(&org.path(&format!("keys/{other}"))).await?.expect(204)?;
    ensure!(said(&org).await?.contains("Bob Ontheroll"), "the log forgot by itself");
    org.api.post(&erase, &json!({"actor": other})).await?.expect(204)?;
    ensure!(!said(&org).await?.contains("Bob Ontheroll"), "he is still named");
    chain(&org).await?;
    Ok(())
}
