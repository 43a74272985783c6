//! Conditions: of rules and of segments.

use flagforge_flags::keys::SegmentKey;
use flagforge_flags::wire::{Comparison, ConditionWire, OperatorName, TestWire};
use serde_json::{Number, Value as Json};

use super::Segments;
use crate::carry::{
    Carried, Undecided, accepted, all, any, any_of, list, missing, never, not, present, test, text,
    text_of, user_path,
};

/// One condition. Segments do not ask for segments.
pub(crate) fn carry(condition: &Json, segments: Option<&Segments>) -> Result<Carried, String> {
    let (kind, predicate) = (text(condition, "type")?, text(condition, "predicate")?);
    let objects =
        list(condition, "objects")?.iter().map(|object| text_of(object).map(Json::String));
    let objects: Vec<Json> =
        objects.collect::<Option<_>>().ok_or("`objects` holds more than texts")?;
    let named = |why: String| format!("{kind} condition `{predicate}`: {why}");
    if kind == "segment" {
        let segments = segments.ok_or_else(|| named("a segment asks for a segment".into()))?;
        return segment(predicate, &objects, segments).map_err(named);
    }
    let subject = condition.get("subject").and_then(Json::as_str).unwrap_or_default();
    let path = user_path(subject).map_err(named)?;
    match kind {
        "string" => string(predicate, &path, objects).map(Into::into),
        "number" => number(predicate, &path, &objects).map(Into::into),
        "semver" => semver(predicate, &path, objects).map(Into::into),
        "datetime" => datetime(predicate, &path, &objects),
        _ => Err("there is no such type".into()),
    }
    .map_err(named)
}

fn unknown<T>() -> Result<T, String> {
    Err("there is no such predicate".into())
}

fn string(predicate: &str, path: &str, objects: Vec<Json>) -> Result<ConditionWire, String> {
    use OperatorName::{Contains, EndsWith, OneOf, Regex, StartsWith};
    let (operator, negate) = match predicate {
        "is one of" => (OneOf, false),
        "is not any of" => (OneOf, true),
        "ends with" => (EndsWith, false),
        "does not end with" => (EndsWith, true),
        "starts with" => (StartsWith, false),
        "does not start with" => (StartsWith, true),
        "contains" => (Contains, false),
        "does not contain" => (Contains, true),
        "matches regex" => (Regex, false),
        "does not match regex" => (Regex, true),
        _ => return unknown(),
    };
    if objects.is_empty() {
        return Ok(if negate { present(path) } else { never() });
    }
    let compare = if operator == OneOf { Comparison::Text } else { Comparison::Typed };
    // What is missing matches nothing, not even the negated predicates.
    accepted(TestWire { negate, compare, ..test(path, operator, objects) })
}

/// The first operator on each operand, or both where it takes two to say "different": what is no number at all is
/// not different either.
fn ordered(
    predicate: &str,
    [equal, less, less_or_equal, greater, greater_or_equal]: [OperatorName; 5],
    path: &str,
    operands: Vec<Json>,
    compare: Comparison,
) -> Result<ConditionWire, String> {
    let one = |operator, values| accepted(TestWire { compare, ..test(path, operator, values) });
    if operands.is_empty() {
        return Ok(if predicate == "!=" { present(path) } else { never() });
    }
    match predicate {
        "=" => one(equal, operands),
        "<" => one(less, operands),
        "<=" => one(less_or_equal, operands),
        ">" => one(greater, operands),
        ">=" => one(greater_or_equal, operands),
        "!=" => {
            let mut parts = Vec::new();
            for operand in operands {
                parts.push(any([one(less, vec![operand.clone()])?, one(greater, vec![operand])?]));
            }
            Ok(all(parts))
        }
        _ => unknown(),
    }
}

fn numbers(objects: &[Json]) -> Result<Vec<Json>, String> {
    let number = |object: &Json| {
        let number = object.as_str()?.parse().ok().and_then(Number::from_f64)?;
        Some(Json::Number(number))
    };
    let numbers = objects.iter().map(|object| number(object).ok_or(object));
    numbers.collect::<Result<_, _>>().map_err(|object| format!("{object} is no number"))
}

fn number(predicate: &str, path: &str, objects: &[Json]) -> Result<ConditionWire, String> {
    use OperatorName::{Greater, GreaterOrEqual, Less, LessOrEqual, OneOf};
    let operators = [OneOf, Less, LessOrEqual, Greater, GreaterOrEqual];
    ordered(predicate, operators, path, numbers(objects)?, Comparison::Number)
}

fn semver(predicate: &str, path: &str, objects: Vec<Json>) -> Result<ConditionWire, String> {
    use OperatorName::{
        SemverEquals, SemverGreater, SemverGreaterOrEqual, SemverLess, SemverLessOrEqual,
    };
    let operators =
        [SemverEquals, SemverLess, SemverLessOrEqual, SemverGreater, SemverGreaterOrEqual];
    ordered(predicate, operators, path, objects, Comparison::Typed)
}

/// Dates are texts of whole seconds.
fn datetime(predicate: &str, path: &str, objects: &[Json]) -> Result<Carried, String> {
    let operator = match predicate {
        "after" => OperatorName::GreaterOrEqual,
        "before" => OperatorName::Less,
        _ => return unknown(),
    };
    if objects.is_empty() {
        return Ok(never().into());
    }
    let compare = Comparison::Number;
    let when = accepted(TestWire { compare, ..test(path, operator, numbers(objects)?) })?;
    let why = format!("`{path}` is missing, where FeatureProbe takes its own clock");
    Ok(Carried { when, undecided: vec![Undecided { when: missing(path), why }] })
}

fn segment(predicate: &str, objects: &[Json], segments: &Segments) -> Result<Carried, String> {
    let mut parts = Vec::new();
    for name in objects.iter().filter_map(Json::as_str) {
        match segments.get(name) {
            // Nobody is in a segment that is not there.
            None => {}
            Some(Err(why)) => return Err(format!("segment `{name}`: {why}")),
            Some(Ok(carried)) => {
                let key = SegmentKey::new(name).map_err(|error| error.to_string())?;
                let undecided = carried.undecided.clone();
                parts.push(Carried { when: ConditionWire::InSegment(key), undecided });
            }
        }
    }
    let within = any_of(parts);
    match predicate {
        "is in" => Ok(within),
        "is not in" => Ok(Carried { when: not(within.when), undecided: within.undecided }),
        _ => unknown(),
    }
}
