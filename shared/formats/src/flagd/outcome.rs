//! Targeting as rules: every branch ends in a rule, so the next one need not say "and not the branch before".

use std::cell::Cell;

use flagforge_flags::hash::{CompiledHash, bucket};
use flagforge_flags::wire::{
    ConditionWire, HashName, MissingUnit, OperatorName, OutcomeWire, RangeWire, RuleWire,
    SplitWire, UnitWire,
};
use serde_json::{Map, Value as Json};

use super::logic::{Logic, Scope, Var};
use crate::carry::{all, missing, rule, test, variant_key};

/// The rules of one flag, as they are read.
pub(crate) struct Rules<'j> {
    flag: &'j str,
    variants: &'j Map<String, Json>,
    default: OutcomeWire,
    logic: Logic<'j>,
    rules: Vec<RuleWire>,
}

impl<'j> Rules<'j> {
    pub(crate) fn new(
        flag: &'j str,
        variants: &'j Map<String, Json>,
        default: OutcomeWire,
        evaluators: Option<&'j Json>,
    ) -> Self {
        let logic = Logic { flag, evaluators, reads_clock: Cell::new(false) };
        Self { flag, variants, default, logic, rules: Vec::new() }
    }

    pub(crate) fn read(&mut self, targeting: &Json) -> Result<(), String> {
        self.branch(targeting, ConditionWire::Always, 0)
    }

    pub(crate) fn reads_clock(&self) -> bool {
        self.logic.reads_clock.get()
    }

    /// The rules, behind one for programs that did not send the clock that targeting reads.
    pub(crate) fn finish(self) -> Result<Vec<RuleWire>, String> {
        let mut rules = self.rules;
        if self.logic.reads_clock.get() {
            let why = "`$flagd.timestamp` is missing, where flagd takes its own clock";
            let serve = OutcomeWire::Error(why.to_owned());
            rules.insert(0, rule("clock", missing(super::logic::CLOCK), serve)?);
        }
        Ok(rules)
    }

    fn serve(&mut self, when: ConditionWire, serve: OutcomeWire) -> Result<(), String> {
        let id = format!("targeting {}", self.rules.len() + 1);
        self.rules.push(rule(&id, when, serve)?);
        Ok(())
    }

    fn named(&self, name: &str) -> Result<OutcomeWire, String> {
        if self.variants.contains_key(name) {
            return Ok(OutcomeWire::Variant(variant_key(name)?));
        }
        Ok(OutcomeWire::Error(format!("targeting names the variant `{name}`, which is not there")))
    }

    /// What an expression answers where `guard` holds.
    fn branch(&mut self, json: &Json, guard: ConditionWire, depth: usize) -> Result<(), String> {
        let json = self.logic.resolved(json, depth)?;
        let Json::Object(members) = json else {
            return match json {
                // Without a guard the fallthrough says so already.
                Json::Null if guard == ConditionWire::Always => Ok(()),
                Json::Null => self.serve(guard, self.default.clone()),
                Json::String(name) => self.named(name).and_then(|serve| self.serve(guard, serve)),
                Json::Array(_) => Err("targeting that names a list has no meaning in flagd".into()),
                other => self.named(&other.to_string()).and_then(|serve| self.serve(guard, serve)),
            };
        };
        let (name, held) = members.iter().next().ok_or("an empty operation")?;
        let items = held.as_array().map_or(std::slice::from_ref(held), Vec::as_slice);
        match name.as_str() {
            "if" => self.choose(items, guard, depth),
            "fractional" => self.fractional(items, guard, depth),
            "var" => self.by_attribute(json, guard, depth),
            _ if self.logic.is_boolean(json, depth) => {
                let when = self.logic.condition(json, Scope::User, depth)?;
                self.named("true")
                    .and_then(|serve| self.serve(all([guard.clone(), when]), serve))?;
                self.named("false").and_then(|serve| self.serve(guard, serve))
            }
            other => Err(format!("`{other}` computes a variant's name and cannot be carried over")),
        }
    }

    fn choose(&mut self, items: &[Json], guard: ConditionWire, depth: usize) -> Result<(), String> {
        let mut pairs = items.chunks_exact(2);
        for pair in pairs.by_ref() {
            let [condition, then] = pair else { continue };
            let when = self.logic.condition(condition, Scope::User, depth + 1)?;
            if when != crate::carry::never() {
                self.branch(then, all([guard.clone(), when]), depth + 1)?;
            }
        }
        // A last one without a partner is "else"; none is null.
        self.branch(pairs.remainder().first().unwrap_or(&Json::Null), guard, depth + 1)
    }

    /// The variant that an attribute names.
    fn by_attribute(
        &mut self,
        json: &Json,
        guard: ConditionWire,
        depth: usize,
    ) -> Result<(), String> {
        let path = match self.logic.var(json, Scope::User)? {
            Some(Var::Path(path)) => path,
            Some(Var::Constant(constant)) => return self.branch(&constant, guard, depth + 1),
            None => return Err("`var` with a default computes and cannot be carried over".into()),
        };
        for name in self.variants.keys() {
            let mut operands = vec![Json::from(name.as_str())];
            operands.extend(name.parse::<bool>().ok().map(Json::from));
            for operand in operands {
                let same = test(&path, OperatorName::DeepEquals, vec![operand]);
                let when = all([guard.clone(), ConditionWire::Test(same)]);
                self.named(name).and_then(|serve| self.serve(when, serve))?;
            }
        }
        self.serve(all([guard.clone(), missing(&path)]), self.default.clone())?;
        let why =
            format!("targeting names the variant in `{path}`, and there is none of that name");
        self.serve(guard, OutcomeWire::Error(why))
    }

