//! What a flag is, in every environment.

use std::path::PathBuf;

use serde_json::json;

use super::outcome;
use crate::manage::Session;
use crate::manage::fields::{Fields, pair, value};
use crate::manage::refusal::{Exit, Failure};
use crate::manage::session::Absent;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
  flagforge flag define new-search --class release --type boolean --owner team-search --tag q4
  flagforge flag define button --class experiment --type string --expires 2027-06-30T00:00:00Z \\
      --variant control='Buy now' --variant short=Buy --off control --fallthrough control
  flagforge flag define ledger --file ledger.json
A boolean has the variants on and off unless others are given. /openapi.json has every field of a file.")]
pub(crate) struct Definition {
    /// The new flag's key.
    key: String,
    /// What it is for: release, experiment, ops, migration or policy.
    #[arg(long, value_name = "CLASS", required_unless_present = "file")]
    class: Option<String>,
    /// What its values are: boolean, string, integer, number or object.
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "file")]
    value_type: Option<String>,
    #[command(flatten)]
    facts: Facts,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
  flagforge flag update new-search --owner team-find --description 'Search, written anew'
  echo '{\"domain\": null}' | flagforge flag update new-search --file -
Null in a file takes a field away. Lists are replaced whole.")]
pub(crate) struct Update {
    /// The flag.
    key: String,
    #[command(flatten)]
    facts: Facts,
}

#[derive(Debug, clap::Args)]
struct Facts {
    /// What it decides, for people.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Who answers for it.
    #[arg(long, value_name = "TEAM")]
    owner: Option<String>,
    /// The bounded context it belongs to. Roles and kill switches can be for a domain.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// A tag. Repeat it for several.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// A service that asks for it. Repeat it for several.
    #[arg(long = "dependent", value_name = "SERVICE")]
    dependents: Vec<String>,
    /// An address with more about it.
    #[arg(long, value_name = "URL")]
    documentation: Option<String>,
    /// When it should be gone (RFC 3339).
    #[arg(long, value_name = "INSTANT")]
    expires: Option<String>,
    /// When somebody looks whether it is still right.
    #[arg(long, value_name = "INSTANT")]
    review: Option<String>,
    /// A variant and its value, as JSON or text. Repeat it for several.
    #[arg(long = "variant", value_name = "KEY=VALUE", value_parser = pair)]
    variants: Vec<(String, String)>,
    /// What is served while it is off.
    #[arg(long, value_name = "OUTCOME", value_parser = outcome::parse)]
    off: Option<serde_json::Value>,
    /// What is served where nothing else decides.
    #[arg(long, value_name = "OUTCOME", value_parser = outcome::parse)]
    fallthrough: Option<serde_json::Value>,
    /// May browsers and phones know it?
    #[arg(long, value_name = "YES", action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    client_visible: Option<bool>,
    /// Fields as JSON, as the API has them; options count before it. `-` is the standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Facts {
    /// Of a flag of strings, what is no JSON string is text, also what looks like a number.
    fn fields(&self, value_type: Option<&str>) -> anyhow::Result<Fields> {
        let value = |text: &str| match value(text) {
            other if value_type == Some("string") && !other.is_string() => json!(text),
            value => value,
        };
        let variant = |(key, text): &(String, String)| json!({"key": key, "value": value(text)});
        let variants: Vec<_> = self.variants.iter().map(variant).collect();
        let fields = Fields::of(self.file.as_ref())?
            .set_if("description", self.description.clone())
            .set_if("owner", self.owner.clone())
            .set_if("domain", self.domain.clone())
            .set_list("tags", &self.tags)
            .set_list("dependents", &self.dependents)
            .set_if("documentation", self.documentation.clone())
            .set_if("expiresAt", self.expires.clone())
            .set_if("reviewAt", self.review.clone())
            .set_if("off", self.off.clone())
            .set_if("fallthrough", self.fallthrough.clone())
            .set_if("clientVisible", self.client_visible);
        Ok(fields.set_if("variants", (!variants.is_empty()).then_some(variants)))
    }
}

pub(super) async fn define(s: &Session, definition: &Definition) -> anyhow::Result<()> {
    let fields = (definition.facts.fields(definition.value_type.as_deref())?)
        .set_if("class", definition.class.clone())
        .set_if("type", definition.value_type.clone());
    let key = &definition.key;
    match s.create(&s.org(&["flags", key])?, fields).await {
        Ok(answer) => {
            let next = format!("flagforge flag on {key}");
            s.tell(&answer, &format!("{key} is defined, and off everywhere; `{next}` turns it on"))
        }
        Err(error) if Failure::is(&error, Exit::Conflict) => {
            let next = format!("`flagforge flag update {key}` changes its definition");
            Err(error
                .context(Failure::new(Exit::Conflict, format!("{key} is there already: {next}"))))
        }
        Err(error) => Err(error),
    }
}

pub(super) async fn update(s: &Session, update: &Update) -> anyhow::Result<()> {
    let fields = update.facts.fields(None)?;
    if fields.is_empty() {
        return Err(Failure::usage(
            "say what is to change; `flagforge flag update --help` lists it",
        ));
    }
    let answer = s.amend(&s.org(&["flags", &update.key])?, fields, Absent::Refuse).await?;
    s.tell(&answer, &format!("{} is redefined", update.key))
}
