//! The flags of one request.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use flagforge_flags::{Context, Explanation, Pinned, Revision, Snapshot, Value};

use crate::clock;
use crate::details::Details;
use crate::flag::{Flag, FlagType};
use crate::loader::Manifest;
use crate::observers::{Observers, Question};
use crate::page::{Page, PageFlag};
use crate::shared::Inner;

/// The manifest that a [`Flags`] holds on to.
struct Held(Guard<Arc<Manifest>>);

impl Deref for Held {
    type Target = Snapshot;

    #[inline]
    fn deref(&self) -> &Snapshot {
        self.0.snapshot()
    }
}

/// The flags of one request. Asking takes no lock, makes no call and allocates nothing.
#[must_use = "ask with .get() or .details()"]
pub struct Flags<'t> {
    inner: &'t Inner,
    observers: Option<&'t Observers>,
    pinned: Pinned<'t, Held>,
    basis: Basis,
}

impl fmt::Debug for Flags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let context = self.pinned.context();
        f.debug_struct("Flags").field("basis", &self.basis).field("context", context).finish()
    }
}

/// What all answers of one [`Flags`] are based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Basis {
    /// The manifest's revision; `None` without a manifest.
    pub revision: Option<Revision>,
    /// The time since the manifest was last confirmed; `None` without a manifest.
    pub age: Option<Duration>,
    /// Whether the tenant directory has the tenant.
    pub tenant_known: bool,
}

impl<'t> Flags<'t> {
    #[inline]
    pub(crate) fn new(inner: &'t Inner, context: Context<'t>) -> Self {
        let manifest = inner.shared.current.load();
        let (there, confirmed, now) = (manifest.is_there(), manifest.confirmed(), clock::now());
        let mut flags = Self {
            inner,
            observers: inner.shared.observers.as_deref(),
            basis: Basis {
                revision: there.then(|| manifest.snapshot().revision()),
                age: there.then(|| now.since(confirmed)),
                tenant_known: false,
            },
            // In its place at once: it is some hundreds of bytes.
            pinned: Pinned::new(Held(manifest), confirmed, context, now),
        };
        flags.basis.tenant_known = flags.pinned.tenant_known();
        flags
    }
}

impl Flags<'_> {
    /// The flag's value for whoever asks; the flag's default when there is no answer.
    #[inline]
    pub fn get<T: FlagType>(&self, flag: &Flag<T>) -> T::Answer<'_> {
        if let Some(observers) = self.observers {
            return self.observed(observers, flag).value;
        }
        let value = self.pinned.answer(flag.name(), Some(T::WANT)).value;
        value.and_then(T::read).unwrap_or_else(|| flag.default_value())
    }

    /// The value, and how it came about.
    #[inline]
    pub fn details<T: FlagType>(&self, flag: &Flag<T>) -> Details<'_, T::Answer<'_>> {
        if let Some(observers) = self.observers {
            return self.observed(observers, flag);
        }
        let answer = self.pinned.answer(flag.name(), Some(T::WANT));
        let value = answer.value.and_then(T::read).unwrap_or_else(|| flag.default_value());
        Details::new(value, &answer, &self.basis)
    }

    /// The same answer, given where somebody listens. Apart, so that where nobody does it costs one comparison.
    #[cold]
    #[inline(never)]
    fn observed<T: FlagType>(
        &self,
        observers: &Observers,
        flag: &Flag<T>,
    ) -> Details<'_, T::Answer<'_>> {
        let question = Question {
            flag: flag.key(),
            default: flag.default(),
            scope: &self.inner.shared.scope,
            context: self.pinned.context(),
            basis: &self.basis,
        };
        let details = observers.ask(&question, &self.inner.shared, || {
            let answer = self.pinned.answer(flag.name(), Some(T::WANT));
            Details::new(answer.value, &answer, &self.basis)
        });
        details.map(|value| value.and_then(T::read).unwrap_or_else(|| flag.default_value()))
    }

    /// Every flag by its key, of whatever type it is, in no particular order; `None` is the caller's default. Hooks and
    /// reports hear nothing of it: nobody has acted on any of them.
    pub fn all(&self) -> impl Iterator<Item = (&str, Details<'_, Option<&Value>>)> {
        let answers = self.pinned.answers();
        answers.map(|(key, answer)| (key, Details::new(answer.value, &answer, &self.basis)))
    }

    /// Why the flag is answered as it is, step by step, of whatever type it is; `None` without a manifest. For
    /// people: it allocates.
    pub fn explain(&self, key: &str) -> Option<Explanation> {
        self.basis.revision.map(|_| self.pinned.explain(key))
    }

    /// The answers that a browser may see, those of flags marked client-visible and no others, to be put into a page
    /// that the server renders. Flags that have no answer are left out: the page's own defaults stand.
    pub fn page(&self) -> Page {
        let seen = self.pinned.answers();
        let seen = seen.filter(|(_, answer)| answer.client_visible && answer.error.is_none());
        let flags = seen.map(|(key, answer)| PageFlag::new(key, &answer)).collect();
        Page::new(self.basis.revision.map(|it| it.to_string()), flags)
    }

    /// What all answers are based on.
    pub const fn basis(&self) -> &Basis {
        &self.basis
    }

    /// The revision that all answers are of; `None` without a manifest.
    pub const fn revision(&self) -> Option<Revision> {
        self.basis.revision
    }

    /// What the answers are made of.
    pub fn status(&self) -> crate::Status {
        self.inner.shared.status()
    }
}
