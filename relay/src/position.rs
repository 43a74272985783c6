//! Where an environment stands for a tenant: a configuration, and the last instant at which it may have begun to
//! answer otherwise. It is the id of events, and what clients hand back when they ask again.

use std::fmt;
use std::time::Duration;

use flagforge_flags::keys::TenantKey;
use flagforge_flags::time::Timestamp;
use flagforge_flags::{Around, Revision, Ticks};
use xxhash_rust::xxh3::xxh3_64;

use crate::env_id::EnvId;
use crate::shelf::Shelf;

/// How often those are told to ask again whose answers move with time and not in steps: half of a minute on the
/// average, and no more of a load than so.
const TICK: Duration = Duration::from_secs(60);

/// `<epoch>.<org>.<env>.<milliseconds>`, say `1.17.41.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) revision: Revision,
    /// The epoch's beginning where time has changed nothing yet.
    pub(crate) since: Timestamp,
}

impl Position {
    /// The position now, and when there may be another one.
    pub(crate) fn of(
        shelf: &Shelf,
        id: &EnvId,
        tenant: &TenantKey,
        now: Timestamp,
    ) -> (Self, Option<Timestamp>) {
        let snapshot = shelf.manifest.snapshot();
        let entry = snapshot.tenant(tenant.as_str()).and_then(Result::ok);
        let times = shelf.sheet().times();
        let ticks = ticks(id, tenant);
        let Around { last, next } = times.around(entry, shelf.manifest.confirmed(), ticks, now);
        let (epoch, revision) = (snapshot.root().epoch, snapshot.revision());
        (Self { epoch, revision, since: last.unwrap_or_default() }, next)
    }

    /// Whether the configuration here has all that the other one has.
    pub(crate) const fn covers(self, other: Self) -> bool {
        self.epoch > other.epoch
            || (self.epoch == other.epoch && self.revision.includes(other.revision))
    }

    /// Whether somebody who stands at the other one has missed something.
    pub(crate) fn is_after(self, other: Self) -> bool {
        let configuration = |it: Self| (it.epoch, it.revision);
        self.covers(other)
            && (configuration(self) != configuration(other) || self.since > other.since)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (epoch, rest) = text.split_once('.')?;
        let (revision, since) = rest.rsplit_once('.')?;
        let since = Timestamp::from_millis(since.parse().ok()?);
        Some(Self { epoch: epoch.parse().ok()?, revision: revision.parse().ok()?, since })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch, self.revision, self.since.as_millis())
    }
}

/// The tenants' ticks are spread over the minute, so that not all clients ask in the same second.
fn ticks(id: &EnvId, tenant: &TenantKey) -> Ticks {
    let name = format!("{}/{}/{tenant}", id.org, id.env);
    let every = u64::try_from(TICK.as_millis()).unwrap_or(u64::MAX);
    Ticks { every: TICK, late: Duration::from_millis(xxh3_64(name.as_bytes()) % every) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_after_what() {
        let at = |text: &str| Position::parse(text).unwrap();
        for text in ["1.17.41.0", "0.0.0.-5", "9.1.2.1795167000000"] {
            assert_eq!(at(text).to_string(), text);
        }
        for bad in ["", "1", "1.17.41", "1.17.41.x", "1.17.041.0", "a.17.41.0", "1.17.41.0.0"] {
            assert_eq!(Position::parse(bad), None, "{bad}");
        }
        for (later, before) in [
            ("1.17.42.0", "1.17.41.0"),
            ("1.18.41.0", "1.17.41.7"),
            ("1.17.41.8", "1.17.41.7"),
            ("2.1.1.0", "1.17.41.0"),
        ] {
            assert!(at(later).is_after(at(before)) && at(later).covers(at(before)), "{later}");
            assert!(!at(before).is_after(at(later)), "{before}");
        }
        // Of two that lack each other's changes neither is after the other.
        assert!(!at("1.17.42.0").is_after(at("1.18.41.0")));
        assert!(!at("1.17.42.0").covers(at("1.18.41.0")));
        assert!(!at("1.17.41.0").is_after(at("1.17.41.0")));
    }
}
