//! The working form of a flag: indexed, always valid, made by `compile` alone.

use std::time::Duration;

use serde_json::Value as Json;

use crate::answer::{FineReason, Reason};
use crate::condition::{Condition, FlagTest, Unit};
use crate::key_set::{Ends, KeySet};
use crate::keys::{FlagKey, GroupKey, RuleId, VariantKey};
use crate::run::Decision;
use crate::segment::Digests;
use crate::subject::EntityName;
use crate::time::Timestamp;
use crate::value::Value;
use crate::wire::{FlagClass, ValueType};

/// A flag that can be evaluated. Whatever it names exists.
#[derive(Debug)]
// What every answer reads stands first, and together.
#[repr(C)]
pub struct Flag {
    pub(crate) variants: Box<[Variant]>,
    pub(crate) version: u64,
    pub(crate) quick: Quick,
    pub(crate) class: FlagClass,
    pub(crate) value_type: ValueType,
    pub(crate) client_visible: bool,
    pub(crate) enabled: bool,
    pub(crate) reads_tenant: bool,
    pub(crate) key: FlagKey,
    pub(crate) off: Outcome,
    pub(crate) stale: Option<Box<Stale>>,
    pub(crate) prerequisites: Box<[FlagTest]>,
    pub(crate) targets: Box<[Target]>,
    pub(crate) group_overrides: Box<[GroupOverride]>,
    /// Whose tenants it is off for. Empty for almost every flag, so they are asked apart.
    pub(crate) killed_groups: Box<[GroupKey]>,
    pub(crate) rules: Box<[Rule]>,
    pub(crate) fallthrough: Outcome,
}

/// The answer of a flag that asks nobody anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quick {
    /// It has to be asked.
    Not,
    /// Its rules and then its fallthrough decide for everybody who has no override.
    Rules,
    /// Off for everybody, with this variant.
    Off(VariantIndex),
    /// This variant for everybody who has no override.
    Fallthrough(VariantIndex),
}

impl Quick {
    pub(crate) fn of(flag: &Flag) -> Self {
        // A flag that reads the tenant first wants to know that there is one.
        let at_once = !flag.reads_tenant;
        if flag.movable() && !flag.enabled {
            return match flag.off {
                Outcome::Variant(variant) if at_once => Self::Off(variant),
                _ => Self::Not,
            };
        }
        let asks = !(flag.prerequisites.is_empty()
            && flag.targets.is_empty()
            && flag.killed_groups.is_empty()
            && flag.group_overrides.is_empty());
        match flag.fallthrough {
            _ if asks || flag.stale.is_some() => Self::Not,
            Outcome::Variant(variant) if at_once && flag.rules.is_empty() => {
                Self::Fallthrough(variant)
            }
            _ => Self::Rules,
        }
    }

    /// The decision, where there is one. A tenant with something of its own has to be asked about.
    #[inline]
    pub(crate) const fn decision(self, special: bool) -> Option<Decision> {
        let (variant, reason, fine) = match self {
            Self::Off(variant) => (variant, Reason::Disabled, FineReason::Off),
            Self::Fallthrough(variant) if !special => {
                (variant, Reason::Default, FineReason::Fallthrough)
            }
            Self::Fallthrough(_) | Self::Not | Self::Rules => return None,
        };
        Some(Decision { variant: Some(variant), reason, fine, rule: None })
    }
}

impl Flag {
    /// The flag's key.
    pub const fn key(&self) -> &FlagKey {
        &self.key
    }

    /// Grows with every change of the flag.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// What the flag means.
    pub const fn class(&self) -> FlagClass {
        self.class
    }

    /// The type of its values.
    pub const fn value_type(&self) -> ValueType {
        self.value_type
    }

    /// Its variants, in their author's order.
    pub const fn variants(&self) -> &[Variant] {
        &self.variants
    }

    /// Whether keys of browsers and other clients may see it.
    pub const fn client_visible(&self) -> bool {
        self.client_visible
    }

    /// Whether it is on in this environment.
    pub const fn enabled(&self) -> bool {
        self.enabled
    }

    /// Whether a rule, a split or a group override asks about the tenant, so that nobody without a tenant
    /// gets an answer.
    pub const fn reads_tenant(&self) -> bool {
        self.reads_tenant
    }

