//! From words to the tree: attribute paths, tests on them, their options, and values.

use serde::Deserialize;
use serde::de::value::{Error as NameError, StrDeserializer};
use serde_json::{Map, Number, Value as Json};

use super::lexer::{Word, clip};
use super::names::{self, COMPARISONS, Kind, METHODS};
use super::parser::{Parsed, Parser};
use crate::wire::{Comparison, ConditionWire, ElementsWire, OperatorName, TestWire};

const COMPARISON: &str =
    "`==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `%` or a method such as `.contains(`";
const METHOD: &str = "a method: contains, startsWith, endsWith, matches, deep_equals, is_type, hash_equals, hash_prefix, exists, all or test";
const OPTION: &str = "an option: negated, or_missing, ignore_case, as_text, as_number or salted";

/// A test without options.
pub(super) fn on(attribute: String, operator: OperatorName, values: Vec<Json>) -> TestWire {
    TestWire {
        attribute,
        operator,
        values,
        negate: false,
        if_missing: false,
        ignore_case: false,
        compare: Comparison::Typed,
        salt: None,
    }
}

impl<'t> Parser<'t> {
    /// `user.device["os name"]` or `attribute("…")`: everything up to a method.
    pub(super) fn path(&mut self) -> Parsed<String> {
        let mut path = match *self.peek() {
            Word::Name("attribute") if *self.peek_at(1) == Word::Symbol("(") => {
                self.next();
                self.next();
                let path = self.string("an attribute's path, a text")?;
                self.expect(")")?;
                path
            }
            Word::Name(name) if names::is_name(name) => {
                self.next();
                name.to_owned()
            }
            _ => return Err(self.unexpected("an attribute, such as user.country")),
        };
        loop {
            let method = *self.peek_at(2) == Word::Symbol("(");
            match (self.peek(), self.peek_at(1)) {
                (Word::Symbol("."), Word::Name(_)) if method => return Ok(path),
                (Word::Symbol("."), Word::Name(name)) if names::is_selector(name) => {
                    path.push('.');
                    path.push_str(name);
                    self.next();
                    self.next();
                }
                (Word::Symbol("."), _) => {
                    self.next();
                    return Err(self.unexpected("an attribute's name or a method"));
                }
                (Word::Symbol("["), _) => {
                    self.next();
                    let at = self.at();
                    let name = self.string("an attribute's name, a text")?;
                    if name.contains('.') {
                        return Err(self.error(at, "a name without dots", clip(&name)));
                    }
                    path.push('.');
                    path.push_str(&name);
                    self.expect("]")?;
                }
                _ => return Ok(path),
            }
        }
    }

    /// What follows a path.
    pub(super) fn test_on(&mut self, path: String) -> Parsed<ConditionWire> {
        if let Some((name, at)) = self.method() {
            return self.method_on(path, name, at);
        }
        if self.eat_name("in") {
            self.expect("[")?;
            let values = self.list_until("]", Self::literal)?;
            return Ok(ConditionWire::Test(on(path, OperatorName::OneOf, values)));
        }
        if self.eat("%") {
            return self.modulo(path);
        }
        let alone = matches!(self.peek(), Word::End | Word::Symbol("&&" | "||" | ")" | ","));
        if alone {
            return Ok(ConditionWire::Test(on(path, OperatorName::Equals, vec![true.into()])));
        }
        let (symbol, negate) = self.comparison()?;
        let at = self.at();
        let (kind, value) = self.operand()?;
        let kind = match (kind, &value) {
            (Kind::Value, Json::Null) if symbol == "==" => {
                let test = on(path, OperatorName::IsNull, Vec::new());
                return Ok(ConditionWire::Test(TestWire { negate, ..test }));
            }
            (Kind::Value, Json::Number(_)) if symbol != "==" => Kind::Number,
            (Kind::Value, Json::String(_)) if symbol != "==" => Kind::Text,
            (kind, _) => kind,
        };
        let Some(operator) = comparing(symbol, kind) else {
            let expected = match kind {
                Kind::Date => "`now` or a date only after `<` or `>`".to_owned(),
                _ => format!("a number, a text, a version or a date after `{symbol}`"),
            };
            return Err(self.error(at, expected, clip(&value.to_string())));
        };
        Ok(ConditionWire::Test(TestWire { negate, ..on(path, operator, vec![value]) }))
    }

