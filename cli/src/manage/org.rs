//! `flagforge org`.

use std::path::PathBuf;

use clap::Subcommand;
use reqwest::Method;
use serde_json::Value as Json;

use super::client::{Body, Version};
use super::fields::{Fields, lay_over, pair, value};
use super::key::{hand_over, vacant};
use super::table::{Column, field, with};
use super::{Find, Path, Session};

const COLUMNS: [Column; 4] = [
    field("KEY", "key"),
    field("NAME", "name"),
    field("CREATED", "created"),
    field("SUSPENDED", "suspended"),
];
const FACTS: [Column; 5] = [
    field("key", "key"),
    field("name", "name"),
    field("created", "created"),
    field("suspended", "suspended"),
    with("limits", |org| {
        if org["limits"] == serde_json::json!({}) {
            String::new()
        } else {
            org["limits"].to_string()
        }
    }),
];
const METERED: [Column; 5] = [
    field("organization", "organization.key"),
    field("suspended", "organization.suspended"),
    field("commits", "commits"),
    with("it has", |metered| counts(&metered["counts"])),
    with("in its environments", |metered| counts(&metered["inEnvironments"])),
];

const LEFTOVERS: [Column; 8] = [
    field("flags", "flags"),
    field("segments", "segments"),
    field("states", "states"),
    field("overrides", "overrides"),
    field("memberships", "members"),
    field("imports", "imports"),
    field("lists", "lists"),
    field("files of imports", "importFiles"),
];

#[derive(Debug, Subcommand)]
pub(crate) enum OrgCommand {
    /// List the installation's organizations. For its operator.
    List(Find),
    /// Create an organization, with its first admin key. For the installation's operator.
    #[command(after_help = "\
  flagforge org create acme --name 'Acme Corp.' --key-out acme-admin.key
  flagforge profile add acme --url http://127.0.0.1:8080 --key-file acme-admin.key")]
    Create {
        /// The new organization's key: a-z, 0-9 and dashes.
        key: String,
        /// Its name for people.
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// Write the admin key into this new file, readable by its owner only, instead of showing it.
        #[arg(long, value_name = "FILE")]
        key_out: Option<PathBuf>,
    },
    /// Show an organization.
    Show {
        /// Which. Default: the key's own.
        key: Option<String>,
    },
    /// Show in numbers how much an organization has and did. For the installation's operator.
    Meter {
        /// Which. Default: the key's own.
        key: Option<String>,
    },
    /// Set what an organization may have and ask; what is not said stays. For the installation's operator.
    #[command(after_help = "\
  flagforge org limits acme --writes-per-second 50 --resource flags=200 --resource tenants=5000
  flagforge org limits acme --resource overrides-of-a-tenant=50
  flagforge org limits acme --as-everybody")]
    Limits {
        /// Which.
        key: String,
        /// Commits a second to one log.
        #[arg(long, value_name = "N")]
        writes_per_second: Option<u32>,
        /// Requests a second to one process.
        #[arg(long, value_name = "N")]
        requests_per_second: Option<u32>,
        /// Days for which what was deleted can be restored.
        #[arg(long, value_name = "DAYS")]
        kept_days: Option<u32>,
        /// How many of a resource there may be, say flags=200. Repeat it for several.
        #[arg(long = "resource", value_name = "NAME=N", value_parser = pair)]
        resources: Vec<(String, String)>,
        /// Forget what was set before.
        #[arg(long)]
        as_everybody: bool,
    },
    /// Show, or with --collect remove, what nothing can refer to any more: deleted flags whose time is over, and the like.
    Leftovers {
        /// Remove it. It happens by itself where somebody runs the clock.
        #[arg(long)]
        collect: bool,
    },
    /// Suspend an organization: its keys are refused, and what was published is still served. For the operator.
    Suspend {
        /// Which.
        key: String,
    },
    /// Resume a suspended organization. For the installation's operator.
    Resume {
        /// Which.
        key: String,
    },
}

pub(crate) async fn run(command: &OrgCommand, s: &Session) -> anyhow::Result<()> {
    match command {
        OrgCommand::List(find) => s.find(Path::of(&["v1", "orgs"]), find, &COLUMNS).await,
        OrgCommand::Create { key, name, key_out } => {
            vacant(key_out.as_deref())?;
            let fields = Fields::default().set("key", key.as_str()).set_if("name", name.clone());
            let answer = s.post(&Path::of(&["v1", "orgs"]), Body::Json(fields.json())).await?;
            hand_over(s, &answer, "adminKey", &format!("{key} is founded"), key_out.as_deref())
        }
        OrgCommand::Show { key } => {
            let key = key.as_deref().map_or_else(|| s.org_name(), Ok)?;
            s.get_and_show(&Path::of(&["v1", "orgs", key]), &FACTS).await
        }
        OrgCommand::Meter { key } => {
            let key = key.as_deref().map_or_else(|| s.org_name(), Ok)?;
            s.get_and_show(&operated(key, &[]), &METERED).await
        }
        OrgCommand::Limits {
            key,
            writes_per_second,
            requests_per_second,
            kept_days,
            resources,
            as_everybody,
        } => {
            let set: Vec<_> = resources.iter().map(|(name, n)| (name.clone(), value(n))).collect();
            let fields = Fields::default()
                .set_if("writesPerSecond", *writes_per_second)
                .set_if("requestsPerSecond", *requests_per_second)
                .set_if("keptDays", *kept_days);
            limits(s, key, fields, set, *as_everybody).await
        }
        OrgCommand::Leftovers { collect } => leftovers(s, *collect).await,
        OrgCommand::Suspend { key } => {
            s.confirm(&format!(
                "Suspend {key}? Its keys and people are refused until it is resumed."
            ))?;
            let answer = s.post(&operated(key, &["suspend"]), Body::None).await?;
            s.tell(&answer, &format!("{key} is suspended"))
        }
        OrgCommand::Resume { key } => {
            let answer = s.post(&operated(key, &["resume"]), Body::None).await?;
            s.tell(&answer, &format!("{key} is resumed"))
        }
    }
}

/// What the operator does with an organization.
fn operated(org: &str, segments: &[&str]) -> Path {
    Path::of(&["v1", "operator", "orgs", org]).to(segments)
}

async fn limits(
    s: &Session,
    org: &str,
    fields: Fields,
    resources: Vec<(String, Json)>,
    as_everybody: bool,
) -> anyhow::Result<()> {
    let mut limits = match as_everybody {
        true => serde_json::json!({}),
        false => s.get(&operated(org, &[])).await?.json()?["organization"]["limits"].take(),
    };
    if limits.is_null() {
        limits = serde_json::json!({});
    }
    lay_over(&mut limits, fields.json());
    for (name, count) in resources {
        limits["resources"][name] = count;
    }
    let path = operated(org, &["limits"]);
    let answer = s.change(Method::PUT, &path, Body::Json(limits), Version::Any).await?;
    s.show(&answer, &FACTS)
}

/// Repeats it until all was looked at.
async fn leftovers(s: &Session, collect: bool) -> anyhow::Result<()> {
    let path = s.org(&["collection"])?;
    loop {
        let answer = if collect { s.post(&path, Body::None).await? } else { s.get(&path).await? };
        s.show(&answer, &LEFTOVERS)?;
        if answer.json()?["complete"] == true || !collect {
            return Ok(());
        }
    }
}

/// `flags 12, tenants 3`.
fn counts(counts: &Json) -> String {
    let counted = counts.as_object().into_iter().flatten();
    counted.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}
