//! From words to the tree: conditions. Tests on attributes are in `attribute`.

use serde_json::{Map, Value as Json};

use super::error::TextError;
use super::lexer::{Token, Word, clip, words};
use super::{MAX_LITERAL_DEPTH, MAX_TEXT_DEPTH, names};
use crate::keys::{FlagKey, GroupKey, KeyError, SegmentKey, VariantKey};
use crate::split::DEFAULT_BUCKETS;
use crate::wire::{
    ConditionWire, FlagIsWire, FlagTestWire, HashName, MissingUnit, OperatorName, RolloutWire,
    UnitWire,
};

pub(super) type Parsed<T> = Result<T, TextError>;

const FUNCTIONS: &str =
    "a function: all, any, attribute, flag, has, in_group, in_network, in_segment, rollout or size";

pub(super) struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Token<'t>>,
    next: usize,
    depth: usize,
    literal_depth: usize,
}

impl<'t> Parser<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, tokens: words(text), next: 0, depth: 0, literal_depth: 0 }
    }

    /// The condition that the whole text is.
    pub(super) fn whole(mut self) -> Parsed<ConditionWire> {
        let condition = self.condition()?;
        match self.peek() {
            Word::End => Ok(condition),
            _ => Err(self.unexpected("`&&`, `||` or the end")),
        }
    }

    /// `a || b || c`
    pub(super) fn condition(&mut self) -> Parsed<ConditionWire> {
        self.deeper(|parser| parser.chain("||", Self::conjunction, ConditionWire::Any))
    }

    /// `a && b && c`
    fn conjunction(&mut self) -> Parsed<ConditionWire> {
        self.chain("&&", Self::unary, ConditionWire::All)
    }

    fn chain(
        &mut self,
        symbol: &'static str,
        part: fn(&mut Self) -> Parsed<ConditionWire>,
        join: fn(Vec<ConditionWire>) -> ConditionWire,
    ) -> Parsed<ConditionWire> {
        let first = part(self)?;
        if *self.peek() != Word::Symbol(symbol) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.eat(symbol) {
            parts.push(part(self)?);
        }
        Ok(join(parts))
    }

    fn unary(&mut self) -> Parsed<ConditionWire> {
        if self.eat("!") {
            let negated = self.deeper(Self::unary)?;
            return Ok(ConditionWire::Not(Box::new(negated)));
        }
        self.primary()
    }

    fn primary(&mut self) -> Parsed<ConditionWire> {
        let at = self.at();
        match self.peek().clone() {
            Word::Symbol("(") => {
                self.next();
                let inner = self.condition()?;
                self.expect(")")?;
                self.options(inner)
            }
            Word::Name("true" | "false" | "null") | Word::Literal(_) => self.literal_first(at),
            Word::Name(name) if self.peek_at(1) == &Word::Symbol("(") => self.function(name),
            Word::Name(name) if names::is_name(name) => {
                let path = self.path()?;
                self.test_on(path)
            }
            _ => Err(self.unexpected("a condition")),
        }
    }

    /// `true`, `false`, or `"x" in user.tags`.
    fn literal_first(&mut self, at: usize) -> Parsed<ConditionWire> {
        let literal = self.literal()?;
        if self.eat_name("in") {
            let path = self.path()?;
            let mut test = super::attribute::on(path, OperatorName::Equals, vec![literal]);
            test.negate = false;
            return self.options(ConditionWire::Test(test));
        }
        match literal {
            Json::Bool(true) => Ok(ConditionWire::Always),
            Json::Bool(false) => Ok(ConditionWire::Any(Vec::new())),
            _ => Err(self.error(at, "an attribute, or `in` after the value", "a value")),
        }
    }

    fn function(&mut self, name: &'t str) -> Parsed<ConditionWire> {
        let at = self.at();
        self.next += 2;
        match name {
            "all" => Ok(ConditionWire::All(self.list_until(")", Self::condition)?)),
            "any" => Ok(ConditionWire::Any(self.list_until(")", Self::condition)?)),
            "in_segment" => {
                Ok(ConditionWire::InSegment(self.only_key("a segment's key", SegmentKey::new)?))
            }
            "in_group" => {
                Ok(ConditionWire::InGroup(self.only_key("a group's key", GroupKey::new)?))
            }
            "flag" => self.flag(),
            "rollout" => Ok(ConditionWire::Rollout(self.rollout()?)),
            "attribute" => {
                self.next -= 2;
                let path = self.path()?;
                self.test_on(path)
            }
            "has" | "size" | "in_network" => self.test_function(name),
            _ => Err(self.error(at, FUNCTIONS, clip(name))),
        }
    }

    /// `flag("k") == "on"`, `flag("k") in ["on"]`, `flag("k").is_off()`; `flag("k")` is read already up to its key.
    fn flag(&mut self) -> Parsed<ConditionWire> {
        let flag = self.only_key("a flag's key", FlagKey::new)?;
        let expected = "`==`, `!=`, `in`, `.is_off()` or `.is_enabled()`";
        let is = |is| ConditionWire::Flag(FlagTestWire { flag, is });
        if self.eat_name("in") {
            self.expect("[")?;
            let variants =
                self.list_until("]", |parser| parser.key("a variant's key", VariantKey::new))?;
            return Ok(is(FlagIsWire::Variants(variants)));
        }
        let not = *self.peek() == Word::Symbol("!=");
        if not || *self.peek() == Word::Symbol("==") {
            self.next();
            let variant = self.key("a variant's key", VariantKey::new)?;
            let flag = is(FlagIsWire::Variants(vec![variant]));
            return Ok(if not { ConditionWire::Not(Box::new(flag)) } else { flag });
        }
        let Some((name, at)) = self.method() else { return Err(self.unexpected(expected)) };
        self.expect(")")?;
        match name {
            "is_off" => Ok(is(FlagIsWire::Off)),
            "is_enabled" => Ok(is(FlagIsWire::Enabled)),
            _ => Err(self.error(at, expected, clip(name))),
        }
    }

    /// `rollout(user.key, "salt", 0.2)` or, in place of the share, an object of options.
    fn rollout(&mut self) -> Parsed<RolloutWire> {
        let unit = self.path()?;
        self.expect(",")?;
        let salt = self.string("the salt, a text")?;
        self.expect(",")?;
        let by = UnitWire {
            unit,
            fallbacks: Vec::new(),
            missing: MissingUnit::NoMatch,
            salt,
            hash: HashName::Xxh3,
            seed: 0,
            buckets: DEFAULT_BUCKETS,
        };
        let mut rollout = RolloutWire { by, from: 0, until: 0 };
        let at = self.at();
        match self.literal()? {
            Json::Object(options) => self.rollout_options(&mut rollout, &options, at)?,
            share => match share.as_f64().and_then(buckets_of) {
                Some(until) => rollout.until = until,
                None => {
                    let expected = "a share from 0.0 to 1.0 with at most five decimals, or an object of options";
                    return Err(self.error(at, expected, clip(&share.to_string())));
                }
            },
        }
        self.expect(")")?;
        Ok(rollout)
    }

    fn rollout_options(
        &self,
        rollout: &mut RolloutWire,
        options: &Map<String, Json>,
        at: usize,
    ) -> Parsed<()> {
        if !options.contains_key("until") {
            return Err(self.error(at, "the option `until`", "none"));
        }
        for (name, value) in options {
            let number = || value.as_u64().and_then(|number| u32::try_from(number).ok());
            let taken = match name.as_str() {
                "from" => number().map(|number| rollout.from = number),
                "until" => number().map(|number| rollout.until = number),
                "buckets" => number().map(|number| rollout.by.buckets = number),
                "seed" => number().map(|number| rollout.by.seed = number),
                "hash" => {
                    serde_json::from_value(value.clone()).ok().map(|hash| rollout.by.hash = hash)
                }
                "missing" => serde_json::from_value(value.clone())
                    .ok()
                    .map(|missing| rollout.by.missing = missing),
                "fallbacks" => serde_json::from_value(value.clone())
                    .ok()
                    .map(|fallbacks| rollout.by.fallbacks = fallbacks),
                _ => {
                    let expected =
                        "the options from, until, buckets, seed, hash, missing and fallbacks";
                    return Err(self.error(at, expected, clip(name)));
                }
            };
            if taken.is_none() {
                let expected = format!("a value that `{name}` can have");
                return Err(self.error(at, expected, clip(&value.to_string())));
            }
        }
        Ok(())
    }
}

