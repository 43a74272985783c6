//! Conditions on a tenant alone, as tenant groups have them. They are compiled and decided by the one
//! compiler and the one evaluator: each is the only rule of a flag that nobody else sees.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};
use thiserror::Error;

use crate::compile::compile;
use crate::context::Context;
use crate::evaluate::{View, evaluate};
use crate::fault::FlagFault;
use crate::keys::{EnvKey, GroupKey, OrgKey, TenantKey};
use crate::manifest::{Scope, ScopeId};
use crate::revision::Revision;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::value::Value;
use crate::wire::{ConditionWire, FlagWire, OperatorName, TenantWire, TestWire};

/// Where a condition stands in the flag that carries it.
const PLACE: &str = "state.rules[0].";

/// Why a condition is none on a tenant alone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {message}")]
pub struct TenantConditionError {
    /// The field's path, from `when`.
    pub path: String,
    /// What is wrong, and what would do.
    pub message: String,
}

/// Refuses what does not compile, and what asks about anything but the tenant's attributes: membership is
/// decided when a tenant or a group changes, so it may depend on nothing else, not even on the time.
///
/// # Errors
/// [`TenantConditionError`] names the part and says what would do.
pub fn check_tenant_condition(when: &ConditionWire) -> Result<(), TenantConditionError> {
    tenant_only(when, "when")?;
    let wire = carrier(0, when).map_err(|message| refused("when", message))?;
    compile(&wire).map(drop).map_err(|fault| of_fault(&fault))
}

/// Which of the conditions hold for each tenant, in the conditions' order. A condition that does not compile
/// holds for nobody. Tenants for whom none holds are left out.
pub fn hold_for(
    conditions: &[(GroupKey, ConditionWire)],
    tenants: impl IntoIterator<Item = (TenantKey, Map<String, Json>)>,
) -> BTreeMap<TenantKey, Vec<GroupKey>> {
    let mut held = BTreeMap::new();
    let carriers = conditions.iter().enumerate();
    let carriers: Vec<(FlagWire, &GroupKey)> =
        carriers.filter_map(|(at, (group, when))| Some((carrier(at, when).ok()?, group))).collect();
    let Some(scope) = nowhere().filter(|_| !carriers.is_empty()) else { return held };
    let directory: Vec<(TenantKey, TenantWire)> = tenants
        .into_iter()
        .map(|(key, attributes)| (key, TenantWire { attributes, ..TenantWire::default() }))
        .collect();
    let keys: Vec<TenantKey> = directory.iter().map(|(key, _)| key.clone()).collect();
    let flags = carriers.iter().map(|(flag, _)| flag.clone());
    let snapshot = Snapshot::from_parts(scope, Revision::default(), flags, directory);
    let now = Timestamp::default();
    let view = View { snapshot: &snapshot, confirmed: now };
    for key in keys {
        let context = Context::for_tenant(key.clone());
        let holds = |flag: &FlagWire| {
            evaluate(view, flag.key.as_str(), None, &context, now).value
                == Some(&Value::Boolean(true))
        };
        let groups: Vec<GroupKey> = (carriers.iter())
            .filter(|(flag, _)| holds(flag))
            .map(|(_, group)| (*group).clone())
            .collect();
        if !groups.is_empty() {
            held.insert(key, groups);
        }
    }
    held
}

/// A flag that is true exactly where the condition holds.
fn carrier(at: usize, when: &ConditionWire) -> Result<FlagWire, String> {
    let (yes, no) = (json!({"variant": "in"}), json!({"variant": "out"}));
    let flag = json!({
        "key": format!("condition-{at}"),
        "version": 1,
        "class": "ops",
        "type": "boolean",
        "variants": [{"key": "in", "value": true}, {"key": "out", "value": false}],
        "state": {
            "enabled": true,
            "off": no,
            "rules": [{"id": "when", "when": when, "serve": yes}],
            "fallthrough": no,
        },
    });
    serde_json::from_value(flag).map_err(|error| error.to_string())
}

/// A place that no installation has, for a configuration that nobody else sees.
fn nowhere() -> Option<ScopeId> {
    let (org, env) = (OrgKey::new("nowhere").ok()?, EnvKey::new("nowhere").ok()?);
    Some(ScopeId { org, env, scope: Scope::Environment })
}

