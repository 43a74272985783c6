//! From the wire form of a flag to its working form: the one door, and every limit stands at it.

pub(crate) mod at;
mod conditions;

use std::time::Duration;

use crate::condition::FlagTest;
use crate::flag::{
    GroupOverride, Outcome, Quick, Ramp, Rule, Split, Stale, StaleAction, Target, Variant,
    VariantIndex,
};
use crate::key_set::{Ends, KeySet};
use crate::keys::{GroupKey, VariantKey};
use crate::manifest::Entry;
use crate::segment::digests;
use crate::split::{SplitError, check_ranges};
use crate::text::clipped;
use crate::value::Value;
use crate::wire::{FlagClass, FlagWire, OutcomeWire, RampWire, SplitWire, StaleActionWire};
use at::{At, json_bytes, limit, over, unique};

pub(crate) use conditions::Conditions;

pub use crate::budget::{MAX_NESTED_EVALUATIONS, MAX_PREREQUISITE_DEPTH, MAX_STEPS};
pub use crate::fault::FlagFault;
pub use crate::flag::Flag;
pub use crate::operators::MAX_ATTRIBUTE_BYTES;
pub use crate::segment::{MAX_SEGMENT_BYTES, MAX_SEGMENT_IDS, MAX_SEGMENT_KEYS};
pub use crate::split::MAX_BUCKETS;

/// Variants of a flag: more are a lookup table, not a decision.
pub const MAX_VARIANTS: usize = 100;
/// Rules of a flag in one environment.
pub const MAX_RULES: usize = 200;
/// Overrides for groups of a flag in one environment.
pub const MAX_GROUP_OVERRIDES: usize = 100;
/// Groups that kill switches turn a flag off for.
pub const MAX_KILLED_GROUPS: usize = 100;
/// Operands of one test. Larger sets are segments and groups.
pub const MAX_OPERANDS: usize = 1_000;
/// Regular expressions of one flag: each may take 256 KiB of memory, few take 10.
pub const MAX_REGEXES: usize = 50;
/// Paths to try where the unit of a split is missing.
pub const MAX_FALLBACKS: usize = 8;
/// Prerequisites of a flag in one environment.
pub const MAX_PREREQUISITES: usize = 20;
/// Lists of individual targets of a flag in one environment: one a variant and kind of entity.
pub const MAX_TARGETS: usize = 100;
/// Keys of all individual targets of a flag in one environment. Longer lists are segments.
pub const MAX_TARGET_KEYS: usize = 10_000;
/// Levels of one condition. Its evaluation recurses: 32 frames of a few hundred bytes.
pub const MAX_CONDITION_DEPTH: usize = 32;
/// Parts and tests of all conditions of one flag: at some 50 ns each an evaluation stays below 100 µs.
pub const MAX_CONDITION_NODES: usize = 2_000;
/// Bytes of an attribute path, of a salt, and of a rule's description: texts of a line or a paragraph.
pub const MAX_TEXT_BYTES: usize = 1_024;
/// Bytes of one variant's value, and of one attachment, as JSON.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;
/// Bytes of a flag as JSON. It must fit an item of the table (400 KB) with its history's fields, and eight
/// of them a chunk.
pub const MAX_FLAG_BYTES: usize = 256 * 1024;

/// Compiles a flag, or says which field keeps it from being one.
pub fn compile(wire: &FlagWire) -> Result<Flag, FlagFault> {
    let flag = compiled(wire)?;
    // Last, because writing JSON recurses as deep as the conditions, which are bounded by now.
    limit(&At::Whole, "bytes", MAX_FLAG_BYTES, json_bytes(wire))?;
    Ok(flag)
}

/// All but the flag's size.
fn compiled(wire: &FlagWire) -> Result<Flag, FlagFault> {
    let mut compiler = Compiler { flag: wire, conditions: Conditions::default() };
    let (variants_at, state) = (At::Whole.field("variants"), At::Whole.field("state"));
    let variants = compiler.variants(&variants_at)?;
    let off = compiler.outcome(&state.field("off"), &wire.state.off)?;
    let stale = compiler.stale(&state.field("stale"))?;
    let prerequisites = compiler.prerequisites(&state.field("prerequisites"))?;
    let targets = compiler.targets(&state.field("targets"))?;
    let group_overrides = compiler.group_overrides(&state.field("groupOverrides"))?;
    let killed_groups = compiler.killed_groups(&At::Whole.field("killedGroups"))?;
    let rules = compiler.rules(&state.field("rules"))?;
    let fallthrough = compiler.outcome(&state.field("fallthrough"), &wire.state.fallthrough)?;
    let reads_tenant = compiler.conditions.reads_tenant || !group_overrides.is_empty();
    let mut flag = Flag {
        key: wire.key.clone(),
        quick: Quick::Not,
        version: wire.version,
        class: wire.class,
        value_type: wire.value_type,
        client_visible: wire.client_visible,
        variants,
        enabled: wire.state.enabled,
        off,
        stale,
        prerequisites,
        targets,
        reads_tenant,
        group_overrides,
        killed_groups,
        rules,
        fallthrough,
    };
    flag.quick = Quick::of(&flag);
    Ok(flag)
}

