//! Who asks for whom: flags and segments of one environment that name other flags and segments. What would go in
//! a circle, too deep, or to something that is not there is refused before it is written.
//!
//! All of it belongs to one environment's log, whose head every commit replaces: what was read here still
//! stands when the change is written. Definitions belong to the organization's log; those newly asked for
//! are required to stand, and whoever would delete one requires that no environment moved.

mod graph;

use std::collections::{BTreeMap, BTreeSet};

use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, SegmentKey, VariantKey};
use flagforge_flags::wire::{ConditionWire, FlagIsWire, FlagTestWire, StateWire};

use super::Plan;
use super::flags::definition_in;
use crate::error::Error;
use crate::input::bounded;
use crate::place;
use crate::ports::Table;
use crate::record::SegmentRecord;
use crate::store::{self, Stored};

pub(super) use graph::{Users, check_cost};

/// Other flags that one change may newly ask for: each is a check in the transaction of 100, beside 50 for groups.
pub const MAX_NEW_ASKS: usize = 40;

/// A flag or a segment of an environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    Flag(FlagKey),
    Segment(SegmentKey),
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(key) => write!(f, "the flag `{key}`"),
            Self::Segment(key) => write!(f, "the segment `{key}`"),
        }
    }
}

/// What a flag or segment asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asks {
    /// Whom, how often, and the field that does so first.
    pub(crate) others: BTreeMap<Node, (usize, String)>,
    /// The variants that other flags are asked for, with the field.
    pub(super) variants: BTreeMap<(FlagKey, VariantKey), String>,
    /// Conditions, each counted once.
    pub(super) conditions: usize,
    /// The uid of the flag whose state asks, where it was read from the table.
    pub(super) of: Option<String>,
}

impl Asks {
    pub(crate) fn of_state(state: &StateWire) -> Self {
        let mut asks = Self::default();
        for (index, test) in state.prerequisites.iter().enumerate() {
            asks.flag(&format!("prerequisites[{index}]"), test);
        }
        for (index, rule) in state.rules.iter().enumerate() {
            asks.condition(&format!("rules[{index}].when"), &rule.when);
        }
        asks
    }

    pub(crate) fn of_segment(when: Option<&ConditionWire>) -> Self {
        let mut asks = Self::default();
        if let Some(when) = when {
            asks.condition("when", when);
        }
        asks
    }

    /// Recurses as deep as a condition that compiles may be.
    fn condition(&mut self, field: &str, condition: &ConditionWire) {
        self.conditions += 1;
        match condition {
            ConditionWire::All(parts) | ConditionWire::Any(parts) => {
                parts.iter().for_each(|part| self.condition(field, part));
            }
            ConditionWire::Not(part) => self.condition(field, part),
            ConditionWire::AnyElement(elements) | ConditionWire::AllElements(elements) => {
                self.condition(field, &elements.when);
            }
            ConditionWire::InSegment(key) => self.other(field, Node::Segment(key.clone())),
            ConditionWire::Flag(test) => self.flag(field, test),
            ConditionWire::Always
            | ConditionWire::Test(_)
            | ConditionWire::InGroup(_)
            | ConditionWire::Rollout(_) => {}
        }
    }

    fn flag(&mut self, field: &str, test: &FlagTestWire) {
        self.other(field, Node::Flag(test.flag.clone()));
        if let FlagIsWire::Variants(variants) = &test.is {
            for variant in variants {
                let tested = (test.flag.clone(), variant.clone());
                self.variants.entry(tested).or_insert_with(|| field.to_owned());
            }
        }
    }

    fn other(&mut self, field: &str, other: Node) {
        self.others.entry(other).or_insert_with(|| (0, field.to_owned())).0 += 1;
    }

    /// The flags of which this asks something that `was` did not.
    fn newly_asked<'a>(&'a self, was: &'a Self) -> BTreeSet<&'a FlagKey> {
        let flags = self.others.keys().filter(|other| !was.others.contains_key(other));
        let flags = flags.filter_map(|other| match other {
            Node::Flag(key) => Some(key),
            Node::Segment(_) => None,
        });
        let tested = self.variants.keys().filter(|tested| !was.variants.contains_key(tested));
        flags.chain(tested.map(|(flag, _)| flag)).collect()
    }
}

/// Somebody whose asking changes.
pub(in crate::plan) struct Asking {
    pub(in crate::plan) subject: Node,
    /// What it asks for now.
    pub(in crate::plan) was: Asks,
    pub(in crate::plan) becomes: Asks,
}

/// Refuses what may not be asked for. All of `asking` changes at once.
pub(super) async fn check(
    table: &dyn Table,
    plan: &mut Plan,
    (org, env): (&OrgKey, &EnvKey),
    asking: &[Asking],
) -> Result<(), Error> {
    let new = asking.iter().flat_map(|one| one.becomes.newly_asked(&one.was));
    let new: BTreeSet<&FlagKey> = new.collect();
    bounded("the other flags newly asked for", "flags", MAX_NEW_ASKS, new.len())?;
    for Asking { becomes, .. } in asking {
        for (other, (_, field)) in &becomes.others {
            match other {
                other if asking.iter().any(|one| one.subject == *other && is_segment(other)) => {}
                Node::Segment(key) => segment_there(table, org, env, key, field).await?,
                Node::Flag(key) if new.contains(key) => {
                    flag_there(table, plan, org, key, becomes, field).await?;
                }
                Node::Flag(_) => {}
            }
        }
    }
    check_cost(table, (org, env), asking).await
}

fn is_segment(node: &Node) -> bool {
    matches!(node, Node::Segment(_))
}

async fn segment_there(
    table: &dyn Table,
    org: &OrgKey,
    env: &EnvKey,
    key: &SegmentKey,
    field: &str,
) -> Result<(), Error> {
    let stands: Option<Stored<SegmentRecord>> =
        store::read(table, &place::segment(org, env, key)).await?;
    match stands {
        Some(_) => Ok(()),
        None => {
            let message = format!("there is no segment `{key}` in `{env}`; create it first");
            Err(Error::invalid(field, message))
        }
    }
}

async fn flag_there(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    key: &FlagKey,
    asks: &Asks,
    field: &str,
) -> Result<(), Error> {
    let stands = definition_in(table, org, key).await.map_err(|error| match error {
        Error::NotFound { .. } => Error::invalid(field, format!("there is no flag `{key}`")),
        other => other,
    })?;
    for ((_, variant), field) in asks.variants.iter().filter(|((flag, _), _)| flag == key) {
        if stands.value.variants.iter().all(|held| held.key != *variant) {
            let message = format!("the flag `{key}` has no variant `{variant}`");
            return Err(Error::invalid(field, message));
        }
    }
    plan.require(place::flag(org, key), stands.version);
    Ok(())
}
