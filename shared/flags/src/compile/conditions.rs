//! Conditions, units and attribute paths: what flags and segments have in common.

use super::at::{At, limit};
use super::{
    MAX_CONDITION_DEPTH, MAX_CONDITION_NODES, MAX_FALLBACKS, MAX_TEXT_BYTES, MAX_VARIANTS,
};
use crate::attribute::AttributeId;
use crate::by_hash::Mark;
use crate::condition::{Condition, Elements, FlagIs, FlagTest, Rollout, SegmentRef, Test, Unit};
use crate::context::{TENANT, USER};
use crate::fault::FlagFault;
use crate::hash::CompiledHash;
use crate::key_set::KeySet;
use crate::operators;
use crate::split::{MAX_BUCKETS, SplitError};
use crate::subject::{ELEMENT, EntityName, Path, Start};
use crate::wire::{
    ConditionWire, ElementsWire, FlagIsWire, FlagTestWire, RolloutWire, TestWire, UnitWire,
};

/// Compiles conditions, and counts what their flag or segment has of them.
#[derive(Default)]
pub(crate) struct Conditions {
    nodes: usize,
    regexes: usize,
    /// How many conditions on elements are around.
    elements: usize,
    pub(crate) reads_tenant: bool,
}

impl Conditions {
    pub(crate) fn condition(
        &mut self,
        at: &At<'_>,
        wire: &ConditionWire,
        depth: usize,
    ) -> Result<Condition, FlagFault> {
        limit(at, "levels", MAX_CONDITION_DEPTH, depth)?;
        self.nodes += 1;
        limit(at, "conditions in all rules", MAX_CONDITION_NODES, self.nodes)?;
        match wire {
            ConditionWire::Always => Ok(Condition::Always),
            ConditionWire::All(wire) => {
                self.parts(&at.field("all"), wire, depth).map(Condition::All)
            }
            ConditionWire::Any(wire) => {
                self.parts(&at.field("any"), wire, depth).map(Condition::Any)
            }
            ConditionWire::Not(part) => {
                let part = self.condition(&at.field("not"), part, depth + 1)?;
                Ok(Condition::Not(Box::new(part)))
            }
            ConditionWire::Test(test) => {
                self.test(&at.field("test"), test).map(|test| Condition::Test(Box::new(test)))
            }
            ConditionWire::InSegment(key) => {
                let mark = Mark::of(key.as_str());
                Ok(Condition::InSegment(SegmentRef { key: key.clone(), mark }))
            }
            ConditionWire::InGroup(group) => {
                self.reads_tenant = true;
                Ok(Condition::InGroup(group.clone()))
            }
            ConditionWire::Flag(test) => {
                self.flag_test(&at.field("flag"), test).map(|test| Condition::Flag(Box::new(test)))
            }
            ConditionWire::Rollout(rollout) => {
                let rollout = self.rollout(&at.field("rollout"), rollout)?;
                Ok(Condition::Rollout(Box::new(rollout)))
            }
            ConditionWire::AnyElement(elements) => {
                self.elements(&at.field("anyElement"), elements, false, depth)
            }
            ConditionWire::AllElements(elements) => {
                self.elements(&at.field("allElements"), elements, true, depth)
            }
        }
    }

    fn parts(
        &mut self,
        at: &At<'_>,
        wire: &[ConditionWire],
        depth: usize,
    ) -> Result<Box<[Condition]>, FlagFault> {
        let parts = wire.iter().enumerate();
        parts.map(|(i, part)| self.condition(&at.element(i), part, depth + 1)).collect()
    }

    fn test(&mut self, at: &At<'_>, wire: &TestWire) -> Result<Test, FlagFault> {
        Ok(Test {
            path: self.path(&at.field("attribute"), &wire.attribute)?,
            operator: wire.operator,
            operands: operators::read(at, wire, &mut self.regexes)?,
            negate: wire.negate,
            if_missing: wire.if_missing,
        })
    }

