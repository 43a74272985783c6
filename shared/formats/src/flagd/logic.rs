//! JSONLogic that decides, as conditions. Values are coerced where JSONLogic coerces them.

use std::cell::Cell;

use flagforge_flags::wire::{ConditionWire, ElementsWire, OperatorName};
use serde_json::Value as Json;

use super::compare::semver;
use crate::carry::{accepted, all, any, never, not, test, user_path};

/// Where flagd's clock is put.
pub(crate) const CLOCK: &str = "user.$flagd.timestamp";
/// How deep references may lead into each other.
const MAX_DEPTH: usize = 64;

/// What expressions are read against.
pub(crate) struct Logic<'j> {
    pub(crate) flag: &'j str,
    pub(crate) evaluators: Option<&'j Json>,
    pub(crate) reads_clock: Cell<bool>,
}

/// What `var` is relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    User,
    Element,
}

/// What a `var` stands for.
pub(crate) enum Var {
    Path(String),
    Constant(Json),
}

/// One side of a comparison.
pub(super) enum Side {
    Path(String),
    Constant(Json),
}

pub(super) fn constant(yes: bool) -> ConditionWire {
    if yes { ConditionWire::Always } else { never() }
}

pub(super) fn typed(path: &str, kind: &str) -> ConditionWire {
    // A key is a text, whatever else there is to say of it.
    if path == "user.key" {
        return if kind == "string" { crate::carry::present(path) } else { never() };
    }
    ConditionWire::Test(test(path, OperatorName::IsType, vec![kind.into()]))
}

