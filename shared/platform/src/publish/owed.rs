//! What has to be made again, because something that it was made of changed.

use std::collections::BTreeSet;

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
