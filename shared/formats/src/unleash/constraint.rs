//! Constraints: of strategies and of segments.

use flagforge_flags::wire::{Comparison, ConditionWire, OperatorName, TestWire};
use serde_json::{Number, Value as Json};

use crate::Imported;
use crate::carry::{
    Carried, Undecided, accepted, all, list, missing, never, not, test, text, text_of, user_path,
};

/// The attribute path of a context field.
pub(crate) fn path(name: &str) -> Result<String, String> {
    if name == "userId" { Ok("user.key".into()) } else { user_path(name) }
}

/// The constraints of a strategy or a segment, all of which must hold. An error only where one of them is malformed.
pub(crate) fn all_of(
    owner: &Json,
    subject: &str,
    imported: &mut Imported,
) -> Result<Carried, String> {
    let mut parts = Vec::new();
    for constraint in list(owner, "constraints")? {
        parts.push(Ok(one(constraint, subject, imported)?));
    }
    Ok(Carried::all(parts))
}

/// One constraint.
pub(crate) fn one(
    constraint: &Json,
    subject: &str,
    imported: &mut Imported,
) -> Result<Carried, String> {
    let (field, operator) = (text(constraint, "contextName")?, text(constraint, "operator")?);
    let named = |why: String| format!("constraint {operator} on `{field}`: {why}");
    let path = path(field).map_err(named)?;
    let flag = |name| constraint.get(name).and_then(Json::as_bool).unwrap_or(false);
    let plain = match operator {
        "IN" | "NOT_IN" => one_of(constraint, &path, operator == "NOT_IN"),
        "STR_CONTAINS" => texts(constraint, &path, OperatorName::Contains),
        "STR_STARTS_WITH" => texts(constraint, &path, OperatorName::StartsWith),
        "STR_ENDS_WITH" => texts(constraint, &path, OperatorName::EndsWith),
        "NUM_EQ" => number(constraint, &path, OperatorName::Equals),
        "NUM_GT" => number(constraint, &path, OperatorName::Greater),
        "NUM_GTE" => number(constraint, &path, OperatorName::GreaterOrEqual),
        "NUM_LT" => number(constraint, &path, OperatorName::Less),
        "NUM_LTE" => number(constraint, &path, OperatorName::LessOrEqual),
        "DATE_AFTER" => value(constraint, &path, OperatorName::After),
        "DATE_BEFORE" => value(constraint, &path, OperatorName::Before),
        "SEMVER_EQ" => value(constraint, &path, OperatorName::SemverEquals),
        "SEMVER_GT" => value(constraint, &path, OperatorName::SemverGreater),
        "SEMVER_GTE" => value(constraint, &path, OperatorName::SemverGreaterOrEqual),
        "SEMVER_LT" => value(constraint, &path, OperatorName::SemverLess),
        "SEMVER_LTE" => value(constraint, &path, OperatorName::SemverLessOrEqual),
        "REGEX" => value(constraint, &path, OperatorName::Regex),
        "IN_CIDR" => networks(list(constraint, "values")?, &path, subject, imported),
        _ => Err("there is no such operator".into()),
    };
    let plain = plain.map_err(named)?;
    let when = if flag("inverted") { not(plain) } else { plain };
    Ok(match operator {
        "DATE_AFTER" | "DATE_BEFORE" if field == "currentTime" => Carried {
            when,
            undecided: vec![Undecided {
                when: missing(&path),
                why: "`currentTime` is missing, where Unleash takes its own clock".into(),
            }],
        },
        _ => when.into(),
    })
}

fn values(constraint: &Json) -> Result<Vec<Json>, String> {
    let texts = list(constraint, "values")?.iter().map(|value| text_of(value).map(Json::String));
    texts.collect::<Option<_>>().ok_or_else(|| "`values` holds more than texts".into())
}

fn one_of(constraint: &Json, path: &str, negate: bool) -> Result<ConditionWire, String> {
    let values = values(constraint)?;
    if values.is_empty() {
        return Ok(if negate { ConditionWire::Always } else { never() });
    }
    let one_of = test(path, OperatorName::OneOf, values);
    // What is missing is not in the list, so it stands NOT_IN.
    accepted(TestWire { negate, if_missing: negate, compare: Comparison::Text, ..one_of })
}

fn texts(constraint: &Json, path: &str, operator: OperatorName) -> Result<ConditionWire, String> {
    let values = values(constraint)?;
    if values.is_empty() {
        return Ok(never());
    }
    let ignore_case = constraint.get("caseInsensitive").and_then(Json::as_bool).unwrap_or(false);
    accepted(TestWire { ignore_case, ..test(path, operator, values) })
}

fn number(constraint: &Json, path: &str, operator: OperatorName) -> Result<ConditionWire, String> {
    let operand = constraint.get("value").and_then(text_of).unwrap_or_default();
    let number = operand.trim().parse().ok().and_then(Number::from_f64);
    let number = number.ok_or_else(|| format!("{operand:?} is no number"))?;
    let compare = Comparison::Number;
    accepted(TestWire { compare, ..test(path, operator, vec![Json::Number(number)]) })
}

fn value(constraint: &Json, path: &str, operator: OperatorName) -> Result<ConditionWire, String> {
    let operand = text(constraint, "value")?;
    let insensitive = constraint.get("caseInsensitive").and_then(Json::as_bool).unwrap_or(false);
    let ignore_case = insensitive && operator == OperatorName::Regex;
    accepted(TestWire { ignore_case, ..test(path, operator, vec![operand.into()]) })
}

/// Unleash passes over an address that is none, and matches the others.
pub(crate) fn networks(
    values: &[Json],
    path: &str,
    subject: &str,
    imported: &mut Imported,
) -> Result<ConditionWire, String> {
    let mut good = Vec::new();
    for value in values {
        match accepted(test(path, OperatorName::InNetwork, vec![value.clone()])) {
            Ok(_) => good.push(value.clone()),
            Err(_) => imported.warn(subject, format!("{value} is no address and matches nothing")),
        }
    }
    if good.is_empty() {
        return Ok(never());
    }
    Ok(all([ConditionWire::Test(test(path, OperatorName::InNetwork, good))]))
}
