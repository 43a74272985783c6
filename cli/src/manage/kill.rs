//! `flagforge kill`.

use clap::Subcommand;
use reqwest::Method;
use serde_json::json;

use super::audit::actor;
use super::client::{Body, Version};
use super::table::{Column, field, with};
use super::{Find, Session};

const COLUMNS: [Column; 4] = [
    field("SCOPE", "scope"),
    field("SINCE", "since"),
    with("BY", |kill| actor(&kill["by"])),
    field("REASON", "reason"),
];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
A scope is `environment`, a domain (domain:checkout) or a tag (tag:q4):
  flagforge kill pull domain:checkout --env prod --reason 'payments fail' --link incident=https://…
  flagforge kill list --env prod
  flagforge kill end domain:checkout --env prod
One flag alone: flagforge flag off <flag>")]
pub(crate) enum KillCommand {
    /// List the kill switches that are pulled.
    List(Find),
    /// Turn off all flags of a scope, also those that come to it later. Migration flags stay.
    Pull {
        /// environment, domain:<name> or tag:<name>
        scope: String,
    },
    /// Take a kill switch back: every flag does again what its own state says.
    End {
        /// environment, domain:<name> or tag:<name>
        scope: String,
    },
}

pub(crate) async fn run(command: &KillCommand, s: &Session) -> anyhow::Result<()> {
    match command {
        KillCommand::List(find) => s.find(s.env(&["kills"])?, find, &COLUMNS).await,
        KillCommand::Pull { scope } => pull(s, s.env_name()?, scope).await,
        KillCommand::End { scope } => end(s, s.env_name()?, scope).await,
    }
}

pub(super) async fn pull(s: &Session, env: &str, scope: &str) -> anyhow::Result<()> {
    s.confirm(&format!("Turn off every flag of {scope} in {env}?"))?;
    let path = s.org(&["environments", env, "kills", scope])?;
    let answer = s.change(Method::PUT, &path, Body::Json(json!({})), Version::Any).await?;
    s.tell(&answer, &format!("every flag of {scope} is off in {env}"))
}

pub(super) async fn end(s: &Session, env: &str, scope: &str) -> anyhow::Result<()> {
    let path = s.org(&["environments", env, "kills", scope])?;
    let answer = s.change(Method::DELETE, &path, Body::None, Version::Any).await?;
    s.tell(&answer, &format!("the flags of {scope} in {env} do again what their states say"))
}
