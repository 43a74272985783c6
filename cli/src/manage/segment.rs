//! `flagforge segment`.

use std::path::{Path as FilePath, PathBuf};

use clap::{Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::json;

use super::client::{Body, Version};
use super::deleted::{self, DeletedCommand};
use super::fields::{Fields, bytes_in};
use super::flag::condition;
use super::session::{Absent, print_json};
use super::table::{Column, field, plain, with};
use super::{Find, Pages, Session};
use crate::args::{note, say};

const COLUMNS: [Column; 6] = [
    field("KEY", "key"),
    field("ENTITY", "entity"),
    field("INCLUDED", "includedIds"),
    field("EXCLUDED", "excludedIds"),
    with("WHEN", |segment| condition(&segment["when"])),
    field("DESCRIPTION", "description"),
];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
  flagforge segment set beta-users --when 'user.country in [\"DE\", \"AT\"]' --env prod
  flagforge segment add beta-users included u-7 u-8 --env prod
  flagforge segment replace beta-users included --file ids.txt --env prod
Excluded wins over included, and included over the condition.")]
pub(crate) enum SegmentCommand {
    /// List the environment's segments.
    List(Find),
    /// Show a segment; how long its lists are, and not who is in them.
    Show {
        /// The segment.
        key: String,
    },
    /// Make a segment, or change one; what is not said stays.
    Set {
        /// The segment.
        key: String,
        /// What it is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// What its members are. Default: user.
        #[arg(long, value_name = "KIND")]
        entity: Option<String>,
        /// Who is in besides those listed, as a condition.
        #[arg(long, value_name = "CONDITION")]
        when: Option<String>,
        /// Fields as JSON, as the API has them; options count before it. `-` is the standard input.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Delete a segment that nothing asks for. It can be restored for a while.
    Delete {
        /// The segment.
        key: String,
    },
    /// Segments that were deleted and can come back.
    #[command(subcommand)]
    Deleted(DeletedCommand),
    /// List the ids of a list, in order.
    Ids {
        /// The segment.
        key: String,
        /// Which list.
        list: ListName,
        #[command(flatten)]
        pages: Pages,
    },
    /// Add ids to a list, up to 100,000 at once.
    Add(Edit),
    /// Remove ids from a list, up to 100,000 at once.
    Remove(Edit),
    /// Replace a whole list, with up to 1,000,000 ids.
    Replace(Edit),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ListName {
    Included,
    Excluded,
}

impl ListName {
    fn word(self) -> &'static str {
        match self {
            Self::Included => "included",
            Self::Excluded => "excluded",
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Edit {
    /// The segment.
    key: String,
    /// Which list.
    list: ListName,
    /// The ids.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    ids: Vec<String>,
    /// A file of them: a line each, a JSON array (.json), or a JSON string a line (.ndjson). `-` is the standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(crate) async fn run(command: &SegmentCommand, s: &Session) -> anyhow::Result<()> {
    match command {
        SegmentCommand::List(find) => s.find(s.env(&["segments"])?, find, &COLUMNS).await,
        SegmentCommand::Show { key } => s.get_and_show(&s.env(&["segments", key])?, &COLUMNS).await,
        SegmentCommand::Set { key, description, entity, when, file } => {
            let fields = Fields::of(file.as_ref())?
                .set_if("description", description.clone())
                .set_if("entity", entity.clone())
                .set_if("when", when.clone());
            let answer = s.amend(&s.env(&["segments", key])?, fields, Absent::Create).await?;
            s.show(&answer, &COLUMNS)
        }
        SegmentCommand::Delete { key } => {
            let what = format!("the segment {key} of {}", s.env_name()?);
            s.delete(&s.env(&["segments", key])?, &what, &format!("{key} is deleted")).await
        }
        SegmentCommand::Deleted(command) => {
            deleted::run(s, command, s.env(&["deleted-segments"])?).await
        }
        SegmentCommand::Ids { key, list, pages } => ids(s, key, *list, pages).await,
        SegmentCommand::Add(edit) => change(s, edit, Method::POST, &["add"]).await,
        SegmentCommand::Remove(edit) => change(s, edit, Method::POST, &["remove"]).await,
        SegmentCommand::Replace(edit) => {
            s.confirm(&format!("Replace everyone in {} of {}?", edit.list.word(), edit.key))?;
            change(s, edit, Method::PUT, &[]).await
        }
    }
}

async fn ids(s: &Session, key: &str, list: ListName, pages: &Pages) -> anyhow::Result<()> {
    let path = s.env(&["segments", key, "lists", list.word()])?;
    let (mut left, mut cursor) =
        (if pages.all { usize::MAX } else { pages.limit.unwrap_or(100) }, pages.cursor.clone());
    let mut all = Vec::new();
    loop {
        let page = path.clone().ask("limit", &left.min(10_000)).ask_if("cursor", cursor.as_deref());
        let page = s.get(&page).await?.json()?;
        let ids = page["ids"].as_array().cloned().unwrap_or_default();
        left = left.saturating_sub(ids.len());
        match s.json() {
            true => all.extend(ids),
            false => ids.iter().for_each(|id| say(&plain(id))),
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() || left == 0 {
            break;
        }
    }
    match cursor {
        Some(next) if s.json() => print_json(&json!({"ids": all, "next": next})),
        None if s.json() => print_json(&json!({"ids": all})),
        next => {
            next.iter().for_each(|next| note(&format!("there is more: --all, or --cursor {next}")));
            Ok(())
        }
    }
}

async fn change(s: &Session, edit: &Edit, method: Method, below: &[&str]) -> anyhow::Result<()> {
    let body = match &edit.file {
        Some(file) => Body::Raw(media_type(file), bytes_in(file)?),
        None => Body::Json(json!(edit.ids)),
    };
    let path = s.env(&["segments", &edit.key, "lists", edit.list.word()])?.to(below);
    let answer = s.change(method, &path, body, Version::Any).await?;
    s.show(&answer, &COLUMNS)
}

fn media_type(file: &FilePath) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => "application/json",
        Some("ndjson" | "jsonl") => "application/x-ndjson",
        _ => "text/plain",
    }
}
