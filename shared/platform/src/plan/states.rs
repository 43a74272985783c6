//! What flags do in one environment: states, kills, percentages, overrides for tenants.

use std::collections::BTreeMap;

use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, RuleId, TenantKey, VariantKey};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{OutcomeWire, StateWire};
use flagforge_flags::{FlagFault, compile};

use super::Plan;
use super::asks::{self, Asks, Node};
use super::directory::{environment_in, group_in, tenant_in};
use super::flags::definition_in;
use crate::change::Change;
use crate::commit::Request;
use crate::definition;
use crate::error::Error;
use crate::input::{
    OutcomeInput, SplitInput, SplitPlace, StateInput, WeightInput, bounded, bounded_text,
};
use crate::merge::merge_patch;
use crate::place;
use crate::ports::Table;
use crate::record::{Definition, Override, StateRecord};
use crate::states::FlagState;
use crate::store::{self, ABSENT, Stored, version_of};
use crate::strict;

/// Group overrides of one state: each is a check in the transaction of 100.
pub const MAX_GROUP_OVERRIDES: usize = 50;

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::SetOverride { org, env, flag, tenant, variant, expires, reason } => {
            let special = Special { variant, expires: *expires, reason: reason.as_ref() };
            set_override(table, plan, (org, env, flag, tenant), &special).await
        }
        Change::ClearOverride { org, env, flag, tenant } => {
            clear_override(table, plan, (org, env, flag, tenant)).await
        }
        Change::PutState { org, env, flag, .. }
        | Change::PatchState { org, env, flag, .. }
        | Change::SetEnabled { org, env, flag, .. }
        | Change::SetWeights { org, env, flag, .. } => {
            let standing = Standing::read(table, org, env, flag).await?;
            request.precondition.check(standing.version)?;
            let state = changed(&request.change, &standing)?;
            put_state(table, plan, org, env, standing, state).await
        }
        _ => Err(Error::Internal { context: "not a change of states", source: None }),
    }
}

/// A flag as it stands in one environment.
struct Standing {
    environment_version: u64,
    definition: Stored<Definition>,
    /// The state that counts: the stored one, or the initial one.
    state: StateWire,
    /// The version of the state that counts; [`ABSENT`] for the initial one.
    version: u64,
    /// The version of the item at the state's place, which may belong to an earlier flag of that key.
    item_version: u64,
}

impl Standing {
    async fn read(
        table: &dyn Table,
        org: &OrgKey,
        env: &EnvKey,
        flag: &FlagKey,
    ) -> Result<Self, Error> {
        let environment = environment_in(table, org, env).await?;
        let definition = definition_in(table, org, flag).await?;
        let stored: Option<Stored<StateRecord>> =
            store::read(table, &place::state(org, env, flag)).await?;
        let item_version = version_of(stored.as_ref());
        let current = stored.filter(|stored| stored.value.flag_uid == definition.value.uid);
        let (state, version) = match current {
            Some(stored) => (stored.value.state, stored.version),
            None => (definition.value.initial_state(), ABSENT),
        };
        Ok(Self {
            environment_version: environment.version,
            definition,
            state,
            version,
            item_version,
        })
    }
}

/// The state after the change.
fn changed(change: &Change, standing: &Standing) -> Result<StateWire, Error> {
    let definition = &standing.definition.value;
    let flag = definition.key.as_str();
    let stale = definition::stale(definition.class, definition.stale.as_ref());
    match change {
        Change::PutState { state, .. } => state.resolve(flag, stale, &standing.state),
        Change::PatchState { patch, .. } => {
            let mut document = serde_json::to_value(&standing.state)
                .map_err(|error| Error::internal("a state did not serialize", error))?;
            merge_patch(&mut document, patch);
            let input: StateInput = strict::from_value(document, FlagState::READ_ONLY)?;
            input.resolve(flag, stale, &standing.state)
        }
        Change::SetEnabled { enabled, .. } => {
            Ok(StateWire { enabled: *enabled, ..standing.state.clone() })
        }
        Change::SetWeights { rule, unit, weights, .. } => {
            set_weights(flag, &standing.state, rule.as_ref(), unit.as_ref(), weights)
        }
        _ => Err(Error::Internal { context: "not a change of states", source: None }),
    }
}

fn set_weights(
    flag: &str,
    standing: &StateWire,
    rule: Option<&RuleId>,
    unit: Option<&String>,
    weights: &[WeightInput],
) -> Result<StateWire, Error> {
    let mut state = standing.clone();
    let (part, outcome) = match rule {
        None => ("fallthrough", &mut state.fallthrough),
        Some(id) => {
            let rule = state.rules.iter_mut().find(|rule| rule.id == *id);
            let rule = rule.ok_or_else(|| Error::invalid("rule", "there is no such rule"))?;
            (id.as_str(), &mut rule.serve)
        }
    };
    let standing = match outcome {
        OutcomeWire::Split(split) => Some(split.by.clone()),
        OutcomeWire::Variant(_)
        | OutcomeWire::Ramp(_)
        | OutcomeWire::CallerDefault
        | OutcomeWire::Error(_) => None,
    };
    let standing_unit = standing.as_ref().map(|by| by.unit.clone());
    let same = standing.filter(|by| unit.is_none_or(|unit| *unit == by.unit));
    let input = OutcomeInput::Split(SplitInput {
        unit: unit.cloned().or(standing_unit).unwrap_or_else(|| "user.key".to_owned()),
        fallbacks: same.as_ref().map(|by| by.fallbacks.clone()).unwrap_or_default(),
        missing: same.as_ref().map(|by| by.missing).unwrap_or_default(),
        seed: same.as_ref().map(|by| by.seed).unwrap_or_default(),
        salt: None,
        hash: None,
        buckets: None,
        weights: Some(weights.to_vec()),
        ranges: None,
    });
    *outcome = input.resolve(&SplitPlace { flag, part, field: part }, Some(outcome))?;
    Ok(state)
}