    /// A migration flag has no "off": neither a kill nor age nor other flags move its stage (DESIGN §4).
    pub(crate) const fn movable(&self) -> bool {
        !matches!(self.class, FlagClass::Migration)
    }

    #[inline]
    pub(crate) fn variant(&self, index: VariantIndex) -> Option<&Variant> {
        self.variants.get(usize::from(index.0))
    }

    pub(crate) fn variant_named(&self, key: &str) -> Option<VariantIndex> {
        let place = self.variants.iter().position(|variant| variant.key.as_str() == key)?;
        u16::try_from(place).ok().map(VariantIndex)
    }
}

/// The place of a variant in its flag. A flag has at most 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VariantIndex(pub(crate) u16);

/// A named value.
#[derive(Debug)]
pub struct Variant {
    pub(crate) key: VariantKey,
    /// Of the key.
    pub(crate) ends: Ends,
    pub(crate) value: Value,
    pub(crate) attachment: Option<Json>,
}

impl Variant {
    /// The variant's name.
    pub const fn key(&self) -> &VariantKey {
        &self.key
    }

    /// Its value.
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// Whatever its author lets travel with it.
    pub const fn attachment(&self) -> Option<&Json> {
        self.attachment.as_ref()
    }
}

#[derive(Debug)]
pub(crate) struct GroupOverride {
    pub(crate) group: GroupKey,
    pub(crate) variant: VariantIndex,
    /// From when on it counts no more.
    pub(crate) expires: Option<Timestamp>,
}

/// A variant for the entities of one kind with these keys.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) variant: VariantIndex,
    pub(crate) entity: EntityName,
    pub(crate) keys: KeySet,
    /// Further keys, which nobody can read back.
    pub(crate) digests: Option<Digests>,
}

impl Target {
    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys.has(key) || self.digests.as_ref().is_some_and(|digests| digests.have(key))
    }
}

#[derive(Debug)]
pub(crate) struct Stale {
    pub(crate) after: Duration,
    pub(crate) then: StaleAction,
}

#[derive(Debug)]
pub(crate) enum StaleAction {
    LastKnown,
    Serve(Outcome),
    Pause,
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: RuleId,
    pub(crate) when: Condition,
    pub(crate) serve: Outcome,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Variant(VariantIndex),
    Split(Box<Split>),
    Ramp(Box<Ramp>),
    CallerDefault,
    Error(Box<str>),
}

#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) by: Unit,
    /// The last bucket's successor of each range, ascending, and the range's variant. Each range begins
    /// where the one before it ends.
    pub(crate) ranges: Box<[(u32, VariantIndex)]>,
}

impl Split {
    #[inline]
    pub(crate) fn variant_at(&self, bucket: u32) -> Option<VariantIndex> {
        /// Ranges that are read one after the other.
        const FEW: usize = 8;
        if self.ranges.len() <= FEW {
            return self.ranges.iter().find(|(until, _)| bucket < *until).map(|(_, it)| *it);
        }
        let place = self.ranges.partition_point(|(until, _)| *until <= bucket);
        self.ranges.get(place).map(|(_, variant)| *variant)
    }
}

/// A split in two whose bound moves with time.
#[derive(Debug)]
pub(crate) struct Ramp {
    pub(crate) by: Unit,
    pub(crate) variant: VariantIndex,
    pub(crate) rest: VariantIndex,
    pub(crate) from: u32,
    pub(crate) until: u32,
    pub(crate) start: Timestamp,
    /// Later than `start`.
    pub(crate) end: Timestamp,
    /// At least 1.
    pub(crate) steps: Option<u32>,
}

impl Ramp {
    /// The bound at an instant. Rounded down towards `from`, so that it arrives at `until` only at the end.
    pub(crate) fn bound(&self, now: Timestamp) -> u32 {
        let millis = |later: Timestamp| -> i128 {
            i128::from(later.as_millis()) - i128::from(self.start.as_millis())
        };
        let whole = millis(self.end).max(1);
        let passed = millis(now).clamp(0, whole);
        let (done, all) = match self.steps.map(i128::from) {
            Some(steps) => (passed * steps / whole, steps.max(1)),
            None => (passed, whole),
        };
        let (from, until) = (i128::from(self.from), i128::from(self.until));
        // Between the two bounds, so it fits their type.
        u32::try_from(from + (until - from) * done / all).unwrap_or(self.until)
    }
}
