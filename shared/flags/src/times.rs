//! When answers may change with time alone: the instants that a snapshot speaks of.

use std::time::Duration;

use crate::condition::Condition;
use crate::flag::{Flag, Outcome, Ramp, StaleAction};
use crate::snapshot::Snapshot;
use crate::tenant::Tenant;
use crate::time::Timestamp;

/// What a snapshot says of time, found once, so that nobody has to walk all flags again.
#[derive(Debug, Default)]
pub struct Times {
    /// When overrides of groups expire: ascending, each once.
    instants: Box<[Timestamp]>,
    ramps: Box<[Stretch]>,
    /// The ages of a configuration beyond which flags answer otherwise: ascending, each once.
    ages: Box<[Duration]>,
    /// Whether a condition asks about now. What it holds it against is the context's, and not known here.
    asks_now: bool,
}

#[derive(Debug, Clone, Copy)]
struct Stretch {
    start: Timestamp,
    end: Timestamp,
    steps: Option<u32>,
}

/// How often what moves without steps is looked at, or in steps that are closer; and when, so that not everybody
/// looks at once.
#[derive(Debug, Clone, Copy)]
pub struct Ticks {
    /// The time between two ticks, at least a millisecond.
    pub every: Duration,
    /// The time by which ticks are late.
    pub late: Duration,
}

impl Ticks {
    fn last(self, now: Timestamp) -> Timestamp {
        let (every, late) = (millis(self.every).max(1), millis(self.late));
        let ticks = now.as_millis().saturating_sub(late).div_euclid(every);
        Timestamp::from_millis(ticks.saturating_mul(every).saturating_add(late))
    }

    fn next(self, now: Timestamp) -> Timestamp {
        self.last(now).plus(self.every)
    }
}

/// The instants beside an instant at which an answer may become another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Around {
    /// The last one that has come; `None` where none has.
    pub last: Option<Timestamp>,
    /// The next one; `None` where none comes.
    pub next: Option<Timestamp>,
}

impl Around {
    fn add(&mut self, instant: Timestamp, now: Timestamp) {
        if instant <= now {
            self.last = self.last.max(Some(instant));
        } else {
            self.next = Some(self.next.map_or(instant, |next| next.min(instant)));
        }
    }

    /// Those of an ascending list that are beside now.
    fn add_of(&mut self, instants: &[Timestamp], now: Timestamp) {
        let come = instants.partition_point(|instant| *instant <= now);
        let beside = [come.checked_sub(1), Some(come)].into_iter().flatten();
        beside.filter_map(|place| instants.get(place)).for_each(|instant| self.add(*instant, now));
    }
}

impl Times {
    /// What a snapshot says of time.
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut found = Found::default();
        snapshot.flags().filter_map(|(_, flag)| flag.ok()).for_each(|flag| found.flag(flag));
        let segments = snapshot.segments().filter_map(|(_, segment)| segment.ok());
        segments.filter_map(|segment| segment.when.as_ref()).for_each(|when| found.condition(when));
        found.instants.sort_unstable();
        found.instants.dedup();
        found.ages.sort_unstable();
        found.ages.dedup();
        Self {
            instants: found.instants.into(),
            ramps: found.ramps.into(),
            ages: found.ages.into(),
            asks_now: found.asks_now,
        }
    }

    /// Whether it matters how long ago a configuration was confirmed.
    pub const fn hang_on_age(&self) -> bool {
        !self.ages.is_empty()
    }

    /// The instants beside now for somebody of a tenant, who asks a configuration that was confirmed then.
    pub fn around(
        &self,
        tenant: Option<&Tenant>,
        confirmed: Timestamp,
        ticks: Ticks,
        now: Timestamp,
    ) -> Around {
        let mut around = Around::default();
        around.add_of(&self.instants, now);
        self.ramps.iter().for_each(|ramp| ramp.around(ticks, now, &mut around));
        for age in &self.ages {
            // Older than the age, not as old.
            around.add(confirmed.plus(*age).plus(Duration::from_millis(1)), now);
        }
        if let Some(tenant) = tenant {
            around.add_of(tenant.expiries(), now);
        }
        if self.asks_now {
            around.add(ticks.last(now), now);
            around.add(ticks.next(now), now);
        }
        around
    }
}

impl Stretch {
    fn around(self, ticks: Ticks, now: Timestamp, around: &mut Around) {
        let whole = millis(self.end.since(self.start)).max(1);
        let steps = self.steps.map(i64::from).filter(|steps| whole / steps >= millis(ticks.every));
        if let Some(steps) = steps {
            let passed = now.as_millis().saturating_sub(self.start.as_millis()).clamp(0, whole);
            let done = i128::from(passed) * i128::from(steps) / i128::from(whole);
            // The step that was taken last, and the one after it.
            for step in [done, done + 1] {
                let at = step * i128::from(whole);
                let at = at / i128::from(steps) + i128::from(at % i128::from(steps) != 0);
                if (1..=i128::from(steps)).contains(&step) {
                    let at = u64::try_from(at).unwrap_or(u64::MAX);
                    around.add(self.start.plus(Duration::from_millis(at)), now);
                }
            }
            return;
        }
        around.add(self.start, now);
        around.add(self.end, now);
        for tick in [ticks.last(now), ticks.next(now)] {
            if self.start < tick && tick < self.end {
                around.add(tick, now);
            }
        }
    }
}

#[derive(Default)]
struct Found {
    instants: Vec<Timestamp>,
    ramps: Vec<Stretch>,
    ages: Vec<Duration>,
    asks_now: bool,
}

impl Found {
    fn flag(&mut self, flag: &Flag) {
        self.instants.extend(flag.group_overrides.iter().filter_map(|entry| entry.expires));
        for outcome in [&flag.off, &flag.fallthrough] {
            self.outcome(outcome);
        }
        for rule in &flag.rules {
            self.condition(&rule.when);
            self.outcome(&rule.serve);
        }
        if let Some(stale) = &flag.stale {
            self.ages.push(stale.after);
            if let StaleAction::Serve(outcome) = &stale.then {
                self.outcome(outcome);
            }
        }
    }

    fn outcome(&mut self, outcome: &Outcome) {
        if let Outcome::Ramp(ramp) = outcome {
            let Ramp { start, end, steps, .. } = **ramp;
            self.ramps.push(Stretch { start, end, steps: steps.filter(|steps| *steps > 0) });
        }
    }

    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::Test(test) => self.asks_now |= test.operands.asks_now(),
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().for_each(|part| self.condition(part));
            }
            Condition::Not(part) => self.condition(part),
            Condition::Elements(elements) => self.condition(&elements.when),
            Condition::Always
            | Condition::InSegment(_)
            | Condition::InGroup(_)
            | Condition::Flag(_)
            | Condition::Rollout(_) => {}
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
