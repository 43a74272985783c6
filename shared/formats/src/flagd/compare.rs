//! Comparisons of an attribute and a constant.

use flagforge_flags::wire::{Comparison, ConditionWire, ElementsWire, OperatorName, TestWire};
use serde_json::{Value as Json, json};

use super::logic::{Logic, Scope, Side, constant, typed};
use crate::carry::{accepted, all, any, missing, test};

impl Logic<'_> {
    pub(super) fn equal(
        &self,
        one: &Json,
        other: &Json,
        strict: bool,
        scope: Scope,
        depth: usize,
    ) -> Result<ConditionWire, String> {
        let (path, value) = match (self.side(one, scope, depth)?, self.side(other, scope, depth)?) {
            (Side::Path(path), Side::Constant(value))
            | (Side::Constant(value), Side::Path(path)) => (path, value),
            (Side::Constant(one), Side::Constant(other)) if strict => {
                return Ok(constant(one == other));
            }
            (Side::Constant(one), Side::Constant(other))
                if std::mem::discriminant(&one) == std::mem::discriminant(&other) =>
            {
                return Ok(constant(
                    one.as_f64().map_or(one == other, |n| other.as_f64() == Some(n)),
                ));
            }
            _ => {
                return Err(
                    "a comparison of two attributes, or of two types, cannot be carried over"
                        .into(),
                );
            }
        };
        let same = |value: Json| accepted(test(&path, OperatorName::DeepEquals, vec![value]));
        if value.is_null() {
            return Ok(missing(&path));
        }
        if strict {
            return same(value);
        }
        let mut ways = vec![same(value.clone())?];
        match &value {
            Json::Array(_) | Json::Object(_) => {
                return Err("`==` with a list cannot be carried over".into());
            }
            Json::String(text) => {
                let number = text.trim().parse().ok().and_then(serde_json::Number::from_f64);
                if let Some(number) = number {
                    ways.push(same(Json::Number(number))?);
                }
            }
            Json::Number(_) => {
                let number = test(&path, OperatorName::Equals, vec![value.clone()]);
                let number = accepted(TestWire { compare: Comparison::Number, ..number })?;
                ways.push(all([typed(&path, "string"), number]));
                match value.as_f64() {
                    Some(1.0) => ways.push(same(true.into())?),
                    Some(0.0) => ways.extend([same(false.into())?, same("".into())?]),
                    _ => {}
                }
            }
            Json::Bool(yes) => {
                ways.extend([
                    same(u8::from(*yes).into())?,
                    same(u8::from(*yes).to_string().into())?,
                ]);
            }
            Json::Null => {}
        }
        Ok(any(ways))
    }

    /// Numbers, and texts that are numbers; what is missing counts as 0.
    pub(super) fn ordered(
        &self,
        name: &str,
        one: &Json,
        other: &Json,
        scope: Scope,
        depth: usize,
    ) -> Result<ConditionWire, String> {
        use OperatorName::{Greater, GreaterOrEqual, Less, LessOrEqual};
        let (straight, turned) = match name {
            "<" => (Less, Greater),
            "<=" => (LessOrEqual, GreaterOrEqual),
            ">" => (Greater, Less),
            _ => (GreaterOrEqual, LessOrEqual),
        };
        let (operator, path, value) =
            match (self.side(one, scope, depth)?, self.side(other, scope, depth)?) {
                (Side::Path(path), Side::Constant(value)) => (straight, path, value),
                (Side::Constant(value), Side::Path(path)) => (turned, path, value),
                _ => {
                    return Err(format!(
                        "`{name}` can be carried over of an attribute and a number only"
                    ));
                }
            };
        let bound = value
            .as_f64()
            .ok_or_else(|| format!("`{name}` with {value} is no question of numbers"))?;
        let if_missing = match operator {
            Less => 0.0 < bound,
            LessOrEqual => 0.0 <= bound,
            Greater => 0.0 > bound,
            _ => 0.0 >= bound,
        };
        // A list is no number, though some element of it may be.
        let single = TestWire {
            negate: true,
            if_missing,
            ..test(&path, OperatorName::IsType, vec!["list".into()])
        };
        let compare = Comparison::Number;
        let wire = TestWire { compare, if_missing, ..test(&path, operator, vec![value]) };
        let when = accepted(wire)?;
        Ok(if path == "user.key" { when } else { all([ConditionWire::Test(single), when]) })
    }

    pub(super) fn within(
        &self,
        one: &Json,
        other: &Json,
        scope: Scope,
        depth: usize,
    ) -> Result<ConditionWire, String> {
        match (self.side(one, scope, depth)?, self.side(other, scope, depth)?) {
            (Side::Constant(Json::String(text)), Side::Path(path)) => {
                let contains = accepted(test(&path, OperatorName::Contains, vec![json!(text)]))?;
                let text = all([typed(&path, "string"), contains]);
                let element = element_is(&path, one.clone());
                Ok(any([text, all([typed(&path, "list"), element])]))
            }
            (Side::Path(path), Side::Constant(Json::Array(items))) => {
                let mut ways = Vec::new();
                for item in items {
                    ways.push(accepted(test(&path, OperatorName::DeepEquals, vec![item]))?);
                }
                Ok(any(ways))
            }
            (Side::Constant(value), Side::Constant(Json::Array(items))) => {
                Ok(constant(items.contains(&value)))
            }
            (Side::Constant(Json::String(part)), Side::Constant(Json::String(whole))) => {
                Ok(constant(whole.contains(&part)))
            }
            _ => Err("`in` can be carried over of an attribute and a constant only".into()),
        }
    }
}

fn element_is(path: &str, value: Json) -> ConditionWire {
    let when = ConditionWire::Test(test("element", OperatorName::DeepEquals, vec![value]));
    ConditionWire::AnyElement(ElementsWire { attribute: path.to_owned(), when: Box::new(when) })
}

/// As Go's semver package: `v` is passed over and missing parts are 0.
pub(super) fn semver(path: &str, range: &str, version: &str) -> Result<ConditionWire, String> {
    use OperatorName::{
        LenientSemverEquals, LenientSemverGreater, LenientSemverGreaterOrEqual, LenientSemverLess,
        LenientSemverLessOrEqual,
    };
    let one = |operator, version: &str| accepted(test(path, operator, vec![version.into()]));
    // `-0` is before every other pre-release, and so before everything of that version.
    let between = |from: String, until: String| {
        Ok(all([one(LenientSemverGreaterOrEqual, &from)?, one(LenientSemverLess, &until)?]))
    };
    let part = |place: usize| -> Result<u64, String> {
        let core = version.split(['-', '+']).next().unwrap_or_default();
        let part = core.split('.').nth(place).and_then(|part| part.parse().ok());
        part.ok_or_else(|| format!("{version:?} is no version"))
    };
    match range {
        "=" => one(LenientSemverEquals, version),
        "!=" => Ok(any([one(LenientSemverLess, version)?, one(LenientSemverGreater, version)?])),
        "<" => one(LenientSemverLess, version),
        "<=" => one(LenientSemverLessOrEqual, version),
        ">" => one(LenientSemverGreater, version),
        ">=" => one(LenientSemverGreaterOrEqual, version),
        "~" => {
            let (major, minor) = (part(0)?, part(1)?);
            between(
                format!("{major}.{minor}.0-0"),
                format!("{major}.{}.0-0", minor.saturating_add(1)),
            )
        }
        "^" => {
            let major = part(0)?;
            between(format!("{major}.0.0-0"), format!("{}.0.0-0", major.saturating_add(1)))
        }
        other => Err(format!("there is no version range {other}")),
    }
}
