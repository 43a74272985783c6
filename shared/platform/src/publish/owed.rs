//! What has to be made again, because something that it was made of changed.

use std::collections::{BTreeMap, BTreeSet};

/// Shards of tenants that a slice of the backlog makes again: about 1 MiB, some tens of milliseconds for the publisher
/// and for each reader. A kill waits for one slice.
const SLICE_SHARDS: usize = 32;

/// By key.
#[derive(Debug, Default)]
pub(super) enum Owed {
    These(BTreeSet<String>),
    /// Everything: nothing was made yet, or what changed concerns all.
    #[default]
    All,
}

impl Owed {
    pub(super) fn add(&mut self, key: &str) {
        if let Self::These(keys) = self
            && !keys.contains(key)
        {
            keys.insert(key.to_owned());
        }
    }

    pub(super) fn add_all(&mut self) {
        *self = Self::All;
    }

    pub(super) fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// What is owed. Nothing is afterwards.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::These(BTreeSet::new()))
    }
}

/// Tenants that were changed many at a time, as an import does. They are published a slice of shards after the other,
/// so that what was changed by itself, or killed, passes between two slices.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Changed since the pass over the shards began: for the next.
    waiting: BTreeSet<String>,
    pass: BTreeSet<String>,
    /// Up to where the organization's log was read when the pass began.
    pass_to: u64,
    /// Up to where the organization's log is published whole. What is newer may be published too.
    whole_to: u64,
}

impl Backlog {
    pub(super) fn add(&mut self, tenant: &str) {
        self.waiting.insert(tenant.to_owned());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.pass.is_empty()
    }

    /// The tenants of the next slice; `read_to` says how far the organization's log was read.
    pub(super) fn slice(&mut self, shard_of: impl Fn(&str) -> u32, read_to: u64) -> Vec<String> {
        if self.pass.is_empty() {
            self.pass = std::mem::take(&mut self.waiting);
            self.pass_to = read_to;
        }
        let mut shards: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for tenant in &self.pass {
            shards.entry(shard_of(tenant)).or_default().push(tenant.clone());
        }
        let slice: Vec<String> = shards.into_values().take(SLICE_SHARDS).flatten().collect();
        for tenant in &slice {
            self.pass.remove(tenant);
        }
        if self.pass.is_empty() {
            self.whole_to = self.pass_to;
        }
        slice
    }

    /// All of it.
    pub(super) fn drain(&mut self) -> Vec<String> {
        let Self { waiting, pass, .. } = std::mem::take(self);
        waiting.into_iter().chain(pass).collect()
    }

    /// What a manifest made now has of the organization's log, which was read up to `read_to`: everything up to here.
    pub(super) fn whole_to(&mut self, read_to: u64) -> u64 {
        if self.is_empty() {
            self.whole_to = read_to;
        }
        self.whole_to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_published_in_slices_and_says_what_is_whole() {
        let mut backlog = Backlog::default();
        assert_eq!(backlog.whole_to(3), 3);
        let name = |number: usize| format!("{number:03}");
        let shard_of = |tenant: &str| tenant.parse::<u32>().unwrap_or_default();
        (0..=SLICE_SHARDS).for_each(|number| backlog.add(&name(number)));
        assert_eq!(backlog.whole_to(9), 3, "nothing of it is published");
        assert_eq!(backlog.slice(shard_of, 9).len(), SLICE_SHARDS);
        assert_eq!(backlog.whole_to(9), 3, "one shard is missing");
        // A second pass waits for the first one's end.
        backlog.add(&name(0));
        assert_eq!(backlog.slice(shard_of, 12), [name(SLICE_SHARDS)]);
        assert_eq!(backlog.whole_to(12), 9, "what came since the pass began is missing");
        assert_eq!(backlog.slice(shard_of, 12), [name(0)]);
        assert_eq!(backlog.whole_to(14), 14);
        assert!(backlog.is_empty());
    }

    #[test]
    fn who_drains_a_backlog_has_all_of_it() {
        let mut backlog = Backlog::default();
        let shard_of = |tenant: &str| tenant.parse::<u32>().unwrap_or_default();
        (0..100).for_each(|number| backlog.add(&number.to_string()));
        backlog.slice(shard_of, 5);
        backlog.add("100");
        assert_eq!(backlog.drain().len(), 101 - SLICE_SHARDS);
        assert_eq!(backlog.whole_to(6), 6);
    }
}
