//! `flagforge kill`.

use clap::Subcommand;
use reqwest::Method;
use serde_json::json;

use super::audit::actor;
use super::client::{Body, Version};
use super::table::{Column, field, with};
use super::{Find, Session};

const COLUMNS: [Column; 5] = [
    field("SCOPE", "scope"),
    field("GROUP", "group"),
    field("SINCE", "since"),
    with("BY", |kill| actor(&kill["by"])),
    field("REASON", "reason"),
];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
A scope is `environment`, a domain (domain:checkout) or a tag (tag:q4):
  flagforge kill pull domain:checkout --env prod --reason 'payments fail' --link incident=https://…
  flagforge kill pull environment --group beta-customers --env prod --reason 'beta breaks'
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
        /// Only for the tenants of this group.
        #[arg(long, value_name = "GROUP")]
        group: Option<String>,
    },
    /// Take a kill switch back: every flag does again what its own state says.
    End {
        /// environment, domain:<name> or tag:<name>
        scope: String,
        /// The group that it was pulled for.
        #[arg(long, value_name = "GROUP")]
        group: Option<String>,
    },
}

pub(crate) async fn run(command: &KillCommand, s: &Session) -> anyhow::Result<()> {
    match command {
        KillCommand::List(find) => s.find(s.env(&["kills"])?, find, &COLUMNS).await,
        KillCommand::Pull { scope, group } => pull(s, s.env_name()?, scope, group.as_deref()).await,
        KillCommand::End { scope, group } => end(s, s.env_name()?, scope, group.as_deref()).await,
    }
}

pub(super) async fn pull(
    s: &Session,
    env: &str,
    scope: &str,
    group: Option<&str>,
) -> anyhow::Result<()> {
    let whose = whose(group);
    s.confirm(&format!("Turn off every flag of {scope} in {env}{whose}?"))?;
    let path = s.org(&["environments", env, "kills", scope])?.ask_if("group", group);
    let answer = s.change(Method::PUT, &path, Body::Json(json!({})), Version::Any).await?;
    s.tell(&answer, &format!("every flag of {scope} is off in {env}{whose}"))
}

pub(super) async fn end(
    s: &Session,
    env: &str,
    scope: &str,
    group: Option<&str>,
) -> anyhow::Result<()> {
    let path = s.org(&["environments", env, "kills", scope])?.ask_if("group", group);
    let answer = s.change(Method::DELETE, &path, Body::None, Version::Any).await?;
    let whose = whose(group);
    s.tell(&answer, &format!("the flags of {scope} in {env} do again what their states say{whose}"))
}

fn whose(group: Option<&str>) -> String {
    group.map(|group| format!(" for the tenants of {group}")).unwrap_or_default()
}
