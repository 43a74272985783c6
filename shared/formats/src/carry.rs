//! What every importer stands on: conditions that may turn out not to be decidable, and flags that
//! answer why they could not be carried over.

use flagforge_flags::compile;
use flagforge_flags::keys::{FlagKey, RuleId, VariantKey};
use flagforge_flags::wire::{
    Comparison, ConditionWire, ElementsWire, FlagClass, FlagWire, OperatorName, OutcomeWire,
    RuleWire, StateWire, TestWire, ValueType, VariantWire,
};
use serde_json::Value as Json;

use crate::{Imported, Warning};

/// How far back a warning is looked for, so that it is not said twice.
const NEARBY_WARNINGS: usize = 32;

/// A condition carried over, and the cases in which it has no answer here.
#[derive(Debug, Clone)]
pub(crate) struct Carried {
    pub(crate) when: ConditionWire,
    pub(crate) undecided: Vec<Undecided>,
}

/// A case without an answer: when, and why.
#[derive(Debug, Clone)]
pub(crate) struct Undecided {
    pub(crate) when: ConditionWire,
    pub(crate) why: String,
}

impl From<ConditionWire> for Carried {
    fn from(when: ConditionWire) -> Self {
        Self { when, undecided: Vec::new() }
    }
}

impl Carried {
    /// Holds never, and has no answer in this case.
    pub(crate) fn nothing_but(when: ConditionWire, why: impl Into<String>) -> Self {
        Self { when: never(), undecided: vec![Undecided { when, why: why.into() }] }
    }

    /// All of the parts. A part that could not be carried over leaves the others to say when that matters.
    pub(crate) fn all(parts: impl IntoIterator<Item = Result<Self, String>>) -> Self {
        let (mut carried, mut faults) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                Ok(part) => carried.push(part),
                Err(why) => faults.push(why),
            }
        }
        if !faults.is_empty() {
            let possible = all(carried.iter().map(Self::possible));
            return Self::nothing_but(possible, faults.join("; "));
        }
        let mut undecided = Vec::new();
        for (place, part) in carried.iter().enumerate() {
            for case in &part.undecided {
                let others = carried.iter().enumerate().filter(|(other, _)| *other != place);
                let others = others.map(|(_, other)| other.possible());
                let when = all(others.chain([case.when.clone()]));
                undecided.push(Undecided { when, why: case.why.clone() });
            }
        }
        Self { when: all(carried.into_iter().map(|part| part.when)), undecided }
    }

    /// When it holds, or has no answer.
    pub(crate) fn possible(&self) -> ConditionWire {
        any(self.undecided.iter().map(|case| case.when.clone()).chain([self.when.clone()]))
    }
}

impl Carried {
    /// The rules that answer where there is no answer, to stand after the rule of the condition itself.
    pub(crate) fn rules(
        &self,
        id: &str,
        subject: &str,
        imported: &mut Imported,
    ) -> Result<Vec<RuleWire>, String> {
        let mut rules = Vec::new();
        for (turn, case) in self.undecided.iter().enumerate() {
            imported.warn(subject, format!("may answer an error: {}", case.why));
            let id = format!("{id} undecided {}", turn + 1);
            rules.push(rule(&id, case.when.clone(), OutcomeWire::Error(case.why.clone()))?);
        }
        Ok(rules)
    }
}

/// Any of the parts; a part without an answer matters where no other holds, so its case comes after.
pub(crate) fn any_of(parts: Vec<Carried>) -> Carried {
    let when = any(parts.iter().map(|part| part.when.clone()));
    Carried { when, undecided: parts.into_iter().flat_map(|part| part.undecided).collect() }
}

pub(crate) const fn never() -> ConditionWire {
    ConditionWire::Any(Vec::new())
}

/// All parts, without the ones that always hold.
pub(crate) fn all(parts: impl IntoIterator<Item = ConditionWire>) -> ConditionWire {
    let mut kept: Vec<ConditionWire> = Vec::new();
    for part in parts {
        match part {
            ConditionWire::Always => {}
            ConditionWire::All(inner) => kept.extend(inner),
            part if part == never() => return never(),
            part => kept.push(part),
        }
    }
    match kept.len() {
        0 => ConditionWire::Always,
        1 => kept.swap_remove(0),
        _ => ConditionWire::All(kept),
    }
}

/// Any part, without the ones that never hold.
pub(crate) fn any(parts: impl IntoIterator<Item = ConditionWire>) -> ConditionWire {
    let mut kept: Vec<ConditionWire> = Vec::new();
    for part in parts {
        match part {
            ConditionWire::Always => return ConditionWire::Always,
            ConditionWire::Any(inner) => kept.extend(inner),
            part => kept.push(part),
        }
    }
    if kept.len() == 1 { kept.swap_remove(0) } else { ConditionWire::Any(kept) }
}

pub(crate) fn not(part: ConditionWire) -> ConditionWire {
    match part {
        ConditionWire::Not(inner) => *inner,
        ConditionWire::Always => never(),
        part if part == never() => ConditionWire::Always,
        part => ConditionWire::Not(Box::new(part)),
    }
}

