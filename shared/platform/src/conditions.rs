//! Conditions as people send and read them: the tree, or the text form.

use flagforge_flags::text_form;
use flagforge_flags::wire::ConditionWire;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

use crate::error::Error;

/// A condition: the tree, or the same as text, say `tenant.plan in ["gold"]`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ConditionInput {
    Tree(ConditionWire),
    /// A subset of CEL; docs/conditions.md is its grammar.
    Text(String),
}

/// By hand, because a derived one would not say where in the tree the mistake is.
impl<'de> Deserialize<'de> for ConditionInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        Ok(match Json::deserialize(deserializer)? {
            // The tree's own word; the text form says `true`.
            Json::String(text) if text == "always" => Self::Tree(ConditionWire::Always),
            Json::String(text) => Self::Text(text),
            tree => {
                let tree = tree_of(tree).map_err(D::Error::custom)?;
                Self::Tree(tree)
            }
        })
    }
}

fn tree_of(tree: Json) -> Result<ConditionWire, Error> {
    crate::strict::from_value(tree, &[])
}

impl From<ConditionWire> for ConditionInput {
    fn from(tree: ConditionWire) -> Self {
        Self::Tree(tree)
    }
}

impl ConditionInput {
    /// The tree. An error names `field`, and for a text the line and column in it.
    pub(crate) fn tree(&self, field: &str) -> Result<ConditionWire, Error> {
        match self {
            Self::Tree(tree) => Ok(tree.clone()),
            Self::Text(text) => text_form::parse(text).map_err(|error| Error::BadText {
                field: field.to_owned(),
                line: error.line,
                column: error.column,
                message: error.to_string(),
            }),
        }
    }
}

/// Writes the conditions of a flag state or segment as canonical text.
pub(crate) fn as_text(document: &mut Json) {
    if let Some(when) = document.get_mut("when") {
        print(when);
    }
    let rules = document.get_mut("rules").and_then(Json::as_array_mut);
    let rules = rules.into_iter().flatten().filter_map(|rule| rule.get_mut("when"));
    rules.for_each(print);
}

fn print(when: &mut Json) {
    if let Ok(tree) = serde_json::from_value::<ConditionWire>(when.clone()) {
        *when = Json::String(text_form::print(&tree));
    }
}
