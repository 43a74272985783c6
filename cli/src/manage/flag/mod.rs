//! `flagforge flag`.

mod define;
mod outcome;
mod rule;
mod show;
mod state;

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value as Json, json};

use super::client::Body;
use super::deleted::{self, DeletedCommand};
use super::table::{Column, field, with};
use super::{Pages, Session};
use crate::args::say;

pub(super) use outcome::condition;
pub(super) use state::in_list;

const HISTORY: [Column; 6] = [
    field("NUMBER", "number"),
    field("AT", "at"),
    with("BY", |past| super::audit::actor(&past["by"])),
    field("CHANGE", "change"),
    with("STATE", |past| show::in_short(&past["state"])),
    field("REASON", "reason"),
];

#[derive(Debug, Subcommand)]
#[command(after_help = "\
From nothing to a customer's own answer:
  flagforge flag define new-search --class release --type boolean --owner team-search
  flagforge flag on new-search --env prod
  flagforge flag rule set new-search gold-first --when 'tenant.plan == \"gold\"' --serve on --env prod
  flagforge flag fallthrough new-search off=90,on=10 --env prod
  flagforge override set new-search on --tenant acme --env prod")]
pub(crate) enum FlagCommand {
    /// List flags, and what they do in the environment where one is named.
    List(show::List),
    /// Show a flag, and what it does in each environment.
    Show {
        /// The flag.
        key: String,
    },
    /// Define a new flag. It is off everywhere.
    #[command(visible_alias = "create")]
    Define(define::Definition),
    /// Change a flag's definition; what is not said stays.
    Update(define::Update),
    /// Delete a flag in every environment. Services get their own defaults from then on. It can be restored for a while.
    Delete {
        /// The flag.
        key: String,
    },
    /// Flags that were deleted and can come back.
    #[command(subcommand)]
    Deleted(DeletedCommand),
    /// Define a flag like another, with the states that it has. Who is in the one is in the other.
    Clone {
        /// The flag that there is.
        key: String,
        /// The new flag.
        new: String,
    },
    /// Show what a flag does in the environment.
    State {
        /// The flag.
        key: String,
    },
    /// Turn a flag on in the environment.
    #[command(visible_alias = "enable")]
    On {
        /// The flag.
        key: String,
    },
    /// Turn a flag off in the environment, for everybody, at once.
    #[command(visible_alias = "kill")]
    Off {
        /// The flag.
        key: String,
    },
    /// Edit the rules, which are tried in order.
    #[command(subcommand)]
    Rule(rule::RuleCommand),
    /// Say what those get whom no rule decides.
    #[command(after_help = outcome::HELP)]
    Fallthrough(state::Serve),
    /// Say what everybody gets while the flag is off.
    #[command(after_help = outcome::HELP)]
    WhenOff(state::Serve),
    /// Set the weights of a split, moving the fewest users: raising 10 % to 20 % moves nobody out.
    Split(state::Split),
    /// Let a variant's share grow between two instants.
    Ramp(state::Ramp),
    /// Give single users, or other entities, a variant.
    Target(state::Target),
    /// Take single users' variants away; the rules decide again.
    Untarget(state::Untarget),
    /// Let a flag count as off unless another serves what is named.
    Require(state::Require),
    /// Take a prerequisite away.
    Unrequire {
        /// The flag.
        key: String,
        /// The flag that it needed.
        other: String,
    },
    /// Change parts of a state with a JSON Merge Patch, or replace it whole.
    Set(state::Set),
    /// Show the changes of a flag's state, newest first.
    History {
        /// The flag.
        key: String,
        #[command(flatten)]
        pages: Pages,
    },
    /// Put a flag's state back as an entry of its history left it.
    Restore {
        /// The flag.
        key: String,
        /// The entry's number, as `history` says it.
        number: u64,
    },
    /// Sort all flags by owner, domain, dependent service or tag.
    Catalog {
        /// By what: owner, domain, dependent or tag.
        #[arg(long, value_name = "WHAT", default_value = "owner")]
        by: String,
    },
    /// List flags that look like duplicates of one another.
    Duplicates,
    /// List flags whose end or review has passed.
    Overdue,
}