impl<'j> Logic<'j> {
    /// The expression behind a reference.
    pub(crate) fn resolved<'a>(&self, json: &'a Json, depth: usize) -> Result<&'a Json, String>
    where
        'j: 'a,
    {
        let mut at = json;
        for _ in depth..MAX_DEPTH {
            let Some(name) = at.get("$ref").and_then(Json::as_str) else { return Ok(at) };
            let held = self.evaluators.and_then(|evaluators| evaluators.get(name));
            at = held.ok_or_else(|| format!("there is no evaluator `{name}`"))?;
        }
        Err("its evaluators lead into each other".into())
    }

    /// What a `var` without a default stands for; nothing where the expression is none.
    pub(crate) fn var(&self, json: &Json, scope: Scope) -> Result<Option<Var>, String> {
        let Some(held) = json.get("var") else { return Ok(None) };
        let name = match held {
            Json::Array(items) => match items.as_slice() {
                [name] => name,
                _ => return Err("`var` with a default cannot be carried over".into()),
            },
            name => name,
        };
        let name = name.as_str().ok_or("`var` of something that is no name")?;
        if scope == Scope::Element {
            let path = if name.is_empty() { "element".into() } else { format!("element.{name}") };
            return Ok(Some(Var::Path(path)));
        }
        match name {
            "$flagd.flagKey" => return Ok(Some(Var::Constant(self.flag.into()))),
            "$flagd.timestamp" => {
                self.reads_clock.set(true);
                return Ok(Some(Var::Path(CLOCK.to_owned())));
            }
            "targetingKey" => return Ok(Some(Var::Path("user.key".to_owned()))),
            "" => return Err("`var` of the whole context cannot be carried over".into()),
            _ => {}
        }
        user_path(name).map(|path| Some(Var::Path(path)))
    }

    /// `cat` of constants and one attribute at the end: what is hashed after what.
    pub(crate) fn prefixed(&self, json: &Json) -> Result<(String, String), String> {
        let refuse =
            || "fractional hashes something computed, which cannot be carried over".to_owned();
        let items = json.get("cat").and_then(Json::as_array).ok_or_else(refuse)?;
        let (mut salt, mut path) = (String::new(), None);
        for item in items {
            if path.is_some() {
                return Err(refuse());
            }
            match self.side(item, Scope::User, 0)? {
                Side::Path(held) => path = Some(held),
                Side::Constant(Json::String(text)) => salt.push_str(&text),
                Side::Constant(_) => return Err(refuse()),
            }
        }
        path.map(|path| (salt, path)).ok_or_else(refuse)
    }

    pub(super) fn side(&self, json: &Json, scope: Scope, depth: usize) -> Result<Side, String> {
        let json = self.resolved(json, depth)?;
        match json {
            Json::Object(members) => match self.var(json, scope)? {
                Some(Var::Path(path)) => Ok(Side::Path(path)),
                Some(Var::Constant(constant)) => Ok(Side::Constant(constant)),
                None => {
                    let name = members.keys().next().map_or("", String::as_str);
                    Err(format!("`{name}` computes a value and cannot be carried over"))
                }
            },
            constant => Ok(Side::Constant(constant.clone())),
        }
    }

    /// Whether an expression answers `true` or `false` and nothing else.
    pub(crate) fn is_boolean(&self, json: &Json, depth: usize) -> bool {
        let Ok(json) = self.resolved(json, depth) else { return false };
        let Some((name, held)) = json.as_object().and_then(|members| members.iter().next()) else {
            return json.is_boolean();
        };
        let items = held.as_array().map_or(&[][..], Vec::as_slice);
        match name.as_str() {
            "==" | "===" | "!=" | "!==" | "<" | "<=" | ">" | ">=" | "!" | "!!" | "in" | "all"
            | "some" | "none" | "starts_with" | "ends_with" | "sem_ver" => true,
            "and" | "or" => {
                depth < MAX_DEPTH && items.iter().all(|item| self.is_boolean(item, depth + 1))
            }
            _ => false,
        }
    }

    /// When an expression is truthy.
    pub(crate) fn condition(
        &self,
        json: &Json,
        scope: Scope,
        depth: usize,
    ) -> Result<ConditionWire, String> {
        if depth >= MAX_DEPTH {
            return Err("its targeting stands too deep".into());
        }
        let json = self.resolved(json, depth)?;
        let Json::Object(members) = json else { return Ok(constant(truthy(json))) };
        let (name, held) = members.iter().next().ok_or("an empty operation")?;
        let items = held.as_array().map_or(std::slice::from_ref(held), Vec::as_slice);
        let inner = |item: &Json| self.condition(item, scope, depth + 1);
        let each = || items.iter().map(inner).collect::<Result<Vec<_>, _>>();
        match (name.as_str(), items) {
            ("var", _) => match self.side(json, scope, depth)? {
                Side::Path(path) => Ok(truthy_path(&path)),
                Side::Constant(value) => Ok(constant(truthy(&value))),
            },
            ("and", _) => Ok(all(each()?)),
            ("or", _) => Ok(any(each()?)),
            ("!", [one]) => Ok(not(inner(one)?)),
            ("!!", [one]) => inner(one),
            ("if", _) => self.either(items, scope, depth),
            ("==" | "===" | "!=" | "!==", [one, other]) => {
                let strict = name.len() == 3;
                let same = self.equal(one, other, strict, scope, depth)?;
                Ok(if name.starts_with('!') { not(same) } else { same })
            }
            ("<" | "<=" | ">" | ">=", [one, other]) => self.ordered(name, one, other, scope, depth),
            ("<" | "<=", [one, middle, other]) => Ok(all([
                self.ordered(name, one, middle, scope, depth)?,
                self.ordered(name, middle, other, scope, depth)?,
            ])),
            ("in", [one, other]) => self.within(one, other, scope, depth),
            ("starts_with" | "ends_with", [one, other]) => {
                let starts = name == "starts_with";
                let operator =
                    if starts { OperatorName::StartsWith } else { OperatorName::EndsWith };
                let (path, text) = self.path_and_constant(name, one, other, scope, depth)?;
                Ok(all([typed(&path, "string"), accepted(test(&path, operator, vec![text]))?]))
            }
            ("sem_ver", [one, range, other]) => {
                let (path, version) = self.path_and_constant(name, one, other, scope, depth)?;
                let version = version.as_str().unwrap_or_default();
                semver(&path, range.as_str().unwrap_or_default(), version)
            }
            ("all" | "some" | "none", [list, when]) => {
                let Side::Path(attribute) = self.side(list, scope, depth)? else {
                    return Err(format!("`{name}` of a constant list cannot be carried over"));
                };
                let when = Box::new(self.condition(when, Scope::Element, depth + 1)?);
                let elements = ElementsWire { attribute: attribute.clone(), when };
                let some = test(&attribute, OperatorName::SizeGreater, vec![0.into()]);
                Ok(match name.as_str() {
                    // JSONLogic's `all` of an empty list is false.
                    "all" => all([
                        typed(&attribute, "list"),
                        ConditionWire::Test(some),
                        ConditionWire::AllElements(elements),
                    ]),
                    "some" => ConditionWire::AnyElement(elements),
                    _ => not(ConditionWire::AnyElement(elements)),
                })
            }
            (other, _) => Err(format!("`{other}` computes a value and cannot be carried over")),
        }
    }

    /// `if` as a condition: the first branch whose question holds.
    fn either(&self, items: &[Json], scope: Scope, depth: usize) -> Result<ConditionWire, String> {
        let inner = |item: &Json| self.condition(item, scope, depth + 1);
        match items {
            [] => Ok(never()),
            [last] => inner(last),
            [question, then, rest @ ..] => {
                let question = inner(question)?;
                let other = self.either(rest, scope, depth + 1)?;
                let then = all([question.clone(), inner(then)?]);
                Ok(any([then, all([not(question), other])]))
            }
        }
    }

    fn path_and_constant(
        &self,
        name: &str,
        one: &Json,
        other: &Json,
        scope: Scope,
        depth: usize,
    ) -> Result<(String, Json), String> {
        match (self.side(one, scope, depth)?, self.side(other, scope, depth)?) {
            (Side::Path(path), Side::Constant(constant)) => Ok((path, constant)),
            _ => Err(format!("`{name}` can be carried over of an attribute and a constant only")),
        }
    }
}

fn truthy(json: &Json) -> bool {
    match json {
        Json::Null => false,
        Json::Bool(yes) => *yes,
        Json::Number(number) => number.as_f64() != Some(0.0),
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Object(_) => true,
    }
}

fn truthy_path(path: &str) -> ConditionWire {
    let held = |operator, value| ConditionWire::Test(test(path, operator, vec![value]));
    if path == "user.key" {
        return crate::carry::present(path);
    }
    let some = || held(OperatorName::SizeGreater, 0.into());
    any([
        held(OperatorName::DeepEquals, true.into()),
        all([typed(path, "string"), some()]),
        all([typed(path, "number"), not(held(OperatorName::DeepEquals, 0.into()))]),
        all([typed(path, "list"), some()]),
        typed(path, "object"),
    ])
}
