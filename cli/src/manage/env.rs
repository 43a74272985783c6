//! `flagforge env`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::client::Body;
use super::fields::{Fields, json_in};
use super::refusal::{Exit, Failure};
use super::session::{print_json, print_table};
use super::table::{Column, field, plain};
use super::{Pages, Session, kill, propagation};
use crate::args::{note, say};

const COLUMNS: [Column; 3] =
    [field("KEY", "key"), field("NAME", "name"), field("CREATED", "created")];
const DIFFERENCES: [Column; 3] =
    [field("WHAT", "thing"), field("KEY", "key"), field("DIFFERENCE", "text")];

#[derive(Debug, Subcommand)]
pub(crate) enum EnvCommand {
    /// List the environments that the key may see.
    List,
    /// Show an environment.
    Show {
        /// Which.
        key: String,
    },
    /// Create an environment. Every flag starts there off.
    Create {
        /// The new environment's key.
        key: String,
        /// Its name for people.
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
    },
    /// Say what differs between two environments.
    #[command(after_help = "\
  flagforge env compare prod --with staging
Ends with 7 when they differ.")]
    Compare {
        /// The one.
        key: String,
        /// The other.
        #[arg(long, value_name = "KEY")]
        with: String,
        #[command(flatten)]
        pages: Pages,
    },
    /// Copy every segment and flag state of another environment into one; what it has besides stays.
    #[command(after_help = "\
  flagforge env create qa
  flagforge env copy qa --from staging
What broke off is repeated, and goes on.")]
    Copy {
        /// The environment that is written.
        key: String,
        /// The environment that is copied.
        #[arg(long, value_name = "KEY")]
        from: String,
    },
    /// Let flags do in one environment what they do in another, with the segments they need: all or none.
    ///
    /// Shows what would change, and asks.
    #[command(after_help = "\
  flagforge env promote prod --from staging --flag new-dashboard --flag checkout-button --preview
  flagforge env promote prod --from staging --flag new-dashboard --reason 'released' --link release=https://…")]
    Promote {
        /// The environment that is written.
        key: String,
        /// The environment whose states are taken.
        #[arg(long, value_name = "KEY")]
        from: String,
        /// A flag. Repeat it for several, 40 at most.
        #[arg(long = "flag", required = true, value_name = "KEY")]
        flags: Vec<String>,
        /// A further segment. Repeat it for several.
        #[arg(long = "segment", value_name = "KEY")]
        segments: Vec<String>,
        /// Only say what would change.
        #[arg(long)]
        preview: bool,
    },
    /// Say how far an environment's configuration has come: which SDKs and relays have applied what, and how soon.
    #[command(after_help = "\
  flagforge env propagation prod
  flagforge env propagation prod --revision 17.41 --behind      who has not got that change yet")]
    Propagation {
        /// Which.
        key: String,
        /// Hold them against this revision, as a change answers it. Default: the published one.
        #[arg(long, value_name = "REVISION")]
        revision: Option<String>,
        /// Only those that are heard and have not got it.
        #[arg(long)]
        behind: bool,
        #[command(flatten)]
        pages: Pages,
    },
    /// Say how far processes are, as an SDK does by itself; with a key of the kind server or relay.
    Report {
        /// Which.
        key: String,
        /// The reports, as JSON; `-` is the standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Turn every flag of an environment off, also those that come to it later. Migration flags stay.
    Kill {
        /// Which.
        key: String,
    },
    /// Take that back: every flag does again what its own state says.
    Unkill {
        /// Which.
        key: String,
    },
}

pub(crate) async fn run(command: &EnvCommand, s: &Session) -> anyhow::Result<()> {
    match command {
        EnvCommand::List => {
            let answer = s.get(&s.org(&["environments"])?).await?;
            s.print_list(&answer.json()?, &COLUMNS)
        }
        EnvCommand::Show { key } => s.get_and_show(&s.org(&["environments", key])?, &COLUMNS).await,
        EnvCommand::Create { key, name } => {
            let fields = Fields::default().set("key", key.as_str()).set_if("name", name.clone());
            let answer = s.post(&s.org(&["environments"])?, Body::Json(fields.json())).await?;
            s.tell(&answer, &format!("{key} is there; every flag is off in it"))
        }
        EnvCommand::Compare { key, with, pages } => {
            let path = s.org(&["environments", key, "compare"])?.ask("with", with);
            let mut found = s.gather(&path, pages).await?;
            let differ = found["items"].as_array().is_some_and(|items| !items.is_empty());
            if !differ && !s.json() {
                say(&format!("{key} and {with} do the same"));
                return Ok(());
            }
            if s.json() {
                print_json(&found)?;
            } else {
                found["items"] = differences(&found["items"]);
                s.print_list(&found, &DIFFERENCES)?;
            }
            match differ {
                true => Err(Failure::new(Exit::Found, format!("{key} and {with} differ")).into()),
                false => Ok(()),
            }
        }
        EnvCommand::Copy { key, from } => copy(s, key, from).await,
        EnvCommand::Promote { key, from, flags, segments, preview } => {
            let body = json!({"from": from, "flags": flags, "segments": segments});
            promote(s, key, &body, *preview).await
        }
        EnvCommand::Propagation { key, revision, behind, pages } => {
            let path = s.org(&["environments", key, "propagation"])?;
            let path = path.ask_if("revision", revision.as_deref());
            propagation::show(s, if *behind { path.ask("behind", &true) } else { path }, pages)
                .await
        }
        EnvCommand::Report { key, file } => {
            let path = s.org(&["environments", key, "propagation"])?;
            s.tell(&s.post(&path, Body::Json(json_in(file)?)).await?, "it was heard")
        }
        EnvCommand::Kill { key } => kill::pull(s, key, "environment", None).await,
        EnvCommand::Unkill { key } => kill::end(s, key, "environment", None).await,
    }
}

async fn copy(s: &Session, env: &str, from: &str) -> anyhow::Result<()> {
    s.confirm(&format!("Write everything of {from} into {env}?"))?;
    let path = s.org(&["environments", env, "copy"])?;
    let (mut flags, mut segments, mut cursor) = (0, 0, Json::Null);
    loop {
        let fields = Fields::default().set("from", from);
        let fields = if cursor.is_null() { fields } else { fields.set("cursor", cursor) };
        let copied = s.post(&path, Body::Json(fields.json())).await?.json()?;
        flags += copied["flags"].as_u64().unwrap_or_default();
        segments += copied["segments"].as_u64().unwrap_or_default();
        cursor = copied["next"].clone();
        if cursor.is_null() {
            break;
        }
        note(&format!("{segments} segments and {flags} flags so far"));
    }
    if s.json() {
        return print_json(&json!({"flags": flags, "segments": segments}));
    }
    say(&format!("{env} has {segments} segments and {flags} flags from {from}"));
    Ok(())
}

async fn promote(s: &Session, env: &str, body: &Json, only_preview: bool) -> anyhow::Result<()> {
    let path = s.org(&["environments", env, "promote"])?;
    let preview = s.post(&path.clone().ask("preview", &true), Body::Json(body.clone())).await?;
    let would = preview.json()?;
    let changes = differences(&would["changes"]);
    let changes = changes.as_array().map(Vec::as_slice).unwrap_or_default();
    if only_preview && s.json() {
        return s.print(&preview);
    }
    if changes.is_empty() {
        say("nothing would change");
        return Ok(());
    }
    if !s.json() {
        print_table(&DIFFERENCES, changes);
    }
    if only_preview {
        return Ok(());
    }
    s.confirm(&format!("Promote this to {env}?"))?;
    let answer = s.post(&path, Body::Json(body.clone())).await?;
    s.tell(&answer, &format!("{} is promoted to {env}", plain(&answer.json()?["flags"])))
}

/// A row for each difference, as the API says it in a line.
fn differences(differing: &Json) -> Json {
    let of = |thing: &Json| {
        let (what, key) = (thing["thing"].clone(), thing["key"].clone());
        let all = thing["differences"].as_array().cloned().unwrap_or_default();
        all.into_iter().map(move |one| json!({"thing": what, "key": key, "text": one["text"]}))
    };
    differing.as_array().into_iter().flatten().flat_map(of).collect()
}