async fn put_state(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    env: &EnvKey,
    standing: Standing,
    state: StateWire,
) -> Result<(), Error> {
    let Stored { value: definition, version: definition_version } = standing.definition;
    check_compiles(&definition, definition_version, state.clone(), plan.number)?;
    bounded("groupOverrides", "overrides", MAX_GROUP_OVERRIDES, state.group_overrides.len())?;
    let mut groups = BTreeMap::new();
    for (index, over) in state.group_overrides.iter().enumerate() {
        let reason = over.reason.as_deref().unwrap_or_default();
        bounded_text(&format!("groupOverrides[{index}].reason"), reason)?;
        let group = group_in(table, org, &over.group).await.map_err(|error| match error {
            Error::NotFound { .. } => {
                Error::invalid(format!("groupOverrides[{index}].group"), "there is no such group")
            }
            other => other,
        })?;
        if groups.insert(over.group.clone(), group.value.uid).is_none() {
            plan.require(place::group(org, &over.group), group.version);
        }
    }
    plan.require(place::environment(org, env), standing.environment_version);
    plan.require(place::flag(org, &definition.key), definition_version);
    let (was, becomes) = (Asks::of_state(&standing.state), Asks::of_state(&state));
    let subject = Node::Flag(definition.key.clone());
    asks::check(table, plan, (org, env), &subject, &was, &becomes).await?;
    let record = StateRecord {
        flag: definition.key.clone(),
        flag_uid: definition.uid.clone(),
        groups,
        state: state.clone(),
    };
    plan.put(place::state(org, env, &definition.key), standing.item_version, &record)?;
    let versions = (definition_version, plan.number);
    let view = FlagState::new(env, &definition, versions, state, plan.at);
    plan.about(&view, standing.version == ABSENT)
}

/// Compiles the flag as a reader will; a flag that would spoil itself is refused here.
pub(super) fn check_compiles(
    definition: &Definition,
    version: u64,
    state: StateWire,
    state_version: u64,
) -> Result<(), Error> {
    match compile(&definition.wire(version, state, state_version)) {
        Ok(_) => Ok(()),
        Err(fault) => Err(refused(&fault)),
    }
}

/// A fault of a flag, in terms of the body that would have caused it.
pub(super) fn refused(fault: &FlagFault) -> Error {
    let path = fault.path();
    let field = path.strip_prefix("state.").unwrap_or(path).to_owned();
    if let FlagFault::OverLimit { what, limit, actual, .. } = fault {
        let (limit, actual) = (*limit as u64, *actual as u64);
        return Error::OverLimit { field, unit: what, limit, actual };
    }
    let sentence = fault.to_string();
    let message = sentence.strip_prefix(path).and_then(|rest| rest.strip_prefix(": "));
    Error::invalid(field, message.unwrap_or(&sentence))
}

/// What an override says.
struct Special<'a> {
    variant: &'a VariantKey,
    expires: Option<Timestamp>,
    reason: Option<&'a String>,
}

type OverridePlace<'a> = (&'a OrgKey, &'a EnvKey, &'a FlagKey, &'a TenantKey);

async fn set_override(
    table: &dyn Table,
    plan: &mut Plan,
    (org, env, flag, tenant): OverridePlace<'_>,
    special: &Special<'_>,
) -> Result<(), Error> {
    let Special { variant, expires, reason } = special;
    bounded_text("reason", reason.map_or("", String::as_str))?;
    if expires.is_some_and(|expires| expires <= plan.at) {
        return Err(Error::invalid("expires", "is in the past"));
    }
    let environment = environment_in(table, org, env).await?;
    let definition = definition_in(table, org, flag).await?;
    let of_tenant = tenant_in(table, org, tenant).await?;
    if definition.value.variants.iter().all(|v| v.key != **variant) {
        return Err(Error::invalid("variant", format!("the flag has no variant `{variant}`")));
    }
    plan.require(place::environment(org, env), environment.version);
    plan.require(place::flag(org, flag), definition.version);
    plan.require(place::tenant(org, tenant), of_tenant.version);
    let place = place::tenant_override(org, env, flag, tenant);
    let standing: Option<Stored<Override>> = store::read(table, &place).await?;
    let record = Override {
        flag: flag.clone(),
        flag_uid: definition.value.uid,
        tenant: tenant.clone(),
        tenant_uid: of_tenant.value.uid,
        variant: (*variant).clone(),
        expires: *expires,
        reason: reason.cloned(),
        expired: false,
    };
    plan.put_override((org, env), version_of(standing.as_ref()), &record)?;
    plan.about(&record, standing.is_none())
}

async fn clear_override(
    table: &dyn Table,
    plan: &mut Plan,
    (org, env, flag, tenant): OverridePlace<'_>,
) -> Result<(), Error> {
    environment_in(table, org, env).await?;
    let place = place::tenant_override(org, env, flag, tenant);
    let stands: Stored<Override> = store::standing(table, &place, "override").await?;
    plan.delete_override((org, env), stands.version, &stands.value);
    Ok(())
}
