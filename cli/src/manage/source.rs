//! `flagforge source`: the customer database that tenants come from.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::Session;
use super::client::Body;
use super::fields::Fields;
use super::session::Absent;
use super::table::{Column, field, plain, with};

const COLUMNS: [Column; 8] = [
    field("url", "url"),
    field("format", "format"),
    field("every", "everySeconds"),
    field("missing", "missing"),
    field("bearer", "hasBearer"),
    field("paused", "paused"),
    with("last run", |source| plain(&source["lastRun"]["ended"])),
    with("it came to", |source| outcome(&source["lastRun"])),
];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
  flagforge source set --from https://crm.example.com/tenants --bearer-file crm.token --every 3600
  flagforge source run
docs/tenants.md says how a source answers. Tenants can be pushed, too: `flagforge import`.")]
pub(crate) enum SourceCommand {
    /// Show the source, and what its last run came to.
    Show,
    /// Set where tenants come from; what is not said stays.
    Set {
        /// The address: https.
        #[arg(long, value_name = "URL")]
        from: Option<String>,
        /// A file with what it is shown as a bearer token; `-` is the standard input.
        #[arg(long, value_name = "FILE")]
        bearer_file: Option<PathBuf>,
        /// How it answers: ndjson or pages.
        #[arg(long, value_name = "FORMAT")]
        format: Option<String>,
        /// Seconds between two runs.
        #[arg(long, value_name = "SECONDS")]
        every: Option<u32>,
        /// What becomes of tenants that are in it no more: report or remove.
        #[arg(long, value_name = "WHAT")]
        missing: Option<String>,
        /// Believe nothing when more of a hundred are missing than this.
        #[arg(long, value_name = "PERCENT")]
        max_missing: Option<u8>,
        /// Ask it no more for now.
        #[arg(long, conflicts_with = "resume")]
        pause: bool,
        /// Ask it again.
        #[arg(long)]
        resume: bool,
    },
    /// Ask it now.
    Run {
        /// Believe it also when much is missing.
        #[arg(long)]
        accept_shrinkage: bool,
    },
    /// Forget it. The tenants stay.
    Delete,
}

pub(crate) async fn run(command: &SourceCommand, s: &Session) -> anyhow::Result<()> {
    let at = s.org(&["tenant-source"])?;
    match command {
        SourceCommand::Show => s.get_and_show(&at, &COLUMNS).await,
        SourceCommand::Set {
            from,
            bearer_file,
            format,
            every,
            missing,
            max_missing,
            pause,
            resume,
        } => {
            let bearer = bearer_file.as_deref().map(super::bytes_in).transpose()?;
            let bearer = bearer.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
            let fields = Fields::default()
                .set_if("url", from.clone())
                .set_if("bearer", bearer)
                .set_if("format", format.clone())
                .set_if("everySeconds", *every)
                .set_if("missing", missing.clone())
                .set_if("maxMissingPercent", *max_missing)
                .set_if("paused", (*pause || *resume).then_some(*pause));
            s.show(&s.amend(&at, fields, Absent::Create).await?, &COLUMNS)
        }
        SourceCommand::Run { accept_shrinkage } => {
            let body = Body::Json(json!({"acceptShrinkage": accept_shrinkage}));
            let answer = s.post(&at.to(&["run"]), body).await?;
            s.tell(&answer, &outcome(&answer.json()?))
        }
        SourceCommand::Delete => s.delete(&at, "the source", "Nobody is asked any more").await,
    }
}

/// What a run came to, in a line.
fn outcome(run: &Json) -> String {
    if run.is_null() {
        return String::new();
    }
    let count = |name: &str| plain(&run[name]);
    let why = run["why"].as_str().map(|why| format!(" ({why})"));
    format!(
        "{}{}: {} tenants, {} created, {} changed, {} missing, {} removed, {} bad lines",
        count("outcome"),
        why.unwrap_or_default(),
        count("lines"),
        count("created"),
        count("changed"),
        count("missing"),
        count("removed"),
        count("bad")
    )
}
