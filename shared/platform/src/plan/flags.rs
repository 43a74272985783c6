//! Flag definitions. What spans definition and states is held by conditions on both.

use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, VariantKey};
use flagforge_flags::time::Timestamp;
use flagforge_flags::wire::StateWire;

use super::Plan;
use super::asks::Users;
use super::deleted::flag_is_free;
use super::directory::organization_in;
use super::states::check_compiles;
use crate::change::Change;
use crate::commit::Request;
use crate::definition;
use crate::error::Error;
use crate::input::DefinitionInput;
use crate::log::Head;
use crate::place::{self, LogId};
use crate::ports::{Query, Table};
use crate::record::{Definition, Environment, Override, StateRecord};
use crate::store::{self, ABSENT, Stored, version_of};

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
) -> Result<(), Error> {
    match &request.change {
        Change::PutFlag { org, flag, uid, definition } => {
            put(table, request, plan, org, flag, uid, definition).await
        }
        Change::CloneFlag { org, of, flag, uid } => {
            clone(table, request, plan, (org, of, flag), uid).await
        }
        _ => Err(Error::Internal { context: "not a change of definitions", source: None }),
    }
}

pub(super) async fn definition_in(
    table: &dyn Table,
    org: &OrgKey,
    flag: &FlagKey,
) -> Result<Stored<Definition>, Error> {
    store::standing(table, &place::flag(org, flag), "flag").await
}

async fn put(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
    org: &OrgKey,
    flag: &FlagKey,
    uid: &str,
    input: &DefinitionInput,
) -> Result<(), Error> {
    let owner = organization_in(table, org).await?;
    plan.require(place::organization(org), owner.version);
    let place = place::flag(org, flag);
    let standing: Option<Stored<Definition>> = store::read(table, &place).await?;
    let version = version_of(standing.as_ref());
    request.precondition.check(version)?;
    if standing.is_none() {
        flag_is_free(table, org, flag).await?;
    }
    let record = define(flag, uid, input, standing.as_ref(), plan.at)?;
    check_compiles(&record, version, record.initial_state(), 0)?;
    if let Some(standing) = &standing {
        check_states(table, plan, org, &standing.value, &record).await?;
    }
    plan.class = Some(record.class);
    plan.put(place, version, &record)?;
    plan.about(&record, version == ABSENT)
}

/// A flag like another. It begins now, so its end and review are counted from now where its class counts them.
async fn clone(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
    (org, of, flag): (&OrgKey, &FlagKey, &FlagKey),
    uid: &str,
) -> Result<(), Error> {
    let original = definition_in(table, org, of).await?;
    plan.require(place::flag(org, of), original.version);
    let place = place::flag(org, flag);
    let standing: Option<Stored<Definition>> = store::read(table, &place).await?;
    request.precondition.check(version_of(standing.as_ref()))?;
    if standing.is_some() {
        return Err(Error::Exists { what: "flag", key: flag.to_string() });
    }
    flag_is_free(table, org, flag).await?;
    let mut record = Definition {
        key: flag.clone(),
        uid: uid.to_owned(),
        created: Some(plan.at),
        ..original.value
    };
    definition::begin_anew(&mut record, plan.at);
    check_compiles(&record, ABSENT, record.initial_state(), 0)?;
    plan.put(place, ABSENT, &record)?;
    plan.about(&record, true)
}

