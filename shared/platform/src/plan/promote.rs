//! Promotion: flags do in one environment what they do in another, with the segments they need. All or nothing.

use std::collections::{BTreeMap, BTreeSet};

use flagforge_flags::keys::{EnvKey, FlagKey, OrgKey, SegmentKey};
use flagforge_flags::wire::{FlagClass, FlagIsWire, FlagTestWire, OutcomeWire, StateWire};

use super::Plan;
use super::asks::{self, Asking, Asks, Node};
use super::deleted::segment_is_free;
use super::directory::environment_in;
use super::segments;
use super::states::{self, Standing};
use crate::change::Change;
use crate::commit::Request;
use crate::comparison::Promoted;
use crate::error::Error;
use crate::input::bounded;
use crate::place;
use crate::ports::Table;
use crate::record::{SegmentRecord, StateRecord};
use crate::store::{self, Stored, version_of};

/// Flags of one promotion. Each is a write and a check of its definition in the transaction of 100, beside segments,
/// groups, log entry, head and environments.
pub const MAX_PROMOTED: usize = 40;

pub(super) async fn draw(
    table: &dyn Table,
    request: &Request,
    plan: &mut Plan,
) -> Result<(), Error> {
    let Change::Promote { org, from, env, flags, segments, more_follow } = &request.change else {
        return Err(Error::Internal { context: "not a promotion", source: None });
    };
    if from == env {
        return Err(Error::invalid("from", "is the environment itself"));
    }
    bounded("flags", "flags", MAX_PROMOTED, flags.len())?;
    bounded("segments", "segments", MAX_PROMOTED, segments.len())?;
    let source = environment_in(table, org, from).await.map_err(|error| match error {
        Error::NotFound { .. } => {
            Error::invalid("from", format!("there is no environment `{from}`"))
        }
        other => other,
    })?;
    plan.require(place::environment(org, from), source.version);
    let promotion = Promotion::read(table, (org, from, env), flags, segments).await?;
    if !more_follow {
        promotion.check_prerequisites(table, (org, env)).await?;
    }
    promotion.write(table, plan, (org, env)).await
}

/// What changes, and into what.
struct Promotion<'c> {
    from: &'c EnvKey,
    flags: BTreeMap<FlagKey, (Standing, StateWire)>,
    segments: BTreeMap<SegmentKey, (Option<Stored<SegmentRecord>>, SegmentRecord)>,
}