/// Compiles a flag from its JSON, as it stands under `key` in a chunk. Any text is answered, none panics.
pub fn compile_json(key: &str, json: &str) -> Result<Flag, FlagFault> {
    Flag::of_json(key, json)
}

impl Entry for Flag {
    type Wire = FlagWire;
    type Fault = FlagFault;
    const MAX_BYTES: usize = MAX_FLAG_BYTES;

    fn of_wire(key: &str, wire: FlagWire) -> Result<Self, FlagFault> {
        same_key(key, wire.key.as_str())?;
        compiled(&wire)
    }

    fn too_large(bytes: usize) -> FlagFault {
        over(&At::Whole, "bytes", MAX_FLAG_BYTES, bytes)
    }
}

/// What stands under a key has to be what it says of itself.
pub(crate) fn same_key(expected: &str, actual: &str) -> Result<(), FlagFault> {
    if expected == actual {
        return Ok(());
    }
    Err(FlagFault::OtherKey { expected: clipped(expected), actual: actual.to_owned() })
}

struct Compiler<'w> {
    flag: &'w FlagWire,
    conditions: Conditions,
}

impl Compiler<'_> {
    fn variants(&self, at: &At<'_>) -> Result<Box<[Variant]>, FlagFault> {
        let wire = &self.flag.variants;
        limit(at, "variants", MAX_VARIANTS, wire.len())?;
        if wire.is_empty() {
            return Err(FlagFault::Missing { path: at.path(), wanted: "a flag needs a variant" });
        }
        let mut variants = Vec::with_capacity(wire.len());
        for (i, variant) in wire.iter().enumerate() {
            let at = at.element(i);
            let before = wire.iter().take(i).map(|variant| variant.key.as_str());
            unique(before, variant.key.as_str(), &at.field("key"))?;
            let value_at = at.field("value");
            limit(&value_at, "bytes", MAX_VALUE_BYTES, json_bytes(&variant.value))?;
            let wanted = self.flag.value_type;
            let value = Value::from_json(wanted, &variant.value)
                .map_err(|actual| FlagFault::ValueType { path: value_at.path(), wanted, actual })?;
            if let Some(attachment) = &variant.attachment {
                limit(&at.field("attachment"), "bytes", MAX_VALUE_BYTES, json_bytes(attachment))?;
            }
            let (key, attachment) = (variant.key.clone(), variant.attachment.clone());
            let ends = Ends::of(key.as_str());
            variants.push(Variant { key, ends, value, attachment });
        }
        Ok(variants.into())
    }

    fn variant(&self, at: &At<'_>, key: &VariantKey) -> Result<VariantIndex, FlagFault> {
        let place = self.flag.variants.iter().position(|variant| variant.key == *key);
        place
            .and_then(|place| u16::try_from(place).ok())
            .map(VariantIndex)
            .ok_or_else(|| FlagFault::NoSuchVariant { path: at.path(), variant: key.to_string() })
    }

    fn group_overrides(&self, at: &At<'_>) -> Result<Box<[GroupOverride]>, FlagFault> {
        let wire = &self.flag.state.group_overrides;
        limit(at, "group overrides", MAX_GROUP_OVERRIDES, wire.len())?;
        let compiled = wire.iter().enumerate().map(|(i, entry)| {
            let at = at.element(i);
            let before = wire.iter().take(i).map(|entry| entry.group.as_str());
            unique(before, entry.group.as_str(), &at.field("group"))?;
            let variant = self.variant(&at.field("variant"), &entry.variant)?;
            let (group, expires) = (entry.group.clone(), entry.expires);
            Ok(GroupOverride { group, variant, expires })
        });
        compiled.collect()
    }

    /// A migration flag has no off, so nobody is turned off.
    fn killed_groups(&self, at: &At<'_>) -> Result<Box<[GroupKey]>, FlagFault> {
        let wire = &self.flag.killed_groups;
        limit(at, "killed groups", MAX_KILLED_GROUPS, wire.len())?;
        Ok(if self.flag.class == FlagClass::Migration {
            Box::default()
        } else {
            wire.as_slice().into()
        })
    }

    fn stale(&mut self, at: &At<'_>) -> Result<Option<Box<Stale>>, FlagFault> {
        let Some(wire) = &self.flag.state.stale else { return Ok(None) };
        let then = match &wire.then {
            StaleActionWire::LastKnown => StaleAction::LastKnown,
            StaleActionWire::Pause => StaleAction::Pause,
            StaleActionWire::Serve(outcome) => {
                let at = at.field("then");
                self.outcome(&at.field("serve"), outcome).map(StaleAction::Serve)?
            }
        };
        Ok(Some(Box::new(Stale { after: Duration::from_secs(wire.after_seconds), then })))
    }

    fn prerequisites(&mut self, at: &At<'_>) -> Result<Box<[FlagTest]>, FlagFault> {
        let wire = &self.flag.state.prerequisites;
        limit(at, "prerequisites", MAX_PREREQUISITES, wire.len())?;
        let tests = wire.iter().enumerate();
        tests.map(|(i, test)| self.conditions.flag_test(&at.element(i), test)).collect()
    }

    fn targets(&mut self, at: &At<'_>) -> Result<Box<[Target]>, FlagFault> {
        let wire = &self.flag.state.targets;
        limit(at, "targets", MAX_TARGETS, wire.len())?;
        let total = wire.iter().map(|target| target.keys.len()).sum();
        limit(at, "keys of targets", MAX_TARGET_KEYS, total)?;
        let compiled = wire.iter().enumerate().map(|(i, target)| {
            let at = at.element(i);
            let variant = self.variant(&at.field("variant"), &target.variant)?;
            let entity = self.conditions.entity(&at.field("entity"), &target.entity)?;
            let keys = key_set(&at.field("keys"), &target.keys)?;
            let list = target.digests.as_ref();
            let digests = list.map(|list| digests(&at.field("digests"), list)).transpose()?;
            Ok(Target { variant, entity, keys, digests })
        });
        compiled.collect()
    }

    fn rules(&mut self, at: &At<'_>) -> Result<Box<[Rule]>, FlagFault> {
        let wire = &self.flag.state.rules;
        limit(at, "rules", MAX_RULES, wire.len())?;
        let compiled = wire.iter().enumerate().map(|(i, rule)| {
            let at = at.element(i);
            let before = wire.iter().take(i).map(|rule| rule.id.as_str());
            unique(before, rule.id.as_str(), &at.field("id"))?;
            let description = rule.description.as_deref().unwrap_or_default();
            limit(&at.field("description"), "bytes", MAX_TEXT_BYTES, description.len())?;
            let when = self.conditions.condition(&at.field("when"), &rule.when, 1)?;
            let serve = self.outcome(&at.field("serve"), &rule.serve)?;
            Ok(Rule { id: rule.id.clone(), when, serve })
        });
        compiled.collect()
    }

    fn outcome(&mut self, at: &At<'_>, wire: &OutcomeWire) -> Result<Outcome, FlagFault> {
        match wire {
            OutcomeWire::Variant(key) => {
                self.variant(&at.field("variant"), key).map(Outcome::Variant)
            }
            OutcomeWire::Split(split) => {
                let split = self.split(&at.field("split"), split)?;
                Ok(Outcome::Split(Box::new(split)))
            }
            OutcomeWire::Ramp(ramp) => {
                self.ramp(&at.field("ramp"), ramp).map(|ramp| Outcome::Ramp(Box::new(ramp)))
            }
            OutcomeWire::CallerDefault => Ok(Outcome::CallerDefault),
            OutcomeWire::Error(message) => {
                limit(&at.field("error"), "bytes", MAX_TEXT_BYTES, message.len())?;
                Ok(Outcome::Error(message.as_str().into()))
            }
        }
    }

    fn split(&mut self, at: &At<'_>, wire: &SplitWire) -> Result<Split, FlagFault> {
        check_ranges(&wire.ranges, wire.by.buckets)
            .map_err(|fault| FlagFault::Split { path: at.path(), fault })?;
        let ranges_at = at.field("ranges");
        let ranges = wire.ranges.iter().enumerate().map(|(i, range)| {
            let at = ranges_at.element(i);
            let variant = self.variant(&at.field("variant"), &range.variant)?;
            Ok((range.until, variant))
        });
        let ranges = ranges.collect::<Result<_, FlagFault>>()?;
        let by = self.conditions.unit(at, &wire.by)?;
        Ok(Split { by, ranges })
    }

    fn ramp(&mut self, at: &At<'_>, wire: &RampWire) -> Result<Ramp, FlagFault> {
        let by = self.conditions.unit(at, &wire.by)?;
        let fault = |fault| Err(FlagFault::Split { path: at.path(), fault });
        if wire.from > wire.by.buckets || wire.until > wire.by.buckets {
            return fault(SplitError::Bounds);
        }
        if wire.start >= wire.end {
            return fault(SplitError::Instants);
        }
        if wire.steps == Some(0) {
            return fault(SplitError::NoSteps);
        }
        Ok(Ramp {
            by,
            variant: self.variant(&at.field("variant"), &wire.variant)?,
            rest: self.variant(&at.field("rest"), &wire.rest)?,
            from: wire.from,
            until: wire.until,
            start: wire.start,
            end: wire.end,
            steps: wire.steps,
        })
    }
}

/// Keys of entities. An empty key is nobody's.
pub(crate) fn key_set(at: &At<'_>, keys: &[String]) -> Result<KeySet, FlagFault> {
    if let Some(place) = keys.iter().position(String::is_empty) {
        let wanted = "a key has at least one character";
        return Err(FlagFault::Missing { path: at.element(place).path(), wanted });
    }
    Ok(KeySet::new(keys.iter().map(|key| key.as_str().into()).collect()))
}

#[cfg(test)]
mod tests;
