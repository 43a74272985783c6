//! Strategies: whether one lets the user in.

use flagforge_flags::keys::SegmentKey;
use flagforge_flags::wire::{
    ConditionWire, HashName, MissingUnit, OperatorName, RolloutWire, TestWire, UnitWire,
};
use serde_json::Value as Json;

use super::{Surroundings, constraint};
use crate::Imported;
use crate::carry::{Carried, Undecided, accepted, all, list, missing, never, test, text, text_of};

/// Unleash counts hundredths.
const BUCKETS: u32 = 100;

/// When a strategy lets the user in: its own question, its constraints and its segments.
pub(crate) fn carry(
    strategy: &Json,
    toggle: &str,
    surroundings: &Surroundings<'_>,
    imported: &mut Imported,
) -> Result<Carried, String> {
    let mut parts = vec![own(strategy, toggle, imported)];
    for constraint in list(strategy, "constraints")? {
        parts.push(constraint::one(constraint, toggle, imported));
    }
    for id in list(strategy, "segments")? {
        parts.push(segment(id, surroundings));
    }
    Ok(Carried::all(parts))
}

fn segment(id: &Json, surroundings: &Surroundings<'_>) -> Result<Carried, String> {
    let id = text_of(id).ok_or("a segment's number is no number")?;
    let key = SegmentKey::new(&id).map_err(|error| error.to_string())?;
    match surroundings.segments.get(&id) {
        Some(Ok(carried)) => Ok(Carried {
            when: ConditionWire::InSegment(key),
            undecided: carried.undecided.clone(),
        }),
        Some(Err(why)) => Err(format!("segment {id}: {why}")),
        None => Err(format!("there is no segment {id}")),
    }
}

fn own(strategy: &Json, toggle: &str, imported: &mut Imported) -> Result<Carried, String> {
    let name = text(strategy, "name")?;
    let parameter = |name: &str| strategy.get("parameters")?.get(name).and_then(text_of);
    let items = |name: &str| -> Vec<Json> {
        let text = parameter(name).unwrap_or_default();
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(Json::from).collect()
    };
    match name {
        "default" => Ok(ConditionWire::Always.into()),
        "userWithId" => match items("userIds") {
            none if none.is_empty() => Ok(never().into()),
            ids => accepted(test("user.key", OperatorName::OneOf, ids)).map(Into::into),
        },
        "remoteAddress" => {
            let path = "user.remoteAddress";
            constraint::networks(&items("IPs"), path, toggle, imported).map(Into::into)
        }
        "applicationHostname" => match items("hostNames") {
            none if none.is_empty() => Ok(never().into()),
            names => {
                let path = "user.hostname";
                let one_of = test(path, OperatorName::OneOf, names);
                let when = accepted(TestWire { ignore_case: true, ..one_of })?;
                let why = "applicationHostname asks for the SDK's own host: send it as `hostname`";
                let why = why.to_owned();
                Ok(Carried { when, undecided: vec![Undecided { when: missing(path), why }] })
            }
        },
        "gradualRolloutRandom" => {
            let share = share(parameter("percentage"))?;
            rollout(share, &Stickiness::Random, "")
        }
        "gradualRolloutUserId" | "gradualRolloutSessionId" => {
            let share = share(parameter("percentage"))?;
            let group = parameter("groupId").ok_or_else(|| format!("{name} has no `groupId`"))?;
            let unit = if name == "gradualRolloutUserId" { "userId" } else { "sessionId" };
            rollout(share, &Stickiness::of(Some(unit))?, &group)
        }
        "flexibleRollout" => {
            let share = share(parameter("rollout"))?;
            let group = parameter("groupId").unwrap_or_else(|| toggle.to_owned());
            rollout(share, &Stickiness::of(parameter("stickiness").as_deref())?, &group)
        }
        custom => Err(format!("the custom strategy `{custom}` is code and cannot be carried over")),
    }
}

fn share(parameter: Option<String>) -> Result<u32, String> {
    let text = parameter.ok_or("the strategy has no percentage")?;
    let share = text.trim().parse().ok().filter(|share| *share <= BUCKETS);
    share.ok_or_else(|| format!("the percentage {text:?} is no whole number from 0 to 100"))
}

/// What a percentage hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stickiness {
    /// The user, else the session, else dice.
    Default,
    /// Dice.
    Random,
    /// One field of the context; where it is missing, nobody is in.
    Field(String),
}

impl Stickiness {
    pub(crate) fn of(parameter: Option<&str>) -> Result<Self, String> {
        match parameter {
            None | Some("" | "default") => Ok(Self::Default),
            Some("random") => Ok(Self::Random),
            Some(field) => constraint::path(field).map(Self::Field),
        }
    }

    /// What is hashed; nothing where dice are cast.
    pub(crate) fn unit(&self, group: &str, seed: u32, buckets: u32) -> Option<UnitWire> {
        let (unit, fallbacks) = match self {
            Self::Default => ("user.key".to_owned(), vec!["user.sessionId".to_owned()]),
            Self::Field(path) => (path.clone(), Vec::new()),
            Self::Random => return None,
        };
        Some(UnitWire {
            unit,
            fallbacks,
            missing: MissingUnit::NoMatch,
            salt: group.to_owned(),
            hash: HashName::Unleash,
            seed,
            buckets,
        })
    }
}

fn rollout(share: u32, stickiness: &Stickiness, group: &str) -> Result<Carried, String> {
    let drawn = || format!("{share} % drawn at random, and there are no dice here");
    let Some(by) = stickiness.unit(group, 0, BUCKETS) else {
        return Ok(match share {
            0 => never().into(),
            BUCKETS => ConditionWire::Always.into(),
            _ => Carried::nothing_but(ConditionWire::Always, drawn()),
        });
    };
    let sticky = ConditionWire::Rollout(RolloutWire { by, from: 0, until: share });
    Ok(match (share, stickiness) {
        (0, _) => never().into(),
        (BUCKETS, Stickiness::Default) => ConditionWire::Always.into(),
        (_, Stickiness::Default) => Carried {
            when: sticky,
            undecided: vec![Undecided {
                when: all([missing("user.key"), missing("user.sessionId")]),
                why: format!("no `userId` and no `sessionId`: {}", drawn()),
            }],
        },
        _ => sticky.into(),
    })
}
