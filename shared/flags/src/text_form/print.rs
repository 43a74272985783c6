//! From the tree to its canonical text.

use std::fmt::Write;

use serde_json::{Value as Json, json};

use super::literal::{write_text, write_value, write_values};
use super::names::{COMPARISONS, Kind, METHODS, is_name, is_selector};
use crate::split::DEFAULT_BUCKETS;
use crate::wire::{
    Comparison, ConditionWire, FlagIsWire, FlagTestWire, HashName, MissingUnit, OperatorName,
    RolloutWire, TestWire,
};

/// The canonical text of a condition. It keeps its own stack, so that no depth is too deep.
pub fn print(condition: &ConditionWire) -> String {
    let mut text = String::new();
    let mut left = vec![Piece::Condition(condition, Place::Open)];
    while let Some(piece) = left.pop() {
        match piece {
            Piece::Text(piece) => text.push_str(piece),
            Piece::Condition(condition, place) => write(&mut text, &mut left, condition, place),
        }
    }
    text
}

enum Piece<'c> {
    Text(&'static str),
    Condition(&'c ConditionWire, Place),
}

/// What stands around a condition, and so whether it needs parentheses.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// The whole text or an argument: none.
    Open,
    /// Between `&&` or `||`: a chain does.
    Chained,
    /// After `!`: a chain and a comparison do.
    Negated,
}

fn write<'c>(
    text: &mut String,
    left: &mut Vec<Piece<'c>>,
    condition: &'c ConditionWire,
    place: Place,
) {
    match condition {
        ConditionWire::Always => text.push_str("true"),
        ConditionWire::Any(parts) if parts.is_empty() => text.push_str("false"),
        ConditionWire::All(parts) => chain(text, left, parts, place, ("all(", " && ")),
        ConditionWire::Any(parts) => chain(text, left, parts, place, ("any(", " || ")),
        ConditionWire::Not(part) => {
            text.push('!');
            left.push(Piece::Condition(part, Place::Negated));
        }
        ConditionWire::Test(test) => write_test(text, test, place),
        ConditionWire::InSegment(key) => call(text, "in_segment", key.as_str()),
        ConditionWire::InGroup(key) => call(text, "in_group", key.as_str()),
        ConditionWire::Flag(flag) => write_flag(text, flag, place),
        ConditionWire::Rollout(rollout) => write_rollout(text, rollout),
        ConditionWire::AnyElement(elements) | ConditionWire::AllElements(elements) => {
            write_path(text, &elements.attribute);
            let any = matches!(condition, ConditionWire::AnyElement(_));
            text.push_str(if any { ".exists(element, " } else { ".all(element, " });
            left.push(Piece::Text(")"));
            left.push(Piece::Condition(&elements.when, Place::Open));
        }
    }
}

/// `a && b`; fewer than two parts as a call, which has no other text.
fn chain<'c>(
    text: &mut String,
    left: &mut Vec<Piece<'c>>,
    parts: &'c [ConditionWire],
    place: Place,
    (function, between): (&'static str, &'static str),
) {
    let few = parts.len() < 2;
    if few {
        text.push_str(function);
    } else if place != Place::Open {
        text.push('(');
    }
    if few || place != Place::Open {
        left.push(Piece::Text(")"));
    }
    let inner = if few { Place::Open } else { Place::Chained };
    // The stack gives back the last first.
    for (number, part) in parts.iter().enumerate().rev() {
        left.push(Piece::Condition(part, inner));
        if number > 0 {
            left.push(Piece::Text(between));
        }
    }
}

fn call(text: &mut String, function: &str, argument: &str) {
    text.push_str(function);
    text.push('(');
    write_text(text, argument);
    text.push(')');
}

fn write_flag(text: &mut String, test: &FlagTestWire, place: Place) {
    let parentheses = place == Place::Negated && matches!(test.is, FlagIsWire::Variants(_));
    if parentheses {
        text.push('(');
    }
    call(text, "flag", test.flag.as_str());
    match &test.is {
        FlagIsWire::Off => text.push_str(".is_off()"),
        FlagIsWire::Enabled => text.push_str(".is_enabled()"),
        FlagIsWire::Variants(variants) => {
            if let [variant] = variants.as_slice() {
                text.push_str(" == ");
                write_text(text, variant.as_str());
            } else {
                text.push_str(" in [");
                let variants: Vec<Json> = variants.iter().map(|key| key.as_str().into()).collect();
                write_values(text, &variants);
                text.push(']');
            }
        }
    }
    if parentheses {
        text.push(')');
    }
}

/// A share where all is as usual; else an object of what is not.
fn write_rollout(text: &mut String, rollout: &RolloutWire) {
    let RolloutWire { by, from, until } = rollout;
    text.push_str("rollout(");
    write_path(text, &by.unit);
    text.push_str(", ");
    write_text(text, &by.salt);
    text.push_str(", ");
    let mut options: Vec<(&str, Json)> = Vec::new();
    let mut unusual = |unusual: bool, name, value: Json| {
        if unusual {
            options.push((name, value));
        }
    };
    unusual(by.hash != HashName::Xxh3, "hash", json!(by.hash));
    unusual(by.seed != 0, "seed", json!(by.seed));
    unusual(by.buckets != DEFAULT_BUCKETS, "buckets", json!(by.buckets));
    unusual(!by.fallbacks.is_empty(), "fallbacks", json!(by.fallbacks));
    unusual(by.missing != MissingUnit::NoMatch, "missing", json!(by.missing));
    unusual(*from != 0, "from", json!(from));
    if options.is_empty() && *until <= DEFAULT_BUCKETS {
        write_share(text, *until);
    } else {
        options.push(("until", json!(until)));
        text.push('{');
        for (number, (name, value)) in options.iter().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            // Writing to a `String` cannot fail.
            let _written = write!(text, "{comma}\"{name}\": {value}");
        }
        text.push('}');
    }
    text.push(')');
}