    fn fractional(
        &mut self,
        items: &[Json],
        guard: ConditionWire,
        depth: usize,
    ) -> Result<(), String> {
        let (by, shares) = match items.split_first() {
            Some((first @ Json::Object(_), rest)) => {
                (Some(self.logic.resolved(first, depth)?), rest)
            }
            _ => (None, items),
        };
        let shares = self.shares(shares, depth)?;
        let total = shares.last().map_or(0, |range| range.until);
        if total == 0 {
            return self.branch(&Json::Null, guard, depth + 1);
        }
        let unit = |unit: &str, salt: String| UnitWire {
            unit: unit.to_owned(),
            fallbacks: Vec::new(),
            missing: MissingUnit::NoMatch,
            salt,
            hash: HashName::Flagd,
            seed: 0,
            buckets: total,
        };
        let by_user = unit("user.key", self.flag.to_owned());
        let Some(by) = by else { return self.split(by_user, shares, guard) };
        if let Some(Var::Path(path)) = self.logic.var(by, Scope::User)? {
            let by = unit(&path, String::new());
            let text = test(&path, OperatorName::IsType, vec!["string".into()]);
            let text = all([guard.clone(), key_or(&path, ConditionWire::Test(text))]);
            self.serve(text, OutcomeWire::Split(SplitWire { by, ranges: shares.clone() }))?;
            let other = all([guard.clone(), crate::carry::present(&path)]);
            let why = format!("fractional hashes `{path}`, which is no text");
            self.serve(other, OutcomeWire::Error(why))?;
            return self.split(by_user, shares, guard);
        }
        let (salt, path) = self.logic.prefixed(by)?;
        let by = unit(&path, salt);
        // What is missing is joined as an empty text, whose bucket is a constant.
        let place = bucket(&CompiledHash::new(by.hash, &by.salt, by.seed, by.buckets), "");
        let held =
            shares.iter().find(|range| place < range.until).map(|range| range.variant.clone());
        if let Some(variant) = held {
            let nobody = all([guard.clone(), missing(&path)]);
            self.serve(nobody, OutcomeWire::Variant(variant))?;
        }
        self.serve(guard.clone(), OutcomeWire::Split(SplitWire { by, ranges: shares }))?;
        let why = format!("fractional hashes `{path}`, which is neither a text nor a whole number");
        self.serve(guard, OutcomeWire::Error(why))
    }

    /// By the targeting key; without one targeting answers null.
    fn split(
        &mut self,
        by: UnitWire,
        ranges: Vec<RangeWire>,
        guard: ConditionWire,
    ) -> Result<(), String> {
        self.serve(guard.clone(), OutcomeWire::Split(SplitWire { by, ranges }))?;
        self.branch(&Json::Null, guard, 0)
    }

    /// Shares without their common divisor: the bounds stay where they are, and the buckets are few.
    fn shares(&self, items: &[Json], depth: usize) -> Result<Vec<RangeWire>, String> {
        let mut shares = Vec::new();
        for item in items {
            let item = item.as_array().map_or(&[][..], Vec::as_slice);
            let name = match item.first() {
                Some(Json::String(name)) => name.clone(),
                Some(Json::Bool(yes)) => yes.to_string(),
                _ => return Err("a share of `fractional` does not name a variant".into()),
            };
            let OutcomeWire::Variant(variant) = self.named(&name)? else {
                return Err(format!("a share of `fractional` names `{name}`, which is not there"));
            };
            let weight = match item.get(1) {
                None => 1,
                Some(Json::Object(_)) => {
                    return Err(format!("the computed weight of `{name}` cannot be carried over"));
                }
                Some(weight) => {
                    weight.to_string().trim_end_matches(".0").parse().map_err(|_| {
                        format!("the weight of `{name}` is no whole number (at depth {depth})")
                    })?
                }
            };
            shares.push((variant, weight));
        }
        let divisor =
            shares.iter().fold(0, |divisor, (_, weight)| common_divisor(divisor, *weight));
        let (mut ranges, mut from) = (Vec::new(), 0_u32);
        for (variant, weight) in shares.into_iter().filter(|(_, weight)| *weight > 0) {
            let until = from.checked_add(weight / divisor.max(1));
            let until = until.ok_or("the weights of `fractional` are too large")?;
            ranges.push(RangeWire { from, until, variant });
            from = until;
        }
        Ok(ranges)
    }
}

/// The user's key is always a text.
fn key_or(path: &str, when: ConditionWire) -> ConditionWire {
    if path == "user.key" { crate::carry::present(path) } else { when }
}

fn common_divisor(mut one: u32, mut other: u32) -> u32 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}
