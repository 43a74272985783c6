//! From the wire form of a flag to its working form: the one door, and every limit stands at it.

use std::collections::HashSet;
use std::fmt;

use serde_json::Value as Json;

use crate::bucket::salt_seed;
use crate::condition::{AttributeName, Condition, EntityName, Operands, Path, Test, integer};
use crate::context::TENANT;
use crate::fault::{EntryFault, parse};
use crate::flag::{GroupOverride, Outcome, Rule, Split, Variant, VariantIndex};
use crate::keys::VariantKey;
use crate::split::check_ranges;
use crate::value::Value;
use crate::wire::{
    ConditionWire, FlagWire, HashName, OperatorName, OutcomeWire, SplitWire, TestWire,
};

pub use crate::fault::FlagFault;
pub use crate::flag::Flag;
pub use crate::split::MAX_BUCKETS;

/// Variants of a flag: more are a lookup table, not a decision.
pub const MAX_VARIANTS: usize = 100;
/// Rules of a flag in one environment.
pub const MAX_RULES: usize = 200;
/// Overrides for groups of a flag in one environment.
pub const MAX_GROUP_OVERRIDES: usize = 100;
/// Operands of one test. Larger sets are segments and groups.
pub const MAX_OPERANDS: usize = 1_000;
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
    let mut compiler = Compiler { flag: wire, nodes: 0, reads_tenant: false };
    let (variants_at, state) = (At::Flag.field("variants"), At::Flag.field("state"));
    let variants = compiler.variants(&variants_at)?;
    let off = compiler.outcome(&state.field("off"), &wire.state.off)?;
    let group_overrides = compiler.group_overrides(&state.field("groupOverrides"))?;
    let rules = compiler.rules(&state.field("rules"))?;
    let fallthrough = compiler.outcome(&state.field("fallthrough"), &wire.state.fallthrough)?;
    // Last, because writing JSON recurses as deep as the conditions, which are bounded by now.
    limit(&At::Flag, "bytes", MAX_FLAG_BYTES, json_bytes(wire))?;
    Ok(Flag {
        key: wire.key.clone(),
        version: wire.version,
        class: wire.class,
        value_type: wire.value_type,
        client_visible: wire.client_visible,
        variants,
        enabled: wire.state.enabled,
        off,
        reads_tenant: compiler.reads_tenant || !group_overrides.is_empty(),
        group_overrides,
        rules,
        fallthrough,
    })
}

/// Compiles a flag from its JSON, as it stands under `key` in a chunk. Any text is answered, none panics.
pub fn compile_json(key: &str, json: &str) -> Result<Flag, FlagFault> {
    // Before parsing: a flag over the limit is not worth the memory of its tree.
    limit(&At::Flag, "bytes", MAX_FLAG_BYTES, json.len())?;
    let wire: FlagWire =
        parse(json).map_err(|EntryFault { path, message }| FlagFault::Shape { path, message })?;
    if wire.key.as_str() != key {
        let (expected, actual) = (crate::text::clipped(key), wire.key.to_string());
        return Err(FlagFault::OtherKey { expected, actual });
    }
    compile(&wire)
}

struct Compiler<'w> {
    flag: &'w FlagWire,
    nodes: usize,
    reads_tenant: bool,
}