/// A test with nothing out of the ordinary.
pub(crate) fn test(attribute: &str, operator: OperatorName, values: Vec<Json>) -> TestWire {
    TestWire {
        attribute: attribute.to_owned(),
        operator,
        values,
        negate: false,
        if_missing: false,
        ignore_case: false,
        compare: Comparison::Typed,
        salt: None,
    }
}

pub(crate) fn missing(attribute: &str) -> ConditionWire {
    let exists = test(attribute, OperatorName::Exists, Vec::new());
    ConditionWire::Test(TestWire { negate: true, ..exists })
}

pub(crate) fn present(attribute: &str) -> ConditionWire {
    ConditionWire::Test(test(attribute, OperatorName::Exists, Vec::new()))
}

/// The test, if the engine takes it: a malformed operand must spoil less than its flag.
pub(crate) fn accepted(wire: TestWire) -> Result<ConditionWire, String> {
    let of_an_element = wire.attribute.split('.').next() == Some("element");
    let when = ConditionWire::Test(wire);
    let asked = if of_an_element {
        let (attribute, when) = ("user.list".to_owned(), Box::new(when.clone()));
        ConditionWire::AnyElement(ElementsWire { attribute, when })
    } else {
        when.clone()
    };
    let key = FlagKey::new("probe").map_err(|error| error.to_string())?;
    let mut probe = refused(key, "probe");
    probe.state.rules = vec![rule("probe", asked, OutcomeWire::CallerDefault)?];
    match compile(&probe) {
        Ok(_) => Ok(when),
        Err(fault) => {
            let fault = fault.to_string();
            Err(fault.split_once(": ").map_or(fault.as_str(), |(_, why)| why).to_owned())
        }
    }
}

/// `user.<name>`, where a dot leads into members.
pub(crate) fn user_path(name: &str) -> Result<String, String> {
    if name == "key" || name.starts_with("key.") {
        return Err("an attribute called `key` would be the user's own key".into());
    }
    if name.split('.').any(|part| part.trim().is_empty()) {
        return Err(format!("the attribute name {name:?} has an empty part"));
    }
    Ok(format!("user.{name}"))
}

pub(crate) fn rule(id: &str, when: ConditionWire, serve: OutcomeWire) -> Result<RuleWire, String> {
    let id = RuleId::new(id).map_err(|error| error.to_string())?;
    Ok(RuleWire { id, description: None, when, serve })
}

pub(crate) fn variant_key(text: &str) -> Result<VariantKey, String> {
    VariantKey::new(text).map_err(|error| error.to_string())
}

/// A flag that answers why it could not be carried over, on and off.
pub(crate) fn refused(key: FlagKey, why: &str) -> FlagWire {
    let variants = VariantKey::new("none").map(|key| VariantWire {
        key,
        value: Json::Bool(false),
        attachment: None,
    });
    FlagWire {
        key,
        version: 1,
        class: FlagClass::Release,
        value_type: ValueType::Boolean,
        variants: variants.into_iter().collect(),
        client_visible: false,
        killed_groups: Vec::new(),
        state: StateWire {
            enabled: true,
            off: OutcomeWire::Error(why.to_owned()),
            stale: None,
            prerequisites: Vec::new(),
            targets: Vec::new(),
            group_overrides: Vec::new(),
            rules: Vec::new(),
            fallthrough: OutcomeWire::Error(why.to_owned()),
        },
    }
}

impl Imported {
    pub(crate) fn warn(&mut self, subject: &str, what: impl Into<String>) {
        let warning = Warning { subject: subject.to_owned(), what: what.into(), left_out: false };
        // What repeats, repeats within one flag; a list of thousands is not searched for each.
        if !self.warnings.iter().rev().take(NEARBY_WARNINGS).any(|held| *held == warning) {
            self.warnings.push(warning);
        }
    }

    /// Takes a flag in: as it is, or as one that says why it could not be carried over.
    pub(crate) fn add(
        &mut self,
        name: &str,
        make: impl FnOnce(FlagKey, &mut Self) -> Result<FlagWire, String>,
    ) {
        let key = match FlagKey::new(name) {
            Ok(key) => key,
            Err(error) => {
                let what = format!("left out, because its name is no key here: {error}");
                let subject = name.to_owned();
                return self.warnings.push(Warning { subject, what, left_out: true });
            }
        };
        let made = make(key.clone(), self).and_then(|flag| match compile(&flag) {
            Ok(_) => Ok(flag),
            Err(fault) => Err(fault.to_string()),
        });
        let flag = made.unwrap_or_else(|why| {
            self.warn(name, format!("answers an error: {why}"));
            refused(key, &why)
        });
        self.flags.push(flag);
    }
}

/// A member's text; numbers and booleans count as theirs.
pub(crate) fn text_of(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(yes) => Some(yes.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// The list at a member; absent and null are an empty one.
pub(crate) fn list<'j>(json: &'j Json, member: &str) -> Result<&'j [Json], String> {
    match json.get(member) {
        None | Some(Json::Null) => Ok(&[]),
        Some(Json::Array(items)) => Ok(items),
        Some(_) => Err(format!("`{member}` is not a list")),
    }
}

pub(crate) fn text<'j>(json: &'j Json, member: &str) -> Result<&'j str, String> {
    json.get(member).and_then(Json::as_str).ok_or_else(|| format!("`{member}` is not a text"))
}
