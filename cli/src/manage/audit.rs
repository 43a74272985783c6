//! `flagforge audit`.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::client::Body;
use super::refusal::{Exit, Failure};
use super::session::print_json;
use super::table::{Column, field, plain, record, with};
use super::{Pages, Path, Session};
use crate::args::{note, say};

pub(super) const COLUMNS: [Column; 7] = [
    field("NUMBER", "number"),
    field("AT", "at"),
    with("BY", |entry| actor(&entry["by"])),
    field("CHANGE", "change"),
    field("WHAT", "items"),
    field("REASON", "reason"),
    with("LINKS", links),
];
const FACTS: [Column; 8] = [
    field("number", "number"),
    field("at", "at"),
    with("by", |entry| actor(&entry["by"])),
    field("change", "change"),
    field("reason", "reason"),
    with("links", links),
    field("tenants", "tenants"),
    field("request", "requestId"),
];
const ENTRIES: [Column; 5] = [
    field("NUMBER", "number"),
    field("AT", "at"),
    with("BY", |entry| actor(&entry["by"])),
    with("CHANGE", |entry| plain(&entry["change"]["change"])),
    field("REASON", "reason"),
];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
An organization has a log of definitions, tenants, groups and keys, and each environment has one of what flags do there.
  flagforge audit list --env prod --flag new-search
  flagforge audit list --of-org --tenant acme --since 2026-11-01T00:00:00Z
  flagforge audit show 41 --env prod
  flagforge audit export --of-org --out changes.ndjson
  flagforge audit verify --env prod")]
pub(crate) enum AuditCommand {
    /// List changes, newest first, in short.
    List {
        #[command(flatten)]
        log: WhichLog,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        pages: Pages,
    },
    /// Show one change, with what was before and after.
    Show {
        /// Its number.
        number: u64,
        #[command(flatten)]
        log: WhichLog,
    },
    /// Write changes whole, newest first, a JSON object a line.
    Export {
        #[command(flatten)]
        log: WhichLog,
        #[command(flatten)]
        filter: Filter,
        /// Where to. Default: the standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Verify that each entry has the digest of the one before, from the first to the newest.
    #[command(after_help = "\
Note the digest that it says: nothing before it can be changed unseen. Ends with 7 when the chain is broken.")]
    Verify {
        #[command(flatten)]
        log: WhichLog,
        /// The entry to begin with.
        #[arg(long, value_name = "NUMBER", default_value_t = 1)]
        from: u64,
    },
    /// Erase what names an actor in the log, and in its key. The log says `erased` from then on, and still verifies. A
    /// person who was taken in is let go with it.
    Erase {
        /// The id of a key, gone or not, or of a person.
        actor: String,
    },
    /// Erase the reasons of an entry, also in what still stands as that entry wrote it.
    EraseReason {
        /// The entry's number.
        number: u64,
        #[command(flatten)]
        log: WhichLog,
    },
    /// List the log itself, oldest first, with the images that readers apply.
    Log {
        #[command(flatten)]
        log: WhichLog,
        #[command(flatten)]
        pages: Pages,
    },
}

/// Whose log.
#[derive(Debug, clap::Args)]
pub(crate) struct WhichLog {
    /// The organization's log, though an environment is named. Without one, it is asked anyway.
    #[arg(long)]
    of_org: bool,
}

impl WhichLog {
    /// The environment whose log is asked; none is the organization's. Says which.
    fn env<'s>(&self, s: &'s Session) -> Option<&'s str> {
        let env = s.env_if_named().filter(|_| !self.of_org);
        match env {
            Some(env) => {
                note(&format!("the log of the environment {env}; --of-org asks the organization's"))
            }
            None => note("the log of the organization; --env asks an environment's"),
        }
        env
    }

    pub(super) fn asked(&self, s: &Session, path: Path) -> Path {
        path.ask_if("env", self.env(s))
    }
}

/// Which entries: all of what is said.
#[derive(Debug, clap::Args)]
pub(crate) struct Filter {
    /// Of this flag.
    #[arg(long, value_name = "KEY")]
    flag: Option<String>,
    /// Of this tenant.
    #[arg(long, value_name = "KEY")]
    tenant: Option<String>,
    /// By this key's id, or this part of the platform.
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
    /// Of this kind, say set-enabled.
    #[arg(long, value_name = "KIND")]
    change: Option<String>,
    /// By this request.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// At this instant or later (RFC 3339).
    #[arg(long, value_name = "INSTANT")]
    since: Option<String>,
    /// Before this instant.
    #[arg(long, value_name = "INSTANT")]
    until: Option<String>,
}

impl Filter {
    fn asked(&self, path: Path) -> Path {
        path.ask_if("flag", self.flag.as_deref())
            .ask_if("tenant", self.tenant.as_deref())
            .ask_if("actor", self.actor.as_deref())
            .ask_if("change", self.change.as_deref())
            .ask_if("requestId", self.request_id.as_deref())
            .ask_if("since", self.since.as_deref())
            .ask_if("until", self.until.as_deref())
    }
}

