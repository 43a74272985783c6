//! Flags for people: in a list, whole, and in one environment.

use serde_json::{Value as Json, json};

use super::outcome::{condition, outcome};
use crate::args::say;
use crate::manage::client::Answer;
use crate::manage::session::print_table;
use crate::manage::table::{Column, field, plain, record, with};
use crate::manage::{Find, FlagFilter, Session};

const RULES: [Column; 4] = [
    field("RULE", "id"),
    with("WHEN", |rule| condition(&rule["when"])),
    with("SERVE", |rule| outcome(&rule["serve"])),
    field("DESCRIPTION", "description"),
];
const DEFINITION: [Column; 6] = [
    field("KEY", "key"),
    field("CLASS", "class"),
    field("TYPE", "type"),
    field("OWNER", "owner"),
    field("DOMAIN", "domain"),
    field("DESCRIPTION", "description"),
];
const WITH_STATE: [Column; 6] = [
    field("KEY", "key"),
    field("CLASS", "class"),
    field("TYPE", "type"),
    field("OWNER", "owner"),
    with("STATE", |flag| in_short(&flag["state"])),
    field("DESCRIPTION", "description"),
];
const FACTS: [Column; 16] = [
    field("key", "key"),
    field("class", "class"),
    field("type", "type"),
    field("description", "description"),
    field("owner", "owner"),
    field("domain", "domain"),
    field("tags", "tags"),
    field("dependents", "dependents"),
    field("documentation", "documentation"),
    with("variants", |flag| variants(&flag["variants"])),
    with("client-visible", |flag| plain(&flag["clientVisible"])),
    field("created", "created"),
    field("expires", "expiresAt"),
    field("review", "reviewAt"),
    field("retirement", "retirement"),
    field("stale", "stale"),
];
const PER_ENVIRONMENT: [Column; 5] = [
    field("ENVIRONMENT", "environment"),
    with("STATE", in_short),
    with("RULES", |state| count(&state["rules"])),
    with("GROUPS", |state| count(&state["groupOverrides"])),
    with("TARGETS", |state| count(&state["targets"])),
];

const PER_FLAG: [Column; 5] = [
    field("KEY", "key"),
    with("STATE", in_short),
    with("RULES", |state| count(&state["rules"])),
    with("GROUPS", |state| count(&state["groupOverrides"])),
    with("TARGETS", |state| count(&state["targets"])),
];

#[derive(Debug, clap::Args)]
#[command(after_help = "\
  flagforge flag list --search checkout --owner team-pay
  flagforge flag list --env prod           with what they do there
  flagforge flag list --definitions        without, though the profile names an environment
  flagforge flag list --states --json      the states themselves")]
pub(crate) struct List {
    /// What they are, and not what they do.
    #[arg(long, conflicts_with = "states")]
    definitions: bool,
    /// The states of an environment, and not what they are.
    #[arg(long)]
    states: bool,
    #[command(flatten)]
    filter: FlagFilter,
    #[command(flatten)]
    find: Find,
}

pub(super) async fn list(s: &Session, list: &List) -> anyhow::Result<()> {
    let List { definitions, states, filter, find } = list;
    if *states {
        let path = s.env(&["flags"])?.ask("conditions", "text");
        return s.find(filter.of(path), find, &PER_FLAG).await;
    }
    let defined = filter.of(s.org(&["flags"])?);
    if *definitions || s.json() || find.fields.is_some() || s.env_if_named().is_none() {
        return s.find(defined, find, &DEFINITION).await;
    }
    let mut found = s.gather(&find.of(defined), &find.pages).await?;
    // Both lists are by key, of the same flags: the first so many definitions go with the first so many states.
    let states = s.gather(&find.of(filter.of(s.env(&["flags"])?)), &find.pages).await?;
    let states = states["items"].as_array().cloned().unwrap_or_default();
    for flag in found["items"].as_array_mut().into_iter().flatten() {
        let state = states.iter().find(|state| state["key"] == flag["key"]).cloned();
        flag["state"] = state.unwrap_or_default();
    }
    s.print_list(&found, &WITH_STATE)
}

