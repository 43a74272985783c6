//! `flagforge tenant`.

use std::path::{Path as FilePath, PathBuf};

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value as Json, json};

use super::client::Body;
use super::fields::{Fields, bytes_in, json_in, pair, value};
use super::refusal::Failure;
use super::session::Absent;
use super::special::OF_TENANT;
use super::table::{Column, field, plain, with};
use super::{Find, FlagFilter, Pages, Session, audit, import};
use crate::args::{note, say};

const COLUMNS: [Column; 4] = [
    field("KEY", "key"),
    field("NAME", "name"),
    with("ATTRIBUTES", |tenant| pairs(&tenant["attributes"])),
    with(
        "SYNTHETIC",
        |tenant| if tenant["synthetic"] == true { "yes".to_owned() } else { String::new() },
    ),
];
const GROUPS: [Column; 2] = [
    field("GROUP", "group"),
    with("BY", |group| if group["byCondition"] == true { "condition" } else { "list" }.to_owned()),
];
const EFFECTIVE: [Column; 5] = [
    field("FLAG", "key"),
    with("VALUE", |answer| {
        answer.get("value").map_or("(caller's default)".to_owned(), Json::to_string)
    }),
    field("VARIANT", "variant"),
    with("DECIDED BY", decided_by),
    with("HIDES", |answer| {
        let hidden = answer["hides"].as_array().into_iter().flatten();
        hidden
            .map(|hidden| format!("{} ({})", plain(&hidden["variant"]), decided_by(hidden)))
            .collect::<Vec<_>>()
            .join(", ")
    }),
];
const SCHEMA: [Column; 5] = [
    field("ATTRIBUTE", "name"),
    field("TYPE", "type"),
    field("REQUIRED", "required"),
    field("ALLOWED", "allowed"),
    field("DESCRIPTION", "description"),
];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
  flagforge tenant set acme --name 'Acme Corp.' --attr plan=gold --attr seats=1200
  flagforge tenant list --when 'tenant.plan == \"gold\"'
  flagforge tenant special acme                          what is special about it
  flagforge tenant flags acme --env prod --user u-7      what it gets, and what decided that
  flagforge tenant import customers.csv --dry-run")]
