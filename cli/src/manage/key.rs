//! `flagforge key`.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path as FilePath, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;

use super::client::{Answer, Body};
use super::fields::Fields;
use super::refusal::Failure;
use super::table::{Column, field, plain, with};
use super::{Find, Session};
use crate::args::say;

const COLUMNS: [Column; 8] = [
    field("ID", "id"),
    field("NAME", "name"),
    field("KIND", "kind"),
    with("ROLE", |key| if key["kind"] == "mgmt" { plain(&key["role"]) } else { String::new() }),
    with("FOR", scope),
    field("CREATED", "created"),
    field("EXPIRES", "expires"),
    field("LAST USED", "lastUsed"),
];
const FACTS: [Column; 13] = [
    field("id", "id"),
    field("name", "name"),
    field("kind", "kind"),
    field("role", "role"),
    field("environments", "envs"),
    field("domains", "domains"),
    field("tenant", "tenant"),
    with("operator", |key| if key["operator"] == true { "yes".to_owned() } else { String::new() }),
    field("created", "created"),
    field("expires", "expires"),
    field("rotated", "rotated"),
    field("made by", "parent"),
    field("last used", "lastUsed"),
];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
  flagforge key create --name ci --role maintainer --only-env dev --out ci.key
  flagforge key create --kind server --name checkout --only-env prod --out checkout.key
  flagforge key create --kind client --name web --only-env prod --tenant acme
  flagforge key rotate demo.abc --overlap-seconds 3600 --out ci.key
  flagforge key revoke demo.abc
A key makes only keys that are no stronger, and revoking it revokes them.")]
pub(crate) enum KeyCommand {
    /// List the organization's keys, without their secrets.
    List(Find),
    /// Show a key, without its secret.
    Show {
        /// Its id, as `list` says it.
        id: String,
    },
    /// Make a key. It is shown this once.
    Create {
        /// What it is for: mgmt (this API), server (SDKs in services), client (browsers, phones) or relay.
        #[arg(long, value_name = "KIND", default_value = "mgmt")]
        kind: String,
        /// What people call it.
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// What a mgmt key may do: reader, approver, maintainer, admin, or a role of the organization's own.
        #[arg(long, value_name = "ROLE")]
        role: Option<String>,
        /// An environment it works in. Repeat it for several. Default: all.
        #[arg(long = "only-env", value_name = "KEY")]
        envs: Vec<String>,
        /// A domain whose flags it changes. Repeat it for several. Default: all.
        #[arg(long = "only-domain", value_name = "DOMAIN")]
        domains: Vec<String>,
        /// The only tenant it speaks for; client keys have one.
        #[arg(long, value_name = "KEY")]
        tenant: Option<String>,
        /// From then on it counts no more (RFC 3339). Default: for good.
        #[arg(long, value_name = "INSTANT")]
        expires: Option<String>,
        /// Also the installation's operator.
        #[arg(long)]
        operator: bool,
        /// Write it into this new file, readable by its owner only, instead of showing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Give a key a new secret, which is shown this once. The old one counts on for a while.
    Rotate {
        /// Its id, as `list` says it.
        id: String,
        /// How long the old secret counts on; 0 ends it at once. Default: a day.
        #[arg(long, value_name = "SECONDS")]
        overlap_seconds: Option<u32>,
        /// Write it into this new file, readable by its owner only, instead of showing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Revoke a key and every key made by it.
    Revoke {
        /// Its id, as `list` says it.
        id: String,
    },
}

pub(crate) async fn run(command: &KeyCommand, s: &Session) -> anyhow::Result<()> {
    match command {
        KeyCommand::List(find) => s.find(s.org(&["keys"])?, find, &COLUMNS).await,
        KeyCommand::Show { id } => s.get_and_show(&s.org(&["keys", id])?, &FACTS).await,
        KeyCommand::Create { kind, name, role, envs, domains, tenant, expires, operator, out } => {
            let fields = Fields::default()
                .set("kind", kind.as_str())
                .set_if("name", name.clone())
                .set_if("role", role.clone())
                .set_list("envs", envs)
                .set_list("domains", domains)
                .set_if("tenant", tenant.clone())
                .set_if("expires", expires.clone())
                .set_flag("operator", *operator);
            vacant(out.as_deref())?;
            let answer = s.post(&s.org(&["keys"])?, Body::Json(fields.json())).await?;
            let id = plain(&answer.json()?["record"]["id"]);
            hand_over(s, &answer, "key", &format!("{id} is a key"), out.as_deref())
        }
        KeyCommand::Rotate { id, overlap_seconds, out } => {
            vacant(out.as_deref())?;
            let body = Fields::default().set_if("overlapSeconds", *overlap_seconds).json();
            let answer = s.post(&s.org(&["keys", id, "rotate"])?, Body::Json(body)).await?;
            let until = plain(&answer.json()?["record"]["previousUntil"]);
            let sentence = format!("{id} has a new secret; the old one counts until {until}");
            hand_over(s, &answer, "key", &sentence, out.as_deref())
        }
        KeyCommand::Revoke { id } => {
            s.confirm(&format!("Revoke {id} and every key made by it?"))?;
            let path = s.org(&["keys", id])?;
            let answer =
                s.change(reqwest::Method::DELETE, &path, Body::None, Default::default()).await?;
            s.tell(&answer, &format!("{id} is revoked, and every key made by it"))
        }
    }
}

/// Refuses a file that is there already, before there is a secret that has no place.
pub(super) fn vacant(file: Option<&FilePath>) -> anyhow::Result<()> {
    match file {
        Some(file) if file.exists() => Err(Failure::usage(format!(
            "{} is there already, and is not overwritten",
            file.display()
        ))),
        _ => Ok(()),
    }
}

/// Says what was made, and hands its secret over: into a file, or here, this once.
pub(super) fn hand_over(
    s: &Session,
    answer: &Answer,
    name: &str,
    sentence: &str,
    file: Option<&FilePath>,
) -> anyhow::Result<()> {
    let mut body = answer.json()?;
    let Some(secret) = body[name].as_str().map(str::to_owned) else {
        return s.tell(answer, &format!("{sentence}; its secret was shown the first time"));
    };
    if let Some(file) = file {
        keep(file, &secret).with_context(|| {
            format!("writing {}; the secret, which is shown this once, is {secret}", file.display())
        })?;
        body[name] = json!(null);
        if s.json() {
            return super::session::print_json(&body);
        }
        return s.tell(answer, &format!("{sentence}; its secret is in {}", file.display()));
    }
    s.tell(answer, &format!("{sentence}. Its secret, shown this once:"))?;
    if !s.json() {
        say(&secret);
    }
    Ok(())
}

/// A new file that only its owner can read.
fn keep(file: &FilePath, secret: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}

fn scope(key: &serde_json::Value) -> String {
    let parts = ["envs", "domains", "tenant"].map(|name| plain(&key[name]));
    let mut parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if key["operator"] == true {
        parts.push("the installation".to_owned());
    }
    parts.join("; ")
}
