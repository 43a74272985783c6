//! `flagforge group`.

use std::path::PathBuf;

use clap::Subcommand;
use reqwest::Method;

use super::client::{Body, Version};
use super::fields::Fields;
use super::flag::condition;
use super::session::Absent;
use super::table::{Column, field, with};
use super::{Find, Session};

const COLUMNS: [Column; 3] = [
    field("KEY", "key"),
    with("WHEN", |group| condition(&group["when"])),
    field("DESCRIPTION", "description"),
];
const MEMBERS: [Column; 1] = [field("TENANT", "tenant")];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
  flagforge group set beta-customers --description 'Asked to see things early'
  flagforge group add beta-customers acme globex
  flagforge group set gold --when 'tenant.plan == \"gold\"'
A group has a list of members, or a condition on tenants' attributes, which alone decides then.")]
pub(crate) enum GroupCommand {
    /// List the groups.
    List(Find),
    /// Show a group.
    Show {
        /// The group.
        key: String,
    },
    /// Make a group, or change one; what is not said stays.
    Set {
        /// The group.
        key: String,
        /// What it is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// Which tenants are in, as a condition on their attributes.
        #[arg(long, value_name = "CONDITION")]
        when: Option<String>,
        /// No condition any more: those who were added are in.
        #[arg(long, conflicts_with = "when")]
        by_list: bool,
        /// Fields as JSON, as the API has them; options count before it. `-` is the standard input.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Delete a group.
    Delete {
        /// The group.
        key: String,
    },
    /// List the tenants of a group.
    Members {
        /// The group.
        key: String,
        #[command(flatten)]
        find: Find,
    },
    /// Add tenants to a group.
    Add {
        /// The group.
        key: String,
        /// The tenants.
        #[arg(required = true)]
        tenants: Vec<String>,
    },
    /// Remove tenants from a group.
    Remove {
        /// The group.
        key: String,
        /// The tenants.
        #[arg(required = true)]
        tenants: Vec<String>,
    },
}

pub(crate) async fn run(command: &GroupCommand, s: &Session) -> anyhow::Result<()> {
    match command {
        GroupCommand::List(find) => s.find(s.org(&["groups"])?, find, &COLUMNS).await,
        GroupCommand::Show { key } => s.get_and_show(&s.org(&["groups", key])?, &COLUMNS).await,
        GroupCommand::Set { key, description, when, by_list, file } => {
            let fields = Fields::of(file.as_ref())?
                .set_if("description", description.clone())
                .set_if("when", when.clone())
                .set_if("when", by_list.then_some(serde_json::Value::Null));
            let answer = s.amend(&s.org(&["groups", key])?, fields, Absent::Create).await?;
            s.show(&answer, &COLUMNS)
        }
        GroupCommand::Delete { key } => {
            s.delete(
                &s.org(&["groups", key])?,
                &format!("the group {key}"),
                &format!("{key} is deleted"),
            )
            .await
        }
        GroupCommand::Members { key, find } => {
            s.find(s.org(&["groups", key, "members"])?, find, &MEMBERS).await
        }
        GroupCommand::Add { key, tenants } => each(s, key, tenants, Method::PUT, "is in").await,
        GroupCommand::Remove { key, tenants } => {
            each(s, key, tenants, Method::DELETE, "is no longer in").await
        }
    }
}

/// One after the other; the first that is refused ends it, and the same again goes on.
async fn each(
    s: &Session,
    group: &str,
    tenants: &[String],
    method: Method,
    is: &str,
) -> anyhow::Result<()> {
    for tenant in tenants {
        let path = s.org(&["groups", group, "members", tenant])?;
        let answer = s.change(method.clone(), &path, Body::None, Version::Any).await?;
        s.tell(&answer, &format!("{tenant} {is} {group}"))?;
    }
    Ok(())
}