pub(crate) enum TenantCommand {
    /// List tenants.
    List {
        /// A condition on attributes.
        #[arg(long, value_name = "CONDITION")]
        when: Option<String>,
        /// Only synthetic ones (true), or only real ones (false).
        #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
        synthetic: Option<bool>,
        #[command(flatten)]
        find: Find,
    },
    /// Show a tenant.
    Show {
        /// The tenant.
        key: String,
    },
    /// Make a tenant, or change one; what is not said stays.
    Set {
        /// The tenant.
        key: String,
        /// Its name for people.
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// An attribute, read as JSON or else as text: plan=gold, seats=12, zip='"12345"'. Repeat it for several.
        #[arg(long = "attr", value_name = "NAME=VALUE", value_parser = pair)]
        attributes: Vec<(String, String)>,
        /// An attribute that it shall not have. Repeat it for several.
        #[arg(long = "no-attr", value_name = "NAME")]
        without: Vec<String>,
        /// Made for tests, and no customer.
        #[arg(long, value_name = "YES", num_args = 0..=1, default_missing_value = "true")]
        synthetic: Option<bool>,
        /// Fields as JSON, as the API has them; options count before it. `-` is the standard input.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Make or replace up to 50 tenants, all or none.
    Put {
        /// A JSON array of tenants, or one a line (.ndjson); `-` is the standard input.
        file: PathBuf,
    },
    /// Make or change up to 100,000 tenants from a file. See `flagforge import`.
    Import(import::Run),
    /// Delete a tenant. Its overrides and memberships are void, also for a new tenant of the same key.
    Delete {
        /// The tenant.
        key: String,
    },
    /// Show what a tenant gets of every flag in the environment, what decided that, and what that hides.
    Flags {
        /// The tenant.
        key: String,
        /// One of its users, for what depends on one.
        #[arg(long, value_name = "KEY")]
        user: Option<String>,
        #[command(flatten)]
        filter: FlagFilter,
        #[command(flatten)]
        find: Find,
    },
    /// Show what is special about a tenant: its groups, and its overrides in every environment.
    Special {
        /// The tenant.
        key: String,
    },
    /// List the groups that a tenant is in.
    Groups {
        /// The tenant.
        key: String,
    },
    /// Show what a log says of a tenant, with nothing of others.
    Audit {
        /// The tenant.
        key: String,
        #[command(flatten)]
        log: audit::WhichLog,
        #[command(flatten)]
        pages: Pages,
    },
    /// What tenants' attributes may be.
    #[command(subcommand)]
    Schema(SchemaCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum SchemaCommand {
    /// Show it.
    Show,
    /// Replace it.
    #[command(after_help = "\
  echo '{\"attributes\": {\"plan\": {\"type\": \"string\", \"allowed\": [\"gold\", \"silver\"], \"required\": true}}}' |
      flagforge tenant schema set --file -
Types are string, integer, number, boolean, strings and date. Without attributes, anything is taken.")]
    Set {
        /// The schema as JSON; `-` is the standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Let tenants stand that do not fit it, and hold only later writes to it.
        #[arg(long)]
        lenient: bool,
    },
}

pub(crate) async fn run(command: &TenantCommand, s: &Session) -> anyhow::Result<()> {
    match command {
        TenantCommand::List { when, synthetic, find } => {
            let path = s.org(&["tenants"])?;
            let path = path.ask_if("when", when.as_deref()).ask_if("synthetic", *synthetic);
            s.find(path, find, &COLUMNS).await
        }
        TenantCommand::Show { key } => s.get_and_show(&s.org(&["tenants", key])?, &COLUMNS).await,
        TenantCommand::Set { key, name, attributes, without, synthetic, file } => {
            let fields = Fields::of(file.as_ref())?
                .set_if("name", name.clone())
                .set_if("synthetic", *synthetic);
            let edit = |tenant: &mut Json| attribute(tenant, attributes, without);
            let answer =
                s.amend_with(&s.org(&["tenants", key])?, fields, Absent::Create, edit).await?;
            s.show(&answer, &COLUMNS)
        }
        TenantCommand::Put { file } => {
            let body = Body::Json(json!({"tenants": tenants_in(file)?}));
            let answer = s.post(&s.org(&["tenants"])?, body).await?;
            let counts = answer.json()?;
            let count = |name: &str| plain(&counts[name]);
            let [created, changed, unchanged] = ["created", "changed", "unchanged"].map(count);
            s.tell(
                &answer,
                &format!("{created} created, {changed} changed, {unchanged} as they were"),
            )
        }
        TenantCommand::Import(run) => import::import(s, run).await,
        TenantCommand::Delete { key } => {
            s.delete(
                &s.org(&["tenants", key])?,
                &format!("the tenant {key}"),
                &format!("{key} is deleted"),
            )
            .await
        }
        TenantCommand::Flags { key, user, filter, find } => {
            let path = s.env(&["tenants", key, "flags"])?.ask_if("user", user.as_deref());
            s.find(filter.of(path), find, &EFFECTIVE).await
        }
        TenantCommand::Special { key } => special(s, key).await,
        TenantCommand::Groups { key } => {
            let answer = s.get(&s.org(&["tenants", key, "groups"])?).await?;
            s.print_list(&answer.json()?, &GROUPS)
        }
        TenantCommand::Audit { key, log, pages } => {
            let path = log.asked(s, s.org(&["tenants", key, "audit"])?);
            s.list(&path, pages, &audit::COLUMNS).await
        }
        TenantCommand::Schema(SchemaCommand::Show) => {
            let answer = s.get(&s.org(&["tenant-schema"])?).await?;
            if s.json() {
                return s.print(&answer);
            }
            let schema = answer.json()?;
            let attributes = schema["attributes"].as_object().into_iter().flatten();
            let named = |(name, spec): (&String, &Json)| {
                let mut spec = spec.clone();
                spec["name"] = json!(name);
                spec
            };
            let items: Vec<Json> = attributes.map(named).collect();
            if items.is_empty() {
                note("anything is taken: there is no schema");
                return Ok(());
            }
            s.print_list(&json!({"items": items}), &SCHEMA)
        }
        TenantCommand::Schema(SchemaCommand::Set { file, lenient }) => {
            let path = s.org(&["tenant-schema"])?;
            let found = s.get(&path).await?;
            let path = if *lenient { path.ask("strict", &false) } else { path };
            let answer =
                s.change(Method::PUT, &path, Body::Json(json_in(file)?), found.version()).await?;
            s.tell(&answer, "tenants are held to the new schema")
        }
    }
}

/// Sets and takes away attributes.
fn attribute(tenant: &mut Json, set: &[(String, String)], without: &[String]) {
    if !tenant["attributes"].is_object() {
        tenant["attributes"] = json!({});
    }
    for (name, text) in set {
        tenant["attributes"][name] = value(text);
    }
    if let Some(attributes) = tenant["attributes"].as_object_mut() {
        attributes.retain(|name, _| !without.contains(name));
    }
}

fn tenants_in(file: &FilePath) -> anyhow::Result<Json> {
    let is_lines =
        file.extension().is_some_and(|extension| extension == "ndjson" || extension == "jsonl");
    if !is_lines {
        return json_in(file);
    }
    let bytes = bytes_in(file)?;
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let tenant = |(index, line): (usize, &[u8])| {
        serde_json::from_slice(line).map_err(|error| {
            Failure::usage(format!("{}, tenant {}: {error}", file.display(), index + 1))
        })
    };
    Ok(Json::Array(lines.enumerate().map(tenant).collect::<Result<_, _>>()?))
}

async fn special(s: &Session, key: &str) -> anyhow::Result<()> {
    let overrides = s
        .gather(&s.org(&["tenants", key, "overrides"])?, &Pages { all: true, ..Pages::default() })
        .await?;
    let groups = s.get(&s.org(&["tenants", key, "groups"])?).await?.json()?;
    if s.json() {
        let all = json!({"groups": groups["items"], "overrides": overrides["items"]});
        return super::session::print_json(&all);
    }
    s.print_list(&groups, &GROUPS)?;
    say("");
    s.print_list(&overrides, &OF_TENANT)
}

fn decided_by(answer: &Json) -> String {
    let by = ["rule", "group", "error"].iter().find_map(|name| answer[*name].as_str());
    let why = plain(&answer["why"]);
    by.map_or(why.clone(), |by| format!("{why} {by}"))
}

/// `plan=gold, seats=12`.
fn pairs(attributes: &Json) -> String {
    let pairs = attributes.as_object().into_iter().flatten();
    pairs.map(|(name, value)| format!("{name}={}", plain(value))).collect::<Vec<_>>().join(", ")
}

#[test]
fn attributes_are_set_and_taken_away() {
    let mut tenant = json!({"attributes": {"plan": "silver", "old": 1}});
    let set = [("plan".to_owned(), "gold".to_owned()), ("seats".to_owned(), "12".to_owned())];
    attribute(&mut tenant, &set, &["old".to_owned()]);
    assert_eq!(tenant, json!({"attributes": {"plan": "gold", "seats": 12}}));
    assert_eq!(pairs(&tenant["attributes"]), "plan=gold, seats=12");
}