    fn method_on(&mut self, path: String, name: &'t str, at: usize) -> Parsed<ConditionWire> {
        if matches!(name, "exists" | "all") {
            if !self.eat_name("element") {
                return Err(self.unexpected("`element`"));
            }
            self.expect(",")?;
            let when = Box::new(self.condition()?);
            self.expect(")")?;
            let elements = ElementsWire { attribute: path, when };
            return Ok(match name {
                "exists" => ConditionWire::AnyElement(elements),
                _ => ConditionWire::AllElements(elements),
            });
        }
        let operator = match METHODS.iter().find(|(method, _)| *method == name) {
            Some((_, operator)) => *operator,
            None if name == "test" => {
                let operator = self.operator()?;
                if *self.peek() != Word::Symbol(")") {
                    self.expect(",")?;
                }
                operator
            }
            None => return Err(self.error(at, METHOD, clip(name))),
        };
        let values = self.list_until(")", Self::literal)?;
        self.options(ConditionWire::Test(on(path, operator, values)))
    }

    fn operator(&mut self) -> Parsed<OperatorName> {
        let at = self.at();
        let name = self.string("an operator's name, a text")?;
        let from: StrDeserializer<'_, NameError> = StrDeserializer::new(&name);
        OperatorName::deserialize(from)
            .map_err(|_| self.error(at, "an operator's name, such as one-of", clip(&name)))
    }

    /// `has(path)`, `size(path) > 3` and `in_network(path, ["10.0.0.0/8"])`, from after the parenthesis.
    pub(super) fn test_function(&mut self, name: &str) -> Parsed<ConditionWire> {
        let path = self.path()?;
        if name == "in_network" {
            self.expect(",")?;
            let at = self.at();
            let values = match self.literal()? {
                Json::Array(values) => values,
                text @ Json::String(_) => vec![text],
                other => {
                    let expected = "a network or a list of networks";
                    return Err(self.error(at, expected, clip(&other.to_string())));
                }
            };
            self.expect(")")?;
            return self.options(ConditionWire::Test(on(path, OperatorName::InNetwork, values)));
        }
        self.expect(")")?;
        if name == "has" {
            let test = on(path, OperatorName::Exists, Vec::new());
            return self.options(ConditionWire::Test(test));
        }
        self.size(path)
    }

    /// What follows `size(path)`. Sizes are whole, so `>= 3` is `> 2`.
    fn size(&mut self, path: String) -> Parsed<ConditionWire> {
        let (symbol, negate) = self.comparison()?;
        let at = self.at();
        let number = self.number()?;
        let neighbour = |by: i64| number.as_i64().and_then(|whole| whole.checked_add(by));
        let number_text = number.to_string();
        let (symbol, number) = match (symbol, neighbour(-1), neighbour(1)) {
            (">=", Some(below), _) => (">", Number::from(below)),
            ("<=", _, Some(above)) => ("<", Number::from(above)),
            _ => (symbol, number),
        };
        match comparing(symbol, Kind::Size) {
            Some(operator) => {
                let test = on(path, operator, vec![Json::Number(number)]);
                Ok(ConditionWire::Test(TestWire { negate, ..test }))
            }
            None => Err(self.error(at, "a whole number", clip(&number_text))),
        }
    }

    /// What follows `path %`.
    fn modulo(&mut self, path: String) -> Parsed<ConditionWire> {
        let divisor = self.number()?;
        let negate = match self.peek() {
            Word::Symbol("==") => false,
            Word::Symbol("!=") => true,
            _ => return Err(self.unexpected("`==` or `!=`")),
        };
        self.next();
        let values = vec![Json::Number(divisor), Json::Number(self.number()?)];
        Ok(ConditionWire::Test(TestWire { negate, ..on(path, OperatorName::Modulo, values) }))
    }

    /// A comparing symbol, `!=` as a negated `==`.
    fn comparison(&mut self) -> Parsed<(&'static str, bool)> {
        let Word::Symbol(symbol @ ("==" | "!=" | "<" | "<=" | ">" | ">=")) = *self.peek() else {
            return Err(self.unexpected(COMPARISON));
        };
        self.next();
        Ok(if symbol == "!=" { ("==", true) } else { (symbol, false) })
    }

