//! When what is owed is published: at once, or together with what comes a moment later.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use flagforge_flags::propagation::Propagation;

/// The least time between two publications of one place for changes that go out near real time. One that comes alone goes
/// out at once; a burst makes ten roots a second.
pub(crate) const NEAR_REAL_TIME: Duration = Duration::from_millis(100);
/// The same for what nobody waits for.
pub(crate) const EVENTUAL: Duration = Duration::from_millis(500);

/// How long after a publication the next may follow.
const fn spacing(propagation: Propagation) -> Duration {
    match propagation {
        Propagation::Immediate => Duration::ZERO,
        Propagation::NearRealTime => NEAR_REAL_TIME,
        Propagation::Eventual => EVENTUAL,
    }
}

/// What is owed, and what was published lately.
#[derive(Debug)]
pub(crate) struct Pacing<P> {
    /// Each with the most urgent class of what it is owed.
    owed: BTreeMap<P, Propagation>,
    published: BTreeMap<P, Instant>,
}

impl<P> Default for Pacing<P> {
    fn default() -> Self {
        Self { owed: BTreeMap::new(), published: BTreeMap::new() }
    }
}

impl<P: Ord + Clone> Pacing<P> {
    pub(crate) fn owe(&mut self, place: P, propagation: Propagation) {
        let owed = self.owed.entry(place).or_insert(propagation);
        *owed = propagation.min(*owed);
    }

    /// What may be published now, the most urgent first. It is owed no more.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<P> {
        self.published.retain(|_, at| now.duration_since(*at) < EVENTUAL);
        let due = |(place, class): &(&P, &Propagation)| self.from(place, **class) <= Some(now);
        let mut due: Vec<(Propagation, P)> =
            self.owed.iter().filter(due).map(|(place, class)| (*class, place.clone())).collect();
        due.sort_by_key(|(class, _)| *class);
        for (_, place) in &due {
            self.owed.remove(place);
            self.published.insert(place.clone(), now);
        }
        due.into_iter().map(|(_, place)| place).collect()
    }

    /// When something is due; `None` where nothing is owed.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let froms = self.owed.iter().map(|(place, class)| self.from(place, *class));
        froms.map(|from| from.unwrap_or(now)).min()
    }

    /// The instant from which a place may be published; `None`: from ever.
    fn from(&self, place: &P, class: Propagation) -> Option<Instant> {
        self.published.get(place).map(|at| *at + spacing(class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Propagation::{Eventual, Immediate, NearRealTime};

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_goes_out_together_and_what_is_immediate_at_once() {
        let (mut pacing, start) = (Pacing::default(), Instant::now());
        let mut published = Vec::new();
        // One change a millisecond, and a kill among them.
        for millis in 0..200 {
            pacing.owe("prod", if millis == 150 { Immediate } else { NearRealTime });
            if !pacing.due(after(start, millis)).is_empty() {
                published.push(millis);
            }
        }
        assert_eq!(published, [0, 100, 150]);
        assert_eq!(pacing.next(after(start, 200)), Some(after(start, 250)));
        assert_eq!(pacing.due(after(start, 250)), ["prod"], "nothing is left behind");
        assert_eq!((pacing.next(after(start, 250)), pacing.due(after(start, 999))), (None, vec![]));
    }

    #[test]
    fn what_comes_alone_waits_for_nothing_whatever_its_class() {
        for class in [Immediate, NearRealTime, Eventual] {
            let (mut pacing, now) = (Pacing::default(), Instant::now());
            pacing.owe("prod", class);
            assert_eq!(pacing.next(now), Some(now));
            assert_eq!(pacing.due(now), ["prod"]);
        }
    }

    #[test]
    fn what_nobody_waits_for_waits_longer_unless_something_urgent_takes_it_along() {
        let (mut pacing, start) = (Pacing::default(), Instant::now());
        pacing.owe("prod", Eventual);
        pacing.due(start);
        pacing.owe("prod", Eventual);
        assert_eq!(pacing.next(start), Some(start + EVENTUAL));
        pacing.owe("prod", NearRealTime);
        pacing.owe("prod", Eventual);
        assert_eq!(pacing.next(start), Some(start + NEAR_REAL_TIME));
        assert_eq!(pacing.due(after(start, 99)), [""; 0]);
        pacing.owe("dev", Immediate);
        pacing.owe("a-tests", Eventual);
        assert_eq!(pacing.due(start + NEAR_REAL_TIME), ["dev", "prod", "a-tests"]);
    }
}
