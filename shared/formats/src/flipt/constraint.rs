//! Constraints of segments.

use flagforge_flags::wire::{Comparison, ConditionWire, OperatorName, TestWire};
use jiff::{Timestamp, ToSpan as _};
use serde_json::Value as Json;

use super::scalar;
use crate::carry::{accepted, all, any, missing, present, test, text, user_path};

pub(crate) fn carry(constraint: &Json) -> Result<ConditionWire, String> {
    let (kind, operator) = (text(constraint, "type")?, text(constraint, "operator")?);
    let property = constraint.get("property").and_then(Json::as_str).unwrap_or_default();
    let entity = kind == "ENTITY_ID_COMPARISON_TYPE";
    let path = if entity { Ok("user.key".to_owned()) } else { user_path(property) }?;
    let named = |why: String| format!("constraint {operator} on `{property}`: {why}");
    match operator {
        // An empty text is an absent one.
        "empty" | "notpresent" => return Ok(missing(&path)),
        "notempty" | "present" => return Ok(present(&path)),
        _ => {}
    }
    match kind {
        "STRING_COMPARISON_TYPE" | "ENTITY_ID_COMPARISON_TYPE" => {
            string(&path, operator, &scalar(constraint, "value").map_err(named)?)
        }
        "NUMBER_COMPARISON_TYPE" => {
            number(&path, operator, &scalar(constraint, "value").map_err(named)?)
        }
        "BOOLEAN_COMPARISON_TYPE" => match operator {
            "true" | "false" => {
                let one_of = test(&path, OperatorName::OneOf, vec![operator.into()]);
                accepted(TestWire { compare: Comparison::Text, ..one_of })
            }
            _ => unknown(),
        },
        "DATETIME_COMPARISON_TYPE" => {
            date(&path, operator, &scalar(constraint, "value").map_err(named)?)
        }
        _ => Err(format!("there is no constraint type {kind}")),
    }
    .map_err(named)
}

fn unknown<T>() -> Result<T, String> {
    Err("there is no such operator".into())
}

fn items(value: &str) -> Result<Vec<Json>, String> {
    serde_json::from_str(value).map_err(|_| format!("{value:?} is no JSON list"))
}

/// What is missing matches nothing, not even the negated operators.
fn string(path: &str, operator: &str, value: &str) -> Result<ConditionWire, String> {
    use OperatorName::{Contains, EndsWith, OneOf, StartsWith};
    let (operator, negate, values) = match operator {
        "eq" => (OneOf, false, vec![value.into()]),
        "neq" => (OneOf, true, vec![value.into()]),
        "prefix" => (StartsWith, false, vec![value.into()]),
        "suffix" => (EndsWith, false, vec![value.into()]),
        "contains" => (Contains, false, vec![value.into()]),
        "notcontains" => (Contains, true, vec![value.into()]),
        "isoneof" => (OneOf, false, items(value)?),
        "isnotoneof" => (OneOf, true, items(value)?),
        _ => return unknown(),
    };
    let compare = if operator == OneOf { Comparison::Text } else { Comparison::Typed };
    accepted(TestWire { negate, compare, ..test(path, operator, values) })
}

fn number(path: &str, operator: &str, value: &str) -> Result<ConditionWire, String> {
    use OperatorName::{Greater, GreaterOrEqual, Less, LessOrEqual, OneOf};
    let compare = Comparison::Number;
    let one = |operator, values| accepted(TestWire { compare, ..test(path, operator, values) });
    // What is no number is neither equal nor different.
    let different = |value: Json| {
        Ok::<_, String>(any([one(Less, vec![value.clone()])?, one(Greater, vec![value])?]))
    };
    if operator == "isoneof" {
        return one(OneOf, items(value)?);
    }
    if operator == "isnotoneof" {
        let parts = items(value)?.into_iter().map(different).collect::<Result<Vec<_>, _>>()?;
        return Ok(all(parts.into_iter().chain([present(path)])));
    }
    let number: serde_json::Number =
        serde_json::from_str(value.trim()).map_err(|_| format!("{value:?} is no number"))?;
    let number = Json::Number(number);
    match operator {
        "eq" => one(OneOf, vec![number]),
        "neq" => different(number),
        "lt" => one(Less, vec![number]),
        "lte" => one(LessOrEqual, vec![number]),
        "gt" => one(Greater, vec![number]),
        "gte" => one(GreaterOrEqual, vec![number]),
        _ => unknown(),
    }
}

/// Flipt cuts both dates to whole seconds before it compares them, so `gte` is "not before the second begins",
/// and `lte` is "before the next one".
fn date(path: &str, operator: &str, value: &str) -> Result<ConditionWire, String> {
    let instant: Timestamp = value.parse().map_err(|_| format!("{value:?} is no date"))?;
    let second = |offset: i64| {
        let begin = instant.as_second().checked_add(offset);
        let begin = begin.and_then(|second| Timestamp::from_second(second).ok());
        begin.ok_or_else(|| format!("{value:?} is beyond the calendar"))
    };
    let before = |instant: Timestamp| {
        accepted(test(path, OperatorName::Before, vec![instant.to_string().into()]))
    };
    let from = |instant: Timestamp| {
        let just_before =
            instant.checked_sub(1.nanoseconds()).map_err(|error| error.to_string())?;
        accepted(test(path, OperatorName::After, vec![just_before.to_string().into()]))
    };
    let (this, next) = (second(0)?, second(1)?);
    match operator {
        "lt" => before(this),
        "lte" => before(next),
        "gt" => from(next),
        "gte" => from(this),
        "eq" => Ok(all([from(this)?, before(next)?])),
        "neq" => Ok(any([before(this)?, from(next)?])),
        _ => unknown(),
    }
}
