//! `serve --demo`: a small company to look at, made through the management API like any other.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use axum::http::Method;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::inside::{Inside, segment};

const DIRECTORY: &str = include_str!("../demo/directory.json");
const FLAGS: &str = include_str!("../demo/flags.json");
/// The file that says that the demo's data was made, so that what a visitor then deletes stays deleted.
const DONE: &str = "demo.done";

/// The tenants that the sample service speaks for.
pub(crate) const TENANTS: [&str; 3] = ["acme", "globex", "initech"];

#[derive(Debug, Deserialize)]
struct Directory {
    tenants: BTreeMap<String, Json>,
    groups: BTreeMap<String, Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    description: String,
    members: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Flag {
    key: String,
    definition: Json,
    states: BTreeMap<String, Json>,
    #[serde(default)]
    overrides: BTreeMap<String, BTreeMap<String, String>>,
}

/// Makes the demo's tenants, groups and flags in an organization that has its environments. Each step
/// creates what is not there, so that it can be repeated after a crash at any point.
pub(crate) async fn fill(folder: &Path, org: &str, api: &Inside) -> anyhow::Result<()> {
    let done = folder.join(DONE);
    if done.exists() {
        return Ok(());
    }
    let directory: Directory = serde_json::from_str(DIRECTORY).context("reading the demo")?;
    let flags: Vec<Flag> = serde_json::from_str(FLAGS).context("reading the demo")?;
    let base = format!("/v1/orgs/{org}");
    for (key, tenant) in &directory.tenants {
        api.create(&format!("{base}/tenants/{}", segment(key)), tenant).await?;
    }
    for (key, group) in &directory.groups {
        let group_path = format!("{base}/groups/{}", segment(key));
        api.create(&group_path, &json!({ "description": group.description })).await?;
        for member in &group.members {
            let path = format!("{group_path}/members/{}", segment(member));
            let answer = api.call(Method::PUT, &path, &[], None).await?;
            answer.expect_success(&path)?;
        }
    }
    for flag in &flags {
        add_flag(&base, api, flag).await?;
    }
    fs::write(&done, "Remove this file to have the demo's data made again.\n")
        .with_context(|| format!("writing {}", done.display()))
}

async fn add_flag(base: &str, api: &Inside, flag: &Flag) -> anyhow::Result<()> {
    let key = segment(&flag.key);
    api.create(&format!("{base}/flags/{key}"), &flag.definition).await?;
    for (env, state) in &flag.states {
        api.create(&format!("{base}/environments/{env}/flags/{key}"), state).await?;
    }
    for (env, overrides) in &flag.overrides {
        for (tenant, variant) in overrides {
            let tenant = segment(tenant);
            let path = format!("{base}/environments/{env}/flags/{key}/overrides/{tenant}");
            let body = json!({ "variant": variant });
            api.call(Method::PUT, &path, &[], Some(&body)).await?.expect_success(&path)?;
        }
    }
    Ok(())
}