/// How many of the default buckets a share is, if it is a whole number of them.
fn buckets_of(share: f64) -> Option<u32> {
    let buckets = share * f64::from(DEFAULT_BUCKETS);
    let whole = buckets.round();
    // Five decimals are off by far less, six by a tenth at least.
    let exact = (buckets - whole).abs() < 1e-3 && (0.0..=1.0).contains(&share);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share from 0 to 1 of 100,000 buckets"
    )]
    exact.then_some(whole as u32)
}

/// Reading words one by one.
impl<'t> Parser<'t> {
    pub(super) fn peek(&self) -> &Word<'t> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> &Word<'t> {
        self.tokens.get(self.next + ahead).map_or(&Word::End, |token| &token.word)
    }

    /// Where the next word begins.
    pub(super) fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.len(), |token| token.at)
    }

    pub(super) fn next(&mut self) {
        self.next += 1;
    }

    pub(super) fn eat(&mut self, symbol: &str) -> bool {
        let there = matches!(self.peek(), Word::Symbol(next) if *next == symbol);
        self.next += usize::from(there);
        there
    }

    pub(super) fn eat_name(&mut self, name: &str) -> bool {
        let there = matches!(self.peek(), Word::Name(next) if *next == name);
        self.next += usize::from(there);
        there
    }

    pub(super) fn expect(&mut self, symbol: &str) -> Parsed<()> {
        if self.eat(symbol) { Ok(()) } else { Err(self.unexpected(&format!("`{symbol}`"))) }
    }

    /// `.name(`: the name and where it begins.
    pub(super) fn method(&mut self) -> Option<(&'t str, usize)> {
        let (Word::Symbol("."), Word::Name(name), Word::Symbol("(")) =
            (self.peek(), self.peek_at(1), self.peek_at(2))
        else {
            return None;
        };
        let name = *name;
        self.next += 1;
        let at = self.at();
        self.next += 2;
        Some((name, at))
    }

    /// Items with commas between, up to a closing symbol, which is taken too.
    pub(super) fn list_until<T>(
        &mut self,
        close: &str,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let mut items = Vec::new();
        if self.eat(close) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.eat(close) {
                return Ok(items);
            }
            if !self.eat(",") {
                return Err(self.unexpected(&format!("`,` or `{close}`")));
            }
        }
    }

    /// A key and the `)` after it.
    fn only_key<K>(&mut self, what: &str, parse: fn(&str) -> Result<K, KeyError>) -> Parsed<K> {
        let key = self.key(what, parse)?;
        self.expect(")")?;
        Ok(key)
    }

    fn key<K>(&mut self, what: &str, parse: fn(&str) -> Result<K, KeyError>) -> Parsed<K> {
        let at = self.at();
        let text = self.string(what)?;
        parse(&text).map_err(|error| self.error(at, what, format!("one that {}", error.fault)))
    }

    /// One level further in, if there may be one.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == MAX_TEXT_DEPTH {
            return Err(self.too_deep(MAX_TEXT_DEPTH));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// The same for lists and objects, which are counted by themselves.
    pub(super) fn deeper_literal<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        if self.literal_depth == MAX_LITERAL_DEPTH {
            return Err(self.too_deep(MAX_LITERAL_DEPTH));
        }
        self.literal_depth += 1;
        let result = inner(self);
        self.literal_depth -= 1;
        result
    }

    fn too_deep(&self, limit: usize) -> TextError {
        self.error(self.at(), format!("at most {limit} levels"), "one more")
    }

    pub(super) fn error(
        &self,
        at: usize,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> TextError {
        TextError::new(self.text, at, expected, found)
    }

    /// What comes next is not what could.
    pub(super) fn unexpected(&self, expected: &str) -> TextError {
        let found = match self.peek() {
            Word::End => "the end".to_owned(),
            Word::Name(name) => clip(name),
            Word::Symbol(symbol) => clip(symbol),
            Word::Literal(literal) => clip(&literal.to_string()),
            Word::Stray(character) => format!("{character:?}"),
            // What is wrong inside the word says more than that it is not wanted here.
            Word::Broken(error) => return (**error).clone(),
        };
        self.error(self.at(), expected, found)
    }
}
