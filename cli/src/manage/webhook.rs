//! `flagforge webhook`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::client::Body;
use super::fields::Fields;
use super::key::{hand_over, vacant};
use super::session::Absent;
use super::table::{Column, field, plain, with};
use super::{Find, Session};

const COLUMNS: [Column; 7] = [
    field("ID", "id"),
    field("URL", "url"),
    field("TYPES", "types"),
    field("ENVIRONMENTS", "environments"),
    field("FLAGS", "flags"),
    with("PAUSED", |hook| if hook["paused"] == true { "yes".to_owned() } else { String::new() }),
    field("DESCRIPTION", "description"),
];
const DEAD: [Column; 4] =
    [field("EVENT", "event"), field("AT", "at"), field("TRIES", "tries"), field("WHY", "why")];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
  flagforge webhook create https://hooks.example.com/flags --type 'flag.*' --for-env prod --secret-out hook.secret
  flagforge webhook dead <id>
  flagforge webhook replay <id> --since 2026-11-20T00:00:00Z
Deliveries are signed as Standard Webhooks says; docs/tenants.md has more.")]
pub(crate) enum WebhookCommand {
    /// List the endpoints.
    List(Find),
    /// Show an endpoint, without its secret.
    Show {
        /// Its id.
        id: String,
    },
    /// Make an endpoint. Its secret is shown this once.
    Create {
        /// Where events go: https, and public.
        #[arg(value_name = "URL")]
        address: String,
        #[command(flatten)]
        facts: Facts,
        /// Write the secret into this new file, readable by its owner only, instead of showing it.
        #[arg(long, value_name = "FILE")]
        secret_out: Option<PathBuf>,
    },
    /// Change an endpoint; what is not said stays, and so does its secret.
    Set {
        /// Its id.
        id: String,
        /// Where events go.
        #[arg(long, value_name = "URL")]
        to: Option<String>,
        #[command(flatten)]
        facts: Facts,
        /// Send nothing for now.
        #[arg(long, conflicts_with = "resume")]
        pause: bool,
        /// Send again, also what happened meanwhile.
        #[arg(long)]
        resume: bool,
    },
    /// Delete an endpoint. What was not delivered is not delivered.
    Delete {
        /// Its id.
        id: String,
    },
    /// Give an endpoint a new secret, shown this once. For a day both sign.
    Rotate {
        /// Its id.
        id: String,
        /// Write the secret into this new file, readable by its owner only, instead of showing it.
        #[arg(long, value_name = "FILE")]
        secret_out: Option<PathBuf>,
    },
    /// List the newest deliveries that were given up.
    Dead {
        /// Its id.
        id: String,
    },
    /// Send one event again, or everything since an instant.
    Replay {
        /// Its id.
        id: String,
        /// The event's id.
        #[arg(
            long,
            value_name = "ID",
            required_unless_present = "since",
            conflicts_with = "since"
        )]
        event: Option<String>,
        /// The instant (RFC 3339).
        #[arg(long, value_name = "INSTANT")]
        since: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Facts {
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A type of events, say flag.killed, or all that begin so: flag.*. Repeat it for several. Default: all.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Events of this environment only. Repeat it for several.
    #[arg(long = "for-env", value_name = "KEY")]
    environments: Vec<String>,
    /// Events of this flag only. Repeat it for several.
    #[arg(long = "for-flag", value_name = "KEY")]
    flags: Vec<String>,
}

impl Facts {
    fn fields(&self) -> Fields {
        Fields::default()
            .set_if("description", self.description.clone())
            .set_list("types", &self.types)
            .set_list("environments", &self.environments)
            .set_list("flags", &self.flags)
    }
}

pub(crate) async fn run(command: &WebhookCommand, s: &Session) -> anyhow::Result<()> {
    match command {
        WebhookCommand::List(find) => s.find(s.org(&["webhooks"])?, find, &COLUMNS).await,
        WebhookCommand::Show { id } => s.get_and_show(&s.org(&["webhooks", id])?, &COLUMNS).await,
        WebhookCommand::Create { address, facts, secret_out } => {
            vacant(secret_out.as_deref())?;
            let body = Body::Json(facts.fields().set("url", address.as_str()).json());
            let answer = s.post(&s.org(&["webhooks"])?, body).await?;
            let id = plain(&answer.json()?["webhook"]["id"]);
            hand_over(
                s,
                &answer,
                "secret",
                &format!("{id} hears of changes at {address}"),
                secret_out.as_deref(),
            )
        }
        WebhookCommand::Set { id, to, facts, pause, resume } => {
            let fields = facts.fields().set_if("url", to.clone()).set_flag("paused", *pause);
            let fields = fields.set_if("paused", resume.then_some(false));
            let answer = s.amend(&s.org(&["webhooks", id])?, fields, Absent::Refuse).await?;
            s.show(&answer, &COLUMNS)
        }
        WebhookCommand::Delete { id } => {
            s.delete(
                &s.org(&["webhooks", id])?,
                &format!("the webhook {id}"),
                &format!("{id} is deleted"),
            )
            .await
        }
        WebhookCommand::Rotate { id, secret_out } => {
            vacant(secret_out.as_deref())?;
            let answer = s.post(&s.org(&["webhooks", id, "rotate"])?, Body::None).await?;
            let sentence = format!("{id} has a new secret, and for a day both sign");
            hand_over(s, &answer, "secret", &sentence, secret_out.as_deref())
        }
        WebhookCommand::Dead { id } => {
            let answer = s.get(&s.org(&["webhooks", id, "dead"])?).await?;
            s.print_list(&answer.json()?, &DEAD)
        }
        WebhookCommand::Replay { id, event, since } => {
            let body = match event {
                Some(event) => json!({"event": event}),
                None => json!({"since": since}),
            };
            let answer = s.post(&s.org(&["webhooks", id, "replay"])?, Body::Json(body)).await?;
            s.tell(&answer, "it is sent again")
        }
    }
}
