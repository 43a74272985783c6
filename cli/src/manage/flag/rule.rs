//! Rules: tried in order, the first whose condition holds decides.

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::state::in_list;
use super::{edit_state, outcome};
use crate::manage::Session;
use crate::manage::fields::lay_over;
use crate::manage::refusal::{Exit, Failure};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
  flagforge flag rule set new-search gold-first --when 'tenant.plan == \"gold\"' --serve on
  flagforge flag rule set new-search staff --when 'user.email.endsWith(\"@example.com\")' --serve on --before gold-first
  flagforge flag rule set new-search gold-first --serve on=50,off=50
  flagforge flag rule remove new-search staff
docs/conditions.md has all that a condition can say. `flagforge flag state` shows the rules.")]
pub(crate) enum RuleCommand {
    /// Add a rule, or change one that is there; what is not said of it stays, also its place.
    #[command(after_help = outcome::HELP)]
    Set {
        /// The flag.
        key: String,
        /// The rule's id; it stays when the rule is edited, so that a changed percentage moves the fewest users.
        rule: String,
        /// The condition, as text.
        #[arg(long, value_name = "CONDITION")]
        when: Option<String>,
        /// What is served when it holds.
        #[arg(long, value_name = "OUTCOME", value_parser = outcome::parse)]
        serve: Option<Json>,
        /// What it is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Move a rule.
    Move {
        /// The flag.
        key: String,
        /// The rule.
        rule: String,
        #[command(flatten)]
        place: Place,
    },
    /// Remove a rule.
    Remove {
        /// The flag.
        key: String,
        /// The rule.
        rule: String,
    },
}

/// Where a rule stands among the others. A new one is the last when nothing is said.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub(crate) struct Place {
    /// Before all others.
    #[arg(long)]
    first: bool,
    /// After all others.
    #[arg(long)]
    last: bool,
    /// Before this rule.
    #[arg(long, value_name = "RULE")]
    before: Option<String>,
}

pub(super) async fn run(s: &Session, command: &RuleCommand) -> anyhow::Result<()> {
    match command {
        RuleCommand::Set { key, rule, when, serve, description, place } => {
            let mut said = json!({"id": rule});
            for (name, value) in [
                ("when", when.clone().map(Json::String)),
                ("serve", serve.clone()),
                ("description", description.clone().map(Json::String)),
            ] {
                if let Some(value) = value {
                    said[name] = value;
                }
            }
            edit_state(s, key, |state| {
                in_list(state, "rules", |rules| put(rules, rule, said, place))
            })
            .await
        }
        RuleCommand::Move { key, rule, place } => {
            edit_state(s, key, |state| {
                in_list(state, "rules", |rules| {
                    let moved = take(rules, rule)?;
                    let at = place.index(rules)?.unwrap_or(rules.len());
                    rules.insert(at, moved);
                    Ok(())
                })
            })
            .await
        }
        RuleCommand::Remove { key, rule } => {
            edit_state(s, key, |state| in_list(state, "rules", |rules| take(rules, rule).map(drop)))
                .await
        }
    }
}

impl Place {
    /// Where it says, if it says.
    fn index(&self, rules: &[Json]) -> anyhow::Result<Option<usize>> {
        match (&self.before, self.first, self.last) {
            (Some(other), ..) => find(rules, other).map(Some).ok_or_else(|| no_rule(other)),
            (None, true, _) => Ok(Some(0)),
            (None, _, true) => Ok(Some(rules.len())),
            (None, false, false) => Ok(None),
        }
    }
}

/// Lays what is said over a rule, or adds it.
fn put(rules: &mut Vec<Json>, id: &str, said: Json, place: &Place) -> anyhow::Result<()> {
    let (mut rule, was_at) = match find(rules, id) {
        Some(at) => (rules.remove(at), at),
        None => (json!({}), rules.len()),
    };
    lay_over(&mut rule, said);
    let at = place.index(rules)?.unwrap_or(was_at);
    rules.insert(at, rule);
    Ok(())
}

fn take(rules: &mut Vec<Json>, id: &str) -> anyhow::Result<Json> {
    let at = find(rules, id).ok_or_else(|| no_rule(id))?;
    Ok(rules.remove(at))
}

fn find(rules: &[Json], id: &str) -> Option<usize> {
    rules.iter().position(|rule| rule["id"] == id)
}

pub(super) fn no_rule(id: &str) -> anyhow::Error {
    let next = "`flagforge flag state` shows the flag's rules";
    Failure::new(Exit::NotFound, format!("the flag has no rule `{id}` here\n  next:  {next}"))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(rules: &[Json]) -> String {
        rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    fn place(first: bool, before: Option<&str>) -> Place {
        Place { first, last: false, before: before.map(str::to_owned) }
    }

    #[test]
    fn a_rule_keeps_its_place_unless_another_is_said() {
        let mut rules = vec![json!({"id": "a", "when": "x"}), json!({"id": "b"})];
        put(&mut rules, "a", json!({"id": "a", "serve": 1}), &place(false, None)).unwrap();
        assert_eq!(rules[0], json!({"id": "a", "when": "x", "serve": 1}));
        put(&mut rules, "c", json!({"id": "c"}), &place(false, None)).unwrap();
        assert_eq!(ids(&rules), "a b c");
        put(&mut rules, "c", json!({"id": "c"}), &place(false, Some("b"))).unwrap();
        put(&mut rules, "d", json!({"id": "d"}), &place(true, None)).unwrap();
        assert_eq!(ids(&rules), "d a c b");
        assert!(put(&mut rules, "e", json!({"id": "e"}), &place(false, Some("no"))).is_err());
        assert!(take(&mut rules, "no").is_err());
    }
}
