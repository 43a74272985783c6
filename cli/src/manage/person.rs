//! `flagforge person` and `flagforge invitation`: who is in, and who is asked in.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::client::Body;
use super::fields::Fields;
use super::key::{hand_over, vacant};
use super::session::Absent;
use super::table::{Column, field, plain};
use super::{Find, Session};

const PEOPLE: [Column; 8] = [
    field("ID", "id"),
    field("NAME", "name"),
    field("E-MAIL", "email"),
    field("ROLE", "role"),
    field("ENVIRONMENTS", "envs"),
    field("DOMAINS", "domains"),
    field("SINCE", "since"),
    field("ISSUER", "issuer"),
];
const INVITATIONS: [Column; 6] = [
    field("ID", "id"),
    field("E-MAIL", "email"),
    field("ROLE", "role"),
    field("ENVIRONMENTS", "envs"),
    field("DOMAINS", "domains"),
    field("EXPIRES", "expires"),
];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
  flagforge person add --issuer-url https://login.example.com --subject 00u1 --role maintainer
  flagforge person set <id> --role reader
People whose token says a role come in without being listed here; see `flagforge issuer`.")]
pub(crate) enum PersonCommand {
    /// List the people whom the organization took in.
    List(Find),
    /// Show a person.
    Show {
        /// Their id.
        id: String,
    },
    /// Take in somebody by what their issuer calls them.
    Add {
        /// The address of an issuer that is believed.
        #[arg(long, value_name = "URL")]
        issuer_url: String,
        /// What they are called there: `sub` of their tokens.
        #[arg(long, value_name = "NAME")]
        subject: String,
        /// Their role.
        #[arg(long, value_name = "ROLE")]
        role: String,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Change what a person may; what is not said stays.
    Set {
        /// Their id.
        id: String,
        /// Their role.
        #[arg(long, value_name = "ROLE")]
        role: Option<String>,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Remove a person. The last admin stays.
    Remove {
        /// Their id.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
#[command(after_help = "\
  flagforge invitation create ada@example.com --role maintainer --token-out ada.token
Nothing is sent: hand the token over yourself. Who gets it says, with a token of their own as the key,
  flagforge invitation accept --token-file ada.token --org demo")]
pub(crate) enum InvitationCommand {
    /// List the invitations that nobody accepted yet.
    List(Find),
    /// Invite whoever has an e-mail address. The token is shown this once.
    Create {
        /// Whom.
        email: String,
        /// As what.
        #[arg(long, value_name = "ROLE")]
        role: String,
        #[command(flatten)]
        bounds: Bounds,
        /// How long it stands. Default: a week.
        #[arg(long, value_name = "SECONDS")]
        expires_in: Option<u32>,
        /// Write the token into this new file, readable by its owner only, instead of showing it.
        #[arg(long, value_name = "FILE")]
        token_out: Option<PathBuf>,
    },
    /// Accept an invitation, as the person whose token is the key.
    Accept {
        /// A file with the invitation's token; `-` is the standard input.
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
    },
    /// Withdraw an invitation.
    Withdraw {
        /// Its id.
        id: String,
    },
}

/// Where a role holds.
#[derive(Debug, clap::Args)]
pub(crate) struct Bounds {
    /// In this environment only. Repeat it for several.
    #[arg(long = "only-env", value_name = "KEY")]
    envs: Vec<String>,
    /// For flags of this domain only. Repeat it for several.
    #[arg(long = "only-domain", value_name = "NAME")]
    domains: Vec<String>,
}

impl Bounds {
    fn fields(&self) -> Fields {
        Fields::default().set_list("envs", &self.envs).set_list("domains", &self.domains)
    }
}

pub(crate) async fn run(command: &PersonCommand, s: &Session) -> anyhow::Result<()> {
    match command {
        PersonCommand::List(find) => s.find(s.org(&["people"])?, find, &PEOPLE).await,
        PersonCommand::Show { id } => s.get_and_show(&s.org(&["people", id])?, &PEOPLE).await,
        PersonCommand::Add { issuer_url, subject, role, bounds } => {
            let fields = bounds.fields().set("issuer", issuer_url.as_str());
            let fields = fields.set("subject", subject.as_str()).set("role", role.as_str());
            let answer = s.post(&s.org(&["people"])?, Body::Json(fields.json())).await?;
            s.show(&answer, &PEOPLE)
        }
        PersonCommand::Set { id, role, bounds } => {
            let fields = bounds.fields().set_if("role", role.clone());
            let answer = s.amend(&s.org(&["people", id])?, fields, Absent::Refuse).await?;
            s.show(&answer, &PEOPLE)
        }
        PersonCommand::Remove { id } => {
            let (what, gone) = (format!("the person {id}"), format!("{id} is a stranger now"));
            s.delete(&s.org(&["people", id])?, &what, &gone).await
        }
    }
}

pub(crate) async fn invitations(command: &InvitationCommand, s: &Session) -> anyhow::Result<()> {
    match command {
        InvitationCommand::List(find) => s.find(s.org(&["invitations"])?, find, &INVITATIONS).await,
        InvitationCommand::Create { email, role, bounds, expires_in, token_out } => {
            vacant(token_out.as_deref())?;
            let fields = bounds.fields().set("email", email.as_str()).set("role", role.as_str());
            let fields = fields.set_if("expiresInSeconds", *expires_in);
            let answer = s.post(&s.org(&["invitations"])?, Body::Json(fields.json())).await?;
            let until = plain(&answer.json()?["invitation"]["expires"]);
            let sentence = format!("{email} is invited until {until}");
            hand_over(s, &answer, "token", &sentence, token_out.as_deref())
        }
        InvitationCommand::Accept { token_file } => {
            let token = super::bytes_in(token_file)?;
            let token = String::from_utf8_lossy(&token);
            let body = Body::Json(json!({"token": token.trim()}));
            let answer = s.post(&s.org(&["invitations", "accept"])?, body).await?;
            s.show(&answer, &PEOPLE)
        }
        InvitationCommand::Withdraw { id } => {
            let (what, gone) = (format!("the invitation {id}"), format!("{id} is withdrawn"));
            s.delete(&s.org(&["invitations", id])?, &what, &gone).await
        }
    }
}
