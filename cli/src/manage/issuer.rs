//! `flagforge issuer`: whose tokens let people in.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::fields::Fields;
use super::session::Absent;
use super::table::{Column, field, plain, with};
use super::{Find, Session};

const COLUMNS: [Column; 5] = [
    field("KEY", "key"),
    field("URL", "url"),
    field("AUDIENCES", "audiences"),
    field("ALGORITHMS", "algorithms"),
    with("ROLES", |issuer| {
        let roles = issuer["roles"].as_array().into_iter().flatten();
        roles.map(role).collect::<Vec<_>>().join(", ")
    }),
];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
  flagforge issuer set company --issuer-url https://login.example.com --audience flagforge \\
      --grant groups=flag-admins:admin --grant /realm_access/roles=dev:maintainer
A person's token then counts as a key: FLAGFORGE_KEY=<JWT> flagforge flag list --org demo. docs/people.md has more.")]
pub(crate) enum IssuerCommand {
    /// List the issuers whose tokens the organization believes.
    List(Find),
    /// Show an issuer.
    Show {
        /// The issuer.
        key: String,
    },
    /// Believe an issuer, or change what is said of one; what is not said stays. It is asked for its keys first.
    Set {
        /// What it is called here.
        key: String,
        /// What its tokens say in `iss`, to the letter.
        #[arg(long, value_name = "URL")]
        issuer_url: Option<String>,
        /// Whom its tokens are for. Repeat it for several.
        #[arg(long = "audience", value_name = "NAME")]
        audiences: Vec<String>,
        /// A role for all whose token says this. Repeat it for several; a file can say environments and domains too.
        #[arg(long = "grant", value_name = "CLAIM=VALUE:ROLE", value_parser = grant)]
        grants: Vec<Json>,
        /// How its tokens may be signed, say ES256. Repeat it for several. Default: in any way that is believed.
        #[arg(long = "algorithm", value_name = "NAME")]
        algorithms: Vec<String>,
        /// Seconds that its clock may be off.
        #[arg(long, value_name = "N")]
        leeway_seconds: Option<u32>,
        /// Fields as JSON, as the API has them; options count before it. `-` is the standard input.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Believe an issuer no more. Its people are strangers from then on.
    Delete {
        /// The issuer.
        key: String,
    },
}

pub(crate) async fn run(command: &IssuerCommand, s: &Session) -> anyhow::Result<()> {
    match command {
        IssuerCommand::List(find) => s.find(s.org(&["issuers"])?, find, &COLUMNS).await,
        IssuerCommand::Show { key } => s.get_and_show(&s.org(&["issuers", key])?, &COLUMNS).await,
        IssuerCommand::Set {
            key,
            issuer_url,
            audiences,
            grants,
            algorithms,
            leeway_seconds,
            file,
        } => {
            let fields = Fields::of(file.as_ref())?
                .set_if("url", issuer_url.clone())
                .set_list("audiences", audiences)
                .set_list("algorithms", algorithms)
                .set_if("leewaySeconds", *leeway_seconds)
                .set_if("roles", (!grants.is_empty()).then(|| grants.clone()));
            let answer = s.amend(&s.org(&["issuers", key])?, fields, Absent::Create).await?;
            s.show(&answer, &COLUMNS)
        }
        IssuerCommand::Delete { key } => {
            let what = format!("the issuer {key}, whose people are strangers then");
            s.delete(&s.org(&["issuers", key])?, &what, &format!("{key} is believed no more")).await
        }
    }
}

/// `groups=flag-admins:admin`; a value may have colons.
fn grant(text: &str) -> Result<Json, String> {
    let parts =
        text.split_once('=').and_then(|(claim, rest)| Some((claim, rest.rsplit_once(':')?)));
    let (claim, (value, role)) = parts.ok_or("write it as claim=value:role")?;
    Ok(json!({"claim": claim, "value": value, "role": role}))
}

fn role(role: &Json) -> String {
    format!("{}={}:{}", plain(&role["claim"]), plain(&role["value"]), plain(&role["role"]))
}

#[test]
fn a_grant_is_a_claim_its_value_and_a_role() {
    let wanted = json!({"claim": "/realm/roles", "value": "urn:dev", "role": "admin"});
    assert_eq!(grant("/realm/roles=urn:dev:admin"), Ok(wanted.clone()));
    assert_eq!(role(&wanted), "/realm/roles=urn:dev:admin");
    assert!(grant("groups=admins").is_err() && grant("groups:admin").is_err());
}