    /// What stands right of a comparison.
    fn operand(&mut self) -> Parsed<(Kind, Json)> {
        if self.eat_name("now") {
            return Ok((Kind::Date, "now".into()));
        }
        let kind = match (self.peek(), self.peek_at(1)) {
            (Word::Name("semver"), Word::Symbol("(")) => Kind::Semver,
            (Word::Name("lenient_semver"), Word::Symbol("(")) => Kind::LenientSemver,
            (Word::Name("date"), Word::Symbol("(")) => Kind::Date,
            _ => return Ok((Kind::Value, self.literal()?)),
        };
        self.next();
        self.next();
        let value = match kind {
            Kind::Date if matches!(self.peek(), Word::Literal(Json::Number(_))) => {
                Json::Number(self.number()?)
            }
            Kind::Date => self.string("a date: a text, or milliseconds since 1970")?.into(),
            _ => self.string("a version, a text")?.into(),
        };
        self.expect(")")?;
        Ok((kind, value))
    }

    /// Options after what is in parentheses or called: `.or_missing().ignore_case()`.
    pub(super) fn options(&mut self, condition: ConditionWire) -> Parsed<ConditionWire> {
        let mut condition = condition;
        while let Some((name, at)) = self.method() {
            let ConditionWire::Test(test) = &mut condition else {
                let expected = "options only after a test on one attribute";
                return Err(self.error(at, expected, clip(name)));
            };
            let unset = match name {
                "negated" => !std::mem::replace(&mut test.negate, true),
                "or_missing" => !std::mem::replace(&mut test.if_missing, true),
                "ignore_case" => !std::mem::replace(&mut test.ignore_case, true),
                "as_text" | "as_number" => {
                    let wanted =
                        if name == "as_text" { Comparison::Text } else { Comparison::Number };
                    std::mem::replace(&mut test.compare, wanted) == Comparison::Typed
                }
                "salted" => {
                    let salt = self.string("the salt, a text")?;
                    test.salt.replace(salt).is_none()
                }
                _ => return Err(self.error(at, OPTION, clip(name))),
            };
            if !unset {
                return Err(self.error(at, "each option once", clip(name)));
            }
            self.expect(")")?;
        }
        Ok(condition)
    }

    pub(super) fn string(&mut self, what: &str) -> Parsed<String> {
        let Word::Literal(Json::String(text)) = self.peek() else {
            return Err(self.unexpected(what));
        };
        let text = text.clone();
        self.next();
        Ok(text)
    }

    fn number(&mut self) -> Parsed<Number> {
        let Word::Literal(Json::Number(number)) = self.peek() else {
            return Err(self.unexpected("a number"));
        };
        let number = number.clone();
        self.next();
        Ok(number)
    }

    /// A value: JSON, and texts in either kind of quotes or raw.
    pub(super) fn literal(&mut self) -> Parsed<Json> {
        let value = match self.peek() {
            Word::Literal(value) => value.clone(),
            Word::Name("true") => Json::Bool(true),
            Word::Name("false") => Json::Bool(false),
            Word::Name("null") => Json::Null,
            Word::Symbol("[") => {
                self.next();
                let items = self.deeper_literal(|parser| parser.list_until("]", Self::literal))?;
                return Ok(Json::Array(items));
            }
            Word::Symbol("{") => {
                self.next();
                return self.deeper_literal(Self::object);
            }
            _ => {
                return Err(
                    self.unexpected("a value: a text, a number, true, false, null or a list")
                );
            }
        };
        self.next();
        Ok(value)
    }

    fn object(&mut self) -> Parsed<Json> {
        let mut object = Map::new();
        self.list_until("}", |parser| {
            let at = parser.at();
            let name = parser.string("a name, a text")?;
            parser.expect(":")?;
            let value = parser.literal()?;
            match object.insert(name.clone(), value) {
                None => Ok(()),
                Some(_) => Err(parser.error(at, "each name once", clip(&name))),
            }
        })?;
        Ok(Json::Object(object))
    }
}

fn comparing(symbol: &str, kind: Kind) -> Option<OperatorName> {
    let found = COMPARISONS.iter().find(|(sign, of, _)| *sign == symbol && *of == kind);
    found.map(|(_, _, operator)| *operator)
}
