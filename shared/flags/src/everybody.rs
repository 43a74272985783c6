//! What a flag answers everybody of a tenant, where it answers all of them alike. The evaluator itself is asked, by
//! somebody of whom the tenant alone is known, and a visitor looks at what it reads. As long as that is the tenant's and the
//! configuration's, it takes the same steps for everybody else.

use crate::answer::Answer;
use crate::context::TENANT;
use crate::pinned::Pinned;
use crate::snapshot::{FlagPlace, Snapshot};
use crate::subject::{ELEMENT, entity};
use crate::trace::{Event, Junction, Visitor};

/// Everybody of one tenant, asking one snapshot at one instant.
#[derive(Debug, Clone)]
pub struct Everybody<'c, 's> {
    /// Who says nothing of themselves.
    pinned: Pinned<'c, &'s Snapshot>,
}

/// What a flag has to say to everybody.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alike<'s> {
    /// The answer that all get, may it be an error; `None` where it hangs on who asks.
    pub answer: Option<Answer<'s>>,
    /// Whether an attribute of the tenant was held against the time, or a ramp by the tenant was reached:
    /// [`Times`](crate::Times) tells by ticks alone when this may be otherwise.
    pub moves: bool,
}

impl<'c, 's> Everybody<'c, 's> {
    pub(crate) const fn new(pinned: Pinned<'c, &'s Snapshot>) -> Self {
        Self { pinned }
    }

    /// What the flag at a place of this very snapshot says.
    pub fn ask(&self, place: FlagPlace) -> Option<Alike<'s>> {
        let mut reads = Reads::default();
        let answer = self.pinned.whole_answer_in(place, &mut reads)?;
        Some(Alike { answer: Some(answer).filter(|_| !reads.others), moves: reads.time })
    }
}

/// What an evaluation has read.
#[derive(Debug, Default)]
struct Reads {
    /// Something that is not the tenant's. What follows may be otherwise for others, and does not count.
    others: bool,
    time: bool,
    /// In how many lists of elements it is, for the flag or segment that is asked, and those that ask for it.
    inside: u32,
    outside: Vec<u32>,
}

impl Reads {
    fn path(&mut self, path: &str) {
        match entity(path) {
            TENANT => {}
            ELEMENT if self.inside > 0 => {}
            _ => self.others = true,
        }
    }

    fn unit(&mut self, unit: &str, fell_back: bool) {
        // Somebody else may have the unit that was passed over.
        self.others |= fell_back;
        self.path(unit);
    }

    /// Whoever is looked for by key: of this asker the tenant alone has one.
    fn key(&mut self, key: Option<&str>) {
        self.others |= key.is_none();
    }
}

impl Visitor for Reads {
    fn visit(&mut self, event: Event<'_>) {
        if self.others {
            return;
        }
        match event {
            Event::Target { key, .. } | Event::Listed { key, .. } => self.key(key),
            Event::Test { attribute, operands, .. } => {
                self.path(attribute);
                self.time |= !self.others && operands.asks_now();
            }
            Event::Elements { attribute, .. } => {
                self.path(attribute);
                self.inside += 1;
            }
            Event::Leave { junction: Junction::AnyElement | Junction::AllElements, .. } => {
                self.inside = self.inside.saturating_sub(1);
            }
            Event::Rollout { unit, fell_back, .. } => self.unit(unit, fell_back),
            Event::Split { unit, fell_back, bound, .. } => {
                self.unit(unit, fell_back);
                self.time |= !self.others && bound.is_some();
            }
            Event::Asked { .. } => self.outside.push(std::mem::take(&mut self.inside)),
            Event::Told { .. } => self.inside = self.outside.pop().unwrap_or_default(),
            // Of the configuration, its age and the tenant. Overrides that expire and ages are told of by `Times`.
            Event::Flag { .. }
            | Event::Off
            | Event::GroupKill { .. }
            | Event::Stale { .. }
            | Event::Tenant { .. }
            | Event::TenantOverride { .. }
            | Event::GroupOverride { .. }
            | Event::RuleEntered { .. }
            | Event::RuleDecided { .. }
            | Event::Enter { .. }
            | Event::Leave { .. }
            | Event::Always { .. }
            | Event::InGroup { .. }
            | Event::Fallthrough => {}
        }
    }
}

#[cfg(test)]
mod tests;
