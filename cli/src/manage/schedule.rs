//! `flagforge schedule`.

use anyhow::Context as _;
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value as Json, json};

use super::audit::actor;
use super::client::{Body, Version};
use super::table::{Column, field, plain, with};
use super::{Find, Session};

const COLUMNS: [Column; 6] = [
    field("ID", "id"),
    field("AT", "at"),
    field("FLAG", "flag"),
    with("CHANGE", |schedule| plain(&schedule["change"]["change"])),
    with("BY", |schedule| actor(&schedule["by"])),
    with("STATE", |schedule| plain(&schedule["state"])),
];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
What can be done then: enable, kill, patch, weights, setOverride, clearOverride.
  flagforge schedule make --at 2027-01-04T06:00:00Z --do '{\"enable\": {\"flag\": \"new-search\"}}' --env prod
  flagforge schedule make --canary --at 2027-01-04T07:00:00Z --do '{\"enable\": {\"flag\": \"new-search\"}}' --env prod
  flagforge schedule list --env prod
With --if-match it is for that version of the flag's state, and fails if the state has moved on.")]
pub(crate) enum ScheduleCommand {
    /// List the changes that wait, the next first.
    List {
        /// Those that were made, failed or cancelled instead.
        #[arg(long)]
        ended: bool,
        #[command(flatten)]
        find: Find,
    },
    /// Show one, and what became of it.
    Show {
        /// Which.
        id: String,
    },
    /// Let a change take effect at an instant.
    Make {
        /// When (RFC 3339).
        #[arg(long, value_name = "INSTANT")]
        at: String,
        /// What, as the API takes it.
        #[arg(long = "do", value_name = "JSON")]
        what: String,
        /// Let readers of the ring `canary` have it now; cancelling takes it back from them.
        #[arg(long)]
        canary: bool,
    },
    /// Cancel one that waits.
    Cancel {
        /// Which.
        id: String,
    },
}

pub(crate) async fn run(command: &ScheduleCommand, s: &Session) -> anyhow::Result<()> {
    let all = s.env(&["schedules"])?;
    match command {
        ScheduleCommand::List { ended, find } => {
            s.find(all.ask_if("ended", ended.then_some("true")), find, &COLUMNS).await
        }
        ScheduleCommand::Show { id } => s.get_and_show(&all.to(&[id]), &COLUMNS).await,
        ScheduleCommand::Make { at, what, canary } => {
            let what: Json = serde_json::from_str(what).context("--do is no JSON")?;
            let body = Body::Json(json!({"at": at, "canary": canary, "do": what}));
            let answer = s.change(Method::POST, &all, body, Version::Any).await?;
            let ahead = if *canary { "canaries have it; " } else { "" };
            s.tell(&answer, &format!("{ahead}it is made at {at}"))
        }
        ScheduleCommand::Cancel { id } => {
            s.confirm(&format!("Cancel {id}?"))?;
            let path = all.to(&[id]);
            let answer = s.change(Method::DELETE, &path, Body::None, Version::Any).await?;
            s.tell(&answer, &format!("{id} is cancelled"))
        }
    }
}