/// What a flag is, and what it does in every environment that the key may see.
pub(super) async fn show(s: &Session, key: &str) -> anyhow::Result<()> {
    let definition = s.get(&s.org(&["flags", key])?).await?;
    s.show(&definition, &FACTS)?;
    if s.json() {
        return Ok(());
    }
    let environments = s.get(&s.org(&["environments"])?).await?.json()?;
    let mut states = Vec::new();
    for environment in environments["items"].as_array().into_iter().flatten() {
        let env = environment["key"].as_str().unwrap_or_default();
        states.push(s.get(&s.org(&["environments", env, "flags", key])?).await?.json()?);
    }
    say("");
    print_table(&PER_ENVIRONMENT, &states);
    Ok(())
}

/// What a flag does in one environment.
pub(super) fn print_state(s: &Session, answer: &Answer) -> anyhow::Result<()> {
    let state = answer.json()?;
    if s.json() || state["changeRequest"].is_string() {
        return s.tell(answer, "");
    }
    let columns = [
        with("flag", |state| {
            format!(
                "{} ({}, {})",
                plain(&state["key"]),
                plain(&state["class"]),
                plain(&state["type"])
            )
        }),
        field("environment", "environment"),
        with(
            "state",
            |state| if state["enabled"] == true { "on".to_owned() } else { "off".to_owned() },
        ),
        field("killed by", "killedBy"),
        with("killed in part", |state| each(&state["killedInPartBy"], &part)),
        with("when off", |state| outcome(&state["off"])),
        with("stale", |state| plain(&state["stale"])),
        with("requires", |state| {
            each(&state["prerequisites"], &|test| condition(&json!({"flag": test})))
        }),
        with("targets", |state| each(&state["targets"], &target)),
        with("groups", |state| each(&state["groupOverrides"], &group_override)),
    ];
    record(&columns, &state).iter().for_each(|line| say(line));
    let mut rules = state["rules"].as_array().cloned().unwrap_or_default();
    rules.push(json!({"id": "otherwise", "serve": state["fallthrough"]}));
    say("");
    print_table(&RULES, &rules);
    if let (true, Some(revision)) = (answer.is_of_a_change(), answer.header("flagforge-revision")) {
        say("");
        say(&format!("({revision})"));
    }
    Ok(())
}

/// `on, else off`, of a state.
pub(super) fn in_short(state: &Json) -> String {
    let killed = plain(&state["killedBy"]);
    match state["enabled"].as_bool() {
        None => String::new(),
        Some(false) => format!("off, serves {}", outcome(&state["off"])),
        Some(true) if !killed.is_empty() => {
            format!("killed by {killed}, serves {}", outcome(&state["off"]))
        }
        Some(true) => format!("on, else {}", outcome(&state["fallthrough"])),
    }
}

fn each(items: &Json, tell: &dyn Fn(&Json) -> String) -> String {
    items.as_array().into_iter().flatten().map(tell).collect::<Vec<_>>().join("; ")
}

fn count(items: &Json) -> String {
    items.as_array().map_or(String::new(), |items| items.len().to_string())
}

fn part(kill: &Json) -> String {
    format!("{} for {}", plain(&kill["scope"]), plain(&kill["group"]))
}

fn target(target: &Json) -> String {
    let entity = match target["entity"].as_str() {
        None | Some("user") => String::new(),
        Some(entity) => format!(" ({entity})"),
    };
    format!("{} → {}{entity}", plain(&target["keys"]), plain(&target["variant"]))
}

fn group_override(given: &Json) -> String {
    let until =
        given["expires"].as_str().map(|until| format!(" until {until}")).unwrap_or_default();
    format!("{} → {}{until}", plain(&given["group"]), plain(&given["variant"]))
}

fn variants(variants: &Json) -> String {
    each(variants, &|variant| format!("{}={}", plain(&variant["key"]), variant["value"]))
}
