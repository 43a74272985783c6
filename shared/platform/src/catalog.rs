//! The catalog: which flags there are, by whose they are and who depends on them, which should be gone, and which
//! look like one another.

use std::collections::{BTreeMap, BTreeSet};

use flagforge_flags::keys::{FlagKey, OrgKey};
use flagforge_flags::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Platform;
use crate::caller::{Caller, Permission};
use crate::error::Error;
use crate::place;
use crate::record::Definition;
use crate::store::{self, Stored};

/// Words of keys that do not tell one business change from another.
const EMPTY_WORDS: [&str; 22] = [
    "a",
    "active",
    "and",
    "enable",
    "enabled",
    "experiment",
    "feature",
    "flag",
    "for",
    "ff",
    "is",
    "new",
    "of",
    "on",
    "release",
    "rollout",
    "show",
    "temp",
    "test",
    "the",
    "toggle",
    "use",
];

/// By what the catalog is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CatalogBy {
    #[default]
    Owner,
    Domain,
    /// A service that depends on flags; a flag is under each of its own.
    Dependent,
    Tag,
}

/// The flags of an organization, sorted.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Catalog {
    /// By name; flags that name nobody are last, without one.
    pub groups: Vec<CatalogGroup>,
    /// Flags that most likely are about one change.
    pub duplicates: Vec<LikelyDuplicates>,
    /// Flags whose end or review has passed.
    pub overdue: Vec<FlagKey>,
}

/// The flags of one owner, domain, dependent or tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatalogGroup {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub flags: Vec<FlagKey>,
}

/// Flags that look alike, and in what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LikelyDuplicates {
    pub flags: Vec<FlagKey>,
    pub why: String,
}

impl Platform {
    /// Reads every definition of the organization.
    pub async fn catalog(
        &self,
        caller: &Caller,
        org: &OrgKey,
        by: CatalogBy,
    ) -> Result<Catalog, Error> {
        caller.can(org, Permission::Read)?;
        self.organization(caller, org).await?;
        let definitions: Vec<Stored<Definition>> =
            store::all(self.table(), &place::org_pk(org), "FLAG#").await?;
        let definitions: Vec<Definition> = definitions.into_iter().map(|s| s.value).collect();
        Ok(catalog(&definitions, by, self.timer().now()))
    }
}

fn catalog(definitions: &[Definition], by: CatalogBy, now: Timestamp) -> Catalog {
    let mut groups: BTreeMap<Option<String>, Vec<FlagKey>> = BTreeMap::new();
    for definition in definitions {
        for name in names(definition, by) {
            groups.entry(name).or_default().push(definition.key.clone());
        }
    }
    let nobodys = groups.remove(&None);
    let mut groups: Vec<CatalogGroup> =
        groups.into_iter().map(|(name, flags)| CatalogGroup { name, flags }).collect();
    groups.extend(nobodys.map(|flags| CatalogGroup { name: None, flags }));
    let overdue = definitions.iter().filter(|definition| {
        definition.expires_at.or(definition.review_at).is_some_and(|at| at <= now)
    });
    Catalog {
        groups,
        duplicates: duplicates(definitions),
        overdue: overdue.map(|definition| definition.key.clone()).collect(),
    }
}

fn names(definition: &Definition, by: CatalogBy) -> Vec<Option<String>> {
    let several = |names: &[String]| match names {
        [] => vec![None],
        names => names.iter().cloned().map(Some).collect(),
    };
    match by {
        CatalogBy::Owner => vec![definition.owner.clone()],
        CatalogBy::Domain => vec![definition.domain.clone()],
        CatalogBy::Dependent => several(&definition.dependents),
        CatalogBy::Tag => several(&definition.tags),
    }
}

/// Flags with the same words in their keys, the same description, or the same documentation.
fn duplicates(definitions: &[Definition]) -> Vec<LikelyDuplicates> {
    let mut alike: BTreeMap<(&str, String), BTreeSet<FlagKey>> = BTreeMap::new();
    for definition in definitions {
        let words = words(definition.key.as_str());
        let description = words_in_order(&definition.description).join(" ");
        let link = definition.documentation.clone().unwrap_or_default();
        for (sign, value) in [
            ("their keys say the same: ", words.into_iter().collect::<Vec<_>>().join(" ")),
            ("they have one description: ", description),
            ("they have one page of documentation: ", link),
        ] {
            if !value.is_empty() {
                alike.entry((sign, value)).or_default().insert(definition.key.clone());
            }
        }
    }
    let several = alike.into_iter().filter(|(_, flags)| flags.len() > 1);
    let mut found: Vec<LikelyDuplicates> = several
        .map(|((sign, value), flags)| LikelyDuplicates {
            flags: flags.into_iter().collect(),
            why: format!("{sign}{value}"),
        })
        .collect();
    found.sort();
    found
}

/// The words of a key that mean something, whatever their order and how they are joined.
fn words(key: &str) -> BTreeSet<String> {
    let mut apart = String::new();
    let mut before_is_lower = false;
    for character in key.chars() {
        // `newCheckout` is `new checkout`.
        if character.is_uppercase() && before_is_lower {
            apart.push(' ');
        }
        before_is_lower = character.is_lowercase();
        apart.push(character);
    }
    let words = words_in_order(&apart).into_iter();
    words.filter(|word| !EMPTY_WORDS.contains(&word.as_str()) && !is_version(word)).collect()
}

fn words_in_order(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// `v2`, `2`.
fn is_version(word: &str) -> bool {
    let number = word.strip_prefix('v').unwrap_or(word);
    !number.is_empty() && number.chars().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_change_have_the_same_words() {
        let same = |a: &str, b: &str| words(a) == words(b);
        assert!(same("new-checkout", "checkout_v2") && same("enableNewCheckout", "checkout"));
        assert!(same("cart.express", "Express-Cart"));
        assert!(!same("checkout", "checkout-button") && !same("a-b", "new-c"));
        assert!(words("new-v2").is_empty());
    }
}