impl Compiler<'_> {
    fn variants(&self, at: &At<'_>) -> Result<Box<[Variant]>, FlagFault> {
        let wire = &self.flag.variants;
        limit(at, "variants", MAX_VARIANTS, wire.len())?;
        if wire.is_empty() {
            return Err(FlagFault::Missing { path: at.path(), wanted: "a flag needs a variant" });
        }
        let mut seen = HashSet::new();
        let mut variants = Vec::with_capacity(wire.len());
        for (i, variant) in wire.iter().enumerate() {
            let at = at.element(i);
            unique(&mut seen, variant.key.as_str(), &at.field("key"))?;
            let value_at = at.field("value");
            limit(&value_at, "bytes", MAX_VALUE_BYTES, json_bytes(&variant.value))?;
            let wanted = self.flag.value_type;
            let value = Value::from_json(wanted, &variant.value)
                .map_err(|actual| FlagFault::ValueType { path: value_at.path(), wanted, actual })?;
            if let Some(attachment) = &variant.attachment {
                limit(&at.field("attachment"), "bytes", MAX_VALUE_BYTES, json_bytes(attachment))?;
            }
            let (key, attachment) = (variant.key.clone(), variant.attachment.clone());
            variants.push(Variant { key, value, attachment });
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
        let mut seen = HashSet::new();
        let compiled = wire.iter().enumerate().map(|(i, entry)| {
            let at = at.element(i);
            unique(&mut seen, entry.group.as_str(), &at.field("group"))?;
            let variant = self.variant(&at.field("variant"), &entry.variant)?;
            Ok(GroupOverride { group: entry.group.clone(), variant })
        });
        compiled.collect()
    }

    fn rules(&mut self, at: &At<'_>) -> Result<Box<[Rule]>, FlagFault> {
        let wire = &self.flag.state.rules;
        limit(at, "rules", MAX_RULES, wire.len())?;
        let mut seen = HashSet::new();
        let compiled = wire.iter().enumerate().map(|(i, rule)| {
            let at = at.element(i);
            unique(&mut seen, rule.id.as_str(), &at.field("id"))?;
            let description = rule.description.as_deref().unwrap_or_default();
            limit(&at.field("description"), "bytes", MAX_TEXT_BYTES, description.len())?;
            let when = self.condition(&at.field("when"), &rule.when, 1)?;
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
            OutcomeWire::Split(split) => self.split(&at.field("split"), split).map(Outcome::Split),
            OutcomeWire::CallerDefault => Ok(Outcome::CallerDefault),
            OutcomeWire::Ramp(_) | OutcomeWire::Error(_) => Err(coming(at)),
        }
    }

    fn split(&mut self, at: &At<'_>, wire: &SplitWire) -> Result<Split, FlagFault> {
        check_ranges(&wire.ranges, wire.by.buckets)
            .map_err(|fault| FlagFault::Split { path: at.path(), fault })?;
        limit(&at.field("salt"), "bytes", MAX_TEXT_BYTES, wire.by.salt.len())?;
        let ranges_at = at.field("ranges");
        let ranges = wire.ranges.iter().enumerate().map(|(i, range)| {
            let at = ranges_at.element(i);
            let variant = self.variant(&at.field("variant"), &range.variant)?;
            Ok((range.until, variant))
        });
        let ranges = ranges.collect::<Result<_, FlagFault>>()?;
        let seed = match wire.by.hash {
            HashName::Xxh3 => salt_seed(&wire.by.salt),
            _ => return Err(coming(&at.field("hash"))),
        };
        let unit = self.path(&at.field("unit"), &wire.by.unit)?;
        Ok(Split { unit, seed, buckets: wire.by.buckets, ranges })
    }

    fn condition(
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
            _ => Err(coming(at)),
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
        let values_at = at.field("values");
        let most = match wire.operator {
            OperatorName::Equals => 1,
            OperatorName::OneOf => MAX_OPERANDS,
            _ => return Err(coming(at)),
        };
        limit(&values_at, "operands", most, wire.values.len())?;
        if wire.values.is_empty() && wire.operator == OperatorName::Equals {
            let wanted = "`equals` needs an operand";
            return Err(FlagFault::Missing { path: values_at.path(), wanted });
        }
        Ok(Test {
            path: self.path(&at.field("attribute"), &wire.attribute)?,
            operator: wire.operator,
            operands: operands(&values_at, &wire.values)?,
            negate: wire.negate,
            if_missing: wire.if_missing,
        })
    }

    fn path(&mut self, at: &At<'_>, text: &str) -> Result<Path, FlagFault> {
        limit(at, "bytes", MAX_TEXT_BYTES, text.len())?;
        let segments: Vec<&str> = text.split('.').collect();
        let (true, [entity, first, members @ ..]) =
            (segments.iter().all(|segment| !segment.trim().is_empty()), segments.as_slice())
        else {
            return Err(FlagFault::Attribute { path: at.path() });
        };
        let name = match (*first, members) {
            ("key", []) => AttributeName::Key,
            // A key is a text, and has nothing inside.
            ("key", _) => return Err(FlagFault::Attribute { path: at.path() }),
            _ => AttributeName::Named {
                first: (*first).into(),
                members: members.iter().map(|member| (*member).into()).collect(),
            },
        };
        let entity = if *entity == TENANT {
            self.reads_tenant = true;
            EntityName::Tenant
        } else {
            EntityName::Other((*entity).into())
        };
        Ok(Path { text: text.into(), entity, name })
    }
}

fn coming(at: &At<'_>) -> FlagFault {
    FlagFault::Missing { path: at.path(), wanted: "it cannot be evaluated yet" }
}

fn operands(at: &At<'_>, values: &[Json]) -> Result<Operands, FlagFault> {
    let (mut yes, mut no) = (false, false);
    let (mut texts, mut integers, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for (i, value) in values.iter().enumerate() {
        let bad = |actual| Err(FlagFault::Operand { path: at.element(i).path(), actual });
        match value {
            Json::Bool(true) => yes = true,
            Json::Bool(false) => no = true,
            Json::String(text) => texts.push(Box::from(text.as_str())),
            Json::Number(number) => match (integer(number), number.as_f64()) {
                (Some(integer), _) => integers.push(integer),
                (None, Some(float)) => numbers.push(float),
                (None, None) => return bad("a number beyond 64 bits"),
            },
            Json::Null => return bad("null"),
            Json::Array(_) => return bad("an array"),
            Json::Object(_) => return bad("an object"),
        }
    }
    texts.sort();
    integers.sort_unstable();
    let (texts, integers, numbers) = (texts.into(), integers.into(), numbers.into());
    Ok(Operands { yes, no, texts, integers, numbers })
}

/// Where in the flag the compiler is: written out only when something is wrong there.
#[derive(Clone, Copy)]
enum At<'p> {
    Flag,
    Field(&'p At<'p>, &'static str),
    Element(&'p At<'p>, usize),
}

impl At<'_> {
    fn field<'p>(&'p self, name: &'static str) -> At<'p> {
        At::Field(self, name)
    }

    fn element(&self, index: usize) -> At<'_> {
        At::Element(self, index)
    }

    fn path(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("."),
            Self::Field(Self::Flag, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Element(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

fn limit(at: &At<'_>, what: &'static str, limit: usize, actual: usize) -> Result<(), FlagFault> {
    if actual <= limit {
        return Ok(());
    }
    Err(FlagFault::OverLimit { path: at.path(), what, limit, actual })
}

fn unique<'k>(seen: &mut HashSet<&'k str>, key: &'k str, at: &At<'_>) -> Result<(), FlagFault> {
    if seen.insert(key) {
        return Ok(());
    }
    Err(FlagFault::Twice { path: at.path(), key: key.into() })
}

/// The bytes of a value as JSON, counted without writing them anywhere.
fn json_bytes(value: &impl serde::Serialize) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, value) {
        Ok(()) => counter.0,
        // What cannot be written as JSON is over every limit.
        Err(_) => usize::MAX,
    }
}

#[cfg(test)]
mod tests;