/// Buckets out of the default number as a decimal fraction, with one digit after the point at least.
fn write_share(text: &mut String, buckets: u32) {
    let (whole, rest) = (buckets / DEFAULT_BUCKETS, buckets % DEFAULT_BUCKETS);
    let digits = format!("{rest:05}");
    let digits = digits.trim_end_matches('0');
    let _written = write!(text, "{whole}.{}", if digits.is_empty() { "0" } else { digits });
}

fn write_path(text: &mut String, path: &str) {
    let mut names = path.split('.');
    match names.next() {
        Some(first) if is_name(first) => text.push_str(first),
        _ => return call(text, "attribute", path),
    }
    for name in names {
        if is_selector(name) {
            text.push('.');
            text.push_str(name);
        } else {
            text.push('[');
            write_text(text, name);
            text.push(']');
        }
    }
}

fn write_test(text: &mut String, test: &TestWire, place: Place) {
    let start = text.len();
    let comparison = write_comparison(text, test);
    if !comparison {
        write_call(text, test);
    }
    // `!=` says it already.
    let negated = test.negate && !(comparison && takes_unequal(test.operator));
    let core = text.len();
    for (given, option) in [
        (negated, ".negated()"),
        (test.if_missing, ".or_missing()"),
        (test.ignore_case, ".ignore_case()"),
        (test.compare == Comparison::Text, ".as_text()"),
        (test.compare == Comparison::Number, ".as_number()"),
    ] {
        if given {
            text.push_str(option);
        }
    }
    if let Some(salt) = &test.salt {
        call(text, ".salted", salt);
    }
    if comparison && (text.len() > core || place == Place::Negated) {
        text.insert(core, ')');
        text.insert(start, '(');
    }
}

fn takes_unequal(operator: OperatorName) -> bool {
    matches!(operator, OperatorName::Modulo | OperatorName::IsNull)
        || COMPARISONS.iter().any(|(symbol, _, of)| *symbol == "==" && *of == operator)
}

/// The test as a comparison, if its operands let it be one.
fn write_comparison(text: &mut String, test: &TestWire) -> bool {
    let equal = if test.negate { "!=" } else { "==" };
    match (test.operator, test.values.as_slice()) {
        (OperatorName::OneOf, values) => {
            write_path(text, &test.attribute);
            text.push_str(" in [");
            write_values(text, values);
            text.push(']');
        }
        (OperatorName::IsNull, []) => {
            write_path(text, &test.attribute);
            let _written = write!(text, " {equal} null");
        }
        (OperatorName::Modulo, [Json::Number(divisor), Json::Number(rest)]) => {
            write_path(text, &test.attribute);
            let _written = write!(text, " % {divisor} {equal} {rest}");
        }
        (operator, [value]) => {
            let found = COMPARISONS.iter().find(|(_, _, of)| *of == operator);
            let Some((symbol, kind, _)) = found.filter(|(_, kind, _)| suits(*kind, value)) else {
                return false;
            };
            let symbol = if *symbol == "==" { equal } else { *symbol };
            write_compared(text, &test.attribute, symbol, *kind, value);
        }
        _ => return false,
    }
    true
}

/// Whether the operand, written, is read again as one of this kind.
fn suits(kind: Kind, value: &Json) -> bool {
    match kind {
        Kind::Value => !value.is_null(),
        Kind::Number | Kind::Size => value.is_number(),
        Kind::Text | Kind::Semver | Kind::LenientSemver => value.is_string(),
        Kind::Date => value.is_string() || value.is_number(),
    }
}

fn write_compared(text: &mut String, path: &str, symbol: &str, kind: Kind, value: &Json) {
    if kind == Kind::Size {
        text.push_str("size(");
    }
    write_path(text, path);
    text.push_str(if kind == Kind::Size { ") " } else { " " });
    text.push_str(symbol);
    text.push(' ');
    let function = match kind {
        Kind::Date if value == "now" => return text.push_str("now"),
        Kind::Semver => "semver(",
        Kind::LenientSemver => "lenient_semver(",
        Kind::Date => "date(",
        Kind::Value | Kind::Number | Kind::Text | Kind::Size => return write_value(text, value),
    };
    text.push_str(function);
    write_value(text, value);
    text.push(')');
}

/// The test as a call; every test can be one.
fn write_call(text: &mut String, test: &TestWire) {
    match (test.operator, test.values.as_slice()) {
        (OperatorName::Exists, []) => {
            text.push_str("has(");
            write_path(text, &test.attribute);
        }
        (OperatorName::InNetwork, values) => {
            text.push_str("in_network(");
            write_path(text, &test.attribute);
            text.push_str(", [");
            write_values(text, values);
            text.push(']');
        }
        (operator, values) => {
            write_path(text, &test.attribute);
            let method = METHODS.iter().find(|(_, of)| *of == operator);
            if let Some((method, _)) = method {
                let _written = write!(text, ".{method}(");
            } else {
                let _written = write!(text, ".test(\"{}\"", operator.as_str());
                text.push_str(if values.is_empty() { "" } else { ", " });
            }
            write_values(text, values);
        }
    }
    text.push(')');
}