pub(crate) async fn run(command: &AuditCommand, s: &Session) -> anyhow::Result<()> {
    match command {
        AuditCommand::List { log, filter, pages } => {
            let path = filter.asked(log.asked(s, s.org(&["audit"])?));
            s.list(&path, pages, &COLUMNS).await
        }
        AuditCommand::Show { number, log } => {
            let path = log.asked(s, s.org(&["audit", &number.to_string()])?);
            let answer = s.get(&path).await?;
            if s.json() {
                return s.print(&answer);
            }
            let entry = answer.json()?;
            record(&FACTS, &entry).iter().for_each(|line| say(line));
            say("");
            entry["text"]
                .as_str()
                .unwrap_or_default()
                .lines()
                .for_each(|line| say(&plain(&json!(line))));
            Ok(())
        }
        AuditCommand::Export { log, filter, out } => {
            let path = filter.asked(log.asked(s, s.org(&["audit", "export"])?));
            export(s, &path, out.as_ref()).await
        }
        AuditCommand::Verify { log, from } => {
            let path = log.asked(s, s.org(&["audit", "chain"])?);
            verify(s, &path, *from).await
        }
        AuditCommand::Erase { actor } => {
            s.confirm(&format!("Erase what names {actor}, for good?"))?;
            let body = Body::Json(json!({"actor": actor}));
            let answer = s.post(&s.org(&["erasures"])?, body).await?;
            s.tell(&answer, &format!("nothing names {actor} any more"))
        }
        AuditCommand::EraseReason { number, log } => {
            s.confirm(&format!("Erase the reasons of entry {number}, for good?"))?;
            let body = Body::Json(json!({"reason": {"env": log.env(s), "number": number}}));
            let answer = s.post(&s.org(&["erasures"])?, body).await?;
            s.tell(&answer, &format!("entry {number} says no reason any more"))
        }
        AuditCommand::Log { log, pages } => {
            let path = match log.env(s) {
                Some(_) => s.env(&["log"])?,
                None => s.org(&["log"])?,
            };
            s.list(&path, pages, &ENTRIES).await
        }
    }
}

async fn export(s: &Session, path: &Path, out: Option<&PathBuf>) -> anyhow::Result<()> {
    let mut to: Box<dyn std::io::Write> = match out {
        Some(file) => {
            let file = std::fs::File::create(file)
                .with_context(|| format!("writing {}", file.display()))?;
            Box::new(file)
        }
        None => Box::new(std::io::stdout()),
    };
    let (mut cursor, mut lines) = (None, 0);
    loop {
        let answer = s.get(&path.clone().ask_if("cursor", cursor)).await?;
        to.write_all(&answer.body).context("writing the export")?;
        lines += answer.body.iter().filter(|byte| **byte == b'\n').count();
        cursor = answer.header("flagforge-next");
        if cursor.is_none() {
            break;
        }
    }
    to.flush().context("writing the export")?;
    note(&format!("{lines} entries"));
    Ok(())
}

async fn verify(s: &Session, path: &Path, from: u64) -> anyhow::Result<()> {
    let mut next = from;
    let chain = loop {
        let mut chain = s.get(&path.clone().ask("from", &next)).await?.json()?;
        match chain["next"].as_u64() {
            Some(more) if chain["intact"] == true => {
                note(&format!("whole as far as {}", chain["until"]));
                next = more;
            }
            _ => {
                chain["from"] = json!(from);
                break chain;
            }
        }
    };
    let is_whole = chain["intact"] == true && chain["complete"] == true;
    if s.json() {
        print_json(&chain)?;
    } else if is_whole {
        say(&format!("whole from {from} to {}, the newest", chain["until"]));
        say(&format!("digest {}", plain(&chain["digest"])));
    }
    if is_whole {
        return Ok(());
    }
    let why = chain["broken"].as_str().unwrap_or("the newest entry was not reached");
    Err(Failure::new(
        Exit::Found,
        format!("the chain holds to {} and no further: {why}", chain["until"]),
    )
    .into())
}

/// Who, in a word.
pub(super) fn actor(by: &Json) -> String {
    let who = ["id", "name", "subject"].iter().find_map(|name| by[*name].as_str());
    let who = who.unwrap_or_default();
    match by["actor"].as_str() {
        Some("key") | None => who.to_owned(),
        Some(kind) => format!("{kind} {who}"),
    }
}

fn links(entry: &Json) -> String {
    let links = entry["links"].as_array().into_iter().flatten();
    links
        .map(|link| format!("{}={}", plain(&link["to"]), plain(&link["href"])))
        .collect::<Vec<_>>()
        .join(", ")
}
