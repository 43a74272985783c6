//! What flags do in one environment: states, kills, percentages, overrides for tenants.

use std::collections::BTreeMap;

use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, RuleId, TenantKey, VariantKey};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::{OutcomeWire, StateWire};
use flagforge_flags::{FlagFault, compile};

use super::Plan;
use super::asks::{self, Asking, Asks, Node};
use super::directory::{environment_in, group_in, tenant_in};
use super::flags::definition_in;
use crate::change::Change;
use crate::commit::Request;
use crate::definition;
use crate::error::Error;
use crate::input::{
    OutcomeInput, SplitInput, SplitPlace, StateInput, WeightInput, bounded, bounded_text,
};
use crate::kills::{self, Killed};
use crate::log::LogEntry;
use crate::merge::merge_state;
use crate::place::{self, LogId};
use crate::ports::Table;
use crate::record::{Definition, Group, Override, StateRecord};
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
        Change::CloneState { org, env, of, flag } => {
            let original = Standing::read(table, org, env, of).await?;
            let standing = Standing::read(table, org, env, flag).await?;
            request.precondition.check(standing.version)?;
            if original.version == ABSENT {
                return Err(Error::NotFound { what: "state" });
            }
            put_state(table, plan, org, env, standing, original.state).await
        }
        Change::RestoreState { org, env, flag, number } => {
            restore(table, request, plan, (org, env, flag), *number).await
        }
        Change::PutState { org, env, flag, .. }
        | Change::PatchState { org, env, flag, .. }
        | Change::SetEnabled { org, env, flag, .. }
        | Change::SetWeights { org, env, flag, .. } => {
            let standing = Standing::read(table, org, env, flag).await?;
            request.precondition.check(standing.version)?;
            let state = changed(&request.change, &standing.definition.value, &standing.state)?;
            put_state(table, plan, org, env, standing, state).await
        }
        _ => Err(Error::Internal { context: "not a change of states", source: None }),
    }
}

/// Puts the state back that an entry of the environment's log left behind: a change forward, checked like any other.
async fn restore(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
    (org, env, flag): (&OrgKey, &EnvKey, &FlagKey),
    number: u64,
) -> Result<(), Error> {
    let standing = Standing::read(table, org, env, flag).await?;
    request.precondition.check(standing.version)?;
    let log = LogId { org: org.clone(), env: Some(env.clone()) };
    let entry: Option<Stored<LogEntry>> = store::read(table, &log.entry(number)).await?;
    let place = place::state(org, env, flag);
    let images = entry.into_iter().flat_map(|entry| entry.value.images);
    let body = images.filter(|image| image.sk == place.sk).find_map(|image| image.body);
    let record: Option<StateRecord> = body
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error| Error::internal("a stored record could not be read", error))?;
    let uid = &standing.definition.value.uid;
    let Some(record) = record.filter(|record| record.flag_uid == *uid) else {
        let message =
            format!("entry {number} of the log set no state of this flag; see its history");
        return Err(Error::invalid("number", message));
    };
    let state = current(table, org, record).await?;
    put_state(table, plan, org, env, standing, state).await
}

/// A flag as it stands in one environment.
pub(super) struct Standing {
    environment_version: u64,
    pub(super) definition: Stored<Definition>,
    /// The state that counts: the stored one, or the initial one.
    pub(super) state: StateWire,
    /// The version of the state that counts; [`ABSENT`] for the initial one.
    version: u64,
    /// The version of the item at the state's place, which may belong to an earlier flag of that key.
    item_version: u64,
}

impl Standing {
    pub(super) async fn read(
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
pub(crate) fn changed(
    change: &Change,
    definition: &Definition,
    standing: &StateWire,
) -> Result<StateWire, Error> {
    let flag = definition.key.as_str();
    let stale = definition::stale(definition.class, definition.stale.as_ref());
    match change {
        Change::PutState { state, .. } => state.resolve(flag, stale, standing),
        Change::PatchState { patch, .. } => {
            let mut document = serde_json::to_value(standing)
                .map_err(|error| Error::internal("a state did not serialize", error))?;
            merge_state(&mut document, patch);
            let input: StateInput = strict::from_value(document, FlagState::READ_ONLY)?;
            input.resolve(flag, stale, standing)
        }
        Change::SetEnabled { enabled, .. } => {
            Ok(StateWire { enabled: *enabled, ..standing.clone() })
        }
        Change::SetWeights { rule, unit, weights, .. } => {
            set_weights(flag, standing, rule.as_ref(), unit.as_ref(), weights)
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
    plan.class = Some(standing.definition.value.class);
    let created = standing.version == ABSENT;
    let subject = Node::Flag(standing.definition.value.key.clone());
    let (was, becomes) = (Asks::of_state(&standing.state), Asks::of_state(&state));
    let Stored { value: definition, version } = standing.definition.clone();
    write(table, plan, (org, env), standing, &state).await?;
    asks::check(table, plan, (org, env), &[Asking { subject, was, becomes }]).await?;
    let view = FlagState::new(env, &definition, (version, plan.number), state, plan.at);
    let switches = kills::standing(table, org, env).await?;
    let view = view.under(Killed::of(switches.iter(), &definition));
    plan.about(&view, created)
}

/// Writes a state that compiles and whose groups are there. What it asks for is not looked at.
pub(super) async fn write(
    table: &dyn Table,
    plan: &mut Plan,
    (org, env): (&OrgKey, &EnvKey),
    standing: Standing,
    state: &StateWire,
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
    let record = StateRecord {
        flag: definition.key.clone(),
        flag_uid: definition.uid.clone(),
        groups,
        state: state.clone(),
    };
    plan.put(place::state(org, env, &definition.key), standing.item_version, &record)
}

/// A stored state without overrides for groups that are gone, or were made again.
pub(super) async fn current(
    table: &dyn Table,
    org: &OrgKey,
    record: StateRecord,
) -> Result<StateWire, Error> {
    let StateRecord { groups, mut state, .. } = record;
    let mut gone = Vec::new();
    for over in &state.group_overrides {
        let stands: Option<Stored<Group>> =
            store::read(table, &place::group(org, &over.group)).await?;
        let uid = stands.map(|stands| stands.value.uid);
        if uid.is_none() || uid.as_ref() != groups.get(&over.group) {
            gone.push(over.group.clone());
        }
    }
    state.group_overrides.retain(|over| !gone.contains(&over.group));
    Ok(state)
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