fn define(
    flag: &FlagKey,
    uid: &str,
    input: &DefinitionInput,
    standing: Option<&Stored<Definition>>,
    now: Timestamp,
) -> Result<Definition, Error> {
    let created = standing.map_or(Some(now), |standing| standing.value.created);
    definition::check(input)?;
    let (expires_at, review_at) = definition::lifetime(input, created.unwrap_or(now))?;
    if standing.is_some_and(|standing| standing.value.value_type != input.value_type) {
        let message =
            "the type of a flag never changes; services compile against it. Define a new flag";
        return Err(Error::invalid("type", message));
    }
    let variants = input.variants()?;
    let (off, fallthrough) = input.outcomes(&variants);
    Ok(Definition {
        key: flag.clone(),
        uid: standing.map_or_else(|| uid.to_owned(), |standing| standing.value.uid.clone()),
        class: input.class,
        value_type: input.value_type,
        variants,
        description: input.description.clone(),
        owner: input.owner.clone(),
        domain: input.domain.clone(),
        dependents: input.dependents.clone(),
        documentation: input.documentation.clone(),
        tags: input.tags.clone(),
        expires_at,
        review_at,
        retirement: input.retirement.clone(),
        schema: input.schema.clone(),
        stale: definition::stale(input.class, input.stale.as_ref()),
        created,
        client_visible: input.client_visible,
        off,
        fallthrough,
    })
}

/// Requires that nothing of an environment changes while its uses of something are searched.
pub(super) async fn hold_still(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    env: &EnvKey,
) -> Result<(), Error> {
    let log = LogId { org: org.clone(), env: Some(env.clone()) };
    let head: Option<Stored<Head>> = store::read(table, &log.head()).await?;
    plan.require(log.head(), version_of(head.as_ref()));
    Ok(())
}

/// Refuses a definition that some environment's state or override would not fit.
async fn check_states(
    table: &dyn Table,
    plan: &mut Plan,
    org: &OrgKey,
    was: &Definition,
    becomes: &Definition,
) -> Result<(), Error> {
    let gone: Vec<&VariantKey> = was
        .variants
        .iter()
        .map(|variant| &variant.key)
        .filter(|key| becomes.variants.iter().all(|variant| variant.key != **key))
        .collect();
    let environments: Vec<Stored<Environment>> =
        store::all(table, &place::org_pk(org), "ENV#").await?;
    for environment in environments {
        let env = environment.value.key;
        if !gone.is_empty() {
            hold_still(table, plan, org, &env).await?;
            check_tests(table, org, &env, &was.key, &gone).await?;
        }
        let place = place::state(org, &env, &was.key);
        let stored: Option<Stored<StateRecord>> = store::read(table, &place).await?;
        let version = version_of(stored.as_ref());
        let state: Option<StateWire> =
            stored.filter(|s| s.value.flag_uid == was.uid).map(|s| s.value.state);
        if let Some(state) = state {
            check_compiles(becomes, 0, state, version).map_err(|error| Error::InUse {
                what: "flag",
                key: was.key.to_string(),
                by: format!("its state in `{env}` does not fit the new definition: {error}"),
            })?;
        }
        if gone.is_empty() {
            plan.require(place, version);
        } else {
            check_overrides(table, &place::env_pk(org, &env), was, &gone).await?;
        }
    }
    Ok(())
}

async fn check_tests(
    table: &dyn Table,
    org: &OrgKey,
    env: &EnvKey,
    flag: &FlagKey,
    gone: &[&VariantKey],
) -> Result<(), Error> {
    let users = Users::read(table, org, env).await?;
    for variant in gone {
        if let Some(by) = users.of_variant(table, org, flag, variant).await? {
            let by = format!("in `{env}` {by}");
            return Err(Error::InUse { what: "variant", key: variant.to_string(), by });
        }
    }
    Ok(())
}

async fn check_overrides(
    table: &dyn Table,
    pk: &str,
    was: &Definition,
    gone: &[&VariantKey],
) -> Result<(), Error> {
    let mut query = Query::prefix(pk, &format!("OVERRIDE#{}#", was.key));
    loop {
        let page = table.query(&query).await?;
        for item in &page.items {
            let found: Override = store::decode(item)?.value;
            if found.flag_uid == was.uid && gone.contains(&&found.variant) {
                return Err(Error::InUse {
                    what: "variant",
                    key: found.variant.to_string(),
                    by: format!("the override of tenant `{}` ({pk})", found.tenant),
                });
            }
        }
        match page.next {
            None => return Ok(()),
            next => query.page = next,
        }
    }
}