    pub(crate) fn flag_test(
        &mut self,
        at: &At<'_>,
        wire: &FlagTestWire,
    ) -> Result<FlagTest, FlagFault> {
        let is = match &wire.is {
            FlagIsWire::Off => FlagIs::Off,
            FlagIsWire::Enabled => FlagIs::Enabled,
            FlagIsWire::Variants(variants) => {
                let at = at.field("is");
                let at = at.field("variants");
                limit(&at, "variants", MAX_VARIANTS, variants.len())?;
                if variants.is_empty() {
                    let wanted = "a flag cannot answer none of its variants";
                    return Err(FlagFault::Missing { path: at.path(), wanted });
                }
                FlagIs::Variants(KeySet::new(
                    variants.iter().map(|key| key.as_str().into()).collect(),
                ))
            }
        };
        Ok(FlagTest { flag: wire.flag.clone(), mark: Mark::of(wire.flag.as_str()), is })
    }

    fn rollout(&mut self, at: &At<'_>, wire: &RolloutWire) -> Result<Rollout, FlagFault> {
        let by = self.unit(at, &wire.by)?;
        if wire.from > wire.until || wire.until > wire.by.buckets {
            return Err(FlagFault::Split { path: at.path(), fault: SplitError::Bounds });
        }
        Ok(Rollout { by, from: wire.from, until: wire.until })
    }

    fn elements(
        &mut self,
        at: &At<'_>,
        wire: &ElementsWire,
        every: bool,
        depth: usize,
    ) -> Result<Condition, FlagFault> {
        let list = self.path(&at.field("attribute"), &wire.attribute)?;
        self.elements += 1;
        let when = self.condition(&at.field("when"), &wire.when, depth + 1);
        self.elements -= 1;
        Ok(Condition::Elements(Box::new(Elements { list, every, when: when? })))
    }

    /// What is hashed, and how; the fields stand flat in `at`.
    pub(crate) fn unit(&mut self, at: &At<'_>, wire: &UnitWire) -> Result<Unit, FlagFault> {
        if wire.buckets == 0 || wire.buckets > MAX_BUCKETS {
            return Err(FlagFault::Split { path: at.path(), fault: SplitError::Buckets });
        }
        limit(&at.field("salt"), "bytes", MAX_TEXT_BYTES, wire.salt.len())?;
        let fallbacks_at = at.field("fallbacks");
        limit(&fallbacks_at, "fallbacks", MAX_FALLBACKS, wire.fallbacks.len())?;
        let first = self.path(&at.field("unit"), &wire.unit)?;
        let fallbacks = wire.fallbacks.iter().enumerate();
        let fallbacks = fallbacks.map(|(i, path)| self.path(&fallbacks_at.element(i), path));
        Ok(Unit {
            first,
            fallbacks: fallbacks.collect::<Result<_, _>>()?,
            missing: wire.missing,
            hash: CompiledHash::new(wire.hash, &wire.salt, wire.seed, wire.buckets),
        })
    }

    /// A kind of entity, by its name alone.
    pub(crate) fn entity(&mut self, at: &At<'_>, kind: &str) -> Result<EntityName, FlagFault> {
        limit(at, "bytes", MAX_TEXT_BYTES, kind.len())?;
        if kind.trim().is_empty() || kind.contains('.') {
            return Err(FlagFault::Attribute { path: at.path() });
        }
        if kind == TENANT {
            self.reads_tenant = true;
            return Ok(EntityName::Tenant);
        }
        if kind == USER {
            return Ok(EntityName::User);
        }
        Ok(EntityName::Other(AttributeId::of_key(kind)))
    }

    fn path(&mut self, at: &At<'_>, text: &str) -> Result<Path, FlagFault> {
        limit(at, "bytes", MAX_TEXT_BYTES, text.len())?;
        let fault = || FlagFault::Attribute { path: at.path() };
        let segments: Vec<&str> = text.split('.').collect();
        if segments.iter().any(|segment| segment.trim().is_empty()) {
            return Err(fault());
        }
        let (entity, names) = segments.split_first().ok_or_else(fault)?;
        let path = |start, members: &[&str]| {
            let members = members.iter().map(|name| (*name).into()).collect();
            Ok(Path { text: text.into(), start, members })
        };
        if *entity == ELEMENT && self.elements > 0 {
            return path(Start::Element, names);
        }
        match names {
            ["key"] => path(Start::Key(self.entity(at, entity)?), &[]),
            // A key is a text, and has nothing inside.
            [] | ["key", ..] => Err(fault()),
            [first, members @ ..] => match self.entity(at, entity)? {
                EntityName::Tenant => path(Start::Tenant((*first).into()), members),
                EntityName::User | EntityName::Other(_) => {
                    path(Start::Attribute(AttributeId::of(entity, first)), members)
                }
            },
        }
    }
}
