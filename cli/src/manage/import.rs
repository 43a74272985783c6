//! `flagforge import`: many tenants from a file.

use std::path::{Path as FilePath, PathBuf};

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value as Json, json};

use super::audit::actor;
use super::client::{Body, Version};
use super::fields::bytes_in;
use super::refusal::{Exit, Failure};
use super::session::{print_json, print_table};
use super::table::{Column, field, plain, with};
use super::{Find, Session};
use crate::args::{note, say};

/// Bytes of a part, as the API takes them.
const PART_BYTES: usize = 4 * 1024 * 1024;

const COLUMNS: [Column; 8] = [
    field("ID", "id"),
    field("STATE", "state"),
    field("LINES", "lines"),
    field("BAD", "bad"),
    field("APPLIED", "applied"),
    field("NEW", "tenantsCreated"),
    field("CREATED", "created"),
    with("BY", |import| actor(&import["createdBy"])),
];
const BAD_LINES: [Column; 4] = [
    field("LINE", "line"),
    field("FIELD", "field"),
    field("LIMIT", "limit"),
    field("WHY", "message"),
];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
  flagforge import run customers.csv --dry-run
  flagforge import run customers.csv --apply-good
A line of NDJSON:  {\"key\": \"acme\", \"name\": \"Acme\", \"attributes\": {\"plan\": \"gold\"}}
A CSV begins with: key,name,plan,seats
The same file again changes nothing, and an import that broke off goes on with `continue`.")]
pub(crate) enum ImportCommand {
    /// Upload a file, check it whole, and apply it.
    Run(Run),
    /// List imports.
    List(Find),
    /// Show how far an import is.
    Show {
        /// Its id.
        id: String,
    },
    /// Go on with an import that broke off.
    Continue {
        /// Its id.
        id: String,
    },
    /// List the lines that were refused.
    Report {
        /// Its id.
        id: String,
    },
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Ends with 7 when lines were refused.")]
pub(crate) struct Run {
    /// NDJSON, or CSV when it ends in .csv; `-` is the standard input.
    file: PathBuf,
    /// How it is written: ndjson or csv.
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Only check it, and apply nothing.
    #[arg(long, conflicts_with = "apply_good")]
    dry_run: bool,
    /// Apply the good lines though some are bad. Without, nothing is applied then.
    #[arg(long)]
    apply_good: bool,
}

pub(crate) async fn run(command: &ImportCommand, s: &Session) -> anyhow::Result<()> {
    match command {
        ImportCommand::Run(run) => import(s, run).await,
        ImportCommand::List(find) => s.find(s.org(&["imports"])?, find, &COLUMNS).await,
        ImportCommand::Show { id } => s.get_and_show(&s.org(&["imports", id])?, &COLUMNS).await,
        ImportCommand::Continue { id } => {
            let import = s.post(&s.org(&["imports", id, "continue"])?, Body::None).await?;
            apply(s, id, import.json()?).await
        }
        ImportCommand::Report { id } => print_report(s, id).await.map(drop),
    }
}

/// Uploads, starts, and goes on until all is applied.
pub(super) async fn import(s: &Session, run: &Run) -> anyhow::Result<()> {
    let bytes = bytes_in(&run.file)?;
    if bytes.is_empty() {
        return Err(Failure::usage(format!("{} is empty", run.file.display())));
    }
    let format = run.format.as_deref().unwrap_or(format_of(&run.file));
    let on_error = if run.apply_good { "apply-good" } else { "nothing" };
    let body = json!({"format": format, "onError": on_error, "dryRun": run.dry_run});
    let begun = s.post(&s.org(&["imports"])?, Body::Json(body)).await?.json()?;
    let id = plain(&begun["id"]);
    let parts = bytes.chunks(PART_BYTES);
    let count = parts.len();
    for (number, part) in parts.enumerate() {
        note(&format!("import {id}: part {} of {count}", number + 1));
        let path = s.org(&["imports", &id, "parts", &number.to_string()])?;
        let body = Body::Raw("application/octet-stream", part.to_vec());
        s.change(Method::PUT, &path, body, Version::Any).await?;
    }
    note(&format!("import {id}: checking"));
    let start = Body::Json(json!({"parts": count}));
    let started = s.post(&s.org(&["imports", &id, "start"])?, start).await?.json()?;
    apply(s, &id, started).await
}

async fn apply(s: &Session, id: &str, mut import: Json) -> anyhow::Result<()> {
    let path = s.org(&["imports", id, "continue"])?;
    while import["state"] == "applying" {
        note(&format!("import {id}: {} of {} lines", import["applied"], import["lines"]));
        import = s.post(&path, Body::None).await?.json()?;
    }
    let bad = import["bad"].as_u64().unwrap_or_default();
    if s.json() {
        print_json(&import)?;
    } else {
        if bad > 0 {
            print_report(s, id).await?;
        }
        say(&summary(&import));
    }
    if bad > 0 {
        let next = format!("`flagforge import report {id}` lists them again");
        return Err(Failure::new(
            Exit::Found,
            format!("{bad} lines were refused\n  next:  {next}"),
        )
        .into());
    }
    Ok(())
}

fn summary(import: &Json) -> String {
    let [lines, applied, new, changed] = ["lines", "applied", "tenantsCreated", "tenantsChanged"]
        .map(|name| import[name].as_u64().unwrap_or_default());
    match import["state"].as_str() {
        _ if import["dryRun"] == true => {
            format!("{lines} lines checked, and none applied: it was a dry run")
        }
        Some("refused") => {
            format!("{lines} lines, and none applied: --apply-good applies the good ones")
        }
        Some("done") => format!(
            "{applied} of {lines} lines applied: {new} new, {changed} changed, the others as they were"
        ),
        state => format!("it is {}: nothing to go on with", state.unwrap_or("gone")),
    }
}

async fn print_report(s: &Session, id: &str) -> anyhow::Result<()> {
    let path = s.org(&["imports", id, "report"])?;
    let (mut items, mut cursor) = (Vec::new(), None);
    loop {
        let mut page = s.get(&path.clone().ask_if("cursor", cursor)).await?.json()?;
        if let Json::Array(more) = page["items"].take() {
            items.extend(more);
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    if s.json() {
        return print_json(&json!({"items": items}));
    }
    if items.is_empty() {
        note("no line was refused");
    } else {
        print_table(&BAD_LINES, &items);
    }
    Ok(())
}

fn format_of(file: &FilePath) -> &'static str {
    if file.extension().is_some_and(|extension| extension == "csv") { "csv" } else { "ndjson" }
}
