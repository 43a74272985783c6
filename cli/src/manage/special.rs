//! `flagforge override`: for a tenant, or for a group.

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value as Json, json};

use super::client::{Body, Version};
use super::fields::Fields;
use super::flag;
use super::refusal::{Exit, Failure};
use super::table::{Column, field, with};
use super::{Find, Session};

const OF_FLAG: [Column; 4] = [
    field("TENANT", "tenant"),
    field("VARIANT", "variant"),
    with("EXPIRES", expires),
    field("REASON", "reason"),
];
pub(super) const OF_TENANT: [Column; 5] = [
    field("ENVIRONMENT", "environment"),
    field("FLAG", "flag"),
    field("VARIANT", "variant"),
    with("EXPIRES", expires),
    field("REASON", "reason"),
];
const OF_GROUPS: [Column; 4] = [
    field("GROUP", "group"),
    field("VARIANT", "variant"),
    with("EXPIRES", expires),
    field("REASON", "reason"),
];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
  flagforge override set new-search on --tenant acme --expires 2027-01-31T00:00:00Z --reason 'promised in the contract'
  flagforge override set new-search on --group beta-customers
  flagforge override list --flag new-search       who is special for this flag
  flagforge override list --tenant acme           what is special about acme, in every environment")]
pub(crate) enum OverrideCommand {
    /// Give a tenant, or all tenants of a group, a variant whatever the rules say.
    Set {
        /// The flag.
        flag: String,
        /// What they get.
        variant: String,
        #[command(flatten)]
        whom: Whom,
        /// From this instant on it counts no more (RFC 3339). Default: for good.
        #[arg(long, value_name = "INSTANT")]
        expires: Option<String>,
    },
    /// Take an override away; the rules decide again.
    Clear {
        /// The flag.
        flag: String,
        #[command(flatten)]
        whom: Whom,
    },
    /// List overrides: of a flag, or of a tenant.
    List {
        /// The tenants and groups for which this flag is special, in the environment.
        #[arg(
            long,
            value_name = "KEY",
            required_unless_present = "tenant",
            conflicts_with = "tenant"
        )]
        flag: Option<String>,
        /// What is special about this tenant, in every environment that the key may see.
        #[arg(long, value_name = "KEY")]
        tenant: Option<String>,
        /// The overrides for groups, and not for tenants.
        #[arg(long, requires = "flag")]
        groups: bool,
        /// In the environment only.
        #[arg(long, requires = "tenant")]
        here: bool,
        #[command(flatten)]
        find: Find,
    },
}

/// A tenant or a group.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Whom {
    /// The tenant.
    #[arg(long, value_name = "KEY")]
    tenant: Option<String>,
    /// The group.
    #[arg(long, value_name = "KEY")]
    group: Option<String>,
}

pub(crate) async fn run(command: &OverrideCommand, s: &Session) -> anyhow::Result<()> {
    match command {
        OverrideCommand::Set { flag, variant, whom, expires } => {
            let given = Fields::default()
                .set("variant", variant.as_str())
                .set_if("expires", expires.clone())
                .set_if("reason", s.reason().map(str::to_owned));
            match (&whom.tenant, &whom.group) {
                (Some(tenant), _) => {
                    let path = s.env(&["flags", flag, "overrides", tenant])?;
                    let body = Body::Json(given.json());
                    let answer = s.change(Method::PUT, &path, body, Version::Any).await?;
                    s.tell(
                        &answer,
                        &format!("{tenant} gets `{variant}` of {flag} in {}", s.env_name()?),
                    )
                }
                (None, group) => {
                    let group = group.as_deref().unwrap_or_default();
                    set_for_group(s, flag, group, given.set("group", group).json()).await
                }
            }
        }
        OverrideCommand::Clear { flag, whom } => match (&whom.tenant, &whom.group) {
            (Some(tenant), _) => {
                let path = s.env(&["flags", flag, "overrides", tenant])?;
                let answer = s.change(Method::DELETE, &path, Body::None, Version::Any).await?;
                s.tell(
                    &answer,
                    &format!("{tenant} gets of {flag} in {} what the rules say", s.env_name()?),
                )
            }
            (None, group) => clear_for_group(s, flag, group.as_deref().unwrap_or_default()).await,
        },
        OverrideCommand::List { flag: Some(flag), groups: true, .. } => {
            let state = s.get(&s.env(&["flags", flag])?).await?.json()?;
            s.print_list(&json!({"items": state["groupOverrides"]}), &OF_GROUPS)
        }
        OverrideCommand::List { flag: Some(flag), find, .. } => {
            s.find(s.env(&["flags", flag, "overrides"])?, find, &OF_FLAG).await
        }
        OverrideCommand::List { tenant, here, find, .. } => {
            let tenant = tenant.as_deref().unwrap_or_default();
            let below = &["tenants", tenant, "overrides"];
            let path = if *here { s.env(below)? } else { s.org(below)? };
            s.find(path, find, &OF_TENANT).await
        }
    }
}

/// Overrides for groups are in the flag's state, the first that fits counts; a new one is the last.
async fn set_for_group(s: &Session, key: &str, group: &str, given: Json) -> anyhow::Result<()> {
    flag::edit_state(s, key, |state| {
        flag::in_list(state, "groupOverrides", |overrides| {
            match overrides.iter_mut().find(|known| known["group"] == group) {
                Some(known) => *known = given,
                None => overrides.push(given),
            }
        });
        Ok(())
    })
    .await
}

async fn clear_for_group(s: &Session, key: &str, group: &str) -> anyhow::Result<()> {
    flag::edit_state(s, key, |state| {
        let cleared = flag::in_list(state, "groupOverrides", |overrides| {
            let before = overrides.len();
            overrides.retain(|known| known["group"] != group);
            overrides.len() < before
        });
        let none = || {
            Failure::new(
                Exit::NotFound,
                format!("{key} has no override for the group {group} here"),
            )
        };
        if cleared { Ok(()) } else { Err(none().into()) }
    })
    .await
}

fn expires(given: &Json) -> String {
    let at = super::table::plain(&given["expires"]);
    if given["expired"] == true { format!("{at} (over)") } else { at }
}