impl<'c> Promotion<'c> {
    async fn read(
        table: &dyn Table,
        (org, from, env): (&OrgKey, &'c EnvKey, &EnvKey),
        keys: &[FlagKey],
        segments: &[SegmentKey],
    ) -> Result<Self, Error> {
        let mut flags = BTreeMap::new();
        let mut needed: BTreeSet<SegmentKey> = segments.iter().cloned().collect();
        for (index, key) in keys.iter().enumerate() {
            let standing =
                Standing::read(table, org, env, key).await.map_err(|e| named(e, index))?;
            let state = state_in(table, (org, from), key, &standing).await?;
            needed.extend(segments_of(&Asks::of_state(&state)));
            if state != standing.state {
                flags.insert(key.clone(), (standing, state));
            }
        }
        let segments = needed_segments(table, (org, from, env), needed).await?;
        Ok(Self { from, flags, segments })
    }

    async fn write(
        self,
        table: &dyn Table,
        plan: &mut Plan,
        (org, env): (&OrgKey, &EnvKey),
    ) -> Result<(), Error> {
        let told = Promoted {
            from: self.from.clone(),
            environment: env.clone(),
            flags: self.flags.keys().cloned().collect(),
            segments: self.segments.keys().cloned().collect(),
        };
        let asked_by_flags = self.flags.iter().map(|(key, (standing, state))| Asking {
            subject: Node::Flag(key.clone()),
            was: Asks::of_state(&standing.state),
            becomes: Asks::of_state(state),
        });
        let asked_by_segments = self.segments.iter().map(|(key, (standing, record))| Asking {
            subject: Node::Segment(key.clone()),
            was: Asks::of_segment(standing.as_ref().and_then(|s| s.value.when.as_ref())),
            becomes: Asks::of_segment(record.when.as_ref()),
        });
        let asking: Vec<Asking> = asked_by_flags.chain(asked_by_segments).collect();
        for (key, (standing, record)) in self.segments {
            segments::check_size(table, (org, env), standing.as_ref(), &record).await?;
            plan.put(place::segment(org, env, &key), version_of(standing.as_ref()), &record)?;
        }
        for (_, (standing, state)) in self.flags {
            states::write(table, plan, (org, env), standing, &state).await?;
        }
        asks::check(table, plan, (org, env), &asking).await?;
        plan.about(&told, false)
    }

    /// Refuses what would leave a flag without a prerequisite that it has where it comes from, or had until now.
    async fn check_prerequisites(
        &self,
        table: &dyn Table,
        (org, env): (&OrgKey, &EnvKey),
    ) -> Result<(), Error> {
        for (key, (_, state)) in self.flags.iter().filter(|(_, (_, state))| state.enabled) {
            for test in &state.prerequisites {
                let source = Standing::read(table, org, self.from, &test.flag).await?;
                let target = Standing::read(table, org, env, &test.flag).await?;
                let becomes = self.flags.get(&test.flag).map_or(&target.state, |(_, state)| state);
                let class = target.definition.value.class;
                if fails(test, class, becomes) && !fails(test, class, &source.state) {
                    let message = format!(
                        "`{key}` needs `{}`, which is off in `{env}`; promote it too, or turn it on first",
                        test.flag
                    );
                    return Err(Error::invalid("flags", message));
                }
            }
        }
        let turned_off =
            |(standing, state): &(Standing, StateWire)| standing.state.enabled && !state.enabled;
        if !self.flags.values().any(turned_off) {
            return Ok(());
        }
        let states: Vec<Stored<StateRecord>> =
            store::all(table, &place::env_pk(org, env), "STATE#").await?;
        for user in states.iter().map(|stored| &stored.value).filter(|user| user.state.enabled) {
            if !self.flags.contains_key(&user.flag) {
                self.check_user(table, (org, env), user).await?;
            }
        }
        Ok(())
    }

    /// A flag that stays as it is keeps its prerequisites.
    async fn check_user(
        &self,
        table: &dyn Table,
        (org, env): (&OrgKey, &EnvKey),
        user: &StateRecord,
    ) -> Result<(), Error> {
        for test in &user.state.prerequisites {
            let Some((standing, becomes)) = self.flags.get(&test.flag) else { continue };
            let class = standing.definition.value.class;
            if !fails(test, class, becomes) || fails(test, class, &standing.state) {
                continue;
            }
            let current = Standing::read(table, org, env, &user.flag).await;
            if current.is_ok_and(|current| current.state == user.state) {
                let message = format!(
                    "`{}` would be off in `{env}`, and `{}` needs it there",
                    test.flag, user.flag
                );
                return Err(Error::invalid("flags", message));
            }
        }
        Ok(())
    }
}

/// Whether a test surely fails because the other flag is off.
fn fails(test: &FlagTestWire, class: FlagClass, state: &StateWire) -> bool {
    // A migration flag has no off.
    if state.enabled || class == FlagClass::Migration {
        return false;
    }
    match &test.is {
        FlagIsWire::Off => false,
        FlagIsWire::Enabled => true,
        FlagIsWire::Variants(wanted) => match &state.off {
            OutcomeWire::Variant(off) => !wanted.contains(off),
            _ => false,
        },
    }
}

fn named(error: Error, index: usize) -> Error {
    match error {
        Error::NotFound { what: "flag" } => {
            Error::invalid(format!("flags[{index}]"), "there is no such flag")
        }
        other => other,
    }
}

/// What the flag does in the other environment, without overrides for groups that are gone.
async fn state_in(
    table: &dyn Table,
    (org, from): (&OrgKey, &EnvKey),
    flag: &FlagKey,
    standing: &Standing,
) -> Result<StateWire, Error> {
    let definition = &standing.definition.value;
    let stored: Option<Stored<StateRecord>> =
        store::read(table, &place::state(org, from, flag)).await?;
    match stored.map(|stored| stored.value).filter(|record| record.flag_uid == definition.uid) {
        None => Ok(definition.initial_state()),
        Some(record) => states::current(table, org, record).await,
    }
}

fn segments_of(asks: &Asks) -> impl Iterator<Item = SegmentKey> {
    asks.others.keys().filter_map(|other| match other {
        Node::Segment(key) => Some(key.clone()),
        Node::Flag(_) => None,
    })
}

/// The segments that are asked for, at first or second hand, and are not the same in both environments.
async fn needed_segments(
    table: &dyn Table,
    (org, from, env): (&OrgKey, &EnvKey, &EnvKey),
    needed: BTreeSet<SegmentKey>,
) -> Result<BTreeMap<SegmentKey, (Option<Stored<SegmentRecord>>, SegmentRecord)>, Error> {
    let (mut found, mut seen) = (BTreeMap::new(), BTreeSet::new());
    let mut open: Vec<SegmentKey> = needed.into_iter().collect();
    while let Some(key) = open.pop() {
        if !seen.insert(key.clone()) {
            continue;
        }
        let source: Stored<SegmentRecord> =
            store::standing(table, &place::segment(org, from, &key), "segment").await?;
        open.extend(segments_of(&Asks::of_segment(source.value.when.as_ref())));
        let target: Option<Stored<SegmentRecord>> =
            store::read(table, &place::segment(org, env, &key)).await?;
        // Each environment's hashes keep their own salt.
        let salt = target.as_ref().map_or(&source.value.salt, |target| &target.value.salt);
        let becomes = SegmentRecord { salt: salt.clone(), ..source.value };
        if target.is_none() {
            segment_is_free(table, (org, env, &key)).await?;
        }
        if target.as_ref().is_none_or(|target| target.value != becomes) {
            found.insert(key, (target, becomes));
        }
    }
    Ok(found)
}