pub(crate) async fn run(command: &FlagCommand, s: &Session) -> anyhow::Result<()> {
    match command {
        FlagCommand::List(list) => show::list(s, list).await,
        FlagCommand::Show { key } => show::show(s, key).await,
        FlagCommand::Define(definition) => define::define(s, definition).await,
        FlagCommand::Update(update) => define::update(s, update).await,
        FlagCommand::Delete { key } => {
            let what = format!("the flag {key} in every environment");
            s.delete(&s.org(&["flags", key])?, &what, &format!("{key} is deleted")).await
        }
        FlagCommand::Deleted(command) => deleted::run(s, command, s.org(&["deleted-flags"])?).await,
        FlagCommand::Clone { key, new } => {
            let body = Body::Json(json!({"key": new}));
            let answer = s.post(&s.org(&["flags", key, "clone"])?, body).await?;
            s.tell(&answer, &format!("{new} is a flag like {key}"))
        }
        FlagCommand::State { key } => {
            let path = s.env(&["flags", key])?.ask("conditions", "text");
            show::print_state(s, &s.get(&path).await?)
        }
        FlagCommand::On { key } => switch(s, key, true).await,
        FlagCommand::Off { key } => switch(s, key, false).await,
        FlagCommand::Rule(command) => rule::run(s, command).await,
        FlagCommand::Fallthrough(serve) => state::serve(s, serve, "fallthrough").await,
        FlagCommand::WhenOff(serve) => state::serve(s, serve, "off").await,
        FlagCommand::Split(split) => state::split(s, split).await,
        FlagCommand::Ramp(ramp) => state::ramp(s, ramp).await,
        FlagCommand::Target(target) => state::target(s, target).await,
        FlagCommand::Untarget(untarget) => state::untarget(s, untarget).await,
        FlagCommand::Require(require) => state::require(s, require).await,
        FlagCommand::Unrequire { key, other } => state::unrequire(s, key, other).await,
        FlagCommand::Set(set) => state::set(s, set).await,
        FlagCommand::History { key, pages } => {
            s.list(&s.env(&["flags", key, "history"])?, pages, &HISTORY).await
        }
        FlagCommand::Restore { key, number } => {
            let path = s.env(&["flags", key, "restore"])?;
            let body = Body::Json(json!({"number": number}));
            show::print_state(s, &s.post(&path, body).await?)
        }
        FlagCommand::Catalog { by } => catalog(s, by).await,
        FlagCommand::Duplicates => duplicates(s).await,
        FlagCommand::Overdue => overdue(s).await,
    }
}

async fn switch(s: &Session, key: &str, on: bool) -> anyhow::Result<()> {
    let path = s.env(&["flags", key, if on { "enable" } else { "kill" }])?;
    let answer = s.post(&path, Body::None).await?;
    let killed = answer.json()?["killedBy"].as_array().is_some_and(|by| !by.is_empty());
    let but =
        if on && killed { ", but a kill switch holds it off (`flagforge kill list`)" } else { "" };
    let word = if on { "on" } else { "off" };
    s.tell(&answer, &format!("{key} is {word} in {}{but}", s.env_name()?))
}

/// Reads a flag's state, lets `edit` change it, and puts it back if it is still the same.
pub(super) async fn edit_state(
    s: &Session,
    key: &str,
    edit: impl FnOnce(&mut Json) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let path = s.env(&["flags", key])?;
    let found = s.get(&path).await?;
    let mut state = found.json()?;
    edit(&mut state)?;
    let answer = s.change(Method::PUT, &path, Body::Json(state), found.version()).await?;
    show::print_state(s, &answer)
}

async fn catalog_of(s: &Session, by: &str) -> anyhow::Result<super::client::Answer> {
    s.get(&s.org(&["catalog"])?.ask("by", by)).await
}

async fn catalog(s: &Session, by: &str) -> anyhow::Result<()> {
    let answer = catalog_of(s, by).await?;
    let columns = [
        with("BY", |group| group["name"].as_str().unwrap_or("(none)").to_owned()),
        with("COUNT", |group| group["flags"].as_array().map_or(0, Vec::len).to_string()),
        field("FLAGS", "flags"),
    ];
    if s.json() {
        return s.print(&answer);
    }
    s.print_list(&json!({"items": answer.json()?["groups"]}), &columns)
}

async fn duplicates(s: &Session) -> anyhow::Result<()> {
    let catalog = catalog_of(s, "owner").await?.json()?;
    let columns = [field("FLAGS", "flags"), field("WHY", "why")];
    s.print_list(&json!({"items": catalog["duplicates"]}), &columns)
}

async fn overdue(s: &Session) -> anyhow::Result<()> {
    let catalog = catalog_of(s, "owner").await?.json()?;
    if s.json() {
        return super::session::print_json(&json!({"items": catalog["overdue"]}));
    }
    let flags = catalog["overdue"].as_array().into_iter().flatten();
    flags.filter_map(Json::as_str).for_each(say);
    Ok(())
}