fn tenant_only(when: &ConditionWire, path: &str) -> Result<(), TenantConditionError> {
    match when {
        ConditionWire::Always => Ok(()),
        ConditionWire::All(parts) => each(parts, &format!("{path}.all")),
        ConditionWire::Any(parts) => each(parts, &format!("{path}.any")),
        ConditionWire::Not(part) => tenant_only(part, &format!("{path}.not")),
        ConditionWire::Test(test) => of_tenant(test, &format!("{path}.test")),
        ConditionWire::AnyElement(elements) => {
            names_tenant(&elements.attribute, &format!("{path}.anyElement.attribute"))?;
            tenant_only(&elements.when, &format!("{path}.anyElement.when"))
        }
        ConditionWire::AllElements(elements) => {
            names_tenant(&elements.attribute, &format!("{path}.allElements.attribute"))?;
            tenant_only(&elements.when, &format!("{path}.allElements.when"))
        }
        ConditionWire::InSegment(_)
        | ConditionWire::InGroup(_)
        | ConditionWire::Flag(_)
        | ConditionWire::Rollout(_) => {
            Err(refused(path, "a group's condition has only tests on `tenant.<attribute>`"))
        }
    }
}

fn each(parts: &[ConditionWire], path: &str) -> Result<(), TenantConditionError> {
    let mut parts = parts.iter().enumerate();
    parts.try_for_each(|(at, part)| tenant_only(part, &format!("{path}[{at}]")))
}

fn of_tenant(test: &TestWire, path: &str) -> Result<(), TenantConditionError> {
    names_tenant(&test.attribute, &format!("{path}.attribute"))?;
    let dated = matches!(test.operator, OperatorName::Before | OperatorName::After);
    if dated && test.values.iter().any(|value| value == "now") {
        let message = "a group's condition cannot ask for the time: membership is decided when a tenant changes";
        return Err(refused(&format!("{path}.values"), message));
    }
    Ok(())
}

fn names_tenant(attribute: &str, path: &str) -> Result<(), TenantConditionError> {
    let entity = attribute.split('.').next().unwrap_or_default();
    if matches!(entity, "tenant" | "element") {
        return Ok(());
    }
    let message = format!("`{attribute}` is not the tenant's; ask for `tenant.<attribute>`");
    Err(refused(path, message))
}

fn refused(path: &str, message: impl Into<String>) -> TenantConditionError {
    TenantConditionError { path: path.to_owned(), message: message.into() }
}

fn of_fault(fault: &FlagFault) -> TenantConditionError {
    let (path, sentence) = (fault.path(), fault.to_string());
    let message = sentence.strip_prefix(path).and_then(|rest| rest.strip_prefix(": "));
    let short = path.strip_prefix(PLACE).unwrap_or(path);
    refused(short, message.unwrap_or(&sentence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text_form::parse;

    fn fault(text: &str) -> String {
        check_tenant_condition(&parse(text).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn only_the_tenants_own_attributes_may_be_asked_for() {
        for good in [
            r#"tenant.plan in ["gold"]"#,
            r#"tenant.key == "acme" || !(tenant.seats > 10)"#,
            r#"tenant.tags.exists(element, element == "beta")"#,
        ] {
            check_tenant_condition(&parse(good).unwrap()).unwrap();
        }
        assert!(
            fault(r#"user.country == "DE""#).starts_with("when.test.attribute: `user.country`")
        );
        let nested = fault(r#"tenant.plan == "a" && tenant.since < now"#);
        assert!(nested.starts_with("when.all[1].test.values: "), "{nested}");
        assert!(fault(r#"in_segment("s")"#).starts_with("when: "));
        let pattern = fault(r#"tenant.plan.matches("(")"#);
        assert!(pattern.starts_with("when.test.values[0]: "), "{pattern}");
    }

    #[test]
    fn each_tenant_is_in_the_groups_whose_conditions_hold() {
        let group = |key: &str, text: &str| (GroupKey::new(key).unwrap(), parse(text).unwrap());
        let groups = [
            group("big", "tenant.seats > 10"),
            group("gold", r#"tenant.plan == "gold""#),
            group("one", r#"tenant.key == "c""#),
        ];
        let tenant = |key: &str, attributes: &Json| {
            (TenantKey::new(key).unwrap(), attributes.as_object().cloned().unwrap())
        };
        let tenants = [
            tenant("a", &json!({"plan": "gold", "seats": 11})),
            tenant("b", &json!({"plan": "free"})),
            tenant("c", &json!({})),
        ];
        let held = hold_for(&groups, tenants);
        let named: Vec<(&str, Vec<&str>)> = (held.iter())
            .map(|(tenant, held)| (tenant.as_str(), held.iter().map(GroupKey::as_str).collect()))
            .collect();
        assert_eq!(named, [("a", vec!["big", "gold"]), ("c", vec!["one"])]);
    }
}
